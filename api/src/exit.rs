//! What exit codes mean for `session-api`, in words for people.

pub use runtime::exit::Exit;

/// For `--help`.
pub const HELP: &str = "\
Exit codes:
  0    done
  2    the URL, a privilege, a password, TLS or the schema is wrong: a retry cannot help
  10   the database was unreachable, busy, or failed for the moment
  143  terminated; what was committed stays";

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
