//! What is known of a CronJob that has a policy's name.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use policy::{FIELD_MANAGER, GROUP, LABEL_POLICY, PolicyName};

use crate::controller::index::{Digest, Entry};

/// The part of a CronJob that a reconcile looks at: not its template, which can hold 96 KiB.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedCronJob {
    /// Without managed fields.
    pub metadata: ObjectMeta,
    /// `spec.schedule`.
    pub schedule: String,
    /// `spec.timeZone`.
    pub time_zone: String,
    /// `spec.suspend`.
    pub suspended: bool,
    /// Somebody else wrote a part of `spec` that server-side apply would leave as it is.
    pub has_foreign_fields: bool,
    /// When it last made a Job.
    pub last_schedule_time: Option<Timestamp>,
    /// When a Job of it last completed.
    pub last_successful_time: Option<Timestamp>,
}

/// Whose a CronJob is, seen from one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The policy's own.
    Ours,
    /// Of a deleted policy of the same name: the garbage collector is about to take it.
    Predecessors,
    /// Somebody else's, or nobody's.
    Foreign,
}

impl ObservedCronJob {
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    pub fn generation(&self) -> i64 {
        self.metadata.generation.unwrap_or_default()
    }

    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(name).map(String::as_str)
    }

    /// Whose it is, for the policy of that name and UID.
    pub fn ownership(&self, policy: &PolicyName, policy_uid: &str) -> Ownership {
        let owners = self.metadata.owner_references.iter().flatten();
        let controller = owners.filter(|owner| owner.controller == Some(true)).find(|owner| {
            owner.kind == "CleanupPolicy" && owner.api_version.split('/').next() == Some(GROUP)
        });
        match controller {
            Some(owner) if owner.uid == policy_uid => Ownership::Ours,
            Some(owner) if owner.name == policy.name => Ownership::Predecessors,
            Some(_) | None => Ownership::Foreign,
        }
    }
}

impl From<&CronJob> for ObservedCronJob {
    fn from(cron_job: &CronJob) -> Self {
        let managed_fields = cron_job.metadata.managed_fields.iter().flatten();
        let status = cron_job.status.as_ref();
        let last_schedule_time = status.and_then(|status| status.last_schedule_time.as_ref());
        let last_successful_time = status.and_then(|status| status.last_successful_time.as_ref());
        let spec = cron_job.spec.as_ref();
        Self {
            metadata: ObjectMeta { managed_fields: None, ..cron_job.metadata.clone() },
            schedule: spec.map(|spec| spec.schedule.clone()).unwrap_or_default(),
            time_zone: spec.and_then(|spec| spec.time_zone.clone()).unwrap_or_default(),
            suspended: spec.is_some_and(|spec| spec.suspend == Some(true)),
            has_foreign_fields: managed_fields.into_iter().any(is_foreign),
            last_schedule_time: last_schedule_time.map(|time| time.0),
            last_successful_time: last_successful_time.map(|time| time.0),
        }
    }
}

/// A part of `spec` that is not of our own server-side apply: another manager's, or of our own PUT
/// and PATCH, which count as another one.
fn is_foreign(entry: &ManagedFieldsEntry) -> bool {
    let ours = entry.manager.as_deref() == Some(FIELD_MANAGER)
        && entry.operation.as_deref() == Some("Apply");
    let spec = entry.fields_v1.as_ref().is_some_and(|fields| fields.0.get("f:spec").is_some());
    spec && !ours
}

impl Digest for ObservedCronJob {
    type Object = CronJob;

    fn digest(cron_job: &CronJob) -> Option<Entry<Self>> {
        let labels = cron_job.metadata.labels.as_ref()?;
        Some(Entry {
            policy: PolicyName {
                namespace: cron_job.metadata.namespace.clone()?,
                name: labels.get(LABEL_POLICY)?.clone(),
            },
            uid: cron_job.metadata.uid.clone()?,
            value: Self::from(cron_job),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cron_job(owner: &serde_json::Value) -> ObservedCronJob {
        let cron_job: CronJob = serde_json::from_value(json!({
            "metadata": {"name": "codes", "ownerReferences": [owner]},
        }))
        .expect("a CronJob");
        ObservedCronJob::from(&cron_job)
    }

    #[test]
    fn only_the_controller_owner_of_this_uid_makes_it_ours() {
        let policy = PolicyName { namespace: "shop".into(), name: "codes".into() };
        let owner = |kind: &str, uid: &str, name: &str, controller: bool| {
            let version = "pgsweep.dev/v1alpha1";
            json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": controller})
        };
        let cases = [
            (owner("CleanupPolicy", "u1", "codes", true), Ownership::Ours),
            (owner("CleanupPolicy", "u0", "codes", true), Ownership::Predecessors),
            (owner("CleanupPolicy", "u1", "codes", false), Ownership::Foreign),
            (owner("Deployment", "u1", "codes", true), Ownership::Foreign),
        ];
        for (owner, expected) in cases {
            assert_eq!(cron_job(&owner).ownership(&policy, "u1"), expected, "{owner}");
        }
    }

    #[test]
    fn spec_fields_of_others_are_noticed_and_status_fields_are_not() {
        let cases = [
            ("pgsweep", "Apply", "f:spec", false),
            ("kube-controller-manager", "Update", "f:status", false),
            ("kubectl-label", "Update", "f:metadata", false),
            ("kubectl-edit", "Update", "f:spec", true),
            ("pgsweep", "Update", "f:spec", true),
        ];
        for (manager, operation, field, expected) in cases {
            let entry: ManagedFieldsEntry = serde_json::from_value(json!({
                "manager": manager, "operation": operation, "fieldsV1": {field: {}},
            }))
            .expect("an entry");
            assert_eq!(is_foreign(&entry), expected, "{manager} {operation} {field}");
        }
    }
}
