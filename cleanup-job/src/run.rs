//! One run: `load → validate → plan → execute → report`.

mod close;
pub mod outcome;
pub mod session;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use policy::{Mode, Plan, Policy, Problem, RunReport, RunResult, Statement};
use tokio_util::sync::CancellationToken;

use crate::args::RunArgs;
use crate::database::{self, Database, Purpose};
use crate::execute::{Context, Done, ReplicaLag, execute};
use crate::exit::Exit;
use crate::failure::{Failure, FailureKind};
use crate::ledger::begin::{Begun, Tenure};
use crate::ledger::install::{self, Unready};
use crate::ledger::{Fingerprint, RuleProgress};
use crate::load::{self, Source};
use crate::measure::{self, Held};
use crate::output;
use crate::preflight::{self, Refusal};
use crate::progress::Progress;

use outcome::{Ending, Outcome};
use session::Session;

/// How long the count of what is left may take, after the work is done.
const LEFT_OVER_PATIENCE: Duration = Duration::from_mins(1);

/// The same when the process was asked to end: the report must come out in time.
const CANCELLED_PATIENCE: Duration = Duration::from_millis(750);

/// `pgsweep run`.
pub async fn run(args: &RunArgs, cancelled: CancellationToken) -> Exit {
    let policies = match checked_policies(args) {
        Ok(policies) => policies,
        Err(exit) => return exit,
    };
    let mut worst = Exit::Done;
    for policy in policies {
        let (report, exit) = run_policy(args, &policy, &cancelled).await;
        output::report(args, &report, exit);
        worst = worst.worst(exit);
        if cancelled.is_cancelled() {
            break;
        }
    }
    worst
}

/// Every policy, or none: with several documents one bad one stops all.
fn checked_policies(args: &RunArgs) -> Result<Vec<Policy>, Exit> {
    let sources = load::sources(&args.policies).map_err(|error| {
        output::nothing_to_run(args, &format!("{error:#}"));
        Exit::Wrong
    })?;
    let checked: Vec<_> = sources.iter().map(Source::policy).collect();
    if checked.iter().any(Result::is_err) {
        for (source, checked) in sources.iter().zip(&checked) {
            output::report(args, &not_run(args, source, checked), Exit::Wrong);
        }
        return Err(Exit::Wrong);
    }
    let as_asked =
        |policy: Policy| if args.dry_run { policy.with_mode(Mode::DryRun) } else { policy };
    Ok(checked.into_iter().flatten().map(as_asked).collect())
}

fn not_run(args: &RunArgs, source: &Source, checked: &Result<Policy, Vec<Problem>>) -> RunReport {
    let mode = if args.dry_run { Mode::DryRun } else { source.mode() };
    match checked {
        Ok(_) => {
            let message = "another policy of the same call is wrong".to_owned();
            outcome::not_run(source.name(), mode, RunResult::Skipped, message)
        }
        Err(problems) => {
            let message = format!("the policy is wrong: {}", output::joined(problems));
            outcome::not_run(source.name(), mode, RunResult::Failed, message)
        }
    }
}

async fn run_policy(
    args: &RunArgs,
    policy: &Policy,
    cancelled: &CancellationToken,
) -> (RunReport, Exit) {
    let began = Instant::now();
    let run_id = args.job.uid().map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
    tracing::info!(
        policy.namespace = policy.name().namespace,
        policy.name = policy.name().name,
        mode = policy.mode().as_str(),
        rules_hash = policy.rules_hash(),
        run_id,
        "run begins"
    );
    let call = Call { args, policy, cancelled };
    let mut outcome = Outcome::new(policy, run_id);
    let exit = match policy.mode() {
        Mode::DryRun => {
            let counted = call.count(&mut outcome).await;
            outcome.took(began.elapsed());
            match counted {
                Ok(()) => outcome.conclude(),
                Err(ending) => outcome.end(ending, cancelled.is_cancelled()),
            }
        }
        Mode::Enforce => match call.begin(&mut outcome).await {
            Ok((session, tenure)) => call.carry_out(session, tenure, &mut outcome).await,
            Err(ending) => {
                outcome.took(began.elapsed());
                outcome.end(ending, cancelled.is_cancelled())
            }
        },
    };
    (outcome.into_report(), exit)
}

/// One run as it was called for.
struct Call<'a> {
    args: &'a RunArgs,
    policy: &'a Policy,
    cancelled: &'a CancellationToken,
}

/// What was planned and counted before the first row.
struct Measured {
    plan: Plan,
    held: Vec<Held>,
    fingerprints: Vec<Fingerprint>,
}

/// What was carried out, and what the rules still hold.
pub struct Executed {
    /// An entry for each rule.
    pub done: Vec<Done>,
    /// The same, where that could be counted.
    pub left: Vec<Option<Held>>,
    /// The row that the policy wants about a run that has concluded.
    pub report_row: Option<Statement>,
    /// Database time at the start of the run.
    pub now: Timestamp,
}

impl<'a> Call<'a> {
    /// Says what is to be known of the connection, and what is wrong with URL or CA, once: they are
    /// the same whenever the run has to connect again.
    fn read_address(&self, outcome: &mut Outcome) -> Result<(), Ending> {
        let Self { args, policy, .. } = *self;
        let address = args.connect.address_for(policy, &args.job)?;
        outcome.connecting(&address.announce());
        Ok(())
    }

    /// A dry run: no ledger, no write.
    async fn count(&self, outcome: &mut Outcome) -> Result<(), Ending> {
        self.read_address(outcome)?;
        let mut database =
            session::connect(self.args, self.args.connect.connect_timeout, self.cancelled).await?;
        tokio::select! {
            measured = measured(&mut database, self.policy, None, outcome) => measured?,
            // A count can be long, and nothing has changed yet.
            () = self.cancelled.cancelled() => return Err(Ending::Cancelled),
        };
        database.close().await;
        Ok(())
    }

    /// Begins in the ledger, which is made on the way where it is missing.
    async fn begin(&self, outcome: &mut Outcome) -> Result<(Session<'a>, Tenure), Ending> {
        self.read_address(outcome)?;
        let Self { args, policy, cancelled, .. } = *self;
        let mut database = session::connect(args, args.connect.connect_timeout, cancelled).await?;
        let changed: Vec<_> = policy.rules().iter().map(policy::Rule::table).collect();
        let ready = tokio::select! {
            ready = install::ensure(&mut database, &changed) => ready,
            // It may wait for another that makes the ledger, and has done nothing that is not undone.
            () = cancelled.cancelled() => return Err(Ending::Cancelled),
        };
        match ready {
            Ok(()) => {}
            Err(Unready::Failed(failure)) => return Err(failure.into()),
            Err(Unready::Lines { message, lines }) => {
                output::lines_for_owner(&lines);
                return Err(self.not_granted(&mut database, message).await);
            }
        }
        let run_id = outcome.run_id();
        match session::begin(&mut database, args, policy, run_id, cancelled).await? {
            None => Err(Ending::Cancelled),
            Some(Begun::LockHeld) => Err(Ending::LockHeld),
            Some(Begun::Held(reason)) => Err(Ending::Held(reason)),
            Some(Begun::Run(tenure)) => {
                outcome.began(tenure.now);
                outcome.entered(&tenure);
                let session = Session::new(database, tenure.ledger.clone(), args, cancelled);
                Ok((session, *tenure))
            }
        }
    }

    /// The role lacks something on the ledger: whoever gives it should hear in one go what it lacks
    /// on the tables of the rules.
    async fn not_granted(&self, database: &mut Database, message: String) -> Ending {
        let problems = async {
            let mut snapshot = database.begin(Purpose::Measure, self.policy.execution()).await?;
            let now = database::now(&mut snapshot).await?;
            preflight::plan(&mut snapshot, self.policy, now).await
        };
        match problems.await {
            Err(Refusal::Schema(problems)) => Ending::NotGranted { message, problems },
            Ok(_) | Err(Refusal::Failed(_)) => Ending::NotGranted { message, problems: Vec::new() },
        }
    }

    /// The run itself, and its end in the ledger however it ends.
    async fn carry_out(
        &self,
        mut session: Session<'_>,
        tenure: Tenure,
        outcome: &mut Outcome,
    ) -> Exit {
        // The budget is of all attempts, by the database's clock, and not of the wait before them.
        let entered = Instant::now();
        let budget = self.policy.execution().max_duration.duration();
        let deadline = entered + budget.saturating_sub(tenure.elapsed);
        let steps = self.steps(&mut session, &tenure, deadline, outcome).await;
        outcome.took(tenure.elapsed + entered.elapsed());
        let exit = close::close(&mut session, steps, outcome, self.cancelled).await;
        session.close().await;
        exit
    }

    async fn steps(
        &self,
        session: &mut Session<'_>,
        tenure: &Tenure,
        deadline: Instant,
        outcome: &mut Outcome,
    ) -> Result<Executed, Ending> {
        let Self { policy, cancelled, .. } = *self;
        let now = tenure.now;
        let counted = async {
            match counted(session, policy, now, outcome).await {
                Err(Ending::Refused(Refusal::Failed(failure)))
                    if failure.kind == FailureKind::Unavailable =>
                {
                    tracing::warn!(error = %failure, "the connection was lost, connecting again");
                    session.recover(deadline).await?;
                    counted(session, policy, now, outcome).await
                }
                counted => counted,
            }
        };
        let counted = tokio::select! {
            counted = counted => Some(counted?),
            () = cancelled.cancelled() => None,
        };
        let Some((Measured { plan, held, fingerprints }, before)) = counted else {
            session.abandon();
            return Err(Ending::Cancelled);
        };
        outcome.recorded(&before);
        let progress = Progress::new(held.iter().map(|held| held.rows).sum());
        let mut context = Context {
            session,
            before: &before,
            fingerprints: &fingerprints,
            execution: policy.execution(),
            now,
            lag: ReplicaLag::new(policy.execution().max_replica_lag.duration()),
            deadline,
            cancelled,
            progress: &progress,
        };
        let done = execute(&mut context, policy, &plan).await;
        progress.end();
        let left = left_over(session, policy, &plan, now, &done, cancelled).await;
        Ok(Executed { done, left, report_row: plan.report_row(), now })
    }
}

/// Measures, and keeps that; what earlier attempts did comes with it.
async fn counted(
    session: &mut Session<'_>,
    policy: &Policy,
    now: Timestamp,
    outcome: &mut Outcome,
) -> Result<(Measured, Vec<RuleProgress>), Ending> {
    let measured = measured(&mut session.database, policy, Some(now), outcome).await?;
    let before = session.measured(&measured.held).await?;
    Ok((measured, before))
}

/// Plans and counts in one read-only snapshot, and lets the guards speak, before any row changes.
async fn measured(
    database: &mut Database,
    policy: &Policy,
    now: Option<Timestamp>,
    outcome: &mut Outcome,
) -> Result<Measured, Ending> {
    let mut snapshot = database.begin(Purpose::Measure, policy.execution()).await?;
    let now = match now {
        Some(now) => now,
        None => database::now(&mut snapshot).await?,
    };
    outcome.began(now);
    let plan = preflight::plan(&mut snapshot, policy, now).await?;
    preflight::log(&plan);
    let held = measure::held(&mut snapshot, &plan, now).await?;
    outcome.measured(&plan, &held);
    let verdict = measure::guard_verdict(&mut snapshot, &plan, &held, now).await?;
    let fingerprints = measure::fingerprints(&mut snapshot, policy.mode(), &plan).await?;
    snapshot.commit().await.map_err(Failure::from)?;
    match verdict {
        Some((rule, message)) => Err(Ending::Guarded { rule, message }),
        None => Ok(Measured { plan, held, fingerprints }),
    }
}

/// What each rule still holds; where that cannot be counted any more, what the numbers say.
async fn left_over(
    session: &mut Session<'_>,
    policy: &Policy,
    plan: &Plan,
    now: Timestamp,
    done: &[Done],
    cancelled: &CancellationToken,
) -> Vec<Option<Held>> {
    let mut failures = done.iter().filter_map(|done| done.failure.as_ref());
    if session.is_abandoned() || failures.any(|failure| failure.kind == FailureKind::Unavailable) {
        return vec![None; done.len()];
    }
    let counted = async {
        session.renew_for(LEFT_OVER_PATIENCE).await?;
        let mut snapshot = session.database.begin(Purpose::Measure, policy.execution()).await?;
        measure::left(&mut snapshot, plan, now).await
    };
    let out_of_patience = async {
        tokio::select! {
            () = cancelled.cancelled() => tokio::time::sleep(CANCELLED_PATIENCE).await,
            () = tokio::time::sleep(LEFT_OVER_PATIENCE) => {}
        }
    };
    let counted = tokio::select! {
        counted = counted => Some(counted),
        () = out_of_patience => None,
    };
    match counted {
        Some(Ok(left)) => return left.into_iter().map(Some).collect(),
        Some(Err(failure)) => {
            tracing::warn!(error = %failure, "what is left could not be counted");
        }
        None => session.abandon(),
    }
    vec![None; done.len()]
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        Ending::Refused(Refusal::Failed(failure))
    }
}

impl From<Refusal> for Ending {
    fn from(refusal: Refusal) -> Self {
        Ending::Refused(refusal)
    }
}
