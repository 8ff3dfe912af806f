//! The operator's process: how it is started, its memory, and who leads.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use kube::Client;
use tests::operator::{Launch, Login, Operator};
use tests::{Cluster, chart, wait};

use super::fleet::Fleet;
use super::sight::Sight;
use crate::bench::figures::Figures;

/// Ten thousand policies on a slow machine.
pub const LONG: Duration = Duration::from_mins(30);
/// A scrape of ten thousand policies is work for the operator: to ask all the time would be measured
/// as its own.
const LOOK: Duration = Duration::from_secs(2);

/// What is measured on.
pub struct Bench {
    pub cluster: Cluster,
    pub login: Login,
    /// The release binary.
    pub program: PathBuf,
}

impl Bench {
    /// An operator as a release has it.
    pub fn launch(&self) -> Launch {
        Launch::new(&self.login).program(&self.program)
    }

    /// One that elects a leader.
    pub fn candidate(&self) -> Launch {
        self.launch().arguments(&["--lease-namespace", chart::NAMESPACE])
    }

    /// An administrator.
    pub async fn client(&self) -> Result<Client> {
        let config = self.cluster.client_config().await?;
        Client::try_from(config).context("failed to set up a client")
    }
}

/// Waits until the operator has come to the end of so many reconciles: after a restart, when there
/// is nothing to write, one for each policy.
pub async fn reconciled(operator: &Operator, policies: usize) -> Result<()> {
    #[expect(clippy::cast_precision_loss, reason = "a count of objects")]
    let wanted = policies as f64;
    wait::until("the operator to have looked at all policies", LONG, async || {
        tokio::time::sleep(LOOK).await;
        let page = operator.metrics().await?;
        let done = chart::metric(&page, "pgsweep_operator_reconcile_total", &[("result", "ok")]);
        Ok((done >= wanted).then_some(()))
    })
    .await
}

/// `VmRSS`, and the most that it ever was.
pub fn memory(operator: &Operator) -> Result<String> {
    let path = format!("/proc/{}/status", operator.pid()?);
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let kib = |field: &str| -> Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let word = line.and_then(|line| line.split_whitespace().next());
        word.with_context(|| format!("{path} has no {field}"))?.parse().context("a number")
    };
    let (now, most) = (kib("VmRSS:")? / 1024, kib("VmHWM:")? / 1024);
    Ok(format!("{now} MiB, at most {most} MiB"))
}

/// A leader that is killed, then one that is asked to end: until the other has done an edit.
pub async fn lead_again(fleet: &Fleet, bench: &Bench, figures: &mut Figures) -> Result<()> {
    let sight = Sight::of_cron_jobs(&bench.client().await?).await?;
    let mut first = bench.candidate().ready().await?;
    reconciled(&first, fleet.len()).await?;
    let second = bench.candidate().ready().await?;
    first.kill().await?;
    let begun = Instant::now();
    fleet.edit(0, &sight).await?;
    let took = begun.elapsed().as_secs_f64();
    figures.add(
        "O5 leader killed, until the other has done an edit",
        "<= 20 s",
        format!("{took:.1} s"),
    );

    let mut second = second;
    reconciled(&second, fleet.len()).await?;
    let third = bench.candidate().ready().await?;
    let begun = Instant::now();
    second.term().await?;
    fleet.edit(1, &sight).await?;
    let took = begun.elapsed().as_secs_f64();
    figures.add("O5 the same at SIGTERM", "<= 2 s", format!("{took:.1} s"));
    drop(third);
    Ok(())
}

/// The processor time that it has used, in seconds.
pub fn processor(operator: &Operator) -> Result<f64> {
    /// Of Linux, on every architecture (`proc_pid_stat(5)`, `sysconf(3)`).
    const TICKS: f64 = 100.0;
    let path = format!("/proc/{}/stat", operator.pid()?);
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    // The second field is the name in brackets; `utime` and `stime` are the 14th and 15th.
    let (_, fields) = text.rsplit_once(')').with_context(|| format!("{path} has no name"))?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>().context("not numbers")? / TICKS)
}
