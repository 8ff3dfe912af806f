//! `pgsweep plan`: what a run would do, without doing it.

use policy::{Plan, Policy, SchemaProblem, Statement, Step};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::args::{Output, PlanArgs};
use crate::database::address::ConnectionWarning;
use crate::database::{self, Database, Purpose};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::load;
use crate::measure::{self, Held};
use crate::output;
use crate::preflight::{self, Refusal};

/// `pgsweep plan`.
pub async fn plan(args: &PlanArgs) -> Exit {
    let unread = |message: &str| Shown::refused("", &[message.to_owned()]).object;
    let sources = match load::sources_or_end(&args.policies, args.output, unread) {
        Ok(sources) => sources,
        Err(exit) => return exit,
    };
    let mut worst = Exit::Done;
    for source in &sources {
        let (exit, shown) = match source.policy() {
            Ok(policy) => plan_policy(args, &policy).await,
            Err(problems) => {
                let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
                (Exit::Wrong, Shown::refused(&source.name(), &problems))
            }
        };
        shown.print(args.output);
        worst = worst.worst(exit);
    }
    worst
}

async fn plan_policy(args: &PlanArgs, policy: &Policy) -> (Exit, Shown) {
    if args.connect.database_url.as_ref().is_none_or(String::is_empty) {
        let mut shown = Shown::planned(policy, &Plan::offline(policy), None, None);
        shown.text.push_str("-- Without a database the columns' types and the primary key are not known: add --database-url for the exact SQL, and for what it would find.");
        return (Exit::Done, shown);
    }
    match look(args, policy).await {
        Ok((plan, held, verdict, warnings)) => {
            let exit = if verdict.is_some() { Exit::Guarded } else { Exit::Done };
            (exit, Shown::planned(policy, &plan, Some(&held), verdict).warned(&warnings))
        }
        Err(refusal) => {
            let (exit, problems) = match refusal {
                Refusal::Failed(failure) => (failure.exit(), vec![failure.to_string()]),
                Refusal::Schema(problems) => {
                    (Exit::Wrong, problems.iter().map(SchemaProblem::to_string).collect())
                }
            };
            (exit, Shown::refused(&policy.name().to_string(), &problems))
        }
    }
}

type Looked = (Plan, Vec<Held>, Option<String>, Vec<ConnectionWarning>);

async fn look(args: &PlanArgs, policy: &Policy) -> Result<Looked, Refusal> {
    let token = CancellationToken::new();
    let address = args.connect.address()?;
    let warnings = address.announce();
    let mut database = Database::connect(&address, args.connect.connect_timeout, &token).await?;
    let mut snapshot = database.begin(Purpose::Measure, policy.execution()).await?;
    let now = database::now(&mut snapshot).await?;
    let plan = preflight::plan(&mut snapshot, policy, now).await?;
    let held = measure::held(&mut snapshot, &plan, now).await?;
    let verdict = measure::guard_verdict(&mut snapshot, &plan, &held, now).await?;
    snapshot.commit().await.map_err(Failure::from)?;
    Ok((plan, held, verdict.map(|(_, message)| message), warnings))
}

/// What is shown of one policy, for people and for programs.
struct Shown {
    text: String,
    object: Value,
}

impl Shown {
    fn refused(name: &str, problems: &[String]) -> Self {
        let lines: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        Self {
            text: format!("{name} cannot run:{lines}"),
            object: json!({"policy": name, "problems": problems, "warnings": [], "rules": []}),
        }
    }

    fn planned(
        policy: &Policy,
        plan: &Plan,
        held: Option<&[Held]>,
        verdict: Option<String>,
    ) -> Self {
        let mut text = String::new();
        let mut rules = Vec::new();
        for (index, step) in plan.steps().iter().enumerate() {
            let held = held.and_then(|held| held.get(index));
            text.push_str(&step_text(step, held));
            rules.push(step_object(step, held));
        }
        if let Some(verdict) = &verdict {
            text.push_str(&format!("-- a run would stop before its first row: {verdict}\n"));
        }
        let object = json!({
            "policy": policy.name().to_string(),
            "rulesHash": policy.rules_hash(),
            "mode": policy.mode(),
            "problems": verdict.into_iter().collect::<Vec<_>>(),
            "warnings": [],
            "rules": rules,
        });
        Self { text, object }
    }

    /// What was found beside the rules stands before them.
    fn warned(mut self, warnings: &[ConnectionWarning]) -> Self {
        let lines: String = warnings
            .iter()
            .map(|it| format!("-- warning: {}: {}\n", it.as_str(), it.sentence()))
            .collect();
        self.text.insert_str(0, &lines);
        self.object["warnings"] = warnings.iter().map(|it| it.as_str()).collect();
        self
    }

    fn print(&self, format: Output) {
        match format {
            Output::Table => output::print(self.text.trim_end()),
            Output::Json | Output::Yaml => output::object(format, &self.object),
        }
    }
}

fn step_object(step: &Step, held: Option<&Held>) -> Value {
    let statement = step.change_batch(false);
    json!({
        "name": step.rule(),
        "table": step.table().plain(),
        "action": step.action().kind(),
        "strategy": step.strategy(),
        "matched": held.map(|held| held.rows),
        "matchedIsEstimate": held.map(|held| held.is_estimate),
        "oldestOverdueSeconds": held.map(|held| held.overdue_seconds),
        "warnings": step.warnings(),
        "sql": statement.text,
        "parameters": parameters(&statement),
    })
}

fn step_text(step: &Step, held: Option<&Held>) -> String {
    let statement = step.change_batch(false);
    let mut text = format!("-- rule {} ({})", step.rule(), step.action().kind().as_str());
    if let Some(held) = held {
        let about = if held.is_estimate { "about " } else { "" };
        let (rows, overdue) = (output::grouped(held.rows), held.overdue_seconds);
        text = format!("{text}: {about}{rows} rows now, the oldest due for {overdue} s");
    }
    for warning in step.warnings() {
        text = format!("{text}\n-- warning: {warning}");
    }
    text = format!("{text}\n{};", statement.text);
    for (index, parameter) in parameters(&statement).iter().enumerate() {
        text = format!("{text}\n-- ${}: {parameter}", index + 1);
    }
    format!("{text}\n\n")
}

fn parameters(statement: &Statement) -> Vec<String> {
    statement.binds.iter().map(policy::Bind::describe).collect()
}
