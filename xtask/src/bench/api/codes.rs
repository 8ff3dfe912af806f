//! P6: those who guess codes, at three replicas at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use reqwest::Client;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::server::Site;
use crate::bench::figures::Figures;

/// Addresses that they come from.
const ADDRESSES: u32 = 20;
/// Requests under way at once.
const AT_ONCE: usize = 64;
const MINUTE: Duration = Duration::from_mins(1);

/// What came of a try, and when it was told.
struct Try {
    address: u32,
    status: u16,
    at: Instant,
}

/// Lets them guess, and counts what was a try.
pub async fn measure(tries: u32, site: &Site, figures: &mut Figures) -> Result<()> {
    let database = site.database("bench_codes").await?;
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(site.replica(&database, &["--drain-delay", "0s"]).await?);
    }
    let client = Client::builder().no_proxy().pool_max_idle_per_host(AT_ONCE).build()?;
    let turn = Arc::new(Semaphore::new(AT_ONCE));
    let begun = Instant::now();
    let mut under_way = JoinSet::new();
    for number in 0..tries {
        let replica = &replicas[number as usize % replicas.len()];
        let url = format!("{}/api/v1/join-codes/redeem", replica.base);
        let (client, turn) = (client.clone(), Arc::clone(&turn).acquire_owned().await?);
        under_way.spawn(async move {
            let _turn = turn;
            let address = number % ADDRESSES;
            // Each at a table of its own: the limit of a table is another one.
            let body = json!({"code": format!("{:06}", 100_000 + number % 900_000), "table_token": format!("t{address}")});
            let request = client.post(url).header("x-forwarded-for", format!("10.9.0.{address}"));
            let status = request.json(&body).send().await.map(|answer| answer.status().as_u16());
            status.map(|status| Try { address, status, at: Instant::now() })
        });
    }
    let mut admitted: BTreeMap<u32, Vec<Instant>> = BTreeMap::new();
    let (mut refused, mut overloaded) = (0_u32, 0_u32);
    while let Some(ended) = under_way.join_next().await {
        let Try { address, status, at } = ended??;
        match status {
            403 => admitted.entry(address).or_default().push(at),
            429 => refused += 1,
            503 => overloaded += 1,
            other => bail!("a wrong code was answered {other}"),
        }
    }
    let took = begun.elapsed();
    let most = admitted.into_values().map(most_within_a_minute).collect::<Vec<_>>();
    let (least, most) = (most.iter().min().copied(), most.iter().max().copied());
    let shown = format!(
        "{} to {} of {tries} tries of {ADDRESSES} addresses at 3 replicas in {:.1} s; {refused} told 429, {overloaded} told 503",
        least.unwrap_or_default(),
        most.unwrap_or_default(),
        took.as_secs_f64()
    );
    figures.add("P6 tries admitted per key and minute", "exactly 5", shown);
    for replica in replicas {
        replica.end().await?;
    }
    Ok(())
}

/// The most that fall into any minute.
fn most_within_a_minute(mut times: Vec<Instant>) -> usize {
    times.sort_unstable();
    let ends = times.iter().enumerate();
    let counts = ends.map(|(index, end)| {
        times[..=index].iter().filter(|time| end.duration_since(**time) < MINUTE).count()
    });
    counts.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_of_the_next_minute_are_others() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(most_within_a_minute(vec![at(61), at(0), at(59), at(1)]), 3);
        assert_eq!(most_within_a_minute(Vec::new()), 0);
    }
}
