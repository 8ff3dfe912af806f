//! What exit codes mean for `pgsweep`, in words for people.

pub use runtime::exit::Exit;

/// For `--help`.
pub const HELP: &str = "\
Exit codes:
  0    done, or done as far as its caps and budget allow
  2    the policy, the schema, a privilege, a password, a database's name or TLS is wrong: a retry cannot help
  3    a guard stopped the run; nothing changed
  10   the database was unreachable or failed for the moment
  11   some rules, or some rows of a rule, could not be done; the others were
  143  terminated; what was done is done";

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
    }
}
