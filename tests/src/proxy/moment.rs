//! Which message it is at which the proxy acts.

use super::message::Message;

/// Which message a plan is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// By its number.
    Number(usize),
    /// The next one that runs a statement with this in its text.
    Statement(String),
    /// The next `COMMIT` of a transaction that has run such a statement.
    CommitOf(String),
}

impl Moment {
    /// Whether it is `message`, before which there were these.
    pub fn is(&self, message: &Message, earlier: &[Message]) -> bool {
        let runs = |it: &Message, part: &str| {
            it.runs_a_statement() && !it.text.starts_with("EXPLAIN") && it.text.contains(part)
        };
        match self {
            Self::Number(number) => *number == message.number,
            Self::Statement(part) => runs(message, part),
            Self::CommitOf(part) => {
                let same = earlier.iter().rev().filter(|it| it.connection == message.connection);
                let mut transaction = same.take_while(|it| !it.is_commit());
                message.is_commit() && transaction.any(|it| runs(it, part))
            }
        }
    }
}
