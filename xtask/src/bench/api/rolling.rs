//! P10: three replicas are replaced one after the other beside the mix, as a Deployment does it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use super::Args;
use super::load::open;
use super::mix::Party;
use super::server::Site;
use crate::bench::figures::Figures;

/// How long a Service goes on sending connections to a pod that is about to end.
const NEWS: Duration = Duration::from_secs(2);

/// The addresses that a Service has.
type Endpoints = Arc<Mutex<Vec<String>>>;

/// Replaces each of three replicas beside the mix.
pub async fn measure(args: &Args, site: &Site, figures: &mut Figures) -> Result<()> {
    let database = site.database("bench_rolling").await?;
    let mut old = Vec::new();
    for _ in 0..3 {
        old.push(site.replica(&database, &[]).await?);
    }
    let endpoints: Endpoints =
        Arc::new(Mutex::new(old.iter().map(|replica| replica.base.clone()).collect()));
    let party = Party::gather(&old[0].base).await?;

    let (known, asked) = (Arc::clone(&endpoints), Arc::clone(&party));
    let length = Duration::from_secs(args.seconds.max(45));
    let load = tokio::spawn(open(args.rate, length, move |number| {
        let (known, party) = (Arc::clone(&known), Arc::clone(&asked));
        async move {
            let base = {
                let known = known.lock().unwrap_or_else(PoisonError::into_inner);
                known[usize::try_from(number).unwrap_or_default() % known.len()].clone()
            };
            party.ask(&base, number).await
        }
    }));
    let mut new = Vec::new();
    for replica in old {
        // The new one is ready before the old one goes.
        let next = site.replica(&database, &[]).await?;
        change(&endpoints, |known| known.push(next.base.clone()));
        let leaves = replica.base.clone();
        let ended = tokio::spawn(replica.end());
        tokio::time::sleep(NEWS).await;
        change(&endpoints, |known| known.retain(|base| *base != leaves));
        ended.await??;
        new.push(next);
    }
    let samples = load.await??;
    let shown = format!("{} failed of {}; {}", samples.failed(), samples.len(), samples.shown());
    figures.add("P10 a rolling restart of 3 replicas beside the mix", "0 failed", shown);
    for replica in new {
        replica.end().await?;
    }
    Ok(())
}

fn change(endpoints: &Endpoints, change: impl FnOnce(&mut Vec<String>)) {
    change(&mut endpoints.lock().unwrap_or_else(PoisonError::into_inner));
}
