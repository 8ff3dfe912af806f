//! What an answer of the API server means for us: try again, or say so.

use std::error::Error as StdError;
use std::iter;
use std::time::Duration;

use kube::Error;
use policy::reason;

use super::apply::{AppliedCronJob, AppliedPreflight, ApplyError, Refusal};
use super::build::{Applied, Resources};
use super::gate::Gate;
use crate::client::RequestError;

/// The cause of a 403 that an object meets whose namespace is being deleted.
const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";

/// Whether the same request may well succeed later without anybody changing anything: the API
/// server was away or busy, our token was about to be replaced, or our view of the object was old.
///
/// A 500 is all of that, and its answer to an object that it cannot read, too: it is told once it
/// lasts, by [`tell`].
pub fn is_transient(error: &Error) -> bool {
    match error {
        Error::Api(status) => {
            matches!(status.code, 401 | 404 | 408 | 409 | 410 | 429 | 500..=599)
                || is_namespace_ending(error)
        }
        _ => true,
    }
}

/// Whether the API server says that the object has changed since we saw it.
pub fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 409)
}

/// Whether the API server says that there is an object of that name already.
pub fn is_there_already(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists")
}

/// Whether what we know was old: the object has changed or gone, or another operator works now.
pub fn is_stale(error: &Error) -> bool {
    match error {
        Error::Api(status) => matches!(status.code, 404 | 409),
        _ => matches!(request_error(error), Some(RequestError::NotLeader)),
    }
}

/// Whether nothing can be made any more in the namespace, since it is being deleted.
pub fn is_namespace_ending(error: &Error) -> bool {
    let Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 403 && causes.into_iter().any(|cause| cause.reason == NAMESPACE_TERMINATING)
}

/// The API server's own words, for people.
pub fn words(error: &Error) -> String {
    match error {
        Error::Api(status) => {
            let reason = if status.reason.is_empty() { "refused" } else { &status.reason };
            format!("{} ({} {reason})", status.message, status.code)
        }
        _ => request_error(error).map_or_else(|| "no answer".to_owned(), ToString::to_string),
    }
}

/// How long the API server asks us to wait, where it does.
pub fn retry_after(error: &(dyn StdError + 'static)) -> Option<Duration> {
    match answer(error)? {
        Error::Api(status) => {
            let seconds = status.details.as_ref()?.retry_after_seconds;
            (seconds > 0).then(|| Duration::from_secs(seconds.into()))
        }
        other => match request_error(other)? {
            RequestError::Throttled { after, .. } => Some(*after),
            RequestError::TakeTooLong(_) | RequestError::NotLeader => None,
        },
    }
}

/// What kube's client said, among an error and its causes.
pub fn answer<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let source = |error: &&'a (dyn StdError + 'static)| (*error).source();
    iter::successors(Some(error), source).find_map(as_answer)
}

/// The error itself, where it is kube's.
pub fn as_answer<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let boxed = || error.downcast_ref::<Box<Error>>().map(AsRef::as_ref);
    error.downcast_ref::<Error>().or_else(boxed)
}

fn request_error(error: &Error) -> Option<&RequestError> {
    let Error::Service(error) = error else { return None };
    error.downcast_ref()
}

/// A write that fails for long is told in the status, as one that was refused is; `lasting` is the
/// kind of failure that has lasted.
pub fn tell(
    error: ApplyError,
    lasting: Option<&str>,
    gate: Option<Gate>,
) -> Result<Resources<Applied>, ApplyError> {
    let failed = |answer: &&Error| {
        !is_conflict(answer)
            && !is_namespace_ending(answer)
            && !matches!(request_error(answer), Some(RequestError::NotLeader))
    };
    match answer(&error).filter(failed) {
        Some(answer) if lasting == Some(error.kind()) => {
            let message = format!("{error}, time and again: {}", words(answer));
            let refusal = Refusal { reason: reason::APPLY_FAILED, message };
            let cron_job = AppliedCronJob::Refused(refusal);
            let preflight = AppliedPreflight::NotAsked;
            Ok(Resources { cron_job, preflight, run: Ok(None), gate })
        }
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use kube::core::response::{StatusCause, StatusDetails};

    use super::*;

    fn api(code: u16, reason: &str) -> Error {
        Error::Api(Box::new(Status::failure("no", reason).with_code(code)))
    }

    fn detailed(code: u16, cause: &str, retry_after_seconds: u32) -> Error {
        let cause = StatusCause { reason: cause.into(), message: "x".into(), field: "x".into() };
        let text = String::new;
        let details = StatusDetails {
            name: text(),
            group: text(),
            kind: text(),
            uid: text(),
            causes: vec![cause],
            retry_after_seconds,
        };
        let status = Status::failure("no", "Forbidden").with_code(code).with_details(details);
        Error::Api(Box::new(status))
    }

    fn service(error: RequestError) -> Error {
        Error::Service(Box::new(error))
    }

    #[test]
    fn a_refusal_is_told_from_a_server_that_is_away() {
        for code in [400, 403, 413, 415, 422] {
            assert!(!is_transient(&api(code, "x")), "{code}");
        }
        for code in [401, 404, 408, 409, 410, 429, 500, 502, 503, 504, 521] {
            assert!(is_transient(&api(code, "x")), "{code}");
        }
        assert!(is_transient(&service(RequestError::TakeTooLong(Duration::from_secs(10)))));
        assert!(is_there_already(&api(409, "AlreadyExists")));
        assert!(is_conflict(&api(409, "Conflict")) && !is_there_already(&api(409, "Conflict")));
        assert!(!is_conflict(&api(403, "Forbidden")));
        assert_eq!(words(&api(403, "Forbidden")), "no (403 Forbidden)");
    }

    #[test]
    fn a_namespace_that_goes_is_no_refusal() {
        let ending = detailed(403, NAMESPACE_TERMINATING, 0);
        assert!(is_namespace_ending(&ending) && is_transient(&ending));
        assert!(!is_namespace_ending(&detailed(403, "FieldValueForbidden", 0)));
        assert!(!is_namespace_ending(&api(403, "Forbidden")));
    }

    #[test]
    fn the_api_server_says_how_long_to_wait() {
        let after = |error: Error| retry_after(&ApplyError::WriteCronJob(Box::new(error)));
        assert_eq!(after(detailed(500, "x", 3)), Some(Duration::from_secs(3)));
        assert_eq!(after(api(429, "TooManyRequests")), None);
        let throttled = RequestError::Throttled { code: 429, after: Duration::from_secs(7) };
        assert_eq!(after(service(throttled)), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&ApplyError::AwaitCronJob), None);
    }

    #[test]
    fn a_passing_failure_of_the_server_is_not_told_and_a_lasting_one_is() {
        let tell = |error: Error, lasting: &str| {
            tell(ApplyError::WriteCronJob(Box::new(error)), Some(lasting), None)
        };
        for error in [
            || api(500, "InternalError"),
            || api(503, "x"),
            || service(RequestError::TakeTooLong(Duration::from_secs(10))),
        ] {
            assert!(tell(error(), "CreateEvent").is_err());
            assert!(tell(error(), "WriteCronJob").is_ok());
        }
        for error in [
            api(409, "Conflict"),
            detailed(403, NAMESPACE_TERMINATING, 0),
            service(RequestError::NotLeader),
        ] {
            assert!(tell(error, "WriteCronJob").is_err());
        }
        let Ok(Resources { cron_job: AppliedCronJob::Refused(refusal), .. }) =
            tell(api(500, "InternalError"), "WriteCronJob")
        else {
            panic!("it is not told");
        };
        assert_eq!(
            refusal.message,
            "failed to write the CronJob, time and again: no (500 InternalError)"
        );
    }
}
