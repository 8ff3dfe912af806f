//! The connection of a run together with its place in the ledger: what makes a batch fenced and
//! counted, and what goes on when the connection is lost.

use std::time::{Duration, Instant};

use policy::{Execution, Policy};
use sqlx::{Postgres, Transaction};
use tokio_util::sync::CancellationToken;

use crate::args::RunArgs;
use crate::database::{self, Database, Purpose};
use crate::failure::{Failure, FailureKind};
use crate::ledger::begin::{self, Begun};
use crate::ledger::close::Closing;
use crate::ledger::{BatchRecord, Ledger, RuleProgress};
use crate::measure::Held;

/// How long a fresh connection may take when the process was asked to end.
const FRESH_CONNECTION: Duration = Duration::from_secs(1);

/// A run that has begun in the ledger.
pub struct Session<'a> {
    /// The one connection.
    pub database: Database,
    ledger: Ledger,
    args: &'a RunArgs,
    cancelled: &'a CancellationToken,
    /// The server process of the last batch.
    process: Option<i32>,
    /// Whether a statement was left alone on the connection, so that nothing else can use it.
    abandoned: bool,
}

/// The transaction of one batch: fenced from its first statement on, and committed only with its
/// record. Dropped, it changes nothing.
pub struct FencedBatch<'a> {
    transaction: Transaction<'a, Postgres>,
    ledger: &'a Ledger,
}

impl<'a> FencedBatch<'a> {
    /// For the statements between the fence and the record.
    pub fn transaction(&mut self) -> &mut Transaction<'a, Postgres> {
        &mut self.transaction
    }

    /// The same, and the ledger, for what a batch writes there besides its record.
    pub fn with_ledger(&mut self) -> (&mut Transaction<'a, Postgres>, &Ledger) {
        (&mut self.transaction, self.ledger)
    }

    /// Records the batch and commits it. An error that is `Unavailable` leaves open whether it was
    /// committed: [`Session::recover`] knows.
    pub async fn commit(mut self, record: &BatchRecord<'_>) -> Result<(), Failure> {
        self.ledger.record(&mut self.transaction, record).await?;
        Ok(self.transaction.commit().await?)
    }

    /// Undoes it.
    pub async fn rollback(self) -> Result<(), Failure> {
        Ok(self.transaction.rollback().await?)
    }
}

impl<'a> Session<'a> {
    /// A run that has just begun over this connection.
    pub fn new(
        database: Database,
        ledger: Ledger,
        args: &'a RunArgs,
        cancelled: &'a CancellationToken,
    ) -> Self {
        Self { database, ledger, args, cancelled, process: None, abandoned: false }
    }

    /// The run, as rows that it archives name it.
    pub fn run_id(&self) -> &str {
        self.ledger.run_id()
    }

    /// Begins a batch: its settings, then the fence.
    pub async fn batch(&mut self, execution: &Execution) -> Result<FencedBatch<'_>, Failure> {
        let mut transaction = self.database.begin(Purpose::Change, execution).await?;
        self.process = Some(self.ledger.hold(&mut transaction).await?);
        Ok(FencedBatch { transaction, ledger: &self.ledger })
    }

    /// Begins a look at tables and ledger, which changes nothing.
    pub async fn look(
        &mut self,
        execution: &Execution,
    ) -> Result<(Transaction<'_, Postgres>, &Ledger), Failure> {
        let snapshot = self.database.begin(Purpose::Measure, execution).await?;
        Ok((snapshot, &self.ledger))
    }

    /// Keeps the lease in a pause.
    pub async fn renew(&mut self) -> Result<(), Failure> {
        self.renew_for(Duration::ZERO).await
    }

    /// Keeps the lease before something that may take so long.
    pub async fn renew_for(&mut self, longest: Duration) -> Result<(), Failure> {
        self.ledger.renew(&mut self.database, longest).await
    }

    /// Keeps what the rules held at the start; see [`Ledger::measured`].
    pub async fn measured(&mut self, held: &[Held]) -> Result<Vec<RuleProgress>, Failure> {
        self.ledger.measured(&mut self.database, held).await
    }

    /// A statement was left alone on the connection: the next that needs one gets another.
    pub fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// Whether a statement was left alone.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Connects again, for as long as a run tries to connect and as the run has time, and returns
    /// what was committed.
    pub async fn recover(&mut self, deadline: Instant) -> Result<Vec<RuleProgress>, Failure> {
        let end = deadline.min(Instant::now() + self.args.connect.connect_timeout);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            self.database = connect(self.args, left, self.cancelled).await?;
            match self.ledger.rejoin(&mut self.database).await {
                Ok(progress) => return Ok(progress),
                Err(failure)
                    if failure.kind == FailureKind::Unavailable && Instant::now() < end =>
                {
                    tracing::warn!(error = %failure, "the connection was lost again, connecting again");
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Begins the end of the run, on another connection when this one cannot be used.
    pub async fn closing(&mut self) -> Result<Closing<'_>, Failure> {
        if self.abandoned {
            self.replace_connection().await?;
        }
        self.ledger.closing(&mut self.database).await
    }

    /// After a close whose end nobody heard: connects again; whether it was committed.
    pub async fn is_closed(&mut self) -> Result<bool, Failure> {
        self.ledger.is_closed(&mut self.database).await
    }

    /// Connects again to close the run once more.
    pub async fn reconnect(&mut self) -> Result<(), Failure> {
        self.database =
            connect(self.args, self.args.connect.connect_timeout, self.cancelled).await?;
        Ok(())
    }

    /// Frees the lease alone, where the run could not be closed.
    pub async fn free(&mut self) -> Result<(), Failure> {
        if self.abandoned {
            self.replace_connection().await?;
        }
        self.ledger.free(&mut self.database).await
    }

    /// A statement that was left alone goes on at the server and holds the fence: it is cancelled
    /// there.
    async fn replace_connection(&mut self) -> Result<(), Failure> {
        // The process is asked to end; the old token would refuse every connection.
        let token = CancellationToken::new();
        self.database = connect(self.args, FRESH_CONNECTION, &token).await?;
        if let Some(process) = self.process.take() {
            database::cancel(&mut self.database, process).await?;
        }
        self.abandoned = false;
        Ok(())
    }

    /// Closes the connection politely.
    pub async fn close(self) {
        self.database.close().await;
    }
}

/// Connects to the database of the run.
pub async fn connect(
    args: &RunArgs,
    patience: Duration,
    cancelled: &CancellationToken,
) -> Result<Database, Failure> {
    Database::connect(&args.connect.address()?, patience, cancelled).await
}

/// Begins the run in the ledger. Asked to end meanwhile, it takes back what it may have begun.
pub async fn begin(
    database: &mut Database,
    args: &RunArgs,
    policy: &Policy,
    run_id: &str,
    cancelled: &CancellationToken,
) -> Result<Option<Begun>, Failure> {
    tokio::select! {
        begun = begin::begin(database, policy, run_id) => return begun.map(Some),
        () = cancelled.cancelled() => {}
    }
    let freed = async {
        let token = CancellationToken::new();
        let mut fresh = connect(args, FRESH_CONNECTION, &token).await?;
        begin::free(&mut fresh, &policy.name().to_string(), run_id).await
    };
    if let Ok(Err(failure)) = tokio::time::timeout(2 * FRESH_CONNECTION, freed).await {
        tracing::warn!(error = %failure, "the lease could not be freed; it ends by itself");
    }
    Ok(None)
}
