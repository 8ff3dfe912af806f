//! Old and missing news: the operator is told of the cluster as it was, or not told at all. It
//! writes nothing wrong meanwhile, and comes to the same end when the truth is out.

use anyhow::Result;
use tests::api_proxy::{Fault, News, NewsFault, Pick, Strikes, Verb};
use tests::operator::Tally;
use tests::wait;

use crate::operator_faults::workload::{PATIENCE, Scene, in_scene};

const WATCHED: [&str; 4] = ["cleanuppolicies", "cronjobs", "jobs", "pods"];

/// Goes through everything while the news of each kind come wrongly.
async fn all_news_come(fault: fn(Pick<News>) -> NewsFault) -> Result<()> {
    let end = in_scene(async |scene| {
        let planted =
            WATCHED.map(|kind| scene.proxy.news_fault(fault(Pick::news_of(kind)).always()));
        let mut operator = scene.operator()?;
        operator.wait_ready().await?;
        tokio::select! {
            worked = scene.work(&mut operator) => worked?,
            listed = list_after_wrong_news(scene, &planted) => listed?,
        }
        scene.proxy.lift();
        list_anew(scene).await?;
        scene.comes_to_the_same_end(&operator).await?;
        for (kind, strikes) in WATCHED.iter().zip(planted) {
            assert!(strikes.count() > 0, "no news of {kind}");
        }
        Ok(())
    });
    end.await.map(drop)
}

/// What came last may be old, and no more may come: the truth is in the next list. It has its time
/// to do harm, since the operator is made to list anew only when it has seen it.
async fn list_after_wrong_news(scene: &Scene<'_>, faults: &[Strikes]) -> Result<()> {
    let mut seen = 0;
    loop {
        wait::until("wrong news", PATIENCE, async || {
            let strikes = faults.iter().map(Strikes::count).sum();
            let more = strikes > seen;
            seen = strikes;
            Ok(more.then_some(()))
        })
        .await?;
        list_anew(scene).await?;
    }
}

#[tokio::test]
async fn news_that_come_twice_change_nothing() -> Result<()> {
    all_news_come(NewsFault::repeat).await
}

#[tokio::test]
async fn news_that_come_again_later_change_nothing() -> Result<()> {
    all_news_come(NewsFault::repeat_later).await
}

#[tokio::test]
async fn news_that_come_in_the_wrong_order_change_nothing() -> Result<()> {
    all_news_come(NewsFault::swap).await
}

#[tokio::test]
async fn a_watch_that_ends_at_each_of_its_news_changes_nothing() -> Result<()> {
    let end = in_scene(async |scene| {
        for kind in WATCHED {
            let strikes = scene.proxy.news_fault(NewsFault::close(Pick::news_of(kind)).times(3));
            drop(strikes);
        }
        let mut operator = scene.operator()?;
        scene.work(&mut operator).await?;
        scene.comes_to_the_same_end(&operator).await
    });
    end.await.map(drop)
}

/// Makes every watch list anew, and waits until it has.
async fn list_anew(scene: &Scene<'_>) -> Result<()> {
    let lists = || {
        scene
            .proxy
            .requests_of(&Pick::requests().and("lists", |request| request.verb == Verb::List))
    };
    let before = lists().len();
    let expired = WATCHED.map(|kind| scene.proxy.fault(Fault::expire(Pick::of(Verb::Watch, kind))));
    scene.proxy.cut();
    wait::until("every watch to list anew", PATIENCE, async || {
        let all = lists();
        let told = all[before..].iter().filter(|list| list.answered.is_some()).count();
        let done = expired.iter().all(|strikes| strikes.count() == 1) && told >= WATCHED.len();
        Ok(done.then_some(()))
    })
    .await
}

#[tokio::test]
async fn what_was_lost_is_made_up_for_by_the_next_list() -> Result<()> {
    let end = in_scene(async |scene| {
        let mut operator = scene.operator()?;
        operator.wait_ready().await?;
        let lost = ["cronjobs", "jobs", "pods"]
            .map(|kind| scene.proxy.news_fault(NewsFault::drop(Pick::news_of(kind)).always()));
        scene.apply().await?;
        scene.wait_for_the_job().await?;
        scene.proxy.lift();
        list_anew(scene).await?;
        scene.work(&mut operator).await?;
        assert!(lost.iter().all(|strikes| strikes.count() > 0));
        scene.comes_to_the_same_end(&operator).await
    });
    end.await.map(drop)
}

/// Also that of policies: the operator then sees one as it was before its run.
#[tokio::test]
async fn a_list_of_long_ago_makes_no_wrong_write() -> Result<()> {
    let end = in_scene(async |scene| {
        // Listed before there is a CronJob, a Job or a status.
        scene.apply().await?;
        let mut operator = scene.operator()?;
        operator.wait_ready().await?;
        scene.work(&mut operator).await?;
        scene.comes_to_the_same_end(&operator).await?;
        let old = WATCHED.map(|kind| scene.proxy.fault(Fault::replay(Pick::of(Verb::List, kind))));
        let before = scene.reconciles(&operator).await?;
        list_anew(scene).await?;
        scene.reconciled_after(&operator, before).await?;
        assert!(old.iter().all(|strikes| strikes.count() == 1));
        scene.comes_to_the_same_end(&operator).await
    });
    end.await.map(drop)
}

#[tokio::test]
async fn an_operator_that_starts_from_a_list_of_long_ago_makes_no_wrong_write() -> Result<()> {
    let end = in_scene(async |scene| {
        scene.apply().await?;
        let mut first = scene.operator()?;
        first.wait_ready().await?;
        scene.work(&mut first).await?;
        scene.comes_to_the_same_end(&first).await?;
        let made = Tally::of(scene.namespace, scene.bed.login())?;
        first.kill().await?;

        let old = WATCHED.map(|kind| scene.proxy.fault(Fault::replay(Pick::of(Verb::List, kind))));
        let mut second = scene.operator()?;
        second.wait_ready().await?;
        assert!(old.iter().all(|strikes| strikes.count() == 1));
        scene.reconciled_after(&second, 0.0).await?;
        assert_eq!(Tally::of(scene.namespace, scene.bed.login())?, made);
        scene.comes_to_the_same_end(&second).await
    });
    end.await.map(drop)
}
