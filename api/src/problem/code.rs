//! The stable codes of problems. A client decides by them; titles and details are for people.

use axum::http::StatusCode;

/// Declares the codes, each with its word, status, title and usual detail.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $word:literal $status:ident $title:literal $detail:literal;)*) => {
        /// What is wrong, by one word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Code] = &[$(Code::$name),*];

            /// The word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Code::$name => $word,)*
                }
            }

            /// The status that it usually has.
            pub fn status(self) -> StatusCode {
                match self {
                    $(Code::$name => StatusCode::$status,)*
                }
            }

            /// The same for every problem of this code.
            pub fn title(self) -> &'static str {
                match self {
                    $(Code::$name => $title,)*
                }
            }

            /// What is said unless a case has words of its own.
            pub fn detail(self) -> &'static str {
                match self {
                    $(Code::$name => $detail,)*
                }
            }
        }
    };
}

codes! {
    /// The code is no code that waits.
    JoinCodeInvalid "join_code_invalid" FORBIDDEN "The code is wrong"
        "No session waits for this code: it is mistyped, was used already, or is for another table.";
    /// The code was right once.
    JoinCodeExpired "join_code_expired" NOT_FOUND "The code has expired"
        "The code has expired. Ask for a new one on the other phone.";
    /// A rate limit.
    QuotaExceeded "quota-exceeded" TOO_MANY_REQUESTS "Too many tries"
        "There were too many tries from this address. Wait as long as Retry-After says.";
    /// No session of that id, or none of yours.
    SessionNotFound "session_not_found" NOT_FOUND "There is no such session"
        "Session not found or inactive";
    /// No group of that id, or none of yours.
    GroupNotFound "group_not_found" NOT_FOUND "There is no such group"
        "There is no group of this id that you are in.";
    /// Somebody else sits there.
    NotAtTheTable "not_at_the_table" FORBIDDEN "You do not sit at this table"
        "Groups of a table are shown to those who sit there.";
    /// Somebody ended it.
    SessionEnded "session_ended" CONFLICT "The session was ended"
        "The session was ended, and nothing can be changed in it any more.";
    /// Its time is over.
    SessionExpired "session_expired" GONE "The session has expired"
        "The session has expired. Begin a new one.";
    /// It has not ended.
    SessionLive "session_live" CONFLICT "The session is live"
        "The session has not ended, so that there is nothing to recover.";
    /// It is over for too long.
    RecoveryOver "recovery_over" GONE "The session is over"
        "A session can be recovered for 15 minutes after it has expired, and within a day of its begin.";
    /// Nobody was there for an hour.
    InviteExpired "invite_expired" GONE "The invitation has expired"
        "This invitation link has expired. Sessions become inactive after 1 hour of no activity.";
    /// Sixty-four are in it.
    SessionFull "session_full" CONFLICT "The session is full"
        "The session has as many participants as it can have.";
    /// The session is of another app.
    WrongApp "wrong_app" FORBIDDEN "The session is of another app"
        "Only a session of After Hours has matches, messages, declines and fingerprints.";
    /// Nobody of that name is there.
    UserAbsent "user_absent" CONFLICT "Somebody is not in the session"
        "Both users of a match have to be in its session.";
    /// One of them does not want to.
    UserDeclined "user_declined" CONFLICT "One has declined the other"
        "In this session one of the two has declined the other.";
    /// They match.
    AlreadyMatched "already_matched" CONFLICT "They match already"
        "In this session these two match already.";
    /// No match of that id, or none of theirs.
    MatchNotFound "match_not_found" NOT_FOUND "There is no such match"
        "There is no match of this id that you are in.";
    /// Another participant has the user id.
    UserPresent "user_present" CONFLICT "Somebody has that name in the session"
        "A participant of this session has this user_id, or had it and left: bear the token that you had to come back.";
    /// Both phones are there.
    AlreadyPaired "already_paired" CONFLICT "The session is paired"
        "Both phones are there, so that the session takes no code any more.";
    /// It never takes a code.
    NotDual "not_dual" CONFLICT "The session is for one phone"
        "Only a session of the mode dual has a code.";
    /// It takes a code and nothing else.
    DirectRefused "code_required" FORBIDDEN "The session is joined by its code"
        "A session of two phones is joined by its code alone.";
    /// A guest does what is the host's.
    NotTheHost "not_the_host" FORBIDDEN "Only the host may do that"
        "Only the participant who made the session may do that.";
    /// No token, or one that nobody has.
    TokenInvalid "token_invalid" UNAUTHORIZED "The token is missing or wrong"
        "Send the token of a participant as Authorization: Bearer st_…";
    /// No admin's key, or one that nobody has.
    AdminKeyInvalid "admin_key_invalid" UNAUTHORIZED "The key is missing or wrong"
        "Send the key of somebody who runs the service as Authorization: Bearer ad_…";
    /// A key that may only read.
    ScopeInsufficient "scope_insufficient" FORBIDDEN "The key may only read"
        "What changes sessions takes a key of the scope operate.";
    /// Nobody of that id is there.
    ParticipantNotFound "participant_not_found" NOT_FOUND "There is no such participant"
        "Nobody of this id is in the session at the moment.";
    /// Fields of the body are wrong.
    ValidationFailed "validation_failed" UNPROCESSABLE_ENTITY "The request does not fit"
        "Some fields of the request are not what they must be; errors has all of them.";
    /// No JSON object.
    RequestMalformed "request_malformed" BAD_REQUEST "The request cannot be read"
        "The body must be one JSON object.";
    /// Another media type.
    MediaTypeUnsupported "media_type_unsupported" UNSUPPORTED_MEDIA_TYPE "The body is not JSON"
        "Send the body as Content-Type: application/json.";
    /// Too much.
    BodyTooLarge "body_too_large" PAYLOAD_TOO_LARGE "The body is too large"
        "A body has at most 32 KiB.";
    /// Too slow.
    RequestTimeout "request_timeout" REQUEST_TIMEOUT "The body came too late"
        "The body did not come within the time of a request. Send the request again.";
    /// A change without If-Match.
    PreconditionRequired "precondition_required" PRECONDITION_REQUIRED "If-Match is missing"
        "Read the session first, and send its ETag as If-Match.";
    /// Somebody was faster.
    PreconditionFailed "precondition_failed" PRECONDITION_FAILED "The session has changed"
        "The session has changed since it was read. Read it again, and then change it.";
    /// The key belongs to another request.
    IdempotencyKeyReused "idempotency_key_reused" UNPROCESSABLE_ENTITY "The key was used before"
        "This Idempotency-Key came with another body before. Take a new key for a new request.";
    /// The first request of the key runs.
    IdempotencyKeyBusy "idempotency_key_busy" CONFLICT "The request is under way"
        "A request with this Idempotency-Key is being answered. Send it again in a moment.";
    /// No such path.
    RouteNotFound "route_not_found" NOT_FOUND "There is no such path"
        "There is nothing under this path.";
    /// No such method on the path.
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "The path has no such method"
        "This path has other methods; the header Allow names them.";
    /// For the moment.
    Overloaded "overloaded" SERVICE_UNAVAILABLE "Too much at the moment"
        "There is too much to do, or the database is away for the moment. Send the request again.";
    /// Our fault.
    Internal "internal" INTERNAL_SERVER_ERROR "This should not have happened"
        "Something is wrong on our side. Tell us request_id.";
}

impl Code {
    /// Every status that it comes with: what is over is a conflict to whoever changes it, and gone to whoever asks for it.
    pub fn statuses(self) -> Vec<StatusCode> {
        let other = (self == Self::SessionEnded).then_some(StatusCode::GONE);
        [self.status()].into_iter().chain(other).collect()
    }

    /// Its page. The code of the limits has one of the IANA.
    pub fn uri(self) -> String {
        if self == Code::QuotaExceeded {
            return "https://iana.org/assignments/http-problem-types#quota-exceeded".to_owned();
        }
        format!("/problems/{}", self.as_str())
    }

    /// The code of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_told_in_the_documentation() {
        let page = include_str!("../../../docs/session-api-http.md");
        for code in Code::ALL {
            let row = format!("| `{}` | {} |", code.as_str(), code.status().as_u16());
            assert!(page.contains(&row), "docs/session-api-http.md has no row {row}");
            assert_eq!(Code::of(code.as_str()), Some(*code));
        }
    }
}
