//! P10: three replicas are replaced one after the other beside the mix, as a Deployment does it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tests::sessions::service::Service;

use super::Args;
use super::load::{Outcome, open};
use super::mix::Party;
use super::server::Site;
use crate::bench::figures::Figures;

/// How long a Service goes on sending connections to a pod that is about to end.
const NEWS: Duration = Duration::from_secs(2);

/// Replaces each of three replicas beside the mix, at half its rate: while two of a kind stand beside each other
/// there are four replicas on the processors of one.
pub async fn measure(args: &Args, site: &Site, figures: &mut Figures) -> Result<()> {
    let database = site.database("bench_rolling").await?;
    let mut old = Vec::new();
    for _ in 0..3 {
        old.push(site.replica(&database, &[]).await?);
    }
    let service = Arc::new(Service::of(old.iter().map(|replica| replica.base.clone()).collect()));
    let party = Party::gather(&old[0].base).await?;

    let (known, asked) = (Arc::clone(&service), Arc::clone(&party));
    let length = Duration::from_secs(args.seconds.max(45));
    let load = tokio::spawn(open(args.rate / 2, length, move |number| {
        let (known, party) = (Arc::clone(&known), Arc::clone(&asked));
        async move {
            match known.pick(usize::try_from(number).unwrap_or_default()) {
                Some(base) => party.ask(&base, number).await,
                None => Outcome::Broken,
            }
        }
    }));
    let mut new = Vec::new();
    for replica in old {
        // The new one is ready before the old one goes.
        let next = site.replica(&database, &[]).await?;
        service.add(next.base.clone());
        let leaves = replica.base.clone();
        let ended = tokio::spawn(replica.end());
        tokio::time::sleep(NEWS).await;
        service.remove(|base| *base == leaves);
        ended.await??;
        new.push(next);
    }
    let samples = load.await??;
    let shown = format!("{} failed of {}; {}", samples.failed(), samples.len(), samples.shown());
    let what = format!("P10 a rolling restart of 3 replicas beside {}/s", args.rate / 2);
    figures.add(&what, "0 failed", shown);
    for replica in new {
        replica.end().await?;
    }
    Ok(())
}
