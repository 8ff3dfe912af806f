//! Each requirement of what is built is named by a test that proves it, or owed by name.

use anyhow::Result;

use crate::requirements::{Claims, MARK, Promises, owed};

/// Every id that no test names, every comment that names none that exists, and what was owed and is
/// there.
pub fn findings() -> Result<Vec<String>> {
    let promises = Promises::read()?;
    let claims = Claims::of_all_sources(&promises)?;
    Ok(judge(&promises, claims))
}

fn judge(promises: &Promises, claims: Claims) -> Vec<String> {
    let Claims { proved, mut findings } = claims;
    for id in promises.required() {
        match (proved.contains_key(&id), owed(id)) {
            (false, None) => findings.push(format!(
                "no test proves {id}; the one that does says so above it: /// {MARK} {id}."
            )),
            (true, Some(_)) => {
                findings.push(format!(
                    "{id} has its test; take it off OWED in xtask/src/requirements.rs"
                ));
            }
            (true, None) | (false, Some(_)) => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requirements::OWED;

    #[test]
    fn each_requirement_that_no_test_names_is_found_unless_it_is_owed_or_yet_to_come() {
        let promises = Promises::read().expect("promises");
        let missing = judge(&promises, Claims::default());
        let all = promises.ids().count();
        assert_eq!(missing.len(), all - promises.realtime.len() - OWED.len());
        assert!(missing.iter().any(|finding| finding.starts_with("no test proves G12;")));
        assert!(!missing.iter().any(|finding| finding.contains(" G35;")), "a page");
    }

    #[test]
    fn what_is_proved_is_owed_no_more() {
        let promises = Promises::read().expect("promises");
        let mut claims = Claims::default();
        for id in promises.ids() {
            claims.proved.insert(id, Vec::new());
        }
        let findings = judge(&promises, claims);
        assert_eq!(findings.len(), OWED.len());
        assert!(findings.iter().all(|finding| finding.contains("has its test")));
    }
}
