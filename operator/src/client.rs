//! The one way to the API server: every request is over in its time, a watch
//! has begun in it, and nothing is written while the gate is shut. A write that
//! is under way when the gate shuts is cut off.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, TryFutureExt as _};
use http::header::{HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use kube::client::{Body, ClientBuilder, DynBody};
use kube::{Client, Config};
use thiserror::Error;
use tower::layer::layer_fn;
use tower::{BoxError, Service};

use crate::leader::Gate;

/// Longer than a watch lives (290 s), so that a quiet one is not taken for a dead one.
const READ_TIMEOUT: Duration = Duration::from_mins(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a request has no answer that is worth reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    #[error("no answer within {} s", .0.as_secs())]
    TakeTooLong(Duration),
    #[error("asked to come back after {} s ({code})", .after.as_secs())]
    Throttled { code: u16, after: Duration },
    #[error("not written: this operator does not hold the lease (any more)")]
    NotLeader,
}

/// Says with each request which operator it is from: the API server's audit log has it then.
pub fn sign(config: &mut Config, identity: &str) {
    let agent = format!("pgsweep-operator/{} ({identity})", env!("CARGO_PKG_VERSION"));
    if let Ok(agent) = HeaderValue::from_str(&agent) {
        config.headers.push((USER_AGENT, agent));
    }
}

/// A client whose requests take at most `patience`, and that writes only through the gate.
pub fn client(mut config: Config, gate: &Gate, patience: Duration) -> kube::Result<Client> {
    // It tries up to 15 times, for minutes; we know better when to try again.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    let guard = layer_fn(|inner| Guarded { inner, gate: gate.clone(), patience });
    Ok(ClientBuilder::try_from(config)?.with_layer(&guard).build())
}

#[derive(Clone)]
struct Guarded<S> {
    inner: S,
    gate: Gate,
    patience: Duration,
}

type Answer = Response<Box<DynBody>>;

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Answer, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let reads = request.method() == Method::GET;
        if !reads && !self.gate.is_open() {
            return futures::future::err(RequestError::NotLeader.into()).boxed();
        }
        let (gate, patience, watches) = (self.gate.clone(), self.patience, is_watch(&request));
        let answer = self.inner.call(request);
        let answer = async move {
            let answer = answer.await?;
            if let Some(throttled) = throttled(&answer) {
                return Err(throttled.into());
            }
            if watches && answer.status().is_success() { Ok(answer) } else { whole(answer).await }
        };
        let answer = tokio::time::timeout(patience, answer)
            .unwrap_or_else(move |_| Err(RequestError::TakeTooLong(patience).into()));
        if reads { answer.boxed() } else { through(gate, answer.boxed()).boxed() }
    }
}

/// A write, for as long as the gate is open.
async fn through(
    gate: Gate,
    mut answer: BoxFuture<'static, Result<Answer, BoxError>>,
) -> Result<Answer, BoxError> {
    let mut shut = pin!(gate.wait_until_shut());
    poll_fn(|context| {
        // By the clock first: after a long pause of this process its timers do not know yet.
        if !gate.is_open() || shut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(RequestError::NotLeader.into()));
        }
        answer.poll_unpin(context)
    })
    .await
}

fn is_watch<B>(request: &Request<B>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|parameter| matches!(parameter, "watch=true" | "watch=1"))
}

/// Reads the body to its end, so that its time counts too.
async fn whole(answer: Answer) -> Result<Answer, BoxError> {
    let (head, body) = answer.into_parts();
    let bytes = body.collect().await?.to_bytes();
    let body = Full::new(bytes).map_err(|never| -> BoxError { match never {} });
    Ok(Response::from_parts(head, Box::new(body)))
}

/// Only the head says for how long; kube shows no more than the body.
fn throttled<B>(answer: &Response<B>) -> Option<RequestError> {
    let code = answer.status();
    if code != StatusCode::TOO_MANY_REQUESTS && code != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(RequestError::Throttled { code: code.as_u16(), after: Duration::from_secs(seconds) })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures::future::{pending, ready};

    use super::*;
    use crate::leader::Keeper;

    const PATIENCE: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_hours(1);

    /// An API server that says this to everything, or nothing at all.
    struct Server(Option<fn() -> Answer>);

    impl Service<Request<Body>> for Server {
        type Response = Answer;
        type Error = BoxError;
        type Future = BoxFuture<'static, Result<Answer, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            self.0.map_or_else(|| pending().boxed(), |answer| ready(Ok(answer())).boxed())
        }
    }

    fn answer(code: u16, retry_after: Option<&'static str>) -> Answer {
        let body = Full::new("later".into()).map_err(|never| -> BoxError { match never {} });
        let mut answer = Response::new(Box::new(body) as Box<DynBody>);
        *answer.status_mut() = StatusCode::from_u16(code).expect("a code");
        if let Some(seconds) = retry_after {
            answer.headers_mut().insert(RETRY_AFTER, seconds.parse().expect("a value"));
        }
        answer
    }

    async fn ask(
        server: Option<fn() -> Answer>,
        gate: &Gate,
        patience: Duration,
        method: Method,
        path: &str,
    ) -> Result<u16, RequestError> {
        let mut guarded = Guarded { inner: Server(server), gate: gate.clone(), patience };
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("a path");
        let answer = guarded.call(request).await;
        answer
            .map(|answer| answer.status().as_u16())
            .map_err(|error| *error.downcast().expect("ours"))
    }

    #[tokio::test]
    async fn a_request_that_hangs_is_given_up() {
        let open = Gate::AlwaysOpen;
        for (method, path) in
            [(Method::GET, "/pods"), (Method::GET, "/pods?watch=true"), (Method::PATCH, "/pods/x")]
        {
            let result = ask(None, &open, PATIENCE, method, path).await;
            assert_eq!(result, Err(RequestError::TakeTooLong(PATIENCE)), "{path}");
        }
    }

    /// Whose head comes at once, and whose body never ends.
    fn endless() -> Answer {
        use futures::stream::{self, StreamExt as _};
        use http_body_util::StreamBody;

        let body = StreamBody::new(stream::pending().boxed());
        Response::new(Box::new(body) as Box<DynBody>)
    }

    #[tokio::test]
    async fn only_a_watch_may_go_on() {
        let open = Gate::AlwaysOpen;
        let list = ask(Some(endless), &open, PATIENCE, Method::GET, "/pods?limit=5").await;
        assert_eq!(list, Err(RequestError::TakeTooLong(PATIENCE)));
        let watch =
            ask(Some(endless), &open, PATIENCE, Method::GET, "/pods?watch=true&limit=5").await;
        assert_eq!(watch, Ok(200));
    }

    #[tokio::test]
    async fn nothing_is_written_while_the_gate_is_shut_and_everything_is_read() {
        let (keeper, gate) = Keeper::new();
        let ok: Option<fn() -> Answer> = Some(|| answer(200, None));
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let written = ask(ok, &gate, LONG, method, "/pods").await;
            assert_eq!(written, Err(RequestError::NotLeader));
        }
        assert_eq!(ask(ok, &gate, LONG, Method::GET, "/pods").await, Ok(200));
        keeper.open_until(Instant::now() + LONG);
        assert_eq!(ask(ok, &gate, LONG, Method::POST, "/pods").await, Ok(200));
    }

    #[tokio::test]
    async fn a_write_under_way_is_cut_off_when_the_gate_shuts() {
        let (keeper, gate) = Keeper::new();
        keeper.open_until(Instant::now() + PATIENCE);
        let written = ask(None, &gate, LONG, Method::POST, "/pods").await;
        assert_eq!(written, Err(RequestError::NotLeader));
    }

    #[tokio::test]
    async fn the_api_server_says_when_to_come_back() {
        let open = Gate::AlwaysOpen;
        let busy: Option<fn() -> Answer> = Some(|| answer(429, Some("7")));
        let after = Duration::from_secs(7);
        let asked = ask(busy, &open, LONG, Method::GET, "/pods?watch=true").await;
        assert_eq!(asked, Err(RequestError::Throttled { code: 429, after }));
        let untold: Option<fn() -> Answer> = Some(|| answer(429, None));
        assert_eq!(ask(untold, &open, LONG, Method::GET, "/pods").await, Ok(429));
        let broken: Option<fn() -> Answer> = Some(|| answer(500, Some("7")));
        assert_eq!(ask(broken, &open, LONG, Method::GET, "/pods").await, Ok(500));
    }
}
