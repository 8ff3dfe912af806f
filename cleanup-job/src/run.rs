//! One run: `load → validate → plan → execute → report`.

pub mod outcome;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use policy::{Mode, Plan, Policy, Problem, RunReport, RunResult};
use tokio_util::sync::CancellationToken;

use crate::args::RunArgs;
use crate::database::{self, Database, Purpose};
use crate::execute::{Context, Done, execute};
use crate::exit::Exit;
use crate::failure::{Failure, FailureKind};
use crate::load::{self, Source};
use crate::measure::{self, Held};
use crate::output;
use crate::preflight::{self, Refusal};
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
            output::report(args, &not_run(args, source, checked), Exit::Wrong);
        }
        return Err(Exit::Wrong);
    }
    let as_asked =
        |policy: Policy| if args.dry_run { policy.with_mode(Mode::DryRun) } else { policy };
    Ok(checked.into_iter().flatten().map(as_asked).collect())
}

fn not_run(args: &RunArgs, source: &Source, checked: &Result<Policy, Vec<Problem>>) -> RunReport {
    let dry_run = args.dry_run || source.document.pointer("/spec/mode") == Some(&"DryRun".into());
    let mode = if dry_run { Mode::DryRun } else { Mode::Enforce };
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
    let job_uid = args.job_uid.clone().filter(|uid| !uid.is_empty());
    let run_id = job_uid.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
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
        Err(Ending::Refused(Refusal::Failed(_))) if cancelled.is_cancelled() => {
            outcome.end(Ending::Cancelled)
        }
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
    let url = args.database_url.as_deref().unwrap_or_default();
    let mut database = Database::connect(url, args.connect_timeout, cancelled).await?;
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
        let left = left_over(&mut database, policy, &plan, now, &done, cancelled).await;
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
    let plan = preflight::plan(&mut snapshot, policy, now).await?;
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
    cancelled: &CancellationToken,
) -> Vec<Option<Held>> {
    let mut failures = done.iter().filter_map(|done| done.failure.as_ref());
    if failures.any(|failure| failure.kind == FailureKind::Unavailable) {
        return vec![None; done.len()];
    }
    let counted = async {
        let mut snapshot = database.begin(Purpose::Measure, policy.execution()).await?;
        measure::left(&mut snapshot, plan, now).await
    };
    let out_of_patience = async {
        tokio::select! {
            () = cancelled.cancelled() => tokio::time::sleep(CANCELLED_PATIENCE).await,
            () = tokio::time::sleep(LEFT_OVER_PATIENCE) => {}
        }
    };
    tokio::select! {
        counted = counted => match counted {
            Ok(left) => left.into_iter().map(Some).collect(),
            Err(failure) => {
                tracing::warn!(error = %failure, "what is left could not be counted");
                vec![None; done.len()]
            }
        },
        () = out_of_patience => vec![None; done.len()],
    }
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
