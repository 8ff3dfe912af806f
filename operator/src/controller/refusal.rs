//! What an answer of the API server means for us: try again, or say so.

use kube::Error;

/// Whether the same request may well succeed later without anybody changing anything: the API
/// server was away or busy, or our view of the object was old.
pub fn is_transient(error: &Error) -> bool {
    match error {
        // 500 is also its answer to an object that it cannot read: that must be told.
        Error::Api(status) => matches!(status.code, 404 | 408 | 409 | 429 | 502..=504),
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

/// The API server's own words, for people.
pub fn words(error: &Error) -> String {
    match error {
        Error::Api(status) => {
            let reason = if status.reason.is_empty() { "refused" } else { &status.reason };
            format!("{} ({} {reason})", status.message, status.code)
        }
        _ => "no answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_refusal_is_told_from_a_server_that_is_away() {
        let answer =
            |code, reason| Error::Api(Box::new(Status::failure("no", reason).with_code(code)));
        for (code, transient) in
            [(403, false), (422, false), (500, false), (409, true), (503, true)]
        {
            assert_eq!(is_transient(&answer(code, "x")), transient, "{code}");
        }
        assert!(is_there_already(&answer(409, "AlreadyExists")));
        assert!(
            is_conflict(&answer(409, "Conflict")) && !is_there_already(&answer(409, "Conflict"))
        );
        assert!(!is_conflict(&answer(403, "Forbidden")));
        assert_eq!(words(&answer(403, "Forbidden")), "no (403 Forbidden)");
    }
}
