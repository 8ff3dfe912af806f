//! An operator on the host is the one of the chart, and is killed exactly where a test says.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tests::api_proxy::{ApiProxy, Pick, When};
use tests::cluster::Namespace;
use tests::operator::{Bed, EndState, Launch, Operator, Tally};
use tests::{chart, wait};

const PATIENCE: Duration = Duration::from_mins(2);

/// A policy whose Secret is missing: to say so takes a CronJob, a Preflight Job, events and a status.
async fn make(namespace: &Namespace<'_>, schedule: &str) -> Result<()> {
    let mut policy = chart::sweep(&chart::delete_old());
    policy["spec"]["suspend"] = json!(true);
    policy["spec"]["schedule"] = json!(schedule);
    namespace.apply(&policy.to_string()).await.map(drop)
}

async fn is_told(namespace: &Namespace<'_>, operator: &Operator) -> Result<()> {
    let told = wait::until("the status", PATIENCE, async || {
        let sweep = namespace.get("sweep/codes").await?;
        Ok((chart::condition(&sweep, "Ready")["reason"] == "SecretMissing").then_some(()))
    });
    operator.explain(told.await)
}

fn own(bed: &Bed, namespace: &Namespace<'_>) -> Launch {
    bed.operator().watching(namespace.name())
}

#[tokio::test]
async fn an_operator_may_what_the_chart_says_and_nothing_more() -> Result<()> {
    let Some(bed) = Bed::get().await? else { return Ok(()) };
    for (verb, resource, may) in [
        ("list", "cleanuppolicies.pgsweep.dev", true),
        ("create", "jobs.batch", true),
        ("delete", "jobs.batch", false),
        ("get", "secrets", false),
    ] {
        let ask = ["auth", "can-i", verb, resource, "--all-namespaces", "--as", bed.login().user()];
        // An answer of no is an exit code, too.
        assert_eq!(bed.cluster().kubectl(ask).await.is_ok(), may, "{verb} {resource}");
    }
    Ok(())
}

#[tokio::test]
async fn an_operator_works_has_pages_and_ends_when_it_is_told_to() -> Result<()> {
    let Some(bed) = Bed::get().await? else { return Ok(()) };
    bed.cluster()
        .with_namespace("operator", async |namespace| {
            let mut operator = own(bed, namespace).ready().await?;
            make(namespace, "@hourly").await?;
            is_told(namespace, &operator).await?;
            assert!(operator.is_ready().await?);
            assert_eq!(operator.page("/live").await?.0, 200);
            let metrics = operator.metrics().await?;
            let applies = ("pgsweep_operator_apply_total", [("change", "created")]);
            assert_eq!(chart::metric(&metrics, applies.0, &applies.1).to_string(), "1");
            let ended = operator.term().await?;
            assert_eq!(ended.code, Some(0), "{}", operator.said()?);
            assert!(operator.has_ended()?);
            let wrong = own(bed, namespace).arguments(&["--no-such-flag"]).ready().await;
            let said = format!("{:#}", wrong.unwrap_err());
            assert!(said.contains("--no-such-flag"), "{said}");
            Ok(())
        })
        .await
}

#[tokio::test]
async fn an_operator_is_killed_before_or_after_its_write_and_never_writes_more() -> Result<()> {
    let Some(bed) = Bed::get().await? else { return Ok(()) };
    for when in When::ALL {
        bed.cluster()
            .with_namespace("operator", async |namespace| {
                make(namespace, "@hourly").await?;
                let proxy = ApiProxy::start(bed.cluster())?;
                let stop = proxy.stop(Pick::writes(), 1, when);
                let mut operator = own(bed, namespace).through(&proxy).start()?;
                operator.killed_at(stop).await?;
                assert!(operator.has_ended()?);
                let done = usize::from(when != When::Before);
                let written = Tally::writes(namespace, bed.login())?;
                assert_eq!(written.len(), done, "{when:?}: {written:?}");
                let created = Tally::of(namespace, bed.login())?.created;
                assert_eq!(created.get("cronjobs").copied().unwrap_or_default(), done, "{when:?}");

                let operator = own(bed, namespace).through(&proxy).ready().await?;
                is_told(namespace, &operator).await?;
                assert_eq!(Tally::of(namespace, bed.login())?.created["cronjobs"], 1);
                Ok(())
            })
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn two_namespaces_with_the_same_work_end_the_same_and_others_do_not() -> Result<()> {
    let Some(bed) = Bed::get().await? else { return Ok(()) };
    let end = async |schedule: &str, expected: Option<&EndState>| {
        bed.cluster()
            .with_namespace("operator", async |namespace| {
                make(namespace, schedule).await?;
                let operator = own(bed, namespace).ready().await?;
                is_told(namespace, &operator).await?;
                if let Some(expected) = expected {
                    expected.reached(namespace, Duration::from_secs(5)).await?;
                }
                EndState::of(namespace).await
            })
            .await
    };
    let first = end("@hourly", None).await?;
    end("@hourly", Some(&first)).await?;
    let said = format!("{:#}", end("@daily", Some(&first)).await.unwrap_err());
    assert!(said.contains(r#"- policy/codes.spec.schedule = "@hourly""#), "{said}");
    assert!(said.contains(r#"+ policy/codes.spec.schedule = "@daily""#), "{said}");
    Ok(())
}
