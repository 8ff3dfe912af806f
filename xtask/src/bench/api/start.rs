//! P12: how soon it is ready, how much memory it has at rest, how large its image is.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tests::image::ReleaseImage;

use super::server::Site;
use crate::bench::figures::Figures;

/// How long it is left alone before its memory is read.
const REST: Duration = Duration::from_secs(10);
/// Starts, of which the slowest counts.
const STARTS: usize = 5;

/// Starts, rests, and looks.
pub async fn measure(site: &Site, images: &[ReleaseImage], figures: &mut Figures) -> Result<()> {
    let database = site.database("bench_start").await?;
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let replica = site.replica(&database, &["--drain-delay", "0s"]).await?;
        times.push(replica.took);
        replica.end().await?;
    }
    let slowest = times.iter().max().copied().unwrap_or_default();
    let shown = format!("{} ms, the slowest of {STARTS}", slowest.as_millis());
    figures.add("P12 ready after", "< 1 s", shown);

    let replica = site.replica(&database, &[]).await?;
    tokio::time::sleep(REST).await;
    let path = format!("/proc/{}/status", replica.id()?);
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.with_context(|| format!("{path} has no VmRSS"))?.trim();
    figures.add("P12 memory at rest", "< 20 MB", resident);

    let image = images.iter().find(|image| image.name == "session-api").context("no image")?;
    #[expect(clippy::cast_precision_loss, reason = "the size of a file")]
    let megabytes = image.tar.metadata()?.len() as f64 / 1e6;
    figures.add("P12 image", "< 25 MB", format!("{megabytes:.1} MB"));
    Ok(())
}
