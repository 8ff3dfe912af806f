//! Each fault of a watch is what it says.

use anyhow::Result;
use serde_json::json;
use tests::api_proxy::{Fault, News as Item, NewsFault, Pick, Verb};

use crate::bed_api_proxy::client::News;
use crate::{SILENCE, Scene, scene};

type Make = fn(Pick<Item>) -> NewsFault;

fn news() -> Pick<Item> {
    Pick::news_of("configmaps").kind("ADDED")
}

/// What a watch says of `one`, `two` and `three`, made one after the other: up to so many.
async fn told(scene: &Scene<'_>, most: usize) -> Result<Vec<String>> {
    let client = &scene.client;
    for name in ["one", "two", "three"] {
        let path = client.path(&format!("/{name}"));
        client.ask(hyper::Method::DELETE, &path, &json!(null)).await?;
    }
    let version = client.list().await?.body["metadata"]["resourceVersion"].clone();
    let mut news = client.watch(&version).await?;
    for name in ["one", "two", "three"] {
        client.create(name).await?;
    }
    news.names(most).await
}

#[tokio::test]
async fn news_are_passed_on_lost_repeated_and_swapped() -> Result<()> {
    scene(async |scene| {
        assert_eq!(told(scene, 3).await?, ["one", "two", "three"]);
        let cases: [(Make, &[&str]); 6] = [
            (NewsFault::drop, &["one", "three"]),
            (NewsFault::repeat, &["one", "two", "two", "three"]),
            (NewsFault::repeat_later, &["one", "two", "three", "two"]),
            (NewsFault::swap, &["one", "three", "two"]),
            (NewsFault::close, &["one"]),
            (NewsFault::expire, &["one", "ERROR"]),
        ];
        for (fault, expected) in cases {
            let strikes = scene.proxy.news_fault(fault(news()).nth(2));
            // A stream that ends is read to its end.
            let most = if expected.contains(&"three") { expected.len() } else { 3 };
            assert_eq!(told(scene, most).await?, expected);
            assert_eq!(strikes.count(), 1, "{expected:?}");
            scene.proxy.lift();
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_is_too_old_is_told_as_an_api_server_tells_it() -> Result<()> {
    scene(async |scene| {
        let watch = Pick::of(Verb::Watch, "configmaps");
        let at_once = scene.proxy.fault(Fault::expire(watch));
        assert_expired(&mut scene.client.watch(&json!("1")).await?).await?;
        assert_eq!(at_once.count(), 1);

        let strikes = scene.proxy.news_fault(NewsFault::expire(news()));
        let version = scene.client.list().await?.body["metadata"]["resourceVersion"].clone();
        let mut stream = scene.client.watch(&version).await?;
        scene.client.create("one").await?;
        assert_expired(&mut stream).await?;
        assert_eq!(strikes.count(), 1);
        Ok(())
    })
    .await
}

async fn assert_expired(stream: &mut News) -> Result<()> {
    let word = stream.next().await?.unwrap_or_default();
    assert_eq!((&word["type"], &word["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(word["object"]["kind"], "Status");
    assert_eq!(word["object"]["reason"], "Expired");
    assert_eq!(stream.next().await?, None);
    Ok(())
}

#[tokio::test]
async fn news_are_held_back_until_the_tests_word() -> Result<()> {
    scene(async |scene| {
        for go_on in [true, false] {
            let client = &scene.client;
            let mut hold = scene.proxy.hold_news(news(), 2);
            let version = client.list().await?.body["metadata"]["resourceVersion"].clone();
            let mut stream = client.watch(&version).await?;
            let names = ["one", "two", "three"].map(|name| format!("{name}-{go_on}"));
            for name in &names {
                client.create(name).await?;
            }
            assert_eq!(stream.names(1).await?, names[..1]);
            hold.reached().await?;
            assert!(tokio::time::timeout(SILENCE, stream.next()).await.is_err(), "two has passed");
            if go_on {
                hold.release();
                assert_eq!(stream.names(2).await?, names[1..]);
            } else {
                hold.cut();
                assert!(stream.next().await.is_err());
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn only_news_of_the_choice_are_touched() -> Result<()> {
    scene(async |scene| {
        let elsewhere = NewsFault::drop(news().namespace("elsewhere")).always();
        let strikes = scene.proxy.news_fault(elsewhere);
        let other = scene.proxy.news_fault(NewsFault::drop(Pick::news_of("pods")).always());
        let named = news().and("named two", |news| news.name() == "two");
        let ours = scene.proxy.news_fault(NewsFault::drop(named).always());
        assert_eq!(told(scene, 2).await?, ["one", "three"]);
        assert_eq!((strikes.count(), other.count(), ours.count()), (0, 0, 1));
        Ok(())
    })
    .await
}
