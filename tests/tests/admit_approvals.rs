//! The admission policy of the chart on a real API server: who may approve rules, who may name a
//! Secret, and what those who may not are told.
//!
//! It is bound to the test's own namespace, as with the value `watchNamespaces`.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tests::cluster::Namespace;
use tests::{chart, wait};

const MINUTE: Duration = Duration::from_mins(1);
const APPROVED: &str = "pgsweep.dev/approved-rules-hash";

/// Somebody who is not an administrator, in the test's namespace.
struct User<'a> {
    name: &'a str,
    namespace: &'a Namespace<'a>,
}

impl User<'_> {
    async fn is_given(&self, cluster_role: &str) -> Result<()> {
        let (role, user) =
            (format!("--clusterrole={cluster_role}"), format!("--user={}", self.name));
        let name = format!("{}-{cluster_role}", self.name);
        self.namespace.kubectl(["create", "rolebinding", &name, &role, &user]).await?;
        Ok(())
    }

    async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.namespace.kubectl(["--as", self.name].iter().chain(arguments)).await
    }

    async fn apply(&self, policy: &Value) -> Result<String> {
        let here = ["--namespace", self.namespace.name(), "--as", self.name];
        let apply = ["apply", "--server-side", "--field-manager", self.name, "--filename", "-"];
        let arguments = here.iter().chain(&apply);
        self.namespace.cluster().kubectl_with_input(arguments, &policy.to_string()).await
    }

    /// Whether the API server would take it.
    async fn could_apply(&self, policy: &Value) -> Result<String> {
        let here = ["--namespace", self.namespace.name(), "--as", self.name];
        let arguments =
            ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-"];
        let arguments = here.iter().chain(&arguments);
        self.namespace.cluster().kubectl_with_input(arguments, &policy.to_string()).await
    }

    async fn annotate(&self, annotation: &str) -> Result<String> {
        self.kubectl(&["annotate", "--overwrite", "sweep/codes", annotation]).await
    }

    async fn may(&self, verb: &str, what: &str) -> bool {
        self.kubectl(&["auth", "can-i", verb, what]).await.is_ok()
    }
}

/// What a request was refused with.
fn refusal(answer: Result<String>) -> Result<String> {
    match answer {
        Ok(answer) => bail!("it was not refused: {answer}"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

fn assert_says(refusal: &str, parts: &[&str]) {
    for part in parts {
        assert!(refusal.contains(part), "no \"{part}\" in: {refusal}");
    }
}

/// A policy that names a Secret, and no other server's certificate.
fn policy(secret: &str) -> Value {
    let mut policy = chart::sweep(&chart::delete_old());
    policy["spec"]["database"]["urlFrom"]["secretKeyRef"]["name"] = json!(secret);
    policy
}

/// Installs the admission policy for this namespace alone, and returns when it is in force. It goes
/// with the caller's `remove`.
async fn guard(namespace: &Namespace<'_>) -> Result<String> {
    let watched = format!("watchNamespaces={{{}}}", namespace.name());
    let values = ["--set", &watched, "--set", "admissionPolicy.enabled=true"];
    // A name of its own: other tests have theirs.
    let here = ["--namespace", namespace.name()];
    let shown = ["--show-only", "templates/admission-policy.yaml"];
    let arguments: Vec<_> = here.iter().chain(&shown).chain(&values).copied().collect();
    let objects =
        json!({"apiVersion": "v1", "kind": "List", "items": chart::rendered(&arguments).await?});
    let manifest = objects.to_string();
    namespace.cluster().kubectl_with_input(["apply", "--filename", "-"], &manifest).await?;
    Ok(manifest)
}

async fn remove(namespace: &Namespace<'_>, manifest: &str) -> Result<()> {
    namespace.cluster().kubectl_with_input(["delete", "--filename", "-"], manifest).await?;
    Ok(())
}

#[tokio::test]
async fn only_who_may_approve_approves_and_only_who_may_read_a_secret_names_it() -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    chart::installed(&cluster).await?;
    cluster
        .with_namespace("approvals", async |namespace| {
            let writer = User { name: "writer", namespace };
            let approver = User { name: "approver", namespace };
            writer.is_given("pgsweep-view").await?;
            writer.is_given("pgsweep-edit").await?;
            approver.is_given("pgsweep-approver").await?;
            let guard = guard(namespace).await?;
            let judged = judge(namespace, &writer, &approver).await;
            remove(namespace, &guard).await?;
            judged
        })
        .await
}

async fn judge(namespace: &Namespace<'_>, writer: &User<'_>, approver: &User<'_>) -> Result<()> {
    let refused = wait::until("the admission policy to be in force", MINUTE, async || {
        let answer = writer.could_apply(&policy("db")).await;
        Ok(answer.err().map(|error| format!("{error:#}")))
    })
    .await?;
    assert_says(&refused, &["spec.database.urlFrom", "writer may not get the Secret db"]);
    secrets(namespace, writer, &refused).await.context("of Secrets")?;
    approvals(namespace, writer, approver).await.context("of approvals")?;
    types_are_right(namespace).await
}

/// An administrator runs what a refusal tells to ask for.
async fn grant(namespace: &Namespace<'_>, refusal: &str) -> Result<()> {
    let (_, way) = refusal.split_once("for: ").context("a refusal tells the way out")?;
    for command in way.trim().split(" && ") {
        let words = command.split_whitespace().skip_while(|word| *word == "kubectl");
        namespace.cluster().kubectl(words).await?;
    }
    Ok(())
}

async fn secrets(namespace: &Namespace<'_>, writer: &User<'_>, refused: &str) -> Result<()> {
    grant(namespace, refused).await?;
    wait::until("the writer to be allowed", MINUTE, async || {
        writer.apply(&policy("db")).await.map(Some)
    })
    .await?;

    let other = refusal(writer.apply(&policy("other")).await)?;
    assert_says(&other, &["Forbidden", "spec.database.urlFrom", "the Secret other"]);
    let mut with_ca = policy("db");
    with_ca["spec"]["database"]["caFrom"] =
        json!({"secretKeyRef": {"name": "ca", "key": "ca.crt"}});
    let ca = refusal(writer.apply(&with_ca).await)?;
    assert_says(&ca, &["spec.database.caFrom", "the Secret ca"]);

    // What is named already is nobody's doing: another edit needs no permission on it.
    namespace.kubectl(["delete", "rolebinding", "use-db"]).await?;
    wait::until("the permission to be gone", MINUTE, async || {
        let mut other_key = policy("db");
        other_key["spec"]["database"]["urlFrom"]["secretKeyRef"]["key"] = json!("url");
        Ok(writer.could_apply(&other_key).await.err().map(drop))
    })
    .await?;
    let mut edited = policy("db");
    edited["spec"]["schedule"] = json!("@yearly");
    writer.apply(&edited).await?;
    Ok(())
}

async fn approvals(
    namespace: &Namespace<'_>,
    writer: &User<'_>,
    approver: &User<'_>,
) -> Result<()> {
    let set = format!("{APPROVED}=one");
    let refused = refusal(writer.annotate(&set).await)?;
    assert_says(&refused, &["Forbidden", APPROVED, "writer may not approve rules"]);
    writer.annotate("example.com/team=codes").await?;

    approver.annotate(&set).await?;
    for other in [format!("{APPROVED}=two"), format!("{APPROVED}-")] {
        assert_says(&refusal(writer.annotate(&other).await)?, &["may not approve rules"]);
    }
    // One who may write the status changes nothing else by it.
    let status = User { name: "reporter", namespace };
    let role = ["create", "role", "report", "--verb=get,patch"];
    let of =
        ["--resource=cleanuppolicies.pgsweep.dev", "--resource=cleanuppolicies.pgsweep.dev/status"];
    namespace.kubectl(role.iter().chain(&of)).await?;
    let binding = ["create", "rolebinding", "report", "--role=report", "--user=reporter"];
    namespace.kubectl(binding).await?;
    let sly = json!({"metadata": {"annotations": {APPROVED: "sly"}}}).to_string();
    let patch = ["patch", "sweep/codes", "--subresource=status", "--type=merge", "--patch", &sly];
    status.kubectl(&patch).await?;
    let seen = namespace.get("sweep/codes").await?;
    assert_eq!(seen["metadata"]["annotations"][APPROVED], "one", "{seen}");

    // Approval that could be turned off would be none.
    let approval = |word: &str| json!({"spec": {"approval": word}}).to_string();
    let patch = async |word: &str| {
        let patch = approval(word);
        writer.kubectl(&["patch", "sweep/codes", "--type=merge", "--patch", &patch]).await
    };
    patch("OnRulesChange").await?;
    assert_says(&refusal(patch("Never").await)?, &["Forbidden", "may not turn approval off"]);

    // A new policy that brings its approval along.
    namespace.kubectl(["delete", "sweep/codes"]).await?;
    let mut new = policy("db");
    new["metadata"]["annotations"] = json!({APPROVED: "one"});
    assert_says(&refusal(writer.apply(&new).await)?, &["may not approve rules"]);

    let binding = ["create", "rolebinding", "use-db", "--role=use-db", "--user=writer"];
    namespace.kubectl(binding).await?;
    grant(namespace, &refused).await?;
    wait::until("the writer to be allowed", MINUTE, async || writer.apply(&new).await.map(Some))
        .await?;
    Ok(())
}

/// The API server has read each expression with the types of the CRD, and found no fault.
async fn types_are_right(namespace: &Namespace<'_>) -> Result<()> {
    let name = format!("pgsweep.{}.{}", namespace.name(), chart::RELEASE);
    let object = format!("validatingadmissionpolicy/{name}");
    let checked = wait::until("the expressions to be checked", MINUTE, async || {
        let policy = namespace.cluster().get([&object]).await?;
        let seen = policy["status"]["observedGeneration"] == policy["metadata"]["generation"];
        Ok(seen.then_some(policy))
    })
    .await?;
    let warnings = checked["status"]["typeChecking"]["expressionWarnings"].clone();
    assert!(warnings.is_null(), "{warnings}");
    Ok(())
}

#[tokio::test]
async fn kubernetes_own_roles_hold_what_their_holders_need_and_no_approval() -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    chart::installed(&cluster).await?;
    cluster
        .with_namespace("roles", async |namespace| {
            let policies = "cleanuppolicies.pgsweep.dev";
            for (role, may, may_not) in [
                ("view", &["get", "list", "watch"][..], &["create", "patch", "approve"][..]),
                ("edit", &["get", "create", "update", "patch", "delete"], &["approve"]),
                ("admin", &["get", "create", "deletecollection"], &["approve"]),
                ("pgsweep-approver", &["get", "patch", "approve"], &["create", "update"]),
            ] {
                let user = User { name: role, namespace };
                user.is_given(role).await?;
                for verb in may {
                    // The controller that aggregates roles needs a moment.
                    wait::until("the role to be aggregated", MINUTE, async || {
                        Ok(user.may(verb, policies).await.then_some(()))
                    })
                    .await
                    .with_context(|| format!("{role}: {verb}"))?;
                }
                for verb in may_not {
                    assert!(!user.may(verb, policies).await, "{role}: {verb}");
                }
            }
            Ok(())
        })
        .await
}
