//! The programs beside the cluster do what the other tests rely on.

use std::fs;
use std::process::Command;

use anyhow::Result;
use tests::command::run;
use tests::settings::Settings;
use tests::tools;

const RULES: &str = "
groups:
  - name: probe
    rules:
      - alert: Down
        expr: up == 0
        for: 5m
";

/// The rules' own test; `expected` is what is to be firing after eight minutes.
fn test_of_rules(expected: &str) -> String {
    format!(
        "
rule_files: [rules.yaml]
tests:
  - interval: 1m
    input_series:
      - series: up{{job=\"probe\"}}
        values: 1 0x9
    alert_rule_test:
      - eval_time: 8m
        alertname: Down
        exp_alerts: {expected}
"
    )
}

#[tokio::test]
async fn promtool_tells_whether_an_alert_fires() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("rules.yaml"), RULES)?;
    let cache = Settings::get()?.cache.clone();
    let promtool = tokio::task::spawn_blocking(move || tools::promtool(&cache)).await??;
    let test = |expected: &str| -> Result<String> {
        fs::write(folder.path().join("test.yaml"), test_of_rules(expected))?;
        run(Command::new(&promtool).args(["test", "rules", "test.yaml"]).current_dir(&folder))
    };
    test("[{ exp_labels: { job: probe } }]")?;
    let wrong = format!("{:#}", test("[]").unwrap_err());
    assert!(wrong.contains("FAILED"), "{wrong}");
    Ok(())
}
