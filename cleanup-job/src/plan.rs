//! `pgsweep plan`: what a run would do, without doing it.

use policy::{Plan, Policy, SchemaProblem, Statement, Step};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::args::{Output, PlanArgs};
use crate::database::{self, Database, Purpose};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::measure::{self, Held};
use crate::{load, output};

/// `pgsweep plan`.
pub async fn plan(args: &PlanArgs) -> Exit {
    let sources = match load::sources(&args.policies) {
        Ok(sources) => sources,
        Err(error) => {
            tracing::error!("{error:#}");
            return Exit::Wrong;
        }
    };
    let mut worst = Exit::Done;
    for source in &sources {
        let exit = match source.policy() {
            Ok(policy) => plan_policy(args, &policy).await,
            Err(problems) => {
                let lines: Vec<_> =
                    problems.iter().map(|problem| format!("\n  {problem}")).collect();
                tracing::error!(
                    "policy {} ({}) is wrong{}",
                    source.name(),
                    source.origin,
                    lines.concat()
                );
                Exit::Wrong
            }
        };
        worst = worst.worst(exit);
    }
    worst
}

async fn plan_policy(args: &PlanArgs, policy: &Policy) -> Exit {
    let Some(url) = &args.database_url else {
        show(args.output, policy, &Plan::offline(policy), None);
        return Exit::Done;
    };
    match look(args, policy, url).await {
        Ok(Ok((plan, held, verdict))) => {
            show(args.output, policy, &plan, Some(&held));
            match verdict {
                Some((_, message)) => {
                    tracing::error!("a run would stop before its first row: {message}");
                    Exit::Guarded
                }
                None => Exit::Done,
            }
        }
        Ok(Err(problems)) => {
            for problem in problems {
                let kind = problem.kind.as_str();
                tracing::error!("rule {}: {kind}: {}", problem.rule, problem.message);
            }
            Exit::Wrong
        }
        Err(failure) => {
            tracing::error!(sql_state = failure.sql_state, "{failure}");
            failure.exit()
        }
    }
}

type Looked = (Plan, Vec<Held>, Option<(usize, String)>);

async fn look(
    args: &PlanArgs,
    policy: &Policy,
    url: &str,
) -> Result<Result<Looked, Vec<SchemaProblem>>, Failure> {
    let token = CancellationToken::new();
    let mut database = Database::connect(url, args.connect_timeout, &token).await?;
    let mut snapshot = database.begin(Purpose::Measure, policy.execution()).await?;
    let now = database::now(&mut snapshot).await?;
    let catalog = database::catalog(&mut snapshot, policy).await?;
    let plan = match Plan::new(policy, &catalog) {
        Ok(plan) => plan,
        Err(problems) => return Ok(Err(problems)),
    };
    let held = measure::held(&mut snapshot, &plan, now).await?;
    let verdict = measure::guard_verdict(&mut snapshot, &plan, &held, now).await?;
    Ok(Ok((plan, held, verdict)))
}

fn show(format: Output, policy: &Policy, plan: &Plan, held: Option<&[Held]>) {
    let rules = plan
        .steps()
        .iter()
        .enumerate()
        .map(|(index, step)| rule(step, held.and_then(|held| held.get(index))));
    let rules: Vec<Value> = rules.collect();
    if format == Output::Table {
        for (step, rule) in plan.steps().iter().zip(&rules) {
            output::print(&text(step, rule));
        }
        if held.is_none() {
            output::print(
                "-- Without a database the columns' types and the primary key are not known: add --database-url for the exact SQL, and for what it would find.",
            );
        }
        return;
    }
    output::object(
        format,
        &json!({"policy": policy.name().to_string(), "rulesHash": policy.rules_hash(), "mode": policy.mode(), "rules": rules}),
    );
}

fn rule(step: &Step, held: Option<&Held>) -> Value {
    let statement = step.change_batch(false);
    json!({
        "name": step.rule(),
        "table": step.table().plain(),
        "action": step.action().kind(),
        "strategy": step.strategy(),
        "matched": held.map(|held| held.rows),
        "matchedIsEstimate": held.map(|held| held.is_estimate),
        "oldestOverdueSeconds": held.map(|held| held.overdue_seconds),
        "sql": statement.text,
        "parameters": parameters(&statement),
    })
}

fn parameters(statement: &Statement) -> Vec<String> {
    statement.binds.iter().map(policy::Bind::describe).collect()
}

fn text(step: &Step, rule: &Value) -> String {
    let statement = step.change_batch(false);
    let mut text = format!("-- rule {} ({})", step.rule(), step.action().kind().as_str());
    if let Some(matched) = rule["matched"].as_i64() {
        let overdue = rule["oldestOverdueSeconds"].as_i64().unwrap_or(0);
        let rows = output::grouped(matched);
        text = format!("{text}: {rows} rows now, the oldest due for {overdue} s");
    }
    text = format!("{text}\n{};", statement.text);
    for (index, parameter) in parameters(&statement).iter().enumerate() {
        text = format!("{text}\n-- ${}: {parameter}", index + 1);
    }
    format!("{text}\n")
}
