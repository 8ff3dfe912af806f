//! Each alert of the charts fires when it should and not otherwise, by Prometheus' own evaluation
//! of the very rules that the charts install. The cases are in `admit_alerts/`, a file an alert.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use tests::command::run;
use tests::settings::Settings;
use tests::{chart, checkout, sessions, skip, tools};

#[tokio::test]
async fn every_alert_fires_when_it_should_and_only_then() -> Result<()> {
    if !tools::can_build() {
        skip::<()>("Helm is built with Go: install Go")?;
        return Ok(());
    }
    let enabled = ["--set", "prometheusRule.enabled=true"];
    evaluate(&chart::rendered(&enabled).await?).await?;
    let of_tests = [&enabled[..], &["--namespace", "tests"]].concat();
    evaluate(&sessions::chart::rendered(&of_tests).await?).await
}

async fn evaluate(objects: &[Value]) -> Result<()> {
    let rules = objects.iter().find(|object| object["kind"] == "PrometheusRule");
    let rules = rules.context("the chart has a PrometheusRule")?["spec"].clone();
    let cache = Settings::get()?.cache.clone();
    let promtool = tokio::task::spawn_blocking(move || tools::promtool(&cache)).await??;

    let folder = tempfile::tempdir()?;
    // JSON is YAML.
    fs::write(folder.path().join("rules.yaml"), rules.to_string())?;
    run(Command::new(&promtool).args(["check", "rules", "rules.yaml"]).current_dir(&folder))?;
    let mut tests = Vec::new();
    for alert in alerts(&rules) {
        let name = file_name(&alert);
        let cases = checkout::root().join("tests/tests/admit_alerts").join(&name);
        fs::copy(&cases, folder.path().join(&name))
            .with_context(|| format!("{alert} has no test {}", cases.display()))?;
        let mut command = Command::new(&promtool);
        command.args(["test", "rules", &name]).current_dir(&folder);
        tests.push(tokio::task::spawn_blocking(move || run(&mut command)));
    }
    assert!(!tests.is_empty(), "the chart has alerts");
    for test in tests {
        test.await??;
    }
    Ok(())
}

fn alerts(rules: &Value) -> Vec<String> {
    let groups = rules["groups"].as_array().into_iter().flatten();
    let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    rules.filter_map(|rule| rule["alert"].as_str()).map(str::to_owned).collect()
}

/// `PgsweepDryRunForgotten` is tested by `dry-run-forgotten.yaml`.
fn file_name(alert: &str) -> String {
    let mut name = String::new();
    for letter in alert.trim_start_matches("Pgsweep").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name + ".yaml"
}
