//! One run: `load → validate → plan → execute → report`.

pub mod outcome;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use policy::{Mode, Plan, Policy, Problem, RunReport, RunResult, SchemaProblem, StopReason};
use tokio_util::sync::CancellationToken;

use crate::args::RunArgs;
use crate::database::{self, Database, Purpose};
use crate::execute::{Context, Done, execute};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::load::{self, Source};
use crate::measure::{self, Held};
use crate::output;
use crate::progress::Progress;

use outcome::{Ending, Outcome};

/// How long the count of what is left may take, after the work is done.
const LEFT_OVER_PATIENCE: Duration = Duration::from_mins(1);

/// The same when the process was asked to end: the report must come out in time.
const CANCELLED_PATIENCE: Duration = Duration::from_secs(1);

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
            output::report(args, &not_run(source, checked), Exit::Wrong);
        }
        return Err(Exit::Wrong);
    }
    let as_asked =
        |policy: Policy| if args.dry_run { policy.with_mode(Mode::DryRun) } else { policy };
    Ok(checked.into_iter().flatten().map(as_asked).collect())
}

fn not_run(source: &Source, checked: &Result<Policy, Vec<Problem>>) -> RunReport {
    match checked {
        Ok(_) => {
            let message = "another policy of the same call is wrong".to_owned();
            outcome::not_run(source.name(), RunResult::Skipped, message)
        }
        Err(problems) => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let message = format!("the policy is wrong: {}", problems.join("; "));
            outcome::not_run(source.name(), RunResult::Failed, message)
        }
    }
}

async fn run_policy(
    args: &RunArgs,
    policy: &Policy,
    cancelled: &CancellationToken,
) -> (RunReport, Exit) {
    let began = Instant::now();
    let run_id = args.job_uid.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    tracing::info!(
        policy.namespace = policy.name().namespace,
        policy.name = policy.name().name,
        mode = policy.mode().as_str(),
        rules_hash = policy.rules_hash(),
        run_id,
        "run begins"
    );
    let mut outcome = Outcome::new(policy, run_id);
    let exit = match steps(args, policy, cancelled, began, &mut outcome).await {
        Ok(()) => outcome.conclude(),
        // The database that was not reached in time is not what ended this run.
        Err(Ending::Failed(_)) if cancelled.is_cancelled() => outcome.end(Ending::Cancelled),
        Err(ending) => outcome.end(ending),
    };
    (outcome.into_report(began.elapsed()), exit)
}

/// The line of steps; what it learns on the way is in `outcome` also when it ends early.
async fn steps(
    args: &RunArgs,
    policy: &Policy,
    cancelled: &CancellationToken,
    began: Instant,
    outcome: &mut Outcome,
) -> Result<(), Ending> {
    let mut database =
        Database::connect(&args.database_url, args.connect_timeout, cancelled).await?;
    let (now, plan, held) = tokio::select! {
        measured = measured(&mut database, policy, outcome) => measured?,
        // A count can be long, and nothing has changed yet.
        () = cancelled.cancelled() => return Err(Ending::Cancelled),
    };
    if policy.mode() == Mode::Enforce {
        let progress = Progress::new(held.iter().map(|held| held.rows).sum());
        let mut context = Context {
            database: &mut database,
            execution: policy.execution(),
            now,
            deadline: began + policy.execution().max_duration.duration(),
            cancelled,
            progress: &progress,
        };
        let done = execute(&mut context, policy, &plan).await;
        progress.end();
        let left = left_over(&mut database, policy, &plan, now, &done).await;
        outcome.executed(&done, &left);
    }
    database.close().await;
    Ok(())
}

/// Plans and counts in one read-only snapshot, and lets the guards speak, before any row changes.
async fn measured(
    database: &mut Database,
    policy: &Policy,
    outcome: &mut Outcome,
) -> Result<(Timestamp, Plan, Vec<Held>), Ending> {
    let mut snapshot = database.begin(Purpose::Measure, policy.execution()).await?;
    let now = database::now(&mut snapshot).await?;
    outcome.began(now);
    let catalog = database::catalog(&mut snapshot, policy).await?;
    let plan = Plan::new(policy, &catalog)?;
    if policy.mode() == Mode::Enforce {
        measure::try_statements(&mut snapshot, &plan, now).await?;
    }
    let held = measure::held(&mut snapshot, &plan, now).await?;
    outcome.measured(&plan, &held);
    let verdict = measure::guard_verdict(&mut snapshot, &plan, &held, now).await?;
    snapshot.commit().await.map_err(Failure::from)?;
    match verdict {
        Some((rule, message)) => Err(Ending::Guarded { rule, message }),
        None => Ok((now, plan, held)),
    }
}

/// What each rule still holds; where that cannot be counted any more, what the numbers say.
async fn left_over(
    database: &mut Database,
    policy: &Policy,
    plan: &Plan,
    now: Timestamp,
    done: &[Done],
) -> Vec<Option<Held>> {
    let gone = done
        .iter()
        .filter_map(|done| done.failure.as_ref())
        .any(|failure| failure.kind == crate::failure::FailureKind::Unavailable);
    if gone {
        return vec![None; done.len()];
    }
    let cancelled = done.iter().any(|done| done.stop == StopReason::Cancelled);
    let patience = if cancelled { CANCELLED_PATIENCE } else { LEFT_OVER_PATIENCE };
    let counted = async {
        let mut snapshot = database.begin(Purpose::Measure, policy.execution()).await?;
        measure::held(&mut snapshot, plan, now).await
    };
    match tokio::time::timeout(patience, counted).await {
        Ok(Ok(held)) => held.into_iter().map(Some).collect(),
        Ok(Err(failure)) => {
            tracing::warn!(error = %failure, "what is left could not be counted");
            vec![None; done.len()]
        }
        Err(_) => vec![None; done.len()],
    }
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        Ending::Failed(failure)
    }
}

impl From<Vec<SchemaProblem>> for Ending {
    fn from(problems: Vec<SchemaProblem>) -> Self {
        Ending::Schema(problems)
    }
}
