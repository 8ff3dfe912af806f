//! Each kind of request fails once, in one way, on the way of one policy: its end is that of a
//! policy to which nothing happened.

use anyhow::Result;
use tests::api_proxy::{Fault, Pick, Refusal, Request, When};

use crate::operator_faults::workload::{KINDS, in_scene};

/// Goes through everything while the first request of each kind fails.
async fn each_kind_fails_once(fault: impl Fn(Pick<Request>) -> Fault) -> Result<()> {
    let end = in_scene(async |scene| {
        let planted: Vec<_> = KINDS
            .iter()
            .map(|(verb, resource)| {
                let kind = Pick::of(*verb, resource);
                (format!("{kind:?}"), scene.proxy.fault(fault(kind)))
            })
            .collect();
        let mut operator = scene.operator()?;
        scene.work(&mut operator).await?;
        scene.comes_to_the_same_end(&operator).await?;
        for (kind, strikes) in planted {
            assert_eq!(strikes.count(), 1, "{kind} has not failed");
        }
        Ok(())
    });
    end.await.map(drop)
}

async fn each_kind_is_refused_once(refusal: Refusal) -> Result<()> {
    each_kind_fails_once(|kind| Fault::refuse(kind, refusal)).await
}

#[tokio::test]
async fn a_conflict_on_any_request_changes_nothing() -> Result<()> {
    each_kind_is_refused_once(Refusal::Conflict).await
}

#[tokio::test]
async fn a_version_that_is_too_old_changes_nothing() -> Result<()> {
    each_kind_is_refused_once(Refusal::Expired).await
}

#[tokio::test]
async fn an_api_server_with_too_many_requests_changes_nothing() -> Result<()> {
    each_kind_is_refused_once(Refusal::TooManyRequests { seconds: 2 }).await
}

#[tokio::test]
async fn an_api_server_with_a_problem_of_its_own_changes_nothing() -> Result<()> {
    each_kind_is_refused_once(Refusal::InternalError).await
}

#[tokio::test]
async fn an_api_server_that_is_not_up_yet_changes_nothing() -> Result<()> {
    each_kind_is_refused_once(Refusal::ServiceUnavailable).await
}

#[tokio::test]
async fn a_connection_that_is_cut_before_the_request_arrives_changes_nothing() -> Result<()> {
    each_kind_fails_once(|kind| Fault::cut(kind, When::Before)).await
}

#[tokio::test]
async fn a_connection_that_is_cut_before_the_answer_arrives_changes_nothing() -> Result<()> {
    each_kind_fails_once(|kind| Fault::cut(kind, When::Committed)).await
}

#[tokio::test]
async fn a_request_that_never_arrives_changes_nothing() -> Result<()> {
    each_kind_fails_once(|kind| Fault::silence(kind, When::Before)).await
}

#[tokio::test]
async fn an_answer_that_never_arrives_changes_nothing() -> Result<()> {
    each_kind_fails_once(|kind| Fault::silence(kind, When::Committed)).await
}
