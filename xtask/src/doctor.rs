//! `cargo xtask doctor`: what this machine has, what it lacks, and how to get it.

use std::process::Command;

use anyhow::Result;
use local_postgres::{Presence, Version, presence};
use tests::settings::{self, Settings};
use tests::{machine, pooler, tools};

use crate::{deny, process};

struct Need {
    program: &'static str,
    arguments: &'static [&'static str],
    purpose: &'static str,
    way: &'static str,
}

const NEEDS: [Need; 5] = [
    Need {
        program: "cargo",
        arguments: &["--version"],
        purpose: "everything",
        way: "install Rust by rustup; rust-toolchain.toml names the version",
    },
    Need {
        program: "postgres",
        arguments: &["--version"],
        purpose: "tests and demo (else one is fetched by Python)",
        way: "nothing to do where Python is; else install Postgres 15 or newer",
    },
    Need {
        program: "python3",
        arguments: &["--version"],
        purpose: "fetching a Postgres where none is installed, and the test by schemathesis",
        way: "install Python 3.11 or newer with venv",
    },
    Need {
        program: "go",
        arguments: &["version"],
        purpose: "building the test bed's Kubernetes, containerd, CoreDNS and Helm",
        way: "install Go 1.26 or newer",
    },
    Need {
        program: "musl-gcc",
        arguments: &["--version"],
        purpose: "the release image",
        way: "apt-get install musl-tools",
    },
];

/// Prints one line for each thing.
pub fn run() -> Result<()> {
    for need in NEEDS {
        let answer = process::ask(Command::new(need.program).args(need.arguments));
        match answer.as_deref().and_then(|text| text.lines().next()) {
            Some(version) => println!("ok      {:<10} {version}", need.program),
            None => println!("absent  {:<10} for {}; {}", need.program, need.purpose, need.way),
        }
    }
    let cache = &Settings::get()?.cache;
    if deny::DENY.is_there(cache) {
        println!("ok      cargo-deny");
    } else {
        println!("later   cargo-deny is built by the first `cargo xtask ci`");
    }
    for (tool, is_there) in tools::inventory(cache)? {
        if is_there {
            println!("ok      {tool}, for the tests");
        } else {
            println!("later   {tool} is built or fetched by the first test that needs it");
        }
    }
    for version in Version::ALL {
        tell_of(version);
    }
    match pooler::obstacle() {
        None => println!("ok      PgBouncer, for the tests by way of a pooler"),
        Some(obstacle) => println!("absent  for the tests by way of a pooler: {obstacle}"),
    }
    match machine::cluster_obstacle() {
        None => println!("ok      this machine can run the test bed's Kubernetes"),
        Some(obstacle) => println!("absent  Kubernetes: {obstacle}"),
    }
    println!("\nwhat is built or fetched once is kept in {}", cache.display());
    Ok(())
}

fn tell_of(version: Version) {
    match presence(version) {
        Presence::Installed(name) => println!("ok      {version}: {name}"),
        Presence::Fetched => println!("later   {version} is fetched by the first test on it"),
        Presence::Absent(package) => println!(
            "absent  {version}, for the tests on it; apt-get install {package}, or name a server \
             by {}",
            settings::postgres_of(version)
        ),
    }
}
