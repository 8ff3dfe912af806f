//! `cargo xtask bench api`: the release binary of the session API against a Postgres with `fsync` on
//! (targets P1, P6, P8, P9, P10 and P12 of the design). Database and load run on the same machine.
//!
//! Load is open: a request has its time, whether the one before it was answered or not, and is late
//! from that time on.

mod cleaning;
mod codes;
mod load;
mod mix;
mod queries;
mod rolling;
mod server;
mod start;

use anyhow::{Context as _, Result};
use local_postgres::LocalPostgres;
use tests::image::{ReleaseImage, build_release_images};
use tests::settings::Settings;

use super::figures::Figures;
use crate::workspace;
use server::Site;

/// How much is measured.
#[derive(clap::Args)]
pub struct Args {
    /// Requests a second of the mix
    #[arg(long, default_value_t = 1_500)]
    rate: u32,
    /// How long the mix goes on, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Tries of codes by those who guess
    #[arg(long, default_value_t = 100_000)]
    tries: u32,
    /// Sessions that a policy cleans beside the mix, each of which is three rows of its work
    #[arg(long, default_value_t = 33_334)]
    overdue: u32,
    /// Sessions that figures are asked of, with ten events each
    #[arg(long, default_value_t = 1_000_000)]
    sessions: u32,
    /// How often all of it is measured: a machine that others use has better and worse minutes
    #[arg(long, default_value_t = 1)]
    runs: u32,
    /// Measure only these
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

/// A part of it, which can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// P12
    Start,
    /// P1
    Mix,
    /// P6
    Codes,
    /// P8
    Cleaning,
    /// P10
    Rolling,
    /// P9
    Queries,
}

/// Measures.
pub async fn run(args: &Args) -> Result<()> {
    let target = workspace::target()?;
    let folder = target.clone();
    let build = move || build_release_images(workspace::root(), &folder);
    let images = tokio::task::spawn_blocking(build).await??;
    let mut options = local_postgres::Options::new(&Settings::get()?.cache);
    options.durable = true;
    let postgres = tokio::task::spawn_blocking(move || LocalPostgres::start(&options)).await??;
    println!("{} ({})", postgres.version().unwrap_or("Postgres"), postgres.source());
    let site = Site { postgres, programs: target.join("x86_64-unknown-linux-musl/release") };
    let mut figures = Figures::default();
    let result = async {
        for run in 1..=args.runs {
            println!("run {run} of {}", args.runs);
            measure(args, &site, &images, &mut figures).await?;
        }
        Ok(())
    };
    let result = result.await;
    println!("\n{figures}");
    site.postgres.stop()?;
    result
}

async fn measure(
    args: &Args,
    site: &Site,
    images: &[ReleaseImage],
    figures: &mut Figures,
) -> Result<()> {
    println!("{}", site.settings().await?);
    let wanted = |part: Part| args.only.is_empty() || args.only.contains(&part);
    if wanted(Part::Start) {
        start::measure(site, images, figures).await.context("P12")?;
    }
    if wanted(Part::Mix) {
        mix::measure(args, site, figures).await.context("P1")?;
    }
    if wanted(Part::Codes) {
        codes::measure(args.tries, site, figures).await.context("P6")?;
    }
    if wanted(Part::Cleaning) {
        cleaning::measure(args, site, figures).await.context("P8")?;
    }
    if wanted(Part::Rolling) {
        rolling::measure(args, site, figures).await.context("P10")?;
    }
    if wanted(Part::Queries) {
        queries::measure(args.sessions, site, figures).await.context("P9")?;
    }
    Ok(())
}
