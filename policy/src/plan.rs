//! From a policy and the catalog to steps: what each rule will do, decided before
//! any row is looked at.

use std::collections::BTreeMap;

use crate::age::Age;
use crate::catalog::{Catalog, SchemaProblem, TableFacts};
use crate::identifier::{Identifier, QualifiedTable};
use crate::policy::{Action, Condition, Policy, Rule};
use crate::report::Strategy;

/// What a run will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    steps: Vec<Step>,
}

/// What one rule will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub(crate) rule: String,
    pub(crate) table: QualifiedTable,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) action: Action,
    /// Empty where there is no catalog: Postgres then finds the types out.
    pub(crate) types: BTreeMap<Identifier, String>,
    /// The age column, where there is one and the action does not write it, then the primary key.
    pub(crate) order: Vec<Identifier>,
    pub(crate) age: Option<(Identifier, Age)>,
    pub(crate) max_rows: i64,
    pub(crate) max_percent_of_table: i64,
    pub(crate) analysed: bool,
    pub(crate) warnings: Vec<&'static str>,
    pub(crate) depends_on_earlier: bool,
}

/// A delete without any age: a young row goes as well as an old one.
const NO_AGE_CONDITION: &str = "NoAgeCondition";
/// An earlier rule writes what this one reads: what it holds at the start is not what it will meet.
const COUNT_DEPENDS_ON_EARLIER_RULE: &str = "CountDependsOnEarlierRule";
/// A column without a time zone is compared with UTC's clock.
const TIMESTAMP_READ_AS_UTC: &str = "TimestampReadAsUtc";

/// Rules with fewer rows than this are never stopped by a guard.
const FREE_OF_GUARDS: i64 = 1000;

impl Plan {
    /// Plans against a database.
    ///
    /// # Errors
    /// Every problem of every rule: one stops the whole run before its first row.
    pub fn new(policy: &Policy, catalog: &Catalog) -> Result<Self, Vec<SchemaProblem>> {
        let rules = policy.rules();
        let problems: Vec<_> =
            rules.iter().flat_map(|rule| catalog.problems(rule, policy.mode())).collect();
        if problems.is_empty() {
            Ok(Self::of(policy, |rule| catalog.table(rule.table())))
        } else {
            Err(problems)
        }
    }

    /// Plans without a database: for showing the SQL. The types of the columns
    /// and the primary key are not known then.
    #[must_use]
    pub fn offline(policy: &Policy) -> Self {
        Self::of(policy, |_| None)
    }

    fn of<'a>(policy: &Policy, facts: impl Fn(&Rule) -> Option<&'a TableFacts>) -> Self {
        let rules = policy.rules();
        let step = |(index, rule): (usize, &Rule)| {
            let mut step = Step::new(policy, rule, facts(rule));
            step.warn(rule, &rules[..index]);
            step
        };
        Self { steps: rules.iter().enumerate().map(step).collect() }
    }

    /// The steps, in the order of the rules.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl Step {
    fn new(policy: &Policy, rule: &Rule, facts: Option<&TableFacts>) -> Self {
        let columns = facts.iter().flat_map(|facts| &facts.columns);
        let types = columns.map(|column| (column.name.clone(), column.sql_type.clone())).collect();
        let age = rule.age_condition();
        let written: Vec<_> = rule.written_columns().collect();
        // A row whose place in the order changes under the cursor would be met twice.
        let by_age =
            age.iter().map(|(column, _)| *column).filter(|column| !written.contains(column));
        let mut order: Vec<Identifier> = by_age.cloned().collect();
        for key in facts.iter().flat_map(|facts| &facts.primary_key) {
            if !order.contains(key) {
                order.push(key.clone());
            }
        }
        let max_rows_per_run = policy.limits().max_rows_per_run;
        Self {
            rule: rule.name().to_owned(),
            table: rule.table().clone(),
            conditions: rule.conditions().to_vec(),
            action: rule.action().clone(),
            types,
            order,
            age: age.map(|(column, age)| (column.clone(), age)),
            max_rows: rule.max_rows().unwrap_or(max_rows_per_run).min(max_rows_per_run),
            max_percent_of_table: rule.max_percent_of_table(),
            analysed: facts.is_some_and(|facts| facts.analysed),
            warnings: Vec::new(),
            depends_on_earlier: false,
        }
    }

    fn warn(&mut self, rule: &Rule, earlier: &[Rule]) {
        if self.action == Action::Delete && self.age.is_none() {
            self.warnings.push(NO_AGE_CONDITION);
        }
        let reads: Vec<_> = rule.read_columns().collect();
        let feeds = |other: &Rule| {
            *other.table() == self.table
                && other.written_columns().any(|column| reads.contains(&column))
        };
        if earlier.iter().any(feeds) {
            self.depends_on_earlier = true;
            self.warnings.push(COUNT_DEPENDS_ON_EARLIER_RULE);
        }
        let naive = |column: &Identifier| {
            self.types.get(column).is_some_and(|sql_type| sql_type == "timestamp without time zone")
        };
        if rule.timed_columns().any(naive) {
            self.warnings.push(TIMESTAMP_READ_AS_UTC);
        }
    }

    /// Names of what is odd about the rule.
    #[must_use]
    pub fn warnings(&self) -> &[&'static str] {
        &self.warnings
    }

    /// Whether an earlier rule writes what this one reads, so that its guard must speak again
    /// when its turn comes.
    #[must_use]
    pub fn depends_on_earlier(&self) -> bool {
        self.depends_on_earlier
    }

    /// Up to how many rows it is worth counting: the cap, and what guards need to know.
    #[must_use]
    pub fn counted_up_to(&self) -> i64 {
        self.max_rows.max(FREE_OF_GUARDS)
    }

    /// Name of the rule.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// The table whose rows go.
    #[must_use]
    pub fn table(&self) -> &QualifiedTable {
        &self.table
    }

    /// What happens to the rows.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// How the rows are found.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        Strategy::Keyset
    }

    /// How many columns name a place in the order of the rows.
    #[must_use]
    pub fn key_columns(&self) -> usize {
        self.order.len()
    }

    /// The most rows that this step changes in one run.
    #[must_use]
    pub fn max_rows(&self) -> i64 {
        self.max_rows
    }

    /// Whether the planner knows how many rows the table has.
    #[must_use]
    pub fn table_is_analysed(&self) -> bool {
        self.analysed
    }

    /// The guard: how many rows the table must have for `matched` of them to go;
    /// `None` when so few match that no guard applies.
    #[must_use]
    pub fn rows_demanded_by_guard(&self, matched: i64) -> Option<i64> {
        if matched <= FREE_OF_GUARDS || self.max_percent_of_table >= 100 {
            return None;
        }
        let percent = self.max_percent_of_table.max(1);
        let demanded = (i128::from(matched) * 100 + i128::from(percent) - 1) / i128::from(percent);
        Some(i64::try_from(demanded).unwrap_or(i64::MAX))
    }

    /// The guard in percent, for messages.
    #[must_use]
    pub fn max_percent_of_table(&self) -> i64 {
        self.max_percent_of_table
    }
}
