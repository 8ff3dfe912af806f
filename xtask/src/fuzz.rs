//! `cargo xtask fuzz`: schemathesis against the session API, all of its checks, single requests and sequences
//! of them (target P11 of the design). It is the test of that name, with more to ask.

use anyhow::Result;
use tests::settings::{FUZZ_EXAMPLES, FUZZ_SEED};

use crate::process::{cargo, run as finish};

/// How much it asks.
#[derive(clap::Args)]
pub struct Args {
    /// Random requests of each operation, and sequences of requests: these are over 10,000 requests in all
    #[arg(long, default_value_t = 200)]
    examples: u32,
    /// What they are made from; the same number makes the same requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Asks, and prints what was found.
pub fn run(args: &Args) -> Result<()> {
    finish(&mut cargo(["build", "--workspace", "--bins", "--locked"]))?;
    let test = ["test", "--workspace", "--locked", "--test", "api_http"];
    let mut command = cargo(test);
    command.args(["--", "--nocapture", "api_http::schemathesis::"]);
    command.env(FUZZ_EXAMPLES, args.examples.to_string()).env(FUZZ_SEED, args.seed.to_string());
    // One that cannot run is no success here.
    finish(command.env("CI", "true"))
}
