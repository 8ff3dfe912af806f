//! `cargo xtask tour`: goes the tour of `docs/tour.md` on a cluster of its own, and writes what it saw.

use std::fs;

use anyhow::{Context as _, Result, bail};
use tests::cluster::{Cluster, Options};
use tests::image::build_release_images;
use tests::{machine, tour};

use crate::workspace;

/// What `cargo xtask tour` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing, and fail where docs/tour.md says something else
    #[arg(long)]
    check: bool,
}

/// Goes it, and writes the page or compares.
pub fn run(args: &Args) -> Result<()> {
    if let Some(obstacle) = machine::cluster_obstacle() {
        bail!("this machine cannot go the tour: {obstacle}");
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start a runtime")?;
    let page = runtime.block_on(page())?;
    let written = workspace::read(tour::PAGE).unwrap_or_default();
    let difference = tour::difference(&written, &page);
    if difference.is_empty() {
        println!("fresh    {}", tour::PAGE);
    } else if args.check {
        bail!(
            "{} is not what the tour shows (- written, + shown); run `cargo xtask tour`:\n{difference}",
            tour::PAGE
        );
    } else {
        fs::write(tour::path(), page).with_context(|| format!("cannot write {}", tour::PAGE))?;
        println!("written  {}:\n{difference}", tour::PAGE);
    }
    Ok(())
}

async fn page() -> Result<String> {
    let target = workspace::target()?;
    let build = move || build_release_images(workspace::root(), &target);
    let images = tokio::task::spawn_blocking(build).await??;
    let cluster = Cluster::start(Options::from_environment()?).await?;
    for image in images {
        cluster.load_image(&image.tar).await?;
    }
    let page = tour::page(&cluster).await;
    cluster.stop().await?;
    page
}
