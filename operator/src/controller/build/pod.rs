//! The pod of a Job: hardened, without a token, with the policy in its environment.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, EnvVarSource, ObjectFieldSelector, PodSecurityContext,
    PodSpec, PodTemplateSpec, SeccompProfile, SecretKeySelector, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use policy::{
    COMPONENT_JOB, COMPONENT_PREFLIGHT, CONTAINER, ENV_DATABASE_CA, ENV_DATABASE_URL, ENV_JOB_UID,
    ENV_POLICY, SecretSource,
};
use serde_json::Value;

use super::JobSettings;
use super::cron_job::{annotations, labels};
use crate::args::PullPolicy;
use crate::controller::validate::ValidPolicy;

/// Time for the batch that runs to end and for the report to be written.
const GRACE_SECONDS: i64 = 60;

/// What a pod is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A run.
    Run,
    /// A look at the database, by which nothing changes.
    Preflight,
}

impl Purpose {
    /// The component of the labels.
    pub(super) fn component(self) -> &'static str {
        match self {
            Purpose::Run => COMPONENT_JOB,
            Purpose::Preflight => COMPONENT_PREFLIGHT,
        }
    }

    fn command(self) -> &'static str {
        match self {
            Purpose::Run => "run",
            Purpose::Preflight => "plan",
        }
    }
}

/// The pod template, with what the policy may add to it.
pub(super) fn template(
    valid: &ValidPolicy,
    settings: &JobSettings,
    purpose: Purpose,
) -> PodTemplateSpec {
    let extra = &valid.spec.pod_template;
    // Ours come last: no label of the policy's own may hide a Job from its operator.
    let mut all_labels = extra.labels.clone();
    all_labels.extend(labels(valid, purpose));
    let mut all_annotations = extra.annotations.clone();
    all_annotations.extend(annotations(valid));
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(all_labels),
            annotations: Some(all_annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            containers: vec![container(valid, settings, purpose)],
            restart_policy: Some("Never".into()),
            termination_grace_period_seconds: Some(GRACE_SECONDS),
            automount_service_account_token: Some(false),
            // Services of the namespace would fill the environment beside our own variables.
            enable_service_links: Some(false),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".into(),
                    localhost_profile: None,
                }),
                ..PodSecurityContext::default()
            }),
            node_selector: filled(extra.node_selector.clone(), BTreeMap::is_empty),
            tolerations: filled(extra.tolerations.clone(), Vec::is_empty),
            affinity: extra.affinity.clone(),
            topology_spread_constraints: filled(
                extra.topology_spread_constraints.clone(),
                Vec::is_empty,
            ),
            priority_class_name: filled(extra.priority_class_name.clone(), String::is_empty),
            service_account_name: Some(account(&extra.service_account_name).to_owned()),
            image_pull_secrets: filled(extra.image_pull_secrets.clone(), Vec::is_empty),
            runtime_class_name: filled(extra.runtime_class_name.clone(), String::is_empty),
            ..PodSpec::default()
        }),
    }
}

/// Named also where it is the one that Kubernetes would take: a name that is only left away comes
/// back from the deprecated twin of its field.
fn account(name: &str) -> &str {
    if name.is_empty() { "default" } else { name }
}

fn filled<T>(value: T, is_empty: impl Fn(&T) -> bool) -> Option<T> {
    (!is_empty(&value)).then_some(value)
}

fn container(valid: &ValidPolicy, settings: &JobSettings, purpose: Purpose) -> Container {
    Container {
        name: CONTAINER.into(),
        image: Some(settings.image.clone()),
        image_pull_policy: settings.image_pull_policy.map(PullPolicy::as_str).map(str::to_owned),
        // The log of the pod is JSON lines, and the report the one on standard output.
        args: Some([purpose.command(), "--output", "json"].map(str::to_owned).to_vec()),
        env: Some(environment(valid)),
        resources: valid.spec.pod_template.resources.clone(),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("File".into()),
        ..Container::default()
    }
}

/// In this order: kubelet expands `$(NAME)` only to variables that stand before, so the policy
/// could not name the URL even if a `$` were left unescaped.
fn environment(valid: &ValidPolicy) -> Vec<EnvVar> {
    let database = &valid.spec.database;
    let job_uid = EnvVarSource {
        field_ref: Some(ObjectFieldSelector {
            field_path: "metadata.labels['batch.kubernetes.io/controller-uid']".into(),
            api_version: None,
        }),
        ..EnvVarSource::default()
    };
    let from =
        |name: &str, source| EnvVar { name: name.into(), value: None, value_from: Some(source) };
    let policy =
        EnvVar { name: ENV_POLICY.into(), value: Some(literal(&valid.document)), value_from: None };
    let mut environment = vec![policy, from(ENV_DATABASE_URL, secret(&database.url_from))];
    environment.extend(database.ca_from.as_ref().map(|ca| from(ENV_DATABASE_CA, secret(ca))));
    environment.push(from(ENV_JOB_UID, job_uid));
    environment
}

/// Never optional: without its URL, or its CA, a Job must not begin.
fn secret(source: &SecretSource) -> EnvVarSource {
    EnvVarSource {
        secret_key_ref: Some(SecretKeySelector {
            name: source.secret_key_ref.name.clone(),
            key: source.secret_key_ref.key.clone(),
            optional: None,
        }),
        ..EnvVarSource::default()
    }
}

/// JSON that kubelet hands on as it is: it reads `$(NAME)` as a reference and `$$` as `$`.
fn literal(document: &Value) -> String {
    document.to_string().replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use policy::SecretKeyRef;
    use serde_json::json;

    use super::*;
    use crate::controller::examples;

    /// What kubelet makes of a value in which no variable is known:
    /// <https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>.
    fn as_kubelet_expands(value: &str) -> String {
        let mut expanded = String::new();
        let mut rest = value;
        while let Some(at) = rest.find('$') {
            expanded.push_str(&rest[..at]);
            match rest[at + 1..].chars().next() {
                Some('$') => {
                    expanded.push('$');
                    rest = &rest[at + 2..];
                }
                Some('(') => panic!("a reference at {}", &rest[at..]),
                _ => {
                    expanded.push('$');
                    rest = &rest[at + 1..];
                }
            }
        }
        expanded + rest
    }

    #[test]
    fn a_reference_to_the_database_url_arrives_literally() {
        let mut observed = examples::policy();
        let value = "$(DATABASE_URL) $$(DATABASE_URL) $DATABASE_URL $ $$";
        observed.document["spec"]["rules"][0]["where"] = json!([
            {"column": "expires_at", "operator": "OlderThan", "age": "1h"},
            {"column": "kind", "operator": "Equals", "value": value},
        ]);
        let valid = crate::controller::validate::validate(&observed).expect("a right policy");

        let environment = environment(&valid);
        assert_eq!(environment[0].name, "PGSWEEP_POLICY");
        assert_eq!(environment[1].name, "DATABASE_URL");
        let written = environment[0].value.as_deref().expect("a value");
        assert!(!written.replace("$$", "").contains('$'), "{written}");
        let arrived: Value = serde_json::from_str(&as_kubelet_expands(written)).expect("JSON");
        assert_eq!(arrived, observed.document);
    }

    #[test]
    fn a_ca_arrives_from_its_secret_after_the_policy_and_is_never_optional() {
        let mut valid = examples::valid();
        assert!(environment(&valid).iter().all(|variable| variable.name != ENV_DATABASE_CA));
        valid.spec.database.ca_from = Some(SecretSource {
            secret_key_ref: SecretKeyRef { name: "db-ca".into(), key: "ca.crt".into() },
        });

        let environment = environment(&valid);
        let names: Vec<_> = environment.iter().map(|variable| variable.name.as_str()).collect();
        assert_eq!(names, [ENV_POLICY, ENV_DATABASE_URL, ENV_DATABASE_CA, ENV_JOB_UID]);
        let source = environment[2].value_from.clone().expect("a source");
        let reference = source.secret_key_ref.expect("a Secret");
        assert_eq!((reference.name.as_str(), reference.key.as_str()), ("db-ca", "ca.crt"));
        assert_eq!(reference.optional, None);
    }

    #[test]
    fn the_policy_adds_to_the_pod_and_takes_nothing_away() {
        let mut valid = examples::valid();
        let extra = &mut valid.spec.pod_template;
        extra.labels.insert("team".into(), "sessions".into());
        extra.labels.insert("pgsweep.dev/policy".into(), "another".into());
        extra.annotations.insert("sidecar.istio.io/inject".into(), "false".into());
        extra.annotations.insert("pgsweep.dev/rules-hash".into(), "forged".into());
        extra.service_account_name = "cleaner".into();

        let template = template(&valid, &examples::settings(), Purpose::Run);
        let metadata = template.metadata.expect("metadata");
        let (labels, annotations) =
            (metadata.labels.expect("labels"), metadata.annotations.expect("annotations"));
        assert_eq!(labels["team"], "sessions");
        assert_eq!(labels["pgsweep.dev/policy"], "codes");
        assert_eq!(annotations["sidecar.istio.io/inject"], "false");
        assert_eq!(annotations["pgsweep.dev/rules-hash"], valid.policy.rules_hash());
        let spec = template.spec.expect("a spec");
        assert_eq!(spec.service_account_name.as_deref(), Some("cleaner"));
        assert_eq!(spec.automount_service_account_token, Some(false));
    }
}
