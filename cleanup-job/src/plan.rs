//! `pgsweep plan`: what a run would do, without doing it. In a Job it is the preflight that the
//! operator waits for.

mod report;
mod shown;

use jiff::Timestamp;
use policy::{
    Mode, Plan, Policy, PreflightProblem, PreflightReport, SchemaProblem, SchemaProblemKind,
};
use sqlx::{Postgres, Transaction};
use tokio_util::sync::CancellationToken;

use crate::args::PlanArgs;
use crate::database::{self, Database, Purpose};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ledger::install::{self, Unready};
use crate::load::{self, Source};
use crate::measure::{self, Held};
use crate::output;
use crate::preflight::{self, Refusal};
use runtime::database::address::ConnectionWarning;

use shown::Shown;

/// `pgsweep plan`.
pub async fn plan(args: &PlanArgs, cancelled: CancellationToken) -> Exit {
    let unread = |message: &str| {
        Shown::refused("", &[report::invalid_spec(message.to_owned())]).into_object()
    };
    let sources = match load::sources_or_words(&args.policies, args.output, unread) {
        Ok(sources) => sources,
        Err(message) => {
            if args.asks_a_database() {
                let problem = report::invalid_spec(message);
                tell_operator(args, &report::unread(run_id(args), vec![problem]), Exit::Wrong);
            }
            return Exit::Wrong;
        }
    };
    let mut worst = Exit::Done;
    for source in &sources {
        let Planned { exit, shown, report } = plan_source(args, source, &cancelled).await;
        if let (Some(report), [_]) = (&report, sources.as_slice()) {
            tell_operator(args, report, exit);
        }
        shown.print(args.output);
        worst = worst.worst(exit);
        if cancelled.is_cancelled() {
            break;
        }
    }
    worst
}

/// What is to be told of one policy.
struct Planned {
    exit: Exit,
    shown: Shown,
    /// None where no database is asked.
    report: Option<PreflightReport>,
}

async fn plan_source(args: &PlanArgs, source: &Source, cancelled: &CancellationToken) -> Planned {
    let run_id = run_id(args);
    let policy = match source.policy() {
        Ok(policy) => policy,
        Err(problems) => {
            let problems = problems.iter().map(|problem| report::invalid_spec(problem.to_string()));
            let problems: Vec<_> = problems.collect();
            let shown = Shown::refused(&source.name(), &problems);
            let report = report::invalid(source, run_id, problems);
            return Planned {
                exit: Exit::Wrong,
                shown,
                report: args.asks_a_database().then_some(report),
            };
        }
    };
    if !args.asks_a_database() {
        let shown = Shown::offline(&policy, &Plan::offline(&policy));
        return Planned { exit: Exit::Done, shown, report: None };
    }
    log_begin(args, &policy);
    let looked = tokio::select! {
        looked = look(args, &policy) => looked,
        // A count can be long, and a look that nobody waits for any more is worth nothing.
        () = cancelled.cancelled() => {
            return refused(&policy, run_id, Exit::Terminated, vec![report::cancelled()]);
        }
    };
    match looked {
        Ok(looked) => Planned {
            exit: if looked.verdict.is_some() { Exit::Guarded } else { Exit::Done },
            shown: Shown::planned(&policy, &looked),
            report: Some(report::planned(&policy, run_id, &looked)),
        },
        Err(refusal) => {
            let exit = match &refusal {
                Refusal::Failed(failure) => failure.exit(),
                Refusal::Schema(_) => Exit::Wrong,
            };
            refused(&policy, run_id, exit, report::problems(&refusal))
        }
    }
}

fn refused(policy: &Policy, run_id: &str, exit: Exit, problems: Vec<PreflightProblem>) -> Planned {
    let shown = Shown::refused(&policy.name().to_string(), &problems);
    Planned { exit, shown, report: Some(report::refused(policy, run_id, problems)) }
}

fn run_id(args: &PlanArgs) -> &str {
    args.job.uid().unwrap_or_default()
}

/// A person reads the plan itself; in a Job the log tells the steps.
fn log_begin(args: &PlanArgs, policy: &Policy) {
    if let Some(run_id) = args.job.uid() {
        tracing::info!(
            policy.namespace = policy.name().namespace,
            policy.name = policy.name().name,
            mode = policy.mode().as_str(),
            rules_hash = policy.rules_hash(),
            run_id,
            "preflight begins"
        );
    }
}

/// Leaves the short report to whoever started the Job, and its end in the log.
fn tell_operator(args: &PlanArgs, report: &PreflightReport, exit: Exit) {
    output::terminate_with(&args.job, &report.termination_message());
    if args.job.uid().is_some() {
        log_end(report, exit);
    }
}

fn log_end(report: &PreflightReport, exit: Exit) {
    let PreflightReport { policy, run_id, verdict, .. } = report;
    let exit_code = exit.code();
    match report.problems.as_slice() {
        [] if verdict.is_empty() => {
            tracing::info!(
                policy,
                run_id,
                rows.matched = report.rows_matched(),
                exit_code,
                "preflight passed"
            );
        }
        [] => {
            tracing::warn!(
                policy,
                run_id,
                rows.matched = report.rows_matched(),
                exit_code,
                "preflight passed, and a run would stop now: {verdict}"
            );
        }
        problems => {
            let said: Vec<_> = problems.iter().map(shown::sentence).collect();
            tracing::error!(policy, run_id, exit_code, "preflight failed: {}", said.join("; "));
        }
    }
}

/// What the database says of a policy.
struct Looked {
    plan: Plan,
    held: Vec<Held>,
    /// The guard that would stop a run: of which rule, and why.
    verdict: Option<(usize, String)>,
    /// What is to be known of the connection.
    connection: Vec<ConnectionWarning>,
    /// Database time of the look.
    now: Timestamp,
}

async fn look(args: &PlanArgs, policy: &Policy) -> Result<Looked, Refusal> {
    let token = CancellationToken::new();
    let address = args.connect.address_for(policy, &args.job)?;
    let connection = address.announce();
    let mut database = Database::connect(&address, args.connect.connect_timeout, &token).await?;
    let mut snapshot = database.begin(Purpose::Measure, policy.execution()).await?;
    let now = database::now(&mut snapshot).await?;
    let lacking = ledger_lacks(&mut snapshot, policy).await?;
    let plan = match (preflight::plan(&mut snapshot, policy, now).await, lacking) {
        (Ok(plan), None) => plan,
        (Ok(_), Some(lacking)) => return Err(Refusal::Schema(vec![lacking])),
        // Whoever mends it should hear in one go what is lacking.
        (Err(Refusal::Schema(mut problems)), lacking) => {
            problems.extend(lacking);
            return Err(Refusal::Schema(problems));
        }
        (Err(refusal), _) => return Err(refusal),
    };
    let held = measure::held(&mut snapshot, &plan, now).await?;
    let verdict = measure::guard_verdict(&mut snapshot, &plan, &held, now).await?;
    snapshot.commit().await.map_err(Failure::from)?;
    Ok(Looked { plan, held, verdict, connection, now })
}

/// What the role lacks on the ledger, without which no run changes a row. Where nothing else keeps it
/// from that, a run makes the ledger.
async fn ledger_lacks(
    snapshot: &mut Transaction<'_, Postgres>,
    policy: &Policy,
) -> Result<Option<SchemaProblem>, Failure> {
    if policy.mode() == Mode::DryRun {
        return Ok(None);
    }
    let changed: Vec<_> = policy.rules().iter().map(policy::Rule::table).collect();
    match install::check(snapshot, &changed).await {
        Ok(()) => Ok(None),
        Err(Unready::Failed(failure)) => Err(failure),
        Err(Unready::Lines { message, .. }) => {
            Ok(Some(SchemaProblem::new("", SchemaProblemKind::PrivilegeMissing, message)))
        }
    }
}
