//! `cargo xtask test`: every test that this machine can run, with everything that they need
//! started before and gone afterwards.
//!
//! Cluster and Postgres are tied to this process: however it ends, they end.

mod judge;
mod lanes;

use std::ffi::OsString;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};

use anyhow::{Context as _, Result, bail, ensure};
use local_postgres::{LocalPostgres, Version};
use tempfile::NamedTempFile;
use tests::cluster::{Cluster, Options};
use tests::image::build_release_images;
use tests::machine;
use tests::settings::{self, Settings};
use tests::tools::Kubernetes;
use tokio::signal::unix::{SignalKind, signal};

use crate::{process, workspace};
use lanes::Lane;

/// What `cargo xtask test` takes.
#[derive(clap::Args, Default)]
pub struct Args {
    /// Do not start Kubernetes: the tests that need it are skipped
    #[arg(long)]
    no_cluster: bool,
    /// The version of Kubernetes, 1.33 or 1.36; else the one of `PGSWEEP_KUBERNETES`, or the newest
    #[arg(long, value_name = "VERSION", conflicts_with = "no_cluster")]
    kubernetes: Option<Kubernetes>,
    /// Handed to `cargo test`: names of tests, `--package …`, `-- --nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo: Vec<String>,
}

/// Runs every test, also after one has failed.
const KEEP_GOING: &str = "--no-fail-fast";

impl Args {
    /// The whole suite, also after a test has failed.
    pub fn all() -> Self {
        Self { cargo: vec![KEEP_GOING.to_owned()], ..Self::default() }
    }

    fn is_whole(&self) -> bool {
        self.cargo.iter().all(|word| word == KEEP_GOING)
    }
}

/// What runs beside the tests.
struct Bed {
    cluster: Option<Cluster>,
    postgres: LocalPostgres,
    /// One more for each version that the first is not.
    versions: Vec<(Version, LocalPostgres)>,
}

/// Runs the tests; an error when one failed, or was skipped where CI does not allow it.
pub fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start a runtime")?;
    runtime.block_on(async {
        let settings = Settings::get()?;
        // The release binaries and those of the tests are two builds, neither of which fills a machine.
        let is_whole = args.is_whole();
        let compiled = tokio::task::spawn_blocking(move || compile(is_whole));
        let (bed, compiled) = tokio::join!(Bed::start(args, settings), compiled);
        let bed = bed?;
        if let Err(error) = compiled? {
            bed.stop().await?;
            return Err(error);
        }
        let audit = tempfile::tempdir().context("cannot make a folder for audit logs")?;
        let result = tests_on(&bed, args, settings, audit.path()).await;
        let verdict = match &bed.cluster {
            Some(cluster) => {
                let whole = result.is_ok() && args.is_whole();
                judge::judge(cluster, audit.path(), whole).await
            }
            None => Ok(()),
        };
        bed.stop().await?;
        result.and(verdict)
    })
}

impl Bed {
    async fn start(args: &Args, settings: &Settings) -> Result<Self> {
        let cluster = match (&settings.cluster, obstacle(args)) {
            (Some(state), _) => Some(with_images(attach(state, args).await?).await?),
            (None, None) => Some(with_images(start(args).await?).await?),
            (None, Some(obstacle)) => {
                println!("tests on Kubernetes are skipped: {obstacle}");
                None
            }
        };
        let postgres = start_postgres(cluster.as_ref(), settings).await?;
        let version = postgres.version().unwrap_or("a server of yours");
        println!("Postgres: {version}, {}", postgres.source());
        let versions = start_versions(&postgres, settings).await?;
        Ok(Self { cluster, postgres, versions })
    }

    /// One that was there before stays.
    async fn stop(self) -> Result<()> {
        self.postgres.stop()?;
        for (_, postgres) in self.versions {
            postgres.stop()?;
        }
        match self
            .cluster
            .filter(|_| Settings::get().is_ok_and(|settings| settings.cluster.is_none()))
        {
            Some(cluster) => cluster.stop().await,
            None => Ok(()),
        }
    }
}

fn obstacle(args: &Args) -> Option<&'static str> {
    if args.no_cluster { Some("--no-cluster") } else { machine::cluster_obstacle() }
}

async fn start(args: &Args) -> Result<Cluster> {
    let mut options = Options::from_environment()?;
    options.kubernetes = args.kubernetes.unwrap_or(options.kubernetes);
    options.is_judged = true;
    Cluster::start(options).await
}

/// Tests must not pass on another version than the one that was asked for.
async fn attach(state: &Path, args: &Args) -> Result<Cluster> {
    let cluster = Cluster::attach(state)?;
    if let Some(wanted) = args.kubernetes {
        let found = cluster.kubernetes().await?;
        ensure!(
            found == wanted,
            "{} names a cluster of Kubernetes {found}, not of {wanted}",
            settings::CLUSTER
        );
    }
    Ok(cluster)
}

/// Puts the very images of a release on the node: the tests run what users get.
async fn with_images(cluster: Cluster) -> Result<Cluster> {
    let target = workspace::target()?;
    let build = move || build_release_images(workspace::root(), &target);
    for image in tokio::task::spawn_blocking(build).await?? {
        cluster.load_image(&image.tar).await?;
    }
    Ok(cluster)
}

/// On loopback for the tests, and where the pods of the cluster reach it.
async fn start_postgres(cluster: Option<&Cluster>, settings: &Settings) -> Result<LocalPostgres> {
    let mut options = local_postgres::Options::new(&settings.cache);
    options.server_url.clone_from(&settings.postgres);
    if let Some(cluster) = cluster {
        options.listen_addresses.push(IpAddr::V4(cluster.host_address()));
    }
    tokio::task::spawn_blocking(move || LocalPostgres::start(&options)).await?
}

/// A server of each version beside the first one. What this machine cannot have the tests that need
/// it will say.
async fn start_versions(
    first: &LocalPostgres,
    settings: &Settings,
) -> Result<Vec<(Version, LocalPostgres)>> {
    let first = first.version().and_then(Version::of);
    let given = |version| settings.postgres_of.iter().any(|(other, _)| *other == version);
    let mut starts = Vec::new();
    for version in Version::ALL {
        if first == Some(version) || given(version) {
            continue;
        }
        let mut options = local_postgres::Options::new(&settings.cache);
        options.version = Some(version);
        let start = tokio::task::spawn_blocking(move || LocalPostgres::start(&options));
        starts.push((version, start));
    }
    let mut servers = Vec::new();
    for (version, start) in starts {
        match start.await? {
            Ok(server) => servers.push((version, server)),
            Err(error) => println!("tests on {version} are skipped: {error:#}"),
        }
    }
    Ok(servers)
}

/// What the tests need of cargo before the first of them.
fn compile(is_whole: bool) -> Result<()> {
    // Tests run the binaries as people do; `cargo test` alone does not build them.
    process::run(&mut process::cargo(["build", "--workspace", "--bins", "--locked"]))?;
    if is_whole {
        let tests = ["test", "--workspace", "--locked", "--no-run", "--quiet"];
        process::run(&mut process::cargo(tests))?;
    }
    Ok(())
}

async fn tests_on(bed: &Bed, args: &Args, settings: &Settings, audit: &Path) -> Result<()> {
    let skips = NamedTempFile::new().context("cannot make a file for skipped tests")?;
    let mut environment = vec![
        (settings::POSTGRES.to_owned(), bed.postgres.url("postgres").into()),
        (settings::SKIPS.to_owned(), skips.path().into()),
        (settings::AUDIT.to_owned(), audit.into()),
    ];
    let first = bed.postgres.version().and_then(Version::of);
    let first = first.map(|version| (version, &bed.postgres)).into_iter();
    for (version, server) in first.chain(bed.versions.iter().map(|(version, own)| (*version, own)))
    {
        environment.push((settings::postgres_of(version), server.url("postgres").into()));
    }
    if let Some(cluster) = &bed.cluster {
        environment.push((settings::CLUSTER.to_owned(), cluster.state().into()));
        // Tests that break a cluster start one of the same version.
        let version = cluster.kubernetes().await?;
        println!("Kubernetes: {version}");
        environment.push((settings::KUBERNETES.to_owned(), version.to_string().into()));
    }
    let result = if args.is_whole() {
        run_all(&environment).await
    } else {
        run_chosen(&args.cargo, &environment).await
    };
    let skipped = count_skipped(skips.path())?;
    println!("skipped tests: {skipped}");
    result?;
    if settings.ci && skipped > 0 {
        bail!("with CI=true no test may be skipped");
    }
    Ok(())
}

/// `cargo test` in an environment of the tests' servers.
fn cargo_test(environment: &[(String, OsString)]) -> Command {
    let mut command = process::cargo(["test", "--locked"]);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

/// What somebody asked for.
async fn run_chosen(arguments: &[String], environment: &[(String, OsString)]) -> Result<()> {
    let mut command = cargo_test(environment);
    if !arguments.iter().any(|word| word.starts_with("--package") || word.starts_with("-p")) {
        command.arg("--workspace");
    }
    // Most of a test's time is waiting for a cluster or a database.
    command.args(arguments).env("RUST_TEST_THREADS", "6");
    let shown = process::shown(&command);
    let status = run_until_signal(command.into()).await?;
    ensure!(status.success(), "`{shown}` failed ({status})");
    Ok(())
}

/// Everything, whatever fails.
async fn run_all(environment: &[(String, OsString)]) -> Result<()> {
    let [first, second] = lanes::all()?;
    println!("at the same time, shown at their end: {}", second.name);
    let (one, other) =
        tokio::join!(run_lane(&first, environment, false), run_lane(&second, environment, true));
    one.and(other)
}

/// Runs the tests of a lane. What is set aside is shown when they have all run.
async fn run_lane(
    lane: &Lane,
    environment: &[(String, OsString)],
    is_set_aside: bool,
) -> Result<()> {
    let mut failed = Vec::new();
    for arguments in &lane.arguments {
        let mut command = cargo_test(environment);
        command.args(["--workspace", KEEP_GOING]).args(arguments);
        command.env("RUST_TEST_THREADS", lane.threads);
        let output = NamedTempFile::new().context("cannot make a file for the tests' output")?;
        if is_set_aside {
            // Both write on at the same place, and not over each other.
            let file = output.reopen().context("cannot open the file of the tests' output")?;
            command.stdout(file.try_clone()?).stderr(file);
        }
        let status = run_until_signal(command.into()).await;
        let text = fs::read_to_string(output.path()).context("cannot read the tests' output")?;
        if !text.is_empty() {
            println!("\n── {}\n{text}\n── the others go on", lane.name);
        }
        let status = status?;
        if !status.success() {
            failed.push(status.to_string());
        }
    }
    ensure!(failed.is_empty(), "{} failed ({})", lane.name, failed.join(", "));
    Ok(())
}

fn count_skipped(skips: &Path) -> Result<usize> {
    let text = fs::read_to_string(skips).context("cannot read which tests were skipped")?;
    for line in text.lines() {
        println!("{line}");
    }
    Ok(text.lines().count())
}

/// In a group of its own, so that a Ctrl-C reaches us first and we end all of it: cargo would
/// leave the tests that it started.
async fn run_until_signal(mut command: tokio::process::Command) -> Result<ExitStatus> {
    let mut child =
        command.process_group(0).kill_on_drop(true).spawn().context("cannot start cargo")?;
    let group = child.id().context("cargo has no process id")?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        status = child.wait() => return Ok(status?),
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    println!("stopping …");
    let mut kill = process::program("sh");
    process::run(kill.args(["-c", "kill -TERM \"-$0\"", &group.to_string()]))?;
    child.wait().await?;
    bail!("the tests were interrupted");
}
