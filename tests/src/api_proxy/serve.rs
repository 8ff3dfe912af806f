//! One connection of a client, and each request on it.

use std::sync::Arc;

use anyhow::Context as _;
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::answer::{Answer, Broken};
use super::fault::{Deed, Refusal, When, json_response};
use super::request::{Request, Verb};
use super::{Shared, upstream, watch};

/// News that wait for a client to read them.
const MOST_WAITING: usize = 64;

/// From its begin to its end; that it broke is what a test wants. `cuts` is how many there had
/// been when it came.
pub(super) async fn connection(client: TcpStream, cuts: usize, shared: Arc<Shared>) {
    let mut network = shared.network.subscribe();
    let service = service_fn(|request| serve(request, Arc::clone(&shared)));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(client), service);
    tokio::select! {
        // First: what a stop has held back must not pass when the connection is cut.
        biased;
        _ = network.wait_for(|network| network.cuts > cuts) => {}
        _ = serving => {}
    }
}

async fn serve(
    incoming: HttpRequest<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Answer>, Broken> {
    let (head, body) = incoming.into_parts();
    let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
    let (request, deed) = shared.admit(Request::read(&head, &body)).await;
    let answer = answer(head, body, &request, deed.as_ref(), &shared).await?;
    shared.note(request.number, |request| request.answered = Some(answer.status().as_u16()));
    Ok(answer)
}

/// What the client is told.
async fn answer(
    head: Parts,
    body: Bytes,
    request: &Request,
    deed: Option<&Deed>,
    shared: &Arc<Shared>,
) -> Result<Response<Answer>, Broken> {
    match deed {
        Some(Deed::Refuse(refusal)) => return Ok(refusal.response()),
        Some(Deed::Expire) => return Ok(json_response(Refusal::Expired.last_word())),
        Some(Deed::Delay(time)) => tokio::time::sleep(*time).await,
        Some(Deed::Replay) => {
            if let Some(old) = shared.oldest(&request.uri) {
                return Ok(old.response());
            }
        }
        _ => {}
    }
    if let Some(deed) = deed {
        deed.act(When::Before).await?;
    }
    // In a task of its own: a client that is killed meanwhile does not take back what it sent.
    let forwarding = tokio::spawn(forward(head, body, request.clone(), Arc::clone(shared)));
    // Where the API server is away, so is the proxy.
    let Ok(Ok(mut answer)) = forwarding.await else { return Err(Broken) };
    match deed {
        Some(Deed::Cut(When::Answered)) => {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Some(Deed::Hold { when: When::Answered, place, .. }) => {
            answer.body_mut().tell_when_passed_on(place.clone());
        }
        Some(deed) => deed.act(When::Committed).await?,
        None => {}
    }
    Ok(answer)
}

async fn forward(
    head: Parts,
    body: Bytes,
    request: Request,
    shared: Arc<Shared>,
) -> anyhow::Result<Response<Answer>> {
    let answer = shared.upstream.ask(head, body).await?;
    let (mut head, body) = answer.into_parts();
    upstream::strip(&mut head.headers);
    let code = head.status.as_u16();
    if request.verb == Verb::Watch && head.status.is_success() {
        shared.note(request.number, |request| request.served = Some(code));
        let (sender, pieces) = mpsc::channel(MOST_WAITING);
        tokio::spawn(watch::pass_on(body, request.resource, sender, shared));
        return Ok(Response::from_parts(head, Answer::stream(pieces)));
    }
    let body = body.collect().await.context("failed to read an answer")?.to_bytes();
    shared.note(request.number, |request| request.served = Some(code));
    let recorded = Recorded { head, body };
    if request.verb == Verb::List && recorded.head.status.is_success() {
        shared.remember(&request.uri, recorded.clone());
    }
    Ok(recorded.response())
}

/// An answer that can be given again.
#[derive(Debug, Clone)]
pub(super) struct Recorded {
    head: response::Parts,
    body: Bytes,
}

impl Recorded {
    fn response(self) -> Response<Answer> {
        Response::from_parts(self.head, Answer::whole(self.body))
    }
}
