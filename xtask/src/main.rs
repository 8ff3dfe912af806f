//! One command for each habit: `cargo xtask <command>`, the same here and in CI.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's tool talks to its terminal"
)]

mod bench;
mod check;
mod ci;
mod cluster;
mod demo;
mod deny;
mod doctor;
mod fuzz;
mod generate;
mod image;
mod process;
mod requirements;
mod test;
mod tool;
mod tour;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// One command for each habit, the same here and in CI
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Shows the main job: five policies against a real Postgres, then on a real Kubernetes
    Demo(demo::Args),
    /// Runs every test that this machine can run, on a real Postgres and a real Kubernetes
    Test(test::Args),
    /// Runs all that a change must pass: format, lints, docs, licences, `check`, chart, tests
    Ci,
    /// Checks what no compiler knows: dependency arrows, generated files, sources, chart, documents, requirements
    Check,
    /// Writes the files that are made from code: the CRD, references, the policies of the session API
    Generate,
    /// Goes the tour of docs/tour.md on a Kubernetes and writes what it shows
    Tour(tour::Args),
    /// Builds the images of a release and says where they are
    Image,
    /// Starts or stops a Kubernetes of your own
    #[command(subcommand)]
    Cluster(cluster::Action),
    /// Measures the figures of docs/benchmarks.md
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Lets schemathesis ask the session API 10,000 things, right and wrong ones
    Fuzz(fuzz::Args),
    /// Says what this machine has, what it lacks, and how to get it
    Doctor,
}

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Ci => ci::run_all(),
        Command::Check => check::run(),
        Command::Generate => generate::run(),
        Command::Tour(args) => tour::run(&args),
        Command::Image => image::run(),
        Command::Cluster(action) => cluster::run(&action),
        Command::Bench(what) => bench::run(&what),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Doctor => doctor::run(),
    }
}
