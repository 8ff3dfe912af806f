//! The sockets: how many at once, how long a head may take, and how all of it ends in order.

pub mod files;
mod heads;
mod places;

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
use self::places::Places;
use crate::client::Peer;
use crate::metrics::Metrics;

/// How long a connection may rest between two requests: longer than proxies usually keep theirs, which is a minute, so
/// that it is they who close it.
const REST: Duration = Duration::from_secs(75);
/// After an error of the system, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// More than any head of ours: what hyper allows would be a third of a gigabyte for a thousand clients.
const LONGEST_HEAD: usize = 32 * 1024;
/// How many at once wait for a place, or are told that there is none. More wait in the queue of the system.
const MOST_WAITING: usize = 64;
/// How long it may take to tell a client that there is no place, or another one that it has lost its own.
const REFUSAL: Duration = Duration::from_secs(2);

/// A socket, and what is behind it.
pub struct Door {
    /// Where clients come.
    pub listener: TcpListener,
    /// Answers them.
    pub router: Router,
    /// Answers those for whom there is no place.
    pub full: Router,
    /// Places.
    pub most: usize,
    /// Where they are counted.
    pub metrics: Option<Metrics>,
}

/// Serves connections until it is asked to end, and then those that are in the midst of a request, for as
/// long as `patience`. Whether all of them were answered.
pub async fn serve(door: Door, ended: CancellationToken, patience: Duration) -> bool {
    let Door { listener, router, full, most, metrics } = door;
    let (places, hall) = (Places::new(most), Arc::new(Semaphore::new(MOST_WAITING)));
    let tasks = TaskTracker::new();
    loop {
        let next = async {
            let waits = Arc::clone(&hall).acquire_owned().await;
            (waits, listener.accept().await)
        };
        let (waits, accepted) = tokio::select! {
            next = next => next,
            () = ended.cancelled() => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let peer = Peer(address.ip());
                let client = metrics.as_ref().map(Metrics::connected);
                let (places, router, full) = (Arc::clone(&places), router.clone(), full.clone());
                let ended = ended.clone();
                tasks.spawn(async move {
                    if let Some(place) = places.take().await {
                        drop(waits);
                        converse(stream, peer, router, &places, &ended).await;
                        drop(place);
                    } else {
                        // Whoever is slow to ask is not told.
                        let _ = tokio::time::timeout(REFUSAL, refuse(stream, peer, full)).await;
                        drop(waits);
                    }
                    drop(client);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                places.end_longest();
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    tokio::time::timeout(patience, tasks.wait()).await.is_ok()
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(REST).max_buf_size(LONGEST_HEAD);
    http
}

/// One connection.
async fn converse(
    stream: TcpStream,
    peer: Peer,
    router: Router,
    places: &Arc<Places>,
    ended: &CancellationToken,
) {
    let evicted = ended.child_token();
    let rest = places.rest(evicted.clone());
    // Small answers are not held back for more to come; where that cannot be set they are a little late.
    let _ = stream.set_nodelay(true);
    let turns = Turns::default();
    let stream = Heads::new(stream, turns.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let (router, turns, rest) = (router.clone(), turns.clone(), Arc::clone(&rest));
        async move {
            rest.end();
            turns.change();
            let answered = answered(request, peer, router).await;
            turns.change();
            rest.begin();
            answered
        }
    });
    let mut connection = std::pin::pin!(http().serve_connection(TokioIo::new(stream), service));
    let ended_by_client = tokio::select! {
        _ = connection.as_mut() => true,
        () = evicted.cancelled() => false,
    };
    if ended_by_client {
        return;
    }
    connection.as_mut().graceful_shutdown();
    // A client that breaks off has nobody to be told so.
    if ended.is_cancelled() {
        let _ = connection.await;
    } else {
        // Somebody waits for its place, and it may rest because nobody reads its answer.
        let _ = tokio::time::timeout(REFUSAL, connection).await;
    }
}

/// One request, and then the end.
async fn refuse(stream: TcpStream, peer: Peer, full: Router) {
    let service = service_fn(move |request| answered(request, peer, full.clone()));
    // A client that breaks off has nobody to be told so.
    let _ = http().keep_alive(false).serve_connection(TokioIo::new(stream), service).await;
}

async fn answered(
    request: Request<Incoming>,
    peer: Peer,
    router: Router,
) -> Result<axum::response::Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    router.oneshot(request).await
}
