//! The sockets: how many at once, how long a head may take, and how all of it ends in order.

mod heads;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use self::heads::{Heads, Turns};
use crate::client::Peer;
use crate::metrics::{Connected, Metrics};

/// How long a connection may rest between two requests: longer than proxies usually keep theirs, which is a minute, so
/// that it is they who close it.
const REST: Duration = Duration::from_secs(75);
/// After an error of the system, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until it is asked to end, and then those that are in the midst of a request, for as
/// long as `patience`. Whether all of them were answered.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    most: usize,
    metrics: Metrics,
    ended: CancellationToken,
    patience: Duration,
) -> bool {
    let (places, tasks) = (Arc::new(Semaphore::new(most)), TaskTracker::new());
    loop {
        // A client for whom there is no place waits in the queue of the system.
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = ended.cancelled() => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let peer = Peer(address.ip());
                let client = metrics.connected();
                let (router, ended) = (router.clone(), ended.clone());
                tasks.spawn(async move {
                    converse(stream, peer, router, ended, client).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    tokio::time::timeout(patience, tasks.wait()).await.is_ok()
}

/// One connection.
async fn converse(
    stream: TcpStream,
    peer: Peer,
    router: Router,
    ended: CancellationToken,
    _client: Connected,
) {
    // Small answers are not held back for more to come; where that cannot be set they are a little late.
    let _ = stream.set_nodelay(true);
    let turns = Turns::default();
    let stream = Heads::new(stream, turns.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        let (router, turns) = (router.clone(), turns.clone());
        async move {
            turns.change();
            let answered: Result<_, Infallible> = router.oneshot(request).await;
            turns.change();
            answered
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REST)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended_by_client = tokio::select! {
        _ = connection.as_mut() => true,
        () = ended.cancelled() => false,
    };
    if !ended_by_client {
        connection.as_mut().graceful_shutdown();
        // A client that breaks off has nobody to be told so.
        let _ = connection.await;
    }
}
