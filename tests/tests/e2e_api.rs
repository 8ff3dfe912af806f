//! The session API as a user installs it, by its chart and beside the operator: sessions are made over
//! HTTP, cleaned by real Jobs of its own policies, and the run is told where dashboards look.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_postgres::ServerUrl;
use reqwest::Client;
use serde_json::{Value, json};
use tests::cluster::{Cluster, Namespace};
use tests::sessions::Roles;
use tests::sessions::chart::{self, Forward, RELEASE};
use tests::sessions::replica::{Answer, CODE_KEYS, read};
use tests::{Database, job, wait};

/// Jobs and pods of a loaded machine.
const PATIENCE: Duration = Duration::from_mins(4);

const POLICIES: [&str; 6] = [
    "after-hours-messages",
    "after-hours-sessions",
    "events",
    "leftovers",
    "table-talk-sessions",
    "tarot-sessions",
];

/// The database has what `session-api migrate` makes; it says so itself.
const VERIFY: &str = include_str!("../../docs/session-api-verify.sql");
/// Of somebody who runs the service.
const ADMIN_KEY: &str = "ad_3333333333333333333333333333333333333333333333333333333333333333";

/// The list "Before production" of the page for operations, point by point, and what it says of monitoring.
///
/// Proves: G11, G18, L20, L21.
#[tokio::test]
async fn sessions_made_over_http_are_cleaned_by_a_job_and_the_run_is_told() -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    tests::chart::installed(&cluster).await?;
    let database = Database::create().await?;
    cluster
        .with_namespace("sessions", async |namespace| {
            let release = Release { cluster: &cluster, namespace, database: &database };
            let values = release.prepare().await?;
            let notes = release.helm("install", &values).await?;
            ensure!(notes.contains("Nothing cleans up behind it"), "{notes}");
            let phones = release.phones().await?;
            let waiting = phones.wait_at("table_042").await?;
            let idle = phones.wait_at("table_043").await?;
            let alive = phones.wait_at("table_044").await?;
            database.execute(VERIFY).await.context("the schema is not whole")?;
            release.present(&phones, &alive).await?;
            release.silent_links_end(&phones).await?;
            // As if time had passed; it is judged by the database's.
            let past = format!(
                "UPDATE core.sessions SET pairing_expires_at = now() - interval '1 minute' WHERE session_id = '{}';
                 UPDATE core.sessions SET last_activity_at = now() - interval '31 minutes' WHERE session_id = '{}'",
                waiting.text("/session/id"),
                idle.text("/session/id")
            );
            database.execute(&past).await?;

            let cleaned = "cleanupPolicies.enabled=true,cleanupPolicies.mode=Enforce";
            release.helm("upgrade", &format!("{values},{cleaned}")).await?;
            for policy in POLICIES {
                release.scheduled(policy).await?;
            }
            release.told().await?;
            // By way of a replica of the upgraded release.
            let phones = release.phones().await?;
            assert_eq!(phones.look(&waiting).await?, 410);
            assert_eq!(phones.look(&idle).await?, 410);
            assert_eq!(phones.look(&alive).await?, 200);
            phones.admin_sees_a_run().await
        })
        .await
}

/// What the chart renders is taken by a real API server, for each scenario under `ci/`.
#[tokio::test]
async fn the_api_server_takes_every_object_of_every_scenario_of_the_session_api() -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    tests::chart::installed(&cluster).await?;
    let folder = chart::folder().join("ci");
    let entries = folder.read_dir().with_context(|| format!("cannot list {}", folder.display()))?;
    let scenarios: Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut scenarios = scenarios?;
    scenarios.sort();
    cluster
        .with_namespace("scenarios", async |namespace| {
            for scenario in &scenarios {
                let values = scenario.to_string_lossy();
                let arguments = ["--namespace", namespace.name(), "--values", &values];
                let mut objects = chart::rendered(&arguments).await?;
                assert!(!objects.is_empty());
                // Prometheus' kinds are not here; `admit_chart` has them for the other chart.
                objects.retain(|object| object["kind"] != "ServiceMonitor");
                let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
                let apply = ["apply", "--server-side", "--dry-run=server", "--filename", "-"];
                let applied = cluster.kubectl_with_input(apply, &list.to_string()).await;
                applied.with_context(|| scenario.display().to_string())?;
            }
            Ok(())
        })
        .await
}

/// The chart in a namespace, on a database of the test's.
struct Release<'a> {
    cluster: &'a Cluster,
    namespace: &'a Namespace<'a>,
    database: &'a Database,
}

impl Release<'_> {
    /// Makes roles, logins and Secrets, as the page for operations has it. Returns the values of the
    /// chart that differ: a server has one list of roles for all of its databases.
    async fn prepare(&self) -> Result<String> {
        let roles = Roles::fresh();
        for role in roles.names() {
            self.database.execute(&format!("CREATE ROLE {role}")).await?;
            self.database.owns_role(role);
        }
        let Roles { api, cleanup, readonly, events } = &roles;
        self.secret("session-api-owner", "uri", &self.url(&self.database.url())?).await?;
        self.secret("session-api-codes", "keys", CODE_KEYS[0]).await?;
        self.secret("session-api-admins", "keys", &format!("ops:read:{ADMIN_KEY}")).await?;
        // Each may use the ledger, too, which the API has no use for.
        for (secret, granted) in [
            ("session-api-db", api.clone()),
            ("session-api-cleanup", cleanup.clone()),
            ("session-api-events", format!("{cleanup}, {events}")),
        ] {
            let (url, login) = job::cleaner(self.database).await?;
            self.database.execute(&format!("GRANT {granted} TO {login}")).await?;
            self.secret(secret, "uri", &self.url(&url)?).await?;
        }
        // A machine that has other things to do is no reason to answer 503.
        let patient =
            "database.acquireTimeout=60s,database.statementTimeout=60s,requestTimeout=120s";
        Ok(format!(
            "{patient},adminKeysSecret.name=session-api-admins,roles.api={api},roles.cleanup={cleanup},roles.readonly={readonly},roles.events={events}"
        ))
    }

    /// As pods reach it.
    fn url(&self, url: &str) -> Result<String> {
        Ok(ServerUrl::parse(url)?.host(&self.cluster.host_address().to_string()).to_string())
    }

    async fn secret(&self, name: &str, key: &str, value: &str) -> Result<()> {
        let literal = format!("--from-literal={key}={value}");
        self.namespace.kubectl(["create", "secret", "generic", name, &literal]).await.map(drop)
    }

    async fn helm(&self, verb: &str, values: &str) -> Result<String> {
        let chart = chart::folder().display().to_string();
        let command = [verb, RELEASE, &chart, "--namespace", self.namespace.name()];
        let wait = ["--wait", "--timeout", "4m", "--set", values];
        self.cluster.helm(command.iter().chain(&wait)).await
    }

    async fn phones(&self) -> Result<Phones> {
        let mut kubectl = tokio::process::Command::new(self.cluster.bin_dir().join("kubectl"));
        kubectl.arg("--kubeconfig").arg(self.cluster.kubeconfig());
        kubectl.args(["--namespace", self.namespace.name()]);
        let forward = Forward::start(kubectl).await?;
        Ok(Phones { forward, client: Client::builder().no_proxy().build()? })
    }

    /// A heartbeat is seen in the table, and twice a minute in the log.
    async fn present(&self, phones: &Phones, host: &Answer) -> Result<()> {
        let seen = format!(
            "SELECT last_seen_at::text FROM core.session_participants WHERE participant_id = '{}'",
            host.text("/participant/id")
        );
        let before: String = self.database.scalar(&seen).await?;
        ensure!(phones.beat(host).await? == 204);
        wait::until("the heartbeat to be written down", PATIENCE, async || {
            Ok((self.database.scalar::<String>(&seen).await? != before).then_some(()))
        })
        .await?;
        wait::until("a line of presence in the log", PATIENCE, async || {
            let logs = ["logs", "--prefix", "--selector", "app.kubernetes.io/name=session-api"];
            let logs = self.namespace.kubectl(logs).await?;
            Ok(logs.contains(r#""message":"presence: heard of by this replica""#).then_some(()))
        })
        .await
    }

    /// An invite into a session in which everybody has been silent for an hour.
    async fn silent_links_end(&self, phones: &Phones) -> Result<()> {
        let reading = json!({"app": "tarot", "mode": "single", "title": "Cups"});
        let host = phones.create(reading).await?;
        let invite = phones.invite(&host).await?;
        assert_eq!(phones.open(&invite).await?, 200);
        let silent = format!(
            "UPDATE core.session_participants SET last_seen_at = now() - interval '61 minutes' WHERE participant_id = '{}'",
            host.text("/participant/id")
        );
        self.database.execute(&silent).await?;
        assert_eq!(phones.open(&invite).await?, 410);
        Ok(())
    }

    /// Waits until its preflight has passed: with exactly these roles it may do its work.
    async fn scheduled(&self, policy: &str) -> Result<()> {
        let name = format!("sweep/{RELEASE}-{policy}");
        let mut last = Value::Null;
        let what = format!("{policy} to be scheduled");
        let scheduled = wait::until(&what, PATIENCE, async || {
            last = self.namespace.get(&name).await?;
            let ready = tests::chart::condition(&last, "Ready");
            Ok((ready["reason"] == "Scheduled").then_some(()))
        });
        let scheduled = scheduled.await;
        scheduled.with_context(|| format!("the policy said last: {}", last["status"]))
    }

    /// Waits for the row that a run leaves for dashboards, and looks at what it says.
    async fn told(&self) -> Result<()> {
        let told = "
            SELECT coalesce(sum((event_data ->> 'expired_waiting')::bigint), 0)::bigint
            FROM core.analytics_events
            WHERE app = 'table_talk' AND event_type = 'cleanup_job_completed'";
        wait::until("the run to be told", PATIENCE, async || {
            let rows: i64 = self.database.scalar(told).await?;
            Ok((rows > 0).then_some(()))
        })
        .await?;
        // A slot may have made a second run: what they did is done once.
        for count in ["expired_waiting", "expired_inactive"] {
            let counted = told.replace("expired_waiting", count);
            assert_eq!(self.database.scalar::<i64>(&counted).await?, 1, "{count}");
        }
        let policy = format!("sweep/{RELEASE}-table-talk-sessions");
        wait::until("the run to be in the status", PATIENCE, async || {
            let sweep = self.namespace.get(&policy).await?;
            Ok((sweep["status"]["lastRun"]["result"] == "Succeeded").then_some(()))
        })
        .await
    }
}

/// Phones that come by way of the Service.
struct Phones {
    forward: Forward,
    client: Client,
}

impl Phones {
    async fn wait_at(&self, table: &str) -> Result<Answer> {
        self.create(json!({"app": "table_talk", "mode": "dual", "table_token": table})).await
    }

    async fn create(&self, body: Value) -> Result<Answer> {
        let url = format!("{}/api/v1/sessions", self.forward.base());
        let answer = read(self.client.post(url).json(&body)).await?;
        ensure!(answer.status == 201, "{answer:?}");
        Ok(answer)
    }

    fn url(&self, host: &Answer, below: &str) -> String {
        format!("{}/api/v1/sessions/{}{below}", self.forward.base(), host.text("/session/id"))
    }

    async fn beat(&self, host: &Answer) -> Result<u16> {
        let request = self.client.put(self.url(host, "/participants/me/heartbeat"));
        Ok(read(request.bearer_auth(host.text("/participant/token"))).await?.status)
    }

    async fn invite(&self, host: &Answer) -> Result<String> {
        let request = self.client.post(self.url(host, "/invites"));
        let answer = read(request.bearer_auth(host.text("/participant/token"))).await?;
        ensure!(answer.status == 201, "{answer:?}");
        Ok(answer.text("/invite/token").to_owned())
    }

    async fn open(&self, invite: &str) -> Result<u16> {
        let url = format!("{}/api/v1/invites/{invite}", self.forward.base());
        Ok(read(self.client.get(url)).await?.status)
    }

    async fn admin_sees_a_run(&self) -> Result<()> {
        let see = async |path: &str| {
            let url = format!("{}/api/v1{path}", self.forward.base());
            read(self.client.get(url).bearer_auth(ADMIN_KEY)).await
        };
        let health = see("/admin/health").await?;
        assert!(health.body["last_cleanup_at"].is_string(), "{health:?}");
        // Those before the upgrade may have been there just now, too.
        assert!(health.body["replicas"].as_array().is_some_and(|all| all.len() >= 2), "{health:?}");
        let runs = see("/analytics/cleanup-runs?app=table_talk").await?;
        let mut all = runs.body["runs"].as_array().context("a list")?.iter();
        assert!(all.any(|run| run["expired_waiting"] == 1), "{runs:?}");
        Ok(())
    }

    /// The status by which the phone that made a session is told of it.
    async fn look(&self, made: &Answer) -> Result<u16> {
        let request = self.client.get(self.url(made, ""));
        let answer = read(request.bearer_auth(made.text("/participant/token"))).await?;
        Ok(answer.status)
    }
}
