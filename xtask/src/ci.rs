//! `cargo xtask ci`: what every change must pass, in the order of how soon it can fail.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tests::settings::Settings;

use crate::process::{cargo, program, run};
use crate::{check, deny, test, workspace};

/// Runs every step; the first that fails ends it.
pub fn run_all() -> Result<()> {
    let cache = Settings::get()?.cache.clone();
    let mut timing = Timing::default();
    let result = steps(&cache, &mut timing);
    timing.print();
    result
}

fn steps(cache: &Path, timing: &mut Timing) -> Result<()> {
    timing.step("format", || run(&mut cargo(["fmt", "--all", "--check"])))?;
    timing.step("clippy", || {
        let arguments = ["clippy", "--workspace", "--all-targets", "--locked", "--quiet"];
        run(cargo(arguments).args(["--", "--deny", "warnings"]))
    })?;
    timing.step("docs", || {
        let mut doc = cargo(["doc", "--workspace", "--no-deps", "--locked", "--quiet"]);
        run(doc.arg("--document-private-items").env("RUSTDOCFLAGS", "--deny warnings"))
    })?;
    timing.step("licences, bans, sources", || deny::run(cache))?;
    timing.step("check", check::run)?;
    timing.step("charts", || CHARTS.iter().try_for_each(|chart| lint_chart(cache, chart)))?;
    // One that fails must not hide the others: a run takes long.
    timing.step("test", || test::run(&test::Args::all()))
}

const CHARTS: [&str; 2] = ["charts/pgsweep", "charts/session-api"];

/// `helm lint` and `helm template` of a chart with each scenario under its `ci/`.
fn lint_chart(cache: &Path, chart: &str) -> Result<()> {
    let helm = tests::tools::helm(cache)?;
    let scenarios =
        workspace::files(&format!("{chart}/ci"), |path| workspace::has_extension(path, "yaml"))?;
    for scenario in scenarios {
        println!("helm lint {chart} --values {}", scenario.display());
        for verb in [&["lint", "--strict", "--quiet"][..], &["template", "release"][..]] {
            let mut command = program(&helm);
            command.args(verb).arg(chart).arg("--values").arg(&scenario);
            let output = command.output().context("cannot start helm")?;
            anyhow::ensure!(
                output.status.success(),
                "helm {} failed with {}:\n{}{}",
                verb.first().copied().unwrap_or_default(),
                scenario.display(),
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    Ok(())
}

#[derive(Default)]
struct Timing {
    steps: Vec<(&'static str, Duration, bool)>,
}

impl Timing {
    fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n── {name}");
        let begin = Instant::now();
        let result = work();
        self.steps.push((name, begin.elapsed(), result.is_ok()));
        result.with_context(|| format!("step \"{name}\" failed"))
    }

    fn print(&self) {
        println!("\n── how long each step took");
        for (name, time, passed) in &self.steps {
            let verdict = if *passed { "ok" } else { "FAILED" };
            println!("{:>8.1} s  {verdict:<6}  {name}", time.as_secs_f64());
        }
        let total: Duration = self.steps.iter().map(|(_, time, _)| *time).sum();
        println!("{:>8.1} s  in all", total.as_secs_f64());
    }
}
