//! What an API server that is in trouble answers changes nothing in the end, and nobody is alarmed
//! by what passes.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tests::api_proxy::{ApiProxy, Fault, Pick, Refusal, Request, Verb, When};
use tests::cluster::Namespace;
use tests::operator::{Bed, Operator};
use tests::{chart, wait};

const PATIENCE: Duration = Duration::from_mins(2);

struct Scene<'a> {
    namespace: &'a Namespace<'a>,
    proxy: ApiProxy,
    operator: Operator,
}

async fn scene(test: impl AsyncFnOnce(&Scene<'_>) -> Result<()>) -> Result<()> {
    let Some(bed) = Bed::get().await? else { return Ok(()) };
    bed.cluster()
        .with_namespace("answers", async |namespace| {
            let proxy = ApiProxy::start(bed.cluster())?;
            let launch = bed.operator().through(&proxy).watching(namespace.name());
            let operator = launch.ready().await?;
            let scene = Scene { namespace, proxy, operator };
            scene.operator.explain(test(&scene).await)
        })
        .await
}

impl Scene<'_> {
    async fn apply(&self, name: &str, schedule: &str) -> Result<()> {
        let mut policy = chart::sweep(&chart::delete_old());
        policy["metadata"]["name"] = json!(name);
        policy["spec"]["schedule"] = json!(schedule);
        self.namespace.apply(&policy.to_string()).await?;
        Ok(())
    }

    async fn scheduled(&self, name: &str, schedule: &str) -> Result<()> {
        wait::until("the CronJob to be as its policy", PATIENCE, async || {
            let cron_job = self.namespace.get(&format!("cronjob/{name}")).await?;
            Ok((cron_job["spec"]["schedule"] == schedule).then_some(()))
        })
        .await
    }

    /// Waits until the condition `Ready` is as it should be, and the status is of the newest spec.
    async fn ready(&self, name: &str, is_right: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::until("Ready to be as it should", PATIENCE, async || {
            let sweep = self.namespace.get(&format!("sweep/{name}")).await?;
            let observed = &sweep["status"]["observedGeneration"];
            let ready = chart::condition(&sweep, "Ready");
            let done = *observed == sweep["metadata"]["generation"] && is_right(ready);
            Ok(done.then(|| ready.clone()))
        })
        .await
    }
}

fn is_told(ready: &Value) -> bool {
    ready["reason"] == "ApplyFailed"
}

fn writes_of_cron_jobs() -> Pick<Request> {
    Pick::of(Verb::Patch, "cronjobs")
}

const JANUARY: &str = "0 0 1 1 *";
const JUNE: &str = "0 0 1 6 *";

#[tokio::test]
async fn a_failure_that_passes_is_told_nobody_and_one_that_lasts_is_in_ready() -> Result<()> {
    scene(async |scene| {
        for refusal in [
            Refusal::InternalError,
            Refusal::ServiceUnavailable,
            Refusal::Conflict,
            Refusal::Expired,
            Refusal::TooManyRequests { seconds: 1 },
        ] {
            let name = format!("{refusal:?}").to_lowercase();
            let name: String = name.chars().take_while(char::is_ascii_alphanumeric).collect();
            let strikes = scene.proxy.fault(Fault::refuse(writes_of_cron_jobs(), refusal).times(2));
            scene.apply(&name, JANUARY).await?;
            scene.scheduled(&name, JANUARY).await?;
            scene.ready(&name, |ready| !is_told(ready)).await?;
            assert_eq!(strikes.count(), 2, "{name}");
            let status = scene.proxy.requests_of(&Pick::of(Verb::Patch, "cleanuppolicies/status"));
            assert!(!status.is_empty());
            let told =
                status.iter().filter(|request| request.body.to_string().contains("ApplyFailed"));
            assert_eq!(told.count(), 0, "{name}");
            scene.proxy.lift();
        }

        let broken = Fault::refuse(writes_of_cron_jobs(), Refusal::InternalError).always();
        let strikes = scene.proxy.fault(broken);
        scene.apply("lasting", JANUARY).await?;
        let ready = scene.ready("lasting", is_told).await?;
        assert_eq!(ready["status"], "False");
        let message = ready["message"].as_str().unwrap_or_default();
        assert!(
            message.contains("the proxy of the tests says InternalError (500 InternalError)"),
            "{message}"
        );
        ensure!(strikes.count() >= 5, "told after {} failures", strikes.count());
        scene.proxy.lift();
        scene.scheduled("lasting", JANUARY).await?;
        scene.ready("lasting", |ready| !is_told(ready)).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_answer_that_never_comes_holds_up_its_policy_alone_and_not_for_long() -> Result<()> {
    scene(async |scene| {
        let silence = Fault::silence(writes_of_cron_jobs(), When::Before);
        let strikes = scene.proxy.fault(silence);
        scene.apply("first", JANUARY).await?;
        wait::until("the request to hang", PATIENCE, async || {
            Ok((strikes.count() > 0).then_some(()))
        })
        .await?;
        scene.apply("second", JANUARY).await?;
        scene.scheduled("second", JANUARY).await?;
        scene.scheduled("first", JANUARY).await?;
        let said = scene.operator.said()?;
        // The request was given up, and not its whole reconcile.
        assert!(said.contains("no answer within 10 s"), "{said}");
        assert!(!said.contains("gave up after"), "{said}");
        Ok(())
    })
    .await
}

/// As some proxies answer, which do not know of the words of a watch.
#[tokio::test]
async fn a_watch_whose_version_is_refused_lists_anew() -> Result<()> {
    scene(async |scene| {
        scene.apply("codes", JANUARY).await?;
        scene.scheduled("codes", JANUARY).await?;
        let watches = Pick::of(Verb::Watch, "cleanuppolicies");
        let strikes = scene.proxy.fault(Fault::refuse(watches, Refusal::Expired));
        let lists = Pick::of(Verb::List, "cleanuppolicies");
        let before = scene.proxy.requests_of(&lists).len();
        scene.proxy.cut();
        wait::until("a new list", PATIENCE, async || {
            Ok((scene.proxy.requests_of(&lists).len() > before).then_some(()))
        })
        .await?;
        assert_eq!(strikes.count(), 1);
        scene.apply("codes", JUNE).await?;
        scene.scheduled("codes", JUNE).await
    })
    .await
}
