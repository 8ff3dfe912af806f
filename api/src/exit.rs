//! Exit codes: what a Job's `podFailurePolicy` and a shell decide by. They mean what those of `pgsweep`
//! mean.

use std::process::ExitCode;

/// For `--help`.
pub const HELP: &str = "\
Exit codes:
  0    done
  2    the URL, a privilege, a password, TLS or the schema is wrong: a retry cannot help
  10   the database was unreachable, busy, or failed for the moment
  143  terminated; what was committed stays";

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// A retry cannot help.
    Wrong,
    /// The database was away.
    Unavailable,
    /// Asked to end.
    Terminated,
}

impl Exit {
    /// The code that the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Wrong => 2,
            Exit::Unavailable => 10,
            Exit::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_has_a_line_for_each_code() {
        for exit in [Exit::Done, Exit::Wrong, Exit::Unavailable, Exit::Terminated] {
            assert_eq!(HELP.matches(&format!("\n  {} ", exit.code())).count(), 1, "{exit:?}");
        }
    }
}
