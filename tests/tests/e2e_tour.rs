//! The tour of docs/tour.md, gone again: every command works, and prints what stands there.

use std::fs;

use anyhow::{Context, Result, ensure};
use tests::tools::Kubernetes;
use tests::{chart, tour};

/// On a cluster of its own, since it installs the operator and takes it away.
#[tokio::test]
async fn the_tour_is_what_a_reader_would_see() -> Result<()> {
    let Some(cluster) = tests::own_cluster().await? else { return Ok(()) };
    chart::load_images(&cluster).await?;
    let page = tour::page(&cluster).await?;
    // Another kubectl may print in other words.
    if cluster.kubernetes().await? == Kubernetes::NEWEST {
        let written = fs::read_to_string(tour::path()).context("failed to read the tour")?;
        let difference = tour::difference(&written, &page);
        ensure!(
            difference.is_empty(),
            "{} is not what the tour shows (- written, + shown); read it, then run `cargo xtask tour`:\n{difference}",
            tour::PAGE
        );
    }
    cluster.stop().await
}
