//! `cargo xtask bench operator`: the release binary against a real API server (targets O1 to O7 of the
//! design), with as many policies as are asked for.
//!
//! The policies are stored as those whose preflight has passed, so that what is measured is the
//! operator and the API server, and not ten thousand pods on one node.

mod fleet;
mod process;
mod runs;
mod sight;
mod writes;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tests::Cluster;
use tests::cluster::Options;
use tests::image::build_release_images;
use tests::operator::{Login, Operator};

use super::figures::{Figures, spread};
use crate::workspace;
use fleet::Fleet;
use process::{Bench, lead_again, memory, processor, reconciled};
use sight::Sight;
use writes::Writes;

/// How much is measured.
#[derive(clap::Args)]
pub struct Args {
    /// Policies
    #[arg(long, default_value_t = 10_000)]
    policies: usize,
    /// Namespaces that they are spread over
    #[arg(long, default_value_t = 100)]
    namespaces: usize,
    /// Edits whose way to the CronJob is measured
    #[arg(long, default_value_t = 300)]
    edits: usize,
    /// Runs whose way to the status is measured
    #[arg(long, default_value_t = 20)]
    runs: usize,
    /// How long the operator is watched at rest, in seconds
    #[arg(long, default_value_t = 60)]
    rest: u64,
}

/// Measures.
pub async fn run(args: &Args) -> Result<()> {
    let target = workspace::target()?;
    let folder = target.clone();
    let build = move || build_release_images(workspace::root(), &folder);
    let images = tokio::task::spawn_blocking(build).await??;
    let cluster = Cluster::start(Options::from_environment()?).await?;
    let image = images.iter().find(|image| image.name == "pgsweep").context("no image of Jobs")?;
    cluster.load_image(&image.tar).await?;
    let login = Login::of_chart(&cluster, &[]).await?;
    let program = target.join("x86_64-unknown-linux-musl/release/pgsweep-operator");
    let bench = Bench { cluster, login, program };
    let mut figures = Figures::default();
    let result = measure(args, &bench, &mut figures).await;
    println!("\n{figures}");
    bench.cluster.stop().await?;
    result
}

async fn measure(args: &Args, bench: &Bench, figures: &mut Figures) -> Result<()> {
    let mut idle = bench.launch().ready().await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    figures.add("O3 memory without a policy", "<= 20 MiB", memory(&idle)?);
    idle.term().await?;

    let fleet = Fleet::create(bench, args.policies, args.namespaces).await?;
    let mut operator = converge(&fleet, bench, figures).await?;
    at_rest(args, &operator, bench, figures).await?;
    edits(args, &fleet, bench, figures).await?;
    figures.add("O3 memory after the edits", "<= 256 MiB", memory(&operator)?);

    Writes::wait_for_quiet(bench).await?;
    let writes = Writes::since_now(bench)?;
    let stop = operator.term().await?;
    let begun = Instant::now();
    let operator = bench.launch().ready().await?;
    reconciled(&operator, fleet.len()).await?;
    let took = begun.elapsed().as_secs_f64();
    figures.add("restart: end of the old one", "", format!("{} ms", stop.took.as_millis()));
    figures.add("restart: until every policy was looked at", "", format!("{took:.1} s"));
    figures.add("O4 writes after a restart", "0", writes.count()?.to_string());
    drop(operator);

    lead_again(&fleet, bench, figures).await?;
    runs::measure(args.runs, bench, figures).await
}

/// From nothing to all CronJobs.
async fn converge(fleet: &Fleet, bench: &Bench, figures: &mut Figures) -> Result<Operator> {
    let writes = Writes::since_now(bench)?;
    let begun = Instant::now();
    let operator = bench.launch().ready().await?;
    fleet.built().await?;
    let took = begun.elapsed().as_secs_f64();
    let made = fleet.len();
    let what = format!("O1 {made} policies to their CronJobs");
    figures.add(&what, "<= 300 s for 10,000", format!("{took:.1} s"));
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let (written, made) = (writes.count()? as f64, made as f64);
    let processor = processor(&operator)? * 1_000.0 / made;
    figures.add("the operator's processor time a policy", "", format!("{processor:.1} ms"));
    let each = format!("{:.2}: {}", written / made, writes.kinds()?);
    figures.add("O7 writes to create a policy", "<= 3", each);
    Ok(operator)
}

async fn at_rest(
    args: &Args,
    operator: &Operator,
    bench: &Bench,
    figures: &mut Figures,
) -> Result<()> {
    let writes = Writes::since_now(bench)?;
    tokio::time::sleep(Duration::from_secs(args.rest)).await;
    let what = format!("O4 writes in {} s at rest", args.rest);
    figures.add(&what, "0", writes.count()?.to_string());
    figures.add("O3 memory at rest", "<= 256 MiB", memory(operator)?);
    let begun = Instant::now();
    let page = operator.metrics().await?;
    let (size, took) = (page.len() / 1024, begun.elapsed().as_millis());
    figures.add("a scrape", "", format!("{size} KiB in {took} ms"));
    figures.add("O3 memory after a scrape", "<= 256 MiB", memory(operator)?);
    Ok(())
}

async fn edits(args: &Args, fleet: &Fleet, bench: &Bench, figures: &mut Figures) -> Result<()> {
    let sight = Sight::of_cron_jobs(&bench.client().await?).await?;
    let mut times = Vec::new();
    for edit in 0..args.edits {
        // A step that meets every namespace in turn.
        let policy = edit * 37 % fleet.len();
        times.push(fleet.edit(policy, &sight).await?);
    }
    figures.add("O2 edit to CronJob", "p99 <= 1 s", spread(times));
    Ok(())
}
