//! `Approved`: whether the rules may run, by the word of whoever has to say so. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use policy::{ANNOTATION_APPROVED, Approval, GROUP, condition, reason};

use super::{Saying, find, stamped};
use crate::controller::build::{Applied, Resources};
use crate::controller::gate::{Gate, awaits_approval};
use crate::controller::observe::Observed;
use crate::controller::publish::preview::preview;
use crate::controller::validate::{InvalidPolicy, ValidPolicy};

/// While the policy is wrong its rules have no hash: what was said of the last ones stays.
pub(super) fn approved(
    observed: &Observed,
    validated: &Result<ValidPolicy, InvalidPolicy>,
    applied: &Resources<Applied>,
) -> Option<Condition> {
    let kind = condition::APPROVED;
    let Ok(valid) = validated else {
        return find(&observed.policy.status.conditions, kind).cloned();
    };
    let hash = valid.policy.rules_hash();
    let saying = if awaits_approval(observed, valid) {
        let message = format!("{}\n{}", command(valid), what_they_would_do(valid, applied));
        Saying::new("False", reason::AWAITING_APPROVAL, message)
    } else if valid.spec.approval == Approval::OnRulesChange {
        let message = format!("the annotation {ANNOTATION_APPROVED} has the hash of these rules");
        Saying::new("True", reason::HASH_APPROVED, format!("{message}, {hash}"))
    } else {
        Saying::new("True", reason::NOT_REQUIRED, "spec.approval asks for none")
    };
    Some(stamped(observed, kind, saying))
}

/// The command that approves these rules and no others.
fn command(valid: &ValidPolicy) -> String {
    let name = valid.policy.name();
    format!(
        "kubectl -n {} annotate --overwrite cleanuppolicies.{GROUP}/{} {ANNOTATION_APPROVED}={}",
        name.namespace,
        name.name,
        valid.policy.rules_hash()
    )
}

fn what_they_would_do(valid: &ValidPolicy, applied: &Resources<Applied>) -> String {
    let gate = applied.gate.as_ref();
    match gate.and_then(|gate| gate.plan_of(valid)) {
        Some(plan) => {
            let begin = if plan.rules.len() == 1 { "a run" } else { "in a run" };
            format!("{begin} {} (seen at {})", preview(plan), plan.time)
        }
        None if gate.is_some_and(Gate::has_passed) => {
            "what a run would do could not be read: see the log of the Preflight Job".into()
        }
        None => "what these rules would do is told here when their preflight has passed".into(),
    }
}
