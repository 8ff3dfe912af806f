//! Of two operators one works. The other takes over when it ends, dies, hangs or loses its lease;
//! and never do both write.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::api_proxy::{ApiProxy, Fault, Pick, Refusal, Verb, When};
use tests::cluster::Namespace;
use tests::operator::{Bed, Operator};
use tests::progress::say;
use tests::{Database, chart, wait};

const PATIENCE: Duration = Duration::from_mins(2);
/// Others leave a lease that does not change alone for so long.
const LEASE: Duration = Duration::from_secs(15);
/// A leader that could not renew for so long has ended.
const RENEW: Duration = Duration::from_secs(10);
/// Between two looks of a standby, at most.
const RETRY: Duration = Duration::from_secs(2);
/// So long reconciles may take to their end at SIGTERM.
const DRAIN: Duration = Duration::from_secs(15);
/// For requests and processes of a machine that does much else: 3 s are the target, and what a test
/// needs is only that a lease which is given back is taken before it would be over.
const SLACK: Duration = Duration::from_secs(10);
/// Enough that some are always under way.
const MANY: usize = 30;

/// Which operator, by its identity.
#[derive(Debug, Clone, Copy)]
enum Whose {
    Of(&'static str),
    NotOf(&'static str),
}

/// A namespace with a Lease, and who may use it.
struct Scene<'a> {
    bed: &'a Bed,
    namespace: &'a Namespace<'a>,
}

async fn scene(test: impl AsyncFnOnce(&Scene<'_>) -> Result<()>) -> Result<()> {
    let Some(bed) = Bed::get().await? else { return Ok(()) };
    bed.cluster()
        .with_namespace("leader", async |namespace| {
            let role = [
                "create",
                "role",
                "leases",
                "--verb=get,create,update",
                "--resource=leases.coordination.k8s.io",
            ];
            namespace.kubectl(role).await?;
            let user = format!("--user={}", bed.login().user());
            let binding = ["create", "rolebinding", "leases", "--role=leases", &user];
            namespace.kubectl(binding).await?;
            test(&Scene { bed, namespace }).await
        })
        .await
}

impl Scene<'_> {
    /// An operator that takes part in the election of this namespace.
    async fn start(&self, identity: &str, proxy: Option<&ApiProxy>) -> Result<Operator> {
        let name = self.namespace.name();
        let mut launch = self.bed.operator().watching(name);
        if let Some(proxy) = proxy {
            launch = launch.through(proxy);
        }
        let identity = format!("{name}-{identity}");
        let flags = ["--lease-namespace", name, "--identity", &identity];
        // Their Jobs would only take the machine's time.
        launch.arguments(&flags).arguments(&["--preflight-concurrency", "1"]).ready().await
    }

    /// One that leads, and one that stands by.
    async fn pair(&self) -> Result<(Operator, Operator)> {
        let leader = self.start("one", None).await?;
        lead(&leader, PATIENCE).await?;
        Ok((leader, self.start("two", None).await?))
    }

    async fn apply(&self, names: &[String], schedule: &str) -> Result<()> {
        let policies: Vec<_> = names.iter().map(|name| policy(name, schedule)).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": policies});
        self.namespace.apply(&list.to_string()).await?;
        Ok(())
    }

    /// Waits until the CronJobs of all these policies have this schedule.
    async fn scheduled(&self, names: &[String], schedule: &str) -> Result<()> {
        wait::until("every CronJob to be as its policy", PATIENCE, async || {
            let list = self.namespace.get("cronjobs").await?;
            let items = list["items"].as_array().context("a list has items")?;
            let done = items.iter().filter(|item| item["spec"]["schedule"] == schedule);
            Ok((done.count() == names.len()).then_some(()))
        })
        .await
    }

    async fn lease(&self) -> Result<Value> {
        Ok(self.namespace.get("lease/pgsweep-operator").await?["spec"].clone())
    }

    /// The holder of the lease is the operator of this name, or nobody.
    async fn is_held_by(&self, identity: &str) -> Result<bool> {
        let lease = self.lease().await?;
        let holder = lease["holderIdentity"].as_str().unwrap_or_default();
        let identity = format!("{}-{identity}_", self.namespace.name());
        Ok(holder.starts_with(&identity))
    }

    /// What one of the operators wrote since the audit log was so long, but for its lease.
    fn writes(&self, whose: Whose, since: usize) -> Result<Vec<String>> {
        let path = self.bed.cluster().audit_log();
        let log = fs::read_to_string(path).context("failed to read the audit log")?;
        let name = self.namespace.name();
        let mut writes = Vec::new();
        for line in log.get(since..).unwrap_or_default().lines() {
            let (agent, wanted) = match whose {
                Whose::Of(identity) => (format!("({name}-{identity}_"), true),
                Whose::NotOf(identity) => (format!("({name}-{identity}_"), false),
            };
            if line.contains(&agent) != wanted || !line.contains(name) {
                continue;
            }
            let entry: Value = serde_json::from_str(line).context("the audit log is no JSON")?;
            let text = |path: &str| entry.pointer(path).and_then(Value::as_str).unwrap_or_default();
            let is_write = text("/user/username") == self.bed.login().user()
                && text("/objectRef/namespace") == name
                && !["get", "list", "watch"].contains(&text("/verb"));
            if is_write && text("/objectRef/resource") != "leases" {
                let (verb, uri) = (text("/verb"), text("/requestURI"));
                writes.push(format!("{} {verb} {uri}", text("/requestReceivedTimestamp")));
            }
        }
        Ok(writes)
    }

    fn audited(&self) -> Result<usize> {
        let log = fs::metadata(self.bed.cluster().audit_log()).context("there is no audit log")?;
        usize::try_from(log.len()).context("the audit log is too long")
    }
}

fn policy(name: &str, schedule: &str) -> Value {
    let mut policy = chart::sweep(&chart::delete_old());
    policy["metadata"]["name"] = json!(name);
    policy["spec"]["schedule"] = json!(schedule);
    policy
}

fn one() -> Vec<String> {
    vec!["codes".to_owned()]
}

fn many() -> Vec<String> {
    (0..MANY).map(|number| format!("codes-{number}")).collect()
}

const JANUARY: &str = "0 0 1 1 *";
const JUNE: &str = "0 0 1 6 *";

async fn leads(operator: &Operator) -> Result<bool> {
    let metrics = operator.metrics().await?;
    Ok(chart::metric(&metrics, "pgsweep_operator_leader", &[]) >= 1.0)
}

/// Waits until the operator leads.
async fn lead(operator: &Operator, timeout: Duration) -> Result<()> {
    let led = wait::until("the other operator to lead", timeout, async || {
        Ok(leads(operator).await?.then_some(()))
    });
    operator.explain(led.await)
}

async fn reconciles(operator: &Operator) -> Result<f64> {
    let metrics = operator.metrics().await?;
    Ok(chart::metric(&metrics, "pgsweep_operator_reconcile_total", &[("result", "ok")]))
}

/// The standby is ready, has everything in memory, and shows nothing of it.
#[tokio::test]
async fn one_of_two_works_and_counts_and_at_its_end_hands_over_at_once() -> Result<()> {
    scene(async |scene| {
        let database = Database::create().await?;
        database.execute("CREATE TABLE codes (id int PRIMARY KEY, expires_at timestamptz)").await?;
        let url = format!("--from-literal=uri={}", scene.bed.url(&database));
        scene.namespace.kubectl(["create", "secret", "generic", "db", &url]).await?;
        let (mut leader, standby) = scene.pair().await?;
        assert!(scene.is_held_by("one").await?, "{}", scene.lease().await?);

        let mut policy = policy("codes", JANUARY);
        policy["spec"]["runNow"] = json!("once");
        scene.namespace.apply(&policy.to_string()).await?;
        let counted = wait::until("the run to be counted", PATIENCE, async || {
            let sweep = scene.namespace.get("sweep/codes").await?;
            let status = &sweep["status"];
            Ok((!status["lastRun"].is_null() && status["active"].is_null()).then_some(sweep))
        });
        let sweep = leader.explain(counted.await)?;
        assert_eq!(sweep["status"]["totals"]["runs"], 1);
        let run = [("policy", "codes"), ("trigger", "RunNow"), ("result", "Succeeded")];
        let runs = |metrics: &str| chart::metric(metrics, "pgsweep_policy_runs_total", &run);
        assert!((runs(&leader.metrics().await?) - 1.0).abs() < 0.5);

        assert!(standby.is_ready().await?);
        assert!(!leads(&standby).await?);
        let metrics = standby.metrics().await?;
        assert!(!metrics.contains("pgsweep_policy_"), "{metrics}");
        assert!(reconciles(&standby).await? < 1.0);
        let writes = scene.writes(Whose::Of("two"), 0)?;
        assert!(writes.is_empty(), "{writes:?}");

        let asked = Instant::now();
        let ended = leader.term().await?;
        assert_eq!(ended.code, Some(0), "{}", leader.said()?);
        lead(&standby, RETRY + SLACK).await?;
        let took = asked.elapsed();
        say(&format!("after SIGTERM the other led within {took:?}"));
        let lease = scene.lease().await?;
        assert!(scene.is_held_by("two").await?, "{lease}");
        assert_eq!(lease["leaseTransitions"], 1);

        scene.apply(&one(), JUNE).await?;
        scene.scheduled(&one(), JUNE).await?;
        // What the first counted is not counted again.
        assert!(runs(&standby.metrics().await?) < 0.5);
        assert_eq!(scene.namespace.get("sweep/codes").await?["status"]["totals"]["runs"], 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_lease_that_is_given_back_says_so() -> Result<()> {
    scene(async |scene| {
        let mut alone = scene.start("one", None).await?;
        lead(&alone, PATIENCE).await?;
        let lease = scene.lease().await?;
        assert_eq!(
            (&lease["leaseDurationSeconds"], &lease["leaseTransitions"]),
            (&json!(15), &json!(0))
        );
        assert!(lease["acquireTime"].is_string() && lease["renewTime"].is_string(), "{lease}");
        assert_eq!(alone.term().await?.code, Some(0));
        let lease = scene.lease().await?;
        assert!(lease["holderIdentity"].as_str().unwrap_or_default().is_empty(), "{lease}");
        assert_eq!(
            (&lease["leaseDurationSeconds"], &lease["leaseTransitions"]),
            (&json!(1), &json!(0))
        );

        let next = scene.start("two", None).await?;
        lead(&next, RETRY + SLACK).await?;
        assert_eq!(scene.lease().await?["leaseTransitions"], 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn after_a_leader_that_is_killed_the_other_works() -> Result<()> {
    scene(async |scene| {
        scene.apply(&one(), JANUARY).await?;
        let (mut leader, standby) = scene.pair().await?;
        scene.scheduled(&one(), JANUARY).await?;
        leader.kill().await?;
        let killed = Instant::now();
        lead(&standby, LEASE + RETRY + SLACK).await?;
        let took = killed.elapsed();
        // One that is only slow must have had its time: its last renewal was at most so long ago.
        ensure!(took + RENEW >= LEASE, "the other led after {took:?} already");
        say(&format!("after a leader that was killed the other led within {took:?}"));
        scene.apply(&one(), JUNE).await?;
        standby.explain(scene.scheduled(&one(), JUNE).await)?;
        assert_eq!(scene.lease().await?["leaseTransitions"], 1);
        Ok(())
    })
    .await
}

/// It wakes up in the midst of its work, and believes for a moment that no time has passed.
#[tokio::test]
async fn a_leader_that_was_frozen_writes_nothing_after_it_wakes() -> Result<()> {
    scene(async |scene| {
        let (mut leader, standby) = scene.pair().await?;
        scene.apply(&many(), JANUARY).await?;
        wait::until("some of the work to be done", PATIENCE, async || {
            let written = scene.writes(Whose::Of("one"), 0)?.len();
            Ok((written >= 5).then_some(()))
        })
        .await?;
        leader.freeze().await?;
        let frozen = Instant::now();
        lead(&standby, LEASE + RETRY + SLACK).await?;
        scene.apply(&many(), JUNE).await?;
        standby.explain(scene.scheduled(&many(), JUNE).await)?;
        wait::until("20 s to be over", PATIENCE, async || {
            Ok((frozen.elapsed() >= Duration::from_secs(20)).then_some(()))
        })
        .await?;

        let before = scene.audited()?;
        leader.thaw().await?;
        wait::until("it to end", PATIENCE, async || Ok(leader.has_ended()?.then_some(()))).await?;
        let said = leader.said()?;
        assert!(said.contains("lost the lease"), "{said}");
        let writes = scene.writes(Whose::Of("one"), before)?;
        assert!(writes.is_empty(), "{writes:?}");
        assert!(leads(&standby).await?);
        assert!(scene.is_held_by("two").await?);
        Ok(())
    })
    .await
}

/// The API server takes its writes, but for those of the lease: it must stop all the same, and
/// before another begins.
#[tokio::test]
async fn a_leader_that_cannot_renew_stops_writing_and_ends() -> Result<()> {
    scene(async |scene| {
        let proxy = ApiProxy::start(scene.bed.cluster())?;
        let mut leader = scene.start("one", Some(&proxy)).await?;
        lead(&leader, PATIENCE).await?;
        let standby = scene.start("two", None).await?;
        scene.apply(&many(), JANUARY).await?;
        let renewals = Pick::of(Verb::Update, "leases");
        let broken = proxy.fault(Fault::refuse(renewals, Refusal::InternalError).always());
        let mut schedules = [JUNE, JANUARY].iter().cycle();
        wait::until("it to end", PATIENCE, async || {
            // So that it always has something to write.
            scene.apply(&many(), schedules.next().copied().unwrap_or(JUNE)).await?;
            Ok(leader.has_ended()?.then_some(()))
        })
        .await?;
        assert!(broken.count() >= 2);
        assert!(leader.said()?.contains("could not be renewed"), "{}", leader.said()?);
        lead(&standby, LEASE + RETRY + SLACK).await?;
        // Both clocks are this machine's, and both times have the same form.
        let lease = scene.lease().await?;
        let taken = lease["acquireTime"].as_str().context("the lease says since when")?;
        let last = scene.writes(Whose::NotOf("two"), 0)?.pop().context("it has written")?;
        ensure!(last.as_str() < taken, "{last} after the other began at {taken}");
        scene.apply(&many(), JUNE).await?;
        standby.explain(scene.scheduled(&many(), JUNE).await)?;
        Ok(())
    })
    .await
}

/// What its standby waits for must not wait for an API server that never answers.
#[tokio::test]
async fn a_leader_whose_writes_hang_still_gives_its_lease_back() -> Result<()> {
    scene(async |scene| {
        let proxy = ApiProxy::start(scene.bed.cluster())?;
        let mut leader = scene.start("one", Some(&proxy)).await?;
        lead(&leader, PATIENCE).await?;
        let writes = Pick::of(Verb::Patch, "cronjobs");
        let silent = proxy.fault(Fault::silence(writes, When::Before).always());
        scene.apply(&many(), JANUARY).await?;
        wait::until("a write to hang", PATIENCE, async || Ok((silent.count() >= 1).then_some(())))
            .await?;
        let ended = leader.term().await?;
        assert_eq!(ended.code, Some(0), "{}", leader.said()?);
        ensure!(ended.took < DRAIN + SLACK, "it took {:?}", ended.took);
        let lease = scene.lease().await?;
        assert!(lease["holderIdentity"].as_str().unwrap_or_default().is_empty(), "{lease}");
        Ok(())
    })
    .await
}
