//! Exit codes: what a Job's `podFailurePolicy` and a shell decide by.

use std::process::ExitCode;

/// For `--help`.
pub const HELP: &str = "\
Exit codes:
  0    done, or done as far as its caps and budget allow
  2    the policy, the schema, a privilege, a password, a database's name or TLS is wrong: a retry cannot help
  3    a guard stopped the run; nothing changed
  10   the database was unreachable or failed for the moment
  11   some rules, or some rows of a rule, could not be done; the others were
  143  terminated; what was done is done";

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// A retry cannot help.
    Wrong,
    /// A guard stopped the run.
    Guarded,
    /// The database was away.
    Unavailable,
    /// Some rules or rows could not be done.
    Incomplete,
    /// Asked to end.
    Terminated,
}

impl Exit {
    /// The code that the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Wrong => 2,
            Exit::Guarded => 3,
            Exit::Unavailable => 10,
            Exit::Incomplete => 11,
            Exit::Terminated => 143,
        }
    }

    /// Of several policies the worst: terminated, then 2, 3, 11, 10, 0.
    pub fn worst(self, other: Exit) -> Exit {
        if self.rank() >= other.rank() { self } else { other }
    }

    fn rank(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Unavailable => 1,
            Exit::Incomplete => 2,
            Exit::Guarded => 3,
            Exit::Wrong => 4,
            Exit::Terminated => 5,
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
        let ends = [
            Exit::Done,
            Exit::Wrong,
            Exit::Guarded,
            Exit::Unavailable,
            Exit::Incomplete,
            Exit::Terminated,
        ];
        let codes = ends.map(Exit::code);
        assert_eq!(codes, [0, 2, 3, 10, 11, 143]);
        for code in codes {
            assert_eq!(HELP.matches(&format!("\n  {code} ")).count(), 1, "{code}");
        }
        let terminated = Exit::Wrong.worst(Exit::Terminated);
        assert_eq!(terminated, Exit::Terminated, "whatever else was wrong");
    }

    #[test]
    fn the_worst_of_several_is_ranked_2_3_11_10_0() {
        let ranked = [Exit::Wrong, Exit::Guarded, Exit::Incomplete, Exit::Unavailable, Exit::Done];
        for (index, worse) in ranked.iter().enumerate() {
            for better in &ranked[index..] {
                assert_eq!(worse.worst(*better), *worse);
                assert_eq!(better.worst(*worse), *worse);
            }
        }
    }
}
