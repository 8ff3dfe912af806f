//! What went wrong with the database, and what helps.

pub use runtime::database::failure::{Failure, FailureKind};

/// Says what helps against a statement that took too long.
pub fn with_hint(mut failure: Failure, timeout: &str) -> Failure {
    if failure.kind == FailureKind::Slow {
        failure.message = format!(
            "{}; an index on the columns of the rule's conditions, or a longer {timeout}, helps",
            failure.message
        );
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_slow_statement_is_helped_by_an_index() {
        for kind in [FailureKind::Wrong, FailureKind::Contention, FailureKind::Slow] {
            let failure = Failure { kind, ..Failure::wrong("", "it failed") };
            let hinted = with_hint(failure, "execution.batchTimeout").message;
            assert_eq!(hinted.contains("execution.batchTimeout"), kind == FailureKind::Slow);
            assert!(hinted.starts_with("it failed"), "{hinted}");
        }
    }
}
