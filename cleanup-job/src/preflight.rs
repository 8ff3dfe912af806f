//! Everything that is checked before the first row, in one read-only snapshot: the same for a
//! run, a dry run and `pgsweep plan`.

use jiff::Timestamp;
use policy::{Access, Mode, Named as _, Plan, Policy, SchemaProblem, SchemaProblemKind, Statement};
use sqlx::{Postgres, Transaction};

use crate::failure::{Failure, FailureKind, with_hint};
use crate::{catalog, database, measure};

/// Why nothing can begin.
pub enum Refusal {
    /// Something was wrong.
    Failed(Failure),
    /// The database's tables do not fit the policy.
    Schema(Vec<SchemaProblem>),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Plans `policy` against the database, and has the database read every value and plan every
/// statement, so that what is wrong is found, for all rules, before any rule begins.
pub async fn plan(
    snapshot: &mut Transaction<'_, Postgres>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Plan, Refusal> {
    let enforce = policy.mode() == Mode::Enforce;
    if enforce && database::is_standby(snapshot).await? {
        return Err(database::standby().into());
    }
    let catalog = catalog::read(snapshot, policy)
        .await
        .map_err(|failure| failure.while_doing("reading the catalog"))?;
    let mut plan = Plan::new(policy, &catalog).map_err(Refusal::Schema)?;
    let mut preflight = Preflight { snapshot, policy, now, problems: Vec::new() };
    for index in 0..plan.steps().len() {
        preflight.step(&mut plan, index, enforce).await?;
    }
    preflight.report(&plan, enforce).await?;
    if preflight.problems.is_empty() { Ok(plan) } else { Err(Refusal::Schema(preflight.problems)) }
}

/// Says what is odd, and to who looks closer what would help.
pub fn log(plan: &Plan) {
    for warning in plan.warnings() {
        let (rule, name, message) = (warning.rule(), warning.name(), warning.message());
        tracing::info!(rule.name = rule, warning = name, "{name}: {message}");
    }
    for advice in plan.advice() {
        let (rule, name, message) = (advice.rule(), advice.name(), advice.message());
        tracing::debug!(rule.name = rule, advice = name, "{name}: {message}");
    }
}

struct Preflight<'a, 'b> {
    snapshot: &'a mut Transaction<'b, Postgres>,
    policy: &'a Policy,
    now: Timestamp,
    problems: Vec<SchemaProblem>,
}

impl Preflight<'_, '_> {
    async fn step(&mut self, plan: &mut Plan, index: usize, enforce: bool) -> Result<(), Failure> {
        let step = &plan.steps()[index];
        let place = (step.rule().to_owned(), format!("on {}", step.table().plain()));
        if let Some(statement) = step.read_values()
            && self.ask(&place, &statement).await?.is_none()
        {
            return Ok(());
        }
        loop {
            let mut explained = Vec::new();
            // A dry run's role may not do what these statements do.
            let statements = if enforce { plan.steps()[index].explain_batch() } else { Vec::new() };
            for statement in &statements {
                match self.ask(&place, statement).await? {
                    Some(Answer::Plan(plan)) => explained.push(plan),
                    Some(_) => {}
                    None => return Ok(()),
                }
            }
            let complete = enforce && explained.len() == statements.len();
            if !plan.decide(index, complete.then(|| Access::read(&explained))) {
                return Ok(());
            }
        }
    }

    async fn report(&mut self, plan: &Plan, enforce: bool) -> Result<(), Failure> {
        let place = (String::new(), "of the report".to_owned());
        let row = plan.explain_report_row().filter(|_| enforce);
        for statement in plan.read_report_values().into_iter().chain(row) {
            self.ask(&place, &statement).await?;
        }
        Ok(())
    }

    /// Has the database read or plan a statement; `None` when that is a problem of the rule.
    async fn ask(
        &mut self,
        (rule, what): &(String, String),
        statement: &Statement,
    ) -> Result<Option<Answer>, Failure> {
        let execution = self.policy.execution();
        match measure::ask(self.snapshot, execution, statement, self.now).await {
            Ok(answer) => Ok(Some(answer)),
            // A table that is locked just now may be free when its turn comes.
            Err(failure) if failure.kind == FailureKind::Contention => Ok(Some(Answer::Nothing)),
            Err(failure) if matches!(failure.kind, FailureKind::Wrong | FailureKind::Row) => {
                let message = format!("{what}: {}", failure.message);
                self.problems.push(SchemaProblem {
                    sql_state: failure.sql_state,
                    ..SchemaProblem::new(rule, SchemaProblemKind::StatementRefused, message)
                });
                Ok(None)
            }
            Err(failure) => {
                let place =
                    if rule.is_empty() { what.clone() } else { format!("rule {rule} {what}") };
                Err(with_hint(failure, "execution.statementTimeout").while_doing(&place))
            }
        }
    }
}

/// What the database answers to a statement of preflight.
pub enum Answer {
    /// The plan of an `EXPLAIN`.
    Plan(serde_json::Value),
    /// Nothing that matters.
    Nothing,
}
