//! The proxy before the API server knows each request, and each fault of it is what it says.

mod bed_api_proxy {
    pub mod client;
    pub mod news;
}

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hyper::Method;
use serde_json::{Value, json};
use tests::api_proxy::{ApiProxy, Fault, Pick, Refusal, Request, Verb, When};
use tests::cluster::Namespace;
use tests::wait;

use bed_api_proxy::client::Client;

const PATIENCE: Duration = Duration::from_secs(20);
/// Long against an answer of the API server, for what is not to come.
const SILENCE: Duration = Duration::from_millis(500);

/// A namespace with a proxy before its API server, and a client of that.
struct Scene<'a> {
    namespace: &'a Namespace<'a>,
    proxy: ApiProxy,
    client: Client,
}

async fn scene(test: impl AsyncFnOnce(&Scene<'_>) -> Result<()>) -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    cluster
        .with_namespace("proxy", async |namespace| {
            let account = format!("{}:default", namespace.name());
            let binding = ["create", "rolebinding", "tests", "--clusterrole=admin"];
            let account = format!("--serviceaccount={account}");
            namespace.kubectl(binding.iter().copied().chain([account.as_str()])).await?;
            let proxy = ApiProxy::start(&cluster)?;
            let token = namespace.kubectl(["create", "token", "default"]).await?;
            let client = Client {
                address: proxy.address(),
                token: token.trim().to_owned(),
                namespace: namespace.name().to_owned(),
            };
            // A binding is known to the API server a moment after it was made.
            wait::until("the client's permissions", PATIENCE, async || {
                Ok((client.list().await?.code == 200).then_some(()))
            })
            .await?;
            proxy.reset();
            test(&Scene { namespace, proxy, client }).await
        })
        .await
}

impl Scene<'_> {
    async fn is_there(&self, name: &str) -> Result<bool> {
        let found = self.namespace.kubectl(["get", "configmap", name, "--ignore-not-found"]);
        Ok(!found.await?.is_empty())
    }

    fn last(&self) -> Result<Request> {
        self.proxy.requests().pop().context("there was a request")
    }
}

fn creates() -> Pick<Request> {
    Pick::of(Verb::Create, "configmaps")
}

#[tokio::test]
async fn requests_are_passed_on_and_known_by_verb_and_name() -> Result<()> {
    scene(async |scene| {
        let Scene { client, proxy, .. } = scene;
        assert_eq!(client.create("one").await?.code, 201);
        let one = client.path("/one");
        let read = client.ask(Method::GET, &one, &Value::Null).await?;
        assert_eq!(read.body["metadata"]["name"], "one");
        assert_eq!(client.list().await?.body["items"][0]["metadata"]["name"], "one");
        let mut object = read.body;
        object["data"] = json!({"a": "b"});
        assert_eq!(client.ask(Method::PUT, &one, &object).await?.code, 200);
        let applied = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "two"},
        });
        let query = client.path("/two?fieldManager=tests");
        assert_eq!(client.ask(Method::PATCH, &query, &applied).await?.code, 201);
        assert_eq!(client.ask(Method::DELETE, &one, &Value::Null).await?.code, 200);
        assert_eq!(client.ask(Method::GET, &one, &Value::Null).await?.code, 404);

        let all: Vec<_> = proxy.requests();
        let shown: Vec<_> =
            all.iter().map(|all| all.to_string().split_once(' ').unwrap().1.to_owned()).collect();
        assert_eq!(
            shown,
            [
                "create configmaps one → 201, told 201",
                "get configmaps one → 200, told 200",
                "list configmaps → 200, told 200",
                "update configmaps one → 200, told 200",
                "patch configmaps two → 201, told 201",
                "delete configmaps one → 200, told 200",
                "get configmaps one → 404, told 404",
            ]
        );
        assert_eq!(all[4].patch, "application/apply-patch+yaml");
        assert_eq!(all[0].body["metadata"]["labels"]["tests"], "yes");
        assert_eq!(all[0].namespace, client.namespace);
        let numbers: Vec<_> = all.iter().map(|request| request.number - all[0].number).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(proxy.writes().len(), 4);
        proxy.reset();
        assert_eq!(proxy.requests(), []);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_refusal_is_told_and_nothing_is_done() -> Result<()> {
    scene(async |scene| {
        let refusals = [
            (Refusal::Forbidden, 403),
            (Refusal::Conflict, 409),
            (Refusal::Expired, 410),
            (Refusal::TooManyRequests { seconds: 3 }, 429),
            (Refusal::InternalError, 500),
            (Refusal::ServiceUnavailable, 503),
        ];
        for (refusal, code) in refusals {
            let strikes = scene.proxy.fault(Fault::refuse(creates(), refusal));
            let said = scene.client.create("one").await?;
            assert_eq!((said.code, &said.body["code"]), (code, &json!(code)));
            assert_eq!(said.body["kind"], "Status");
            let wait = said.headers.get("retry-after").map(|wait| wait.to_str().unwrap());
            assert_eq!(wait, (code == 429).then_some("3"));
            assert!(!scene.is_there("one").await?, "{refusal:?}");
            assert_eq!(strikes.count(), 1);
            let request = scene.last()?;
            assert_eq!((request.served, request.answered), (None, Some(code)));
        }
        assert_eq!(scene.client.create("one").await?.code, 201);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_fault_strikes_at_the_requests_that_it_is_for() -> Result<()> {
    scene(async |scene| {
        let Scene { client, proxy, .. } = scene;
        let conflict = || Fault::refuse(creates().name("one"), Refusal::Conflict);
        let strikes = proxy.fault(conflict().nth(2).times(2));
        let mut codes = Vec::new();
        for name in ["one", "two", "one", "three", "one", "one"] {
            codes.push(client.create(name).await?.code);
            client.ask(Method::DELETE, &client.path("/one"), &Value::Null).await?;
        }
        assert_eq!(codes, [201, 201, 409, 201, 409, 201]);
        assert_eq!(strikes.count(), 2);

        let strikes = proxy.fault(Fault::refuse(Pick::requests(), Refusal::Expired).always());
        assert_eq!(client.create("four").await?.code, 410);
        assert_eq!(client.list().await?.code, 410);
        proxy.lift();
        assert_eq!(client.list().await?.code, 200);
        assert_eq!(strikes.count(), 2);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_connection_is_cut_before_or_after_the_deed_is_done() -> Result<()> {
    scene(async |scene| {
        for (name, when, done, told) in [
            ("before", When::Before, false, false),
            ("committed", When::Committed, true, false),
            ("answered", When::Answered, true, true),
        ] {
            let strikes = scene.proxy.fault(Fault::cut(creates(), when));
            assert_eq!(scene.client.create(name).await.is_ok(), told, "{when:?}");
            assert_eq!(scene.is_there(name).await?, done, "{when:?}");
            assert_eq!(strikes.count(), 1);
            let request = scene.last()?;
            assert_eq!(request.served, done.then_some(201), "{when:?}");
            assert_eq!(request.answered, told.then_some(201), "{when:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_answer_that_never_comes_holds_nobody_else_up() -> Result<()> {
    scene(async |scene| {
        for (name, when, done) in
            [("before", When::Before, false), ("committed", When::Committed, true)]
        {
            let strikes = scene.proxy.fault(Fault::silence(creates(), when));
            let answer = tokio::time::timeout(SILENCE, scene.client.create(name)).await;
            assert!(answer.is_err(), "{when:?}");
            assert_eq!(strikes.count(), 1);
            assert_eq!(scene.client.list().await?.code, 200);
            assert_eq!(scene.is_there(name).await?, done, "{when:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_request_that_hangs_goes_on_or_is_cut_at_the_tests_word() -> Result<()> {
    scene(async |scene| {
        for (when, meanwhile) in [(When::Before, false), (When::Committed, true)] {
            for go_on in [true, false] {
                let name = format!("{when:?}-{go_on}").to_lowercase();
                let mut hang = scene.proxy.hang(creates(), 1, when);
                let test = async {
                    hang.reached().await?;
                    assert_eq!(scene.is_there(&name).await?, meanwhile, "{name}");
                    assert_eq!(scene.client.list().await?.code, 200, "all others pass");
                    if go_on {
                        hang.release();
                    } else {
                        hang.cut();
                    }
                    anyhow::Ok(())
                };
                let (answer, test) = tokio::join!(scene.client.create(&name), test);
                test?;
                assert_eq!(answer.is_ok(), go_on, "{name}");
                assert_eq!(scene.is_there(&name).await?, meanwhile || go_on, "{name}");
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn at_a_stop_nothing_passes_and_what_is_cut_then_never_will() -> Result<()> {
    scene(async |scene| {
        let Scene { client, proxy, .. } = scene;
        for (when, done, told) in [
            (When::Before, false, false),
            (When::Committed, true, false),
            (When::Answered, true, true),
        ] {
            let [name, next] =
                ["first", "next"].map(|word| format!("{word}-{when:?}").to_lowercase());
            client.create(&format!("{name}-0")).await?;
            let mut stop = proxy.stop(creates(), 1, when);
            let others = async {
                stop.reached().await?;
                let refused = tokio::time::timeout(SILENCE, client.list()).await;
                assert!(refused.is_err(), "{when:?}: a read has passed");
                // The next one is on its way while the stop is cut.
                let (next, ()) = tokio::join!(client.create(&next), async {
                    tokio::time::timeout(SILENCE, std::future::pending::<()>()).await.unwrap_err();
                    stop.cut();
                });
                assert!(next.is_err(), "{when:?}: what was held back has passed");
                anyhow::Ok(())
            };
            let (answer, others) = tokio::join!(client.create(&name), others);
            others?;
            assert_eq!(answer.is_ok(), told, "{when:?}");
            assert_eq!(client.list().await?.code, 200, "{when:?}: new connections pass");
            assert_eq!(scene.is_there(&name).await?, done, "{when:?}");
            assert!(!scene.is_there(&next).await?, "{when:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_stop_that_is_released_has_changed_nothing() -> Result<()> {
    scene(async |scene| {
        let mut stop = scene.proxy.stop(Pick::writes(), 2, When::Before);
        scene.client.create("one").await?;
        let test = async {
            stop.reached().await?;
            stop.release();
            anyhow::Ok(())
        };
        let (answer, test) = tokio::join!(scene.client.create("two"), test);
        test?;
        assert_eq!(answer?.code, 201);
        // One that is dropped before it is reached stops nothing either.
        drop(scene.proxy.stop(Pick::writes(), 1, When::Committed));
        assert_eq!(scene.client.create("three").await?.code, 201);
        let mut never = scene.proxy.stop(Pick::writes(), 1, When::Before);
        scene.proxy.lift();
        assert!(never.reached().await.is_err());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_request_takes_its_time() -> Result<()> {
    scene(async |scene| {
        let strikes = scene.proxy.fault(Fault::delay(creates(), SILENCE));
        let begun = Instant::now();
        assert_eq!(scene.client.create("one").await?.code, 201);
        assert!(begun.elapsed() >= SILENCE);
        assert_eq!(strikes.count(), 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_old_list_is_told_again_to_the_letter() -> Result<()> {
    scene(async |scene| {
        let Scene { client, proxy, .. } = scene;
        client.create("one").await?;
        let old = client.list().await?.body;
        client.create("two").await?;
        let new = client.list().await?.body;
        let strikes = proxy.fault(Fault::replay(Pick::of(Verb::List, "configmaps")));
        assert_eq!(client.list().await?.body, old);
        assert_eq!(strikes.count(), 1);
        assert_eq!(client.list().await?.body["items"], new["items"]);
        let request = &proxy.requests()[4];
        assert_eq!((request.served, request.answered), (None, Some(200)));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_api_server_can_be_out_of_reach_for_a_while() -> Result<()> {
    scene(async |scene| {
        let Scene { client, proxy, .. } = scene;
        let version = client.list().await?.body["metadata"]["resourceVersion"].clone();
        let mut news = client.watch(&version).await?;
        proxy.cut();
        assert!(news.next().await.is_err(), "cutting cuts");
        client.create("one").await?;
        proxy.unplug();
        assert!(client.create("two").await.is_err(), "an unplugged proxy takes nobody");
        proxy.plug_in();
        assert_eq!(client.create("two").await?.code, 201);
        Ok(())
    })
    .await
}
