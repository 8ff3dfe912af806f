//! Who works, when several operators run: the one that holds the Lease. It
//! renews it every 2 s. After 10 s without success it is over: the [`gate`]
//! is shut by then, and the process ends. After 15 s another takes it.
//!
//! Nothing here looks at what the operator does with its time; why it is like
//! this is told in `docs/adr/0013-leader-election.md`.

mod election;
mod gate;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use policy::FIELD_MANAGER;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::controller::{chain, refusal};
use election::{Election, Next, RENEW};

pub use gate::{Gate, Keeper};

/// Between two renewals, at most; jitter takes up to half of it away.
const RETRY: Duration = Duration::from_secs(2);
/// Between two looks of one that stands by, likewise: of two seconds after a leader has gone this
/// one is for noticing it.
const LOOK: Duration = Duration::from_secs(1);
/// How long one request to the Lease may take, so that a renewal has a second chance.
pub const PATIENCE: Duration = Duration::from_secs(4);
/// How long the end of the process waits for the Lease to be given back.
const FAREWELL: Duration = Duration::from_secs(4);
/// The second write is for what a conflict told us.
const WRITES_A_TURN: u32 = 2;

/// Why this operator does not lead any more.
#[derive(Debug, Error)]
pub enum LeaderError {
    #[error("lost the lease: it could not be renewed for {} s", RENEW.as_secs())]
    Silence,
    #[error("lost the lease to {holder}")]
    Overtaken { holder: String },
}

/// Why a turn brought nothing. The next one may.
#[derive(Debug, Error)]
enum TurnError {
    #[error("failed to read the lease")]
    Read(#[source] Box<kube::Error>),
    #[error("failed to write the lease")]
    Write(#[source] Box<kube::Error>),
}

/// What a turn came to.
enum Turn {
    Leads,
    Waits,
    Lost(LeaderError),
}

/// Takes part in the election.
pub struct Candidate {
    api: Api<Lease>,
    election: Election,
    keeper: Keeper,
    clock: fn() -> Timestamp,
    /// It has tried to take the Lease, and may have done so without knowing.
    may_hold: bool,
    /// Turns that failed since one did not.
    failures: u32,
    /// Who holds the lease, as it was last logged.
    told: Option<String>,
}

impl Candidate {
    /// `identity` must be nobody else's; `client` must not be bound to the gate of `keeper`.
    pub fn new(
        client: Client,
        lease: LeaseName,
        identity: String,
        keeper: Keeper,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            api: Api::namespaced(client, &lease.namespace),
            election: Election::new(lease.name, identity),
            keeper,
            clock,
            may_hold: false,
            failures: 0,
            told: None,
        }
    }

    /// Takes the Lease when it is free and this operator is `ready` to work, and holds it until all
    /// work is `done`; then gives it back. Ends with an error when it is lost: then nothing may go
    /// on.
    pub async fn run(
        mut self,
        ready: &CancellationToken,
        done: &CancellationToken,
    ) -> Result<(), LeaderError> {
        tokio::select! {
            () = ready.cancelled() => {}
            () = done.cancelled() => return Ok(()),
        }
        let lost = self.hold(done).await;
        self.keeper.shut();
        if let Some(error) = lost {
            return Err(error);
        }
        if !self.may_hold {
            return Ok(());
        }
        match tokio::time::timeout(FAREWELL, self.give_back()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!("others must wait until the lease is over: {}", chain(&error));
            }
            Err(_) => tracing::warn!("others must wait until the lease is over"),
        }
        Ok(())
    }

    /// Until all work is done, or the Lease is lost. The Lease alone is asked for in its own time,
    /// whatever the API server says of later: a leader that waits for longer is none any more.
    async fn hold(&mut self, done: &CancellationToken) -> Option<LeaderError> {
        loop {
            let most = if self.election.held_until().is_some() { RETRY } else { LOOK };
            let next = Instant::now() + most.mul_f64(1.0 - rand::random::<f64>() / 2.0);
            // Time comes first: after a long pause of this process more than one may be over.
            tokio::select! {
                biased;
                () = over(self.election.held_until()) => return Some(LeaderError::Silence),
                () = done.cancelled() => return None,
                turn = self.turn() => {
                    if let Some(error) = self.judge(turn) {
                        return Some(error);
                    }
                }
            }
            tokio::select! {
                biased;
                () = over(self.election.held_until()) => return Some(LeaderError::Silence),
                () = done.cancelled() => return None,
                () = tokio::time::sleep_until(next.into()) => {}
            }
        }
    }

    /// Who leads knows the Lease's version, and renews without looking.
    async fn turn(&mut self) -> Result<Turn, TurnError> {
        if self.election.held_until().is_none() {
            self.look().await?;
        }
        for _ in 0..WRITES_A_TURN {
            let began = Instant::now();
            // By the clock: after a long pause of this process its timers do not know yet.
            if self.election.held_until().is_some_and(|until| until <= began) {
                return Ok(Turn::Lost(LeaderError::Silence));
            }
            let lease = match self.election.next(began, (self.clock)()) {
                Next::Wait => return Ok(Turn::Waits),
                Next::Yield { holder } => {
                    return Ok(Turn::Lost(LeaderError::Overtaken { holder }));
                }
                Next::Write(lease) => lease,
            };
            self.may_hold = true;
            match self.write(&lease).await {
                Ok(written) => {
                    self.election.wrote(written, began);
                    return Ok(Turn::Leads);
                }
                // Somebody was faster, or edited or deleted it.
                Err(error) if refusal::is_stale(&error) => self.look().await?,
                Err(error) => return Err(TurnError::Write(Box::new(error))),
            }
        }
        Ok(Turn::Waits)
    }

    fn judge(&mut self, turn: Result<Turn, TurnError>) -> Option<LeaderError> {
        match turn {
            Ok(Turn::Lost(error)) => return Some(error),
            Ok(Turn::Leads) => {
                if let Some(until) = self.election.held_until() {
                    self.keeper.open_until(until);
                }
                self.failures = 0;
            }
            Ok(Turn::Waits) => self.failures = 0,
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                // One that goes on is told now and then, and not at each try.
                if self.failures.is_power_of_two() {
                    tracing::warn!(kind = error.kind(), "{}", chain(&error));
                }
            }
        }
        self.tell();
        None
    }

    /// Logs who holds the Lease, when that is news.
    fn tell(&mut self) {
        let holder = self.election.holder().map(str::to_owned);
        if holder == self.told {
            return;
        }
        match &holder {
            Some(_) if self.election.held_until().is_some() => tracing::info!("holds the lease"),
            Some(holder) => tracing::info!(holder, "stands by: another operator holds the lease"),
            None => {}
        }
        self.told = holder;
    }

    async fn look(&mut self) -> Result<(), TurnError> {
        let found = self.api.get_opt(self.election.name()).await;
        let found = found.map_err(|error| TurnError::Read(Box::new(error)))?;
        self.election.see(found, Instant::now());
        Ok(())
    }

    async fn write(&self, lease: &Lease) -> kube::Result<Lease> {
        let parameters =
            PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        if lease.metadata.resource_version.is_some() {
            self.api.replace(self.election.name(), &parameters, lease).await
        } else {
            self.api.create(&parameters, lease).await
        }
    }

    /// Looks first: a write may have been cut off when the work was done.
    async fn give_back(&mut self) -> Result<(), TurnError> {
        for _ in 0..WRITES_A_TURN {
            self.look().await?;
            let Some(lease) = self.election.give_back((self.clock)()) else { return Ok(()) };
            match self.write(&lease).await {
                Err(error) if refusal::is_stale(&error) => {}
                result => {
                    result.map_err(|error| TurnError::Write(Box::new(error)))?;
                    tracing::info!("gave the lease back");
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

impl TurnError {
    fn kind(&self) -> &'static str {
        match self {
            TurnError::Read(_) => "ReadLease",
            TurnError::Write(_) => "WriteLease",
        }
    }
}

/// Which Lease.
pub struct LeaseName {
    pub namespace: String,
    pub name: String,
}

/// Returns at that time; never, where there is none.
async fn over(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}
