//! Exit codes: what a Job's `podFailurePolicy` and a shell decide by. They mean the same in every binary;
//! each has its own words for them in `--help`.

use std::process::ExitCode;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// A retry cannot help.
    Wrong,
    /// A guard stopped it before the first change.
    Guarded,
    /// The database was away.
    Unavailable,
    /// Some of it could not be done.
    Incomplete,
    /// Asked to end.
    Terminated,
}

impl Exit {
    /// The code that the process ends with.
    #[must_use]
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

    /// Of several ends the worst: terminated, then 2, 3, 11, 10, 0.
    #[must_use]
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
    fn the_worst_of_several_is_ranked_2_3_11_10_0() {
        let ranked = [
            Exit::Terminated,
            Exit::Wrong,
            Exit::Guarded,
            Exit::Incomplete,
            Exit::Unavailable,
            Exit::Done,
        ];
        for (index, worse) in ranked.iter().enumerate() {
            for better in &ranked[index..] {
                assert_eq!(worse.worst(*better), *worse);
                assert_eq!(better.worst(*worse), *worse);
            }
        }
    }
}
