//! The operators of a case: the one that is to be killed, and the one that goes on after it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tests::api_proxy::{ApiProxy, Hold, Request};
use tests::operator::{Launch, Operator};
use tests::{chart, wait};

use super::scene::{PATIENCE, Scene};

/// An operator that has asked for nothing for so long has nothing to do: it looks at what moved
/// after a tenth of that.
const QUIET: Duration = Duration::from_secs(1);

/// Who goes on when an operator is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Succession {
    /// One that is started then, as kubelet does it.
    StartedAnew,
    /// A standby that waits for the lease.
    Standby,
}

/// One operator, behind a proxy of its own.
pub struct Worker {
    pub operator: Operator,
    pub proxy: ApiProxy,
}

/// The one that works, and the one that may go on after it.
pub struct Crew<'a> {
    scene: &'a Scene<'a>,
    succession: Succession,
    pub first: Worker,
    standby: Option<Worker>,
}

impl<'a> Crew<'a> {
    pub async fn start(scene: &'a Scene<'a>, succession: Succession) -> Result<Self> {
        if succession == Succession::StartedAnew {
            let first = worker(scene, alone(scene)).await?;
            return Ok(Self { scene, succession, first, standby: None });
        }
        may_lead(scene).await?;
        let first = worker(scene, in_election(scene, "first")).await?;
        wait_to_lead(&first).await?;
        let standby = Some(worker(scene, in_election(scene, "second")).await?);
        Ok(Self { scene, succession, first, standby })
    }

    /// Kills the first one where its proxy stops it, and notes that; returns the next one, at work.
    pub async fn succeed_at(&mut self, stop: Hold, killed: &Cell<bool>) -> Result<Worker> {
        self.first.operator.killed_at(stop).await?;
        killed.set(true);
        match (self.succession, self.standby.take()) {
            (Succession::Standby, Some(standby)) => {
                wait_to_lead(&standby).await?;
                Ok(standby)
            }
            _ => worker(self.scene, alone(self.scene)).await,
        }
    }
}

impl Worker {
    /// All that it has asked, but for its lease.
    fn asked(&self) -> usize {
        let all = self.proxy.requests();
        all.iter().filter(|request| request.resource != "leases").count()
    }

    /// Waits until it has nothing left to do.
    pub async fn rest(&self) -> Result<()> {
        let mut last = (self.asked(), Instant::now());
        let rest = wait::until("the operator to have nothing to do", PATIENCE, async || {
            let asked = self.asked();
            if asked != last.0 {
                last = (asked, Instant::now());
            }
            Ok((last.1.elapsed() >= QUIET).then_some(()))
        });
        self.explain(rest.await)
    }

    /// Adds what it asked and said to an error.
    pub fn explain<T>(&self, result: Result<T>) -> Result<T> {
        let writes = || {
            let writes = self.proxy.writes();
            let writes: String =
                writes.iter().map(|write: &Request| format!("{write}\n")).collect();
            format!("it wrote:\n{writes}")
        };
        self.operator.explain(result).with_context(writes)
    }
}

/// A preflight that is tried again by the clock would make another end each time.
fn alone(scene: &Scene<'_>) -> Launch {
    let launch = scene.bed.operator().watching(scene.namespace.name());
    launch.arguments(&["--preflight-retry", "1h"])
}

fn in_election(scene: &Scene<'_>, identity: &str) -> Launch {
    let name = scene.namespace.name();
    let identity = format!("{name}-{identity}");
    alone(scene).arguments(&["--lease-namespace", name, "--identity", &identity])
}

async fn worker(scene: &Scene<'_>, launch: Launch) -> Result<Worker> {
    let proxy = ApiProxy::start(scene.bed.cluster())?;
    let operator = launch.through(&proxy).ready().await?;
    Ok(Worker { operator, proxy })
}

/// The chart gives the right to a Lease in the operator's own namespace alone.
async fn may_lead(scene: &Scene<'_>) -> Result<()> {
    let verbs = "--verb=get,create,update";
    let resource = "--resource=leases.coordination.k8s.io";
    scene.kubectl(["create", "role", "leases", verbs, resource]).await?;
    let user = format!("--user={}", scene.bed.login().user());
    scene.kubectl(["create", "rolebinding", "leases", "--role=leases", &user]).await
}

async fn wait_to_lead(worker: &Worker) -> Result<()> {
    let led = wait::until("the operator to lead", PATIENCE, async || {
        let metrics = worker.operator.metrics().await?;
        Ok((chart::metric(&metrics, "pgsweep_operator_leader", &[]) >= 1.0).then_some(()))
    });
    worker.explain(led.await)
}
