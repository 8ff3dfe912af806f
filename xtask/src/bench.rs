//! `cargo xtask bench`: the figures of `docs/benchmarks.md`, measured anew. Nothing here passes or
//! fails: a machine is slow or fast, and a figure is what it is.

mod api;
mod coverage;
mod figures;
mod operator;

use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};

use crate::process::cargo;

/// What is measured.
#[derive(clap::Subcommand)]
pub enum Bench {
    /// The operator with thousands of policies, on a real API server: time, memory, writes
    Operator(operator::Args),
    /// The session API on a Postgres with fsync: latency, limits, beside a policy, a rolling restart
    Api(api::Args),
    /// The lines that the tests run through, of each crate: builds all of it anew, and runs the tests on that
    Coverage(coverage::Args),
}

/// Measures it and prints a table.
pub fn run(bench: &Bench) -> Result<()> {
    // Whoever makes the load is on the same machine: half of it would be theirs.
    if cfg!(debug_assertions) && matches!(bench, Bench::Api(_)) {
        println!("building what makes the load, with optimizations (about 6 minutes when cold)");
        let build = ["run", "--quiet", "--locked", "--release", "--package", "xtask", "--"];
        return Err(cargo(build).args(std::env::args_os().skip(1)).exec())
            .context("cannot start it");
    }
    let runtime = || tokio::runtime::Runtime::new();
    match bench {
        Bench::Operator(args) => runtime()?.block_on(operator::run(args)),
        Bench::Api(args) => runtime()?.block_on(api::run(args)),
        Bench::Coverage(args) => coverage::run(args),
    }
}
