//! What the proxy can do to a request, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::answer::{Answer, Broken};
use super::hold::Place;
use super::pick::Pick;
use super::request::Request;
use super::watch::News;

/// The moment of a request at which to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The API server has not got it.
    Before,
    /// The API server has done it and has answered, and the client does not know.
    Committed,
    /// The client has the answer.
    Answered,
}

impl When {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Before, Self::Committed, Self::Answered];
}

/// An answer that an API server gives when it does not do what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 403: a permission is missing.
    Forbidden,
    /// 409: the object has changed.
    Conflict,
    /// 410: what is asked for is too old.
    Expired,
    /// 429: too many requests; come back in so many seconds.
    TooManyRequests {
        /// What `Retry-After` says.
        seconds: u32,
    },
    /// 500: it has a problem of its own.
    InternalError,
    /// 503: it is not up, or an API behind it is not.
    ServiceUnavailable,
}

impl Refusal {
    fn code(self) -> StatusCode {
        match self {
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Expired => StatusCode::GONE,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Forbidden => "Forbidden",
            Self::Conflict => "Conflict",
            Self::Expired => "Expired",
            Self::TooManyRequests { .. } => "TooManyRequests",
            Self::InternalError => "InternalError",
            Self::ServiceUnavailable => "ServiceUnavailable",
        }
    }

    /// The same as the last word of a watch.
    pub(super) fn last_word(self) -> Bytes {
        let word = json!({"type": "ERROR", "object": self.status()});
        Bytes::from(format!("{word}\n"))
    }

    /// The body that says so.
    fn status(self) -> serde_json::Value {
        let details = match self {
            Self::TooManyRequests { seconds } => json!({"retryAfterSeconds": seconds}),
            _ => json!({}),
        };
        json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": format!("the proxy of the tests says {}", self.reason()),
            "reason": self.reason(),
            "details": details,
            "code": self.code().as_u16(),
        })
    }

    pub(super) fn response(self) -> Response<Answer> {
        let mut response = json_response(Bytes::from(self.status().to_string()));
        *response.status_mut() = self.code();
        let headers = response.headers_mut();
        if let Self::TooManyRequests { seconds } = self {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

pub(super) fn json_response(body: Bytes) -> Response<Answer> {
    let mut response = Response::new(Answer::whole(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What is done to a request.
#[derive(Debug, Clone)]
pub enum Deed {
    Refuse(Refusal),
    Expire,
    Cut(When),
    Silence(When),
    Delay(Duration),
    Replay,
    Hold { when: When, stop: Option<usize>, place: Place },
}

impl Deed {
    /// Acts where its moment has come.
    pub(super) async fn act(&self, now: When) -> Result<(), Broken> {
        match self {
            Self::Cut(when) if *when == now => Err(Broken),
            Self::Silence(when) if *when == now => std::future::pending().await,
            Self::Hold { when, place, .. } if *when == now => place.wait().await,
            _ => Ok(()),
        }
    }
}

/// What is done to a piece of news.
#[derive(Debug, Clone)]
pub enum NewsDeed {
    Drop,
    Repeat,
    RepeatLater,
    Swap,
    Close,
    Expire,
    Hold(Place),
}

/// How often a fault has struck so far: a test whose fault did not has proved nothing.
#[derive(Debug, Clone, Default)]
pub struct Strikes(Arc<AtomicUsize>);

impl Strikes {
    /// The number.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

/// Something that goes wrong, once: at the first request, or the first news, that it is for.
#[derive(Debug, Clone)]
pub struct Plan<T, D> {
    pick: Pick<T>,
    skip: usize,
    /// Nothing for a plan that never ends.
    left: Option<usize>,
    pub(super) deed: D,
    pub(super) strikes: Strikes,
}

/// Something that goes wrong with a request.
pub type Fault = Plan<Request, Deed>;

/// Something that goes wrong with the news of a watch.
pub type NewsFault = Plan<News, NewsDeed>;

impl<T, D: Clone> Plan<T, D> {
    pub(super) fn new(pick: Pick<T>, deed: D) -> Self {
        Self { pick, skip: 0, left: Some(1), deed, strikes: Strikes::default() }
    }

    /// At that of this number, counted from 1, among those that it is for.
    #[must_use]
    pub fn nth(mut self, number: usize) -> Self {
        self.skip = number.saturating_sub(1);
        self
    }

    /// At so many of them, one after the other.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.left = Some(times);
        self
    }

    /// At all of them, until [`super::ApiProxy::lift`].
    #[must_use]
    pub fn always(mut self) -> Self {
        self.left = None;
        self
    }

    fn strike(&mut self, item: &T) -> Option<D> {
        if !self.pick.takes(item) || self.left == Some(0) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.left = self.left.map(|left| left - 1);
        self.strikes.0.fetch_add(1, Ordering::AcqRel);
        Some(self.deed.clone())
    }
}

impl Fault {
    /// The API server is not asked, and this is the answer.
    #[must_use]
    pub fn refuse(pick: Pick<Request>, refusal: Refusal) -> Self {
        Self::new(pick, Deed::Refuse(refusal))
    }

    /// A watch is told that the version from which it begins is too old, as an API server tells it:
    /// by its first word. The client has to list anew.
    #[must_use]
    pub fn expire(pick: Pick<Request>) -> Self {
        Self::new(pick, Deed::Expire)
    }

    /// The connection is cut; at [`When::Answered`] it ends after the answer.
    #[must_use]
    pub fn cut(pick: Pick<Request>, when: When) -> Self {
        Self::new(pick, Deed::Cut(when))
    }

    /// No answer comes, ever; what is asked is done, or not, as `when` says.
    #[must_use]
    pub fn silence(pick: Pick<Request>, when: When) -> Self {
        Self::new(pick, Deed::Silence(when))
    }

    /// The request takes that much longer on its way.
    #[must_use]
    pub fn delay(pick: Pick<Request>, time: Duration) -> Self {
        Self::new(pick, Deed::Delay(time))
    }

    /// Old news: the first answer that there was to a request of the same path and query, which
    /// for a list are the objects of that time. The API server is asked where there was none.
    #[must_use]
    pub fn replay(pick: Pick<Request>) -> Self {
        Self::new(pick, Deed::Replay)
    }
}

impl NewsFault {
    /// It is lost.
    #[must_use]
    pub fn drop(pick: Pick<News>) -> Self {
        Self::new(pick, NewsDeed::Drop)
    }

    /// It comes twice, one right after the other.
    #[must_use]
    pub fn repeat(pick: Pick<News>) -> Self {
        Self::new(pick, NewsDeed::Repeat)
    }

    /// It comes again after the next one of its stream.
    #[must_use]
    pub fn repeat_later(pick: Pick<News>) -> Self {
        Self::new(pick, NewsDeed::RepeatLater)
    }

    /// It comes after the next one of its stream.
    #[must_use]
    pub fn swap(pick: Pick<News>) -> Self {
        Self::new(pick, NewsDeed::Swap)
    }

    /// The stream ends before it.
    #[must_use]
    pub fn close(pick: Pick<News>) -> Self {
        Self::new(pick, NewsDeed::Close)
    }

    /// In its place an `ERROR` says 410, and the stream ends.
    #[must_use]
    pub fn expire(pick: Pick<News>) -> Self {
        Self::new(pick, NewsDeed::Expire)
    }
}

/// What is to be done to it: the deed of the first plan that is due. Each plan counts for itself
/// what was left for it.
pub(super) fn due<T, D: Clone>(plans: &mut [Plan<T, D>], item: &T) -> Option<D> {
    plans.iter_mut().find_map(|plan| plan.strike(item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_strikes_from_its_number_on_as_often_as_it_says() {
        let pick = Pick::<Request>::requests().and("always", |_| true);
        let request = Request::read(&hyper::Request::new(()).into_parts().0, b"");
        let strikes = |fault: Fault| {
            let mut plans = [fault];
            (1..=5).filter(|_| due(&mut plans, &request).is_some()).collect::<Vec<_>>()
        };
        let fault = || Fault::refuse(pick.clone(), Refusal::Conflict);
        assert_eq!(strikes(fault()), [1]);
        assert_eq!(strikes(fault().nth(3)), [3]);
        assert_eq!(strikes(fault().nth(2).times(2)), [2, 3]);
        assert_eq!(strikes(fault().nth(4).always()), [4, 5]);
    }
}
