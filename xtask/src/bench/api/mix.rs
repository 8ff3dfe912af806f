//! P1: what phones ask in an evening, in its proportions.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use super::Args;
use super::load::{Outcome, Samples, open};
use super::server::{Database, Replica, Site};
use crate::bench::figures::Figures;

/// Sessions that are under way when the load begins.
const SESSIONS: usize = 2_000;

/// Somebody in a session.
#[derive(Clone)]
struct Phone {
    session: String,
    token: String,
}

/// Phones, and where they are answered.
pub struct Party {
    client: Client,
    phones: Vec<Phone>,
}

/// Each request comes from an address of its own: the limits are not what is measured.
fn address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    Ipv4Addr::from_bits(0x0a00_0000 + NEXT.fetch_add(1, Ordering::Relaxed) % 0x00ff_ffff)
        .to_string()
}

impl Party {
    /// Makes the sessions.
    pub async fn gather(base: &str) -> Result<Arc<Self>> {
        let client = Client::builder().no_proxy().pool_max_idle_per_host(256).build()?;
        let mut party = Self { client, phones: Vec::with_capacity(SESSIONS) };
        for number in 0..SESSIONS {
            let answer = party.create(base, number as u64).send().await?;
            ensure!(answer.status().as_u16() == 201, "a session was answered {}", answer.status());
            let made: Value = serde_json::from_slice(&answer.bytes().await?)?;
            let text = |pointer: &str| made.pointer(pointer).and_then(Value::as_str);
            let session = text("/session/id").context("a session has an id")?.to_owned();
            let token = text("/participant/token").context("and its host a token")?.to_owned();
            let phone = Phone { session, token };
            // It has been there for a while: the first heartbeat of a phone is asked for in the database.
            ensure!(party.beat(base, &phone).send().await?.status().is_success(), "a heartbeat");
            party.phones.push(phone);
        }
        Ok(Arc::new(party))
    }

    fn create(&self, base: &str, number: u64) -> RequestBuilder {
        let body =
            json!({"app": "table_talk", "mode": "single", "table_token": format!("t{number}")});
        self.client
            .post(format!("{base}/api/v1/sessions"))
            .header("x-forwarded-for", address())
            .json(&body)
    }

    fn beat(&self, base: &str, phone: &Phone) -> RequestBuilder {
        let path = format!("/api/v1/sessions/{}/participants/me/heartbeat", phone.session);
        self.client
            .put(format!("{base}{path}"))
            .bearer_auth(&phone.token)
            .header("x-forwarded-for", address())
    }

    /// Of a hundred: 60 heartbeats, 27 looks, 6 who are ready, 5 sessions, 2 who join.
    pub async fn ask(&self, base: &str, number: u64) -> Outcome {
        // Each time round somebody else does the same: a session takes only so many who join.
        let round = usize::try_from(number).unwrap_or_default();
        let phone = &self.phones[(round + round / self.phones.len()) % self.phones.len()];
        let session = format!("{base}/api/v1/sessions/{}", phone.session);
        let me = format!("{session}/participants/me");
        // Not in blocks: each hundred is stirred.
        let request = match number.wrapping_mul(61) % 100 {
            0..60 => return Outcome::of(self.beat(base, phone)).await,
            60..87 => self.client.get(&session),
            87..93 => self
                .client
                .put(format!("{me}/ready"))
                .json(&json!({"ready": number.is_multiple_of(2)})),
            93..98 => self.create(base, number),
            _ => {
                let body = json!({"access_method": "direct"});
                self.client.post(format!("{session}/participants")).json(&body)
            }
        };
        let request = request.bearer_auth(&phone.token);
        Outcome::of(request.header("x-forwarded-for", address())).await
    }

    /// The mix on one replica.
    pub async fn run(self: &Arc<Self>, base: &str, rate: u32, length: Duration) -> Result<Samples> {
        let (party, base) = (Arc::clone(self), base.to_owned());
        open(rate, length, move |number| {
            let (party, base) = (Arc::clone(&party), base.clone());
            async move { party.ask(&base, number).await }
        })
        .await
    }
}

/// A database with a replica and a party.
pub async fn scene(site: &Site, name: &str) -> Result<(Database, Replica, Arc<Party>)> {
    let database = site.database(name).await?;
    let replica = site.replica(&database, &["--drain-delay", "0s"]).await?;
    let party = Party::gather(&replica.base).await?;
    database.execute("VACUUM ANALYZE").await?;
    Ok((database, replica, party))
}

/// The mix before it counts: plans are made for each connection, and a crowd does not come within a millisecond.
pub const WARMING: Duration = Duration::from_secs(5);

/// The mix between two runs of requests that ask the database nothing.
///
/// Measures: G5.
pub async fn measure(args: &Args, site: &Site, figures: &mut Figures) -> Result<()> {
    let (_, replica, party) = scene(site, "bench_mix").await?;
    let length = Duration::from_secs(args.seconds);
    let nothing = async || {
        let (client, url) = (party.client.clone(), format!("{}/healthz", replica.base));
        open(args.rate, length / 4, move |_| Outcome::of(client.get(&url))).await
    };
    let what = format!("{}/s", args.rate);
    figures.add(&format!("floor: /healthz at {what}, before"), "", nothing().await?.shown());
    party.run(&replica.base, args.rate, WARMING).await?;
    let samples = party.run(&replica.base, args.rate, length).await?;
    let to_reach = "p50 < 3 ms, p99 < 50 ms, most <= 300 ms";
    figures.add(&format!("P1 REST mix at {what}"), to_reach, samples.shown());
    figures.add(&format!("floor: /healthz at {what}, after"), "", nothing().await?.shown());
    replica.end().await
}
