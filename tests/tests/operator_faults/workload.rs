//! What one policy goes through: made, run, its CronJob edited by somebody else, suspended. On the
//! way the operator sends a request of each kind that it has.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::api_proxy::{ApiProxy, Pick, Request, Verb};
use tests::cluster::Namespace;
use tests::operator::{Bed, EndState, Operator, Tally};
use tests::{Database, chart, wait};
use tokio::sync::OnceCell;

/// For a step on a loaded machine in which requests time out, and back-offs grow.
pub const PATIENCE: Duration = Duration::from_mins(4);
/// Rows that are due: what the run says of them is part of the end.
const ROWS: u32 = 100;

/// Every kind of request of an operator that works alone.
pub const KINDS: [(Verb, &str); 14] = [
    (Verb::List, "cleanuppolicies"),
    (Verb::List, "cronjobs"),
    (Verb::List, "jobs"),
    (Verb::List, "pods"),
    (Verb::Watch, "cleanuppolicies"),
    (Verb::Watch, "cronjobs"),
    (Verb::Watch, "jobs"),
    (Verb::Watch, "pods"),
    (Verb::Get, "cronjobs"),
    (Verb::Patch, "cronjobs"),
    (Verb::Update, "cronjobs"),
    (Verb::Create, "jobs"),
    (Verb::Create, "events"),
    (Verb::Patch, "cleanuppolicies/status"),
];

/// A test's own namespace, with a proxy for an operator of its own.
pub struct Scene<'a> {
    pub bed: &'a Bed,
    pub namespace: &'a Namespace<'a>,
    pub proxy: ApiProxy,
    database: Database,
}

/// Runs a test in a scene of its own; what the operator asked is part of its error.
pub async fn in_scene<T>(test: impl AsyncFnOnce(&Scene<'_>) -> Result<T>) -> Result<Option<T>> {
    let Some(bed) = Bed::get().await? else { return Ok(None) };
    let database = Database::create().await?;
    let rows = format!(
        "CREATE TABLE codes (id bigint PRIMARY KEY, expires_at timestamptz);
         CREATE INDEX ON codes (expires_at);
         INSERT INTO codes SELECT n, now() - interval '1 day' FROM generate_series(1, {ROWS}) AS n;
         ANALYZE codes"
    );
    database.execute(&rows).await?;
    bed.cluster()
        .with_namespace("faults", async |namespace| {
            let proxy = ApiProxy::start(bed.cluster())?;
            let url = format!("--from-literal=uri={}", bed.url(&database));
            namespace.kubectl(["create", "secret", "generic", "db", &url]).await?;
            let scene = Scene { bed, namespace, proxy, database };
            let result = test(&scene).await;
            result.map(Some).with_context(|| format!("the operator asked:\n{}", scene.asked()))
        })
        .await
}

impl Scene<'_> {
    /// Starts an operator behind the proxy; it is not ready yet.
    pub fn operator(&self) -> Result<Operator> {
        self.bed.operator().through(&self.proxy).watching(self.namespace.name()).start()
    }

    fn asked(&self) -> String {
        let all = self.proxy.requests();
        all.iter().map(|request| format!("{request}\n")).collect()
    }

    /// Goes through all of it.
    pub async fn work(&self, operator: &mut Operator) -> Result<()> {
        let work = async {
            self.run().await?;
            self.edit_cron_job().await?;
            self.suspend().await
        };
        let worked = work.await;
        operator.explain(worked)?;
        ensure!(!operator.has_ended()?, "the operator has ended:\n{}", operator.said()?);
        Ok(())
    }

    /// Makes the policy, where it is not made yet.
    pub async fn apply(&self) -> Result<()> {
        self.namespace.apply(&policy(false).to_string()).await.map(drop)
    }

    /// Waits until the run is over, whether the operator knows or not.
    pub async fn wait_for_the_job(&self) -> Result<()> {
        self.until("the Job to end", "jobs", |jobs| jobs["items"][0]["status"]["succeeded"] == 1)
            .await
    }

    /// How often the operator has looked at a policy and found or made everything right.
    pub async fn reconciles(&self, operator: &Operator) -> Result<f64> {
        let metrics = operator.metrics().await?;
        Ok(chart::metric(&metrics, "pgsweep_operator_reconcile_total", &[("result", "ok")]))
    }

    /// Waits until it has done so once more.
    pub async fn reconciled_after(&self, operator: &Operator, before: f64) -> Result<()> {
        wait::until("the policy to be reconciled", PATIENCE, async || {
            Ok((self.reconciles(operator).await? > before).then_some(()))
        })
        .await
    }

    async fn run(&self) -> Result<()> {
        self.apply().await?;
        self.until("the run to be counted", "sweep/codes", |sweep| {
            let status = &sweep["status"];
            status["lastRun"]["rowsAffected"] == ROWS && status["active"].is_null()
        })
        .await?;
        let left: i64 = self.database.scalar("SELECT count(*) FROM codes").await?;
        ensure!(left == 0, "{left} rows are left");
        Ok(())
    }

    async fn edit_cron_job(&self) -> Result<()> {
        let edit = json!({"spec": {"schedule": "1 1 1 1 *"}}).to_string();
        self.namespace.kubectl(["patch", "cronjob", "codes", "--patch", &edit]).await?;
        self.until("the edit to be undone", "cronjob/codes", |cron_job| {
            cron_job["spec"]["schedule"] != "1 1 1 1 *"
        })
        .await
    }

    async fn suspend(&self) -> Result<()> {
        self.namespace.apply(&policy(true).to_string()).await?;
        self.until("the policy to be suspended", "sweep/codes", |sweep| {
            chart::condition(sweep, "Ready")["reason"] == "Suspended"
        })
        .await
    }

    async fn until(
        &self,
        what: &str,
        object: &str,
        mut seen: impl FnMut(&Value) -> bool,
    ) -> Result<()> {
        wait::until(what, PATIENCE, async || {
            Ok(seen(&self.namespace.get(object).await?).then_some(()))
        })
        .await
    }

    /// Waits for the end of an undisturbed policy, and checks that no more was made than for it.
    pub async fn comes_to_the_same_end(&self, operator: &Operator) -> Result<()> {
        let (state, tally) = undisturbed().await?;
        operator.explain(state.reached(self.namespace, PATIENCE).await)?;
        assert_eq!(Tally::of(self.namespace, self.bed.login())?, *tally);
        Ok(())
    }
}

/// How it ends when nothing goes wrong.
async fn undisturbed() -> Result<&'static (EndState, Tally)> {
    static END: OnceCell<(EndState, Tally)> = OnceCell::const_new();
    END.get_or_try_init(async || {
        let end = in_scene(async |scene| {
            let mut operator = scene.operator()?;
            scene.work(&mut operator).await?;
            for (verb, resource) in KINDS {
                let kind: Pick<Request> = Pick::of(verb, resource);
                ensure!(!scene.proxy.requests_of(&kind).is_empty(), "there was no {kind:?}");
            }
            let tally = Tally::of(scene.namespace, scene.bed.login())?;
            Ok((EndState::of(scene.namespace).await?, tally))
        });
        end.await?.context("there is a cluster")
    })
    .await
}

fn policy(suspend: bool) -> Value {
    let mut policy = chart::sweep(&chart::delete_old());
    policy["spec"]["suspend"] = json!(suspend);
    policy["spec"]["runNow"] = json!("once");
    policy
}
