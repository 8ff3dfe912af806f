//! From a policy and the catalog to steps: what each rule will do, decided before
//! any row is looked at.

use std::collections::BTreeMap;

use crate::age::Age;
use crate::catalog::{Catalog, OnDelete, SchemaProblem, TableFacts};
use crate::crd::EpochUnit;
use crate::identifier::{Identifier, QualifiedTable};
use crate::policy::{Action, Condition, NewRow, Policy, Rule};
use crate::report::Strategy;

/// What a run will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    steps: Vec<Step>,
    pub(crate) report: Option<NewRow>,
    pub(crate) types: Types,
}

/// The types of columns, as SQL spells them; none where there is no catalog: Postgres then finds
/// them out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Types(BTreeMap<QualifiedTable, BTreeMap<Identifier, String>>);

impl Types {
    fn of(catalog: &Catalog) -> Self {
        let columns = |facts: &TableFacts| {
            facts.columns.iter().map(|it| (it.name.clone(), it.sql_type.clone())).collect()
        };
        Self(catalog.tables().map(|(table, facts)| (table.clone(), columns(facts))).collect())
    }

    pub(crate) fn get(&self, table: &QualifiedTable, column: &Identifier) -> Option<&str> {
        self.0.get(table)?.get(column).map(String::as_str)
    }
}

/// What one rule will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub(crate) rule: String,
    pub(crate) table: QualifiedTable,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) action: Action,
    pub(crate) emit: Vec<NewRow>,
    pub(crate) types: Types,
    pub(crate) primary_key: Vec<Identifier>,
    strategy: Strategy,
    pub(crate) due: Option<(Identifier, Age, Option<EpochUnit>)>,
    /// The columns that an archive gets, in the order of the table.
    pub(crate) archived: Vec<Identifier>,
    locks_first: bool,
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
            Ok(Self::of(policy, Types::of(catalog), |rule| catalog.table(rule.table())))
        } else {
            Err(problems)
        }
    }

    /// Plans without a database: for showing the SQL. The types of the columns
    /// and the primary key are not known then.
    #[must_use]
    pub fn offline(policy: &Policy) -> Self {
        Self::of(policy, Types::default(), |_| None)
    }

    fn of<'a>(
        policy: &Policy,
        types: Types,
        facts: impl Fn(&Rule) -> Option<&'a TableFacts>,
    ) -> Self {
        let rules = policy.rules();
        let step = |(index, rule): (usize, &Rule)| {
            let mut step = Step::new(policy, rule, &types, facts(rule));
            step.warn(rule, &rules[..index]);
            step
        };
        let steps = rules.iter().enumerate().map(step).collect();
        Self { steps, report: policy.report().cloned(), types }
    }

    /// The steps, in the order of the rules.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl Step {
    fn new(policy: &Policy, rule: &Rule, types: &Types, facts: Option<&TableFacts>) -> Self {
        let due = rule.due();
        let max_rows_per_run = policy.limits().max_rows_per_run;
        let primary_key = facts.map(|facts| facts.primary_key.clone()).unwrap_or_default();
        let cascades = facts.is_some_and(|facts| {
            facts.referenced_by.iter().any(|key| key.on_delete == OnDelete::Cascade)
        });
        Self {
            rule: rule.name().to_owned(),
            table: rule.table().clone(),
            conditions: rule.conditions().to_vec(),
            action: rule.action().clone(),
            emit: rule.emit().to_vec(),
            types: types.clone(),
            primary_key,
            strategy: match rule.action() {
                Action::DropPartitions { .. } => Strategy::Partition,
                // Nothing else bounds what is read for a batch.
                _ if due.is_none() && facts.is_some() => Strategy::PrimaryKey,
                _ => Strategy::Keyset,
            },
            due: due.map(|due| (due.column.clone(), due.age, due.unit)),
            archived: facts.map(TableFacts::column_names).unwrap_or_default(),
            // A subquery keeps the snapshot of its statement, and a cascade what it deletes: both
            // need a statement that begins when the rows are already held.
            locks_first: rule.related().next().is_some()
                || (matches!(rule.action(), Action::Delete | Action::Archive(_)) && cascades),
            max_rows: rule.max_rows().unwrap_or(max_rows_per_run).min(max_rows_per_run),
            max_percent_of_table: rule.max_percent_of_table(),
            analysed: facts.is_some_and(|facts| facts.analysed),
            warnings: Vec::new(),
            depends_on_earlier: false,
        }
    }

    fn warn(&mut self, rule: &Rule, earlier: &[Rule]) {
        if self.action.removes_rows() && self.due.is_none() {
            self.warnings.push(NO_AGE_CONDITION);
        }
        let feeds = |other: &Rule| rule.reads_what_is_written_by(other);
        if earlier.iter().any(feeds) {
            self.depends_on_earlier = true;
            self.warnings.push(COUNT_DEPENDS_ON_EARLIER_RULE);
        }
        let naive = |column: &Identifier| {
            self.types.get(&self.table, column) == Some("timestamp without time zone")
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

    /// Rows that are inserted for each changed row.
    #[must_use]
    pub fn emit(&self) -> &[NewRow] {
        &self.emit
    }

    /// How the rows are found.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The same step in the order of the primary key: slower where an index leads to the rows that
    /// are due, but no batch ever reads more rows than it is told to.
    #[must_use]
    pub fn by_primary_key(self) -> Self {
        Self { strategy: Strategy::PrimaryKey, ..self }
    }

    /// The columns that name a place in the order of the rows: the age column, where it leads to
    /// the rows, then the primary key. An update may write the age column: a row that it moves
    /// ahead of the place is met again, and not due any more.
    #[must_use]
    pub fn order(&self) -> Vec<&Identifier> {
        let by_age = self.strategy == Strategy::Keyset;
        let leading = self.due.as_ref().filter(|_| by_age).map(|(column, ..)| column);
        let rest = self.primary_key.iter().filter(|key| Some(*key) != leading);
        leading.into_iter().chain(rest).collect()
    }

    /// Whether rows are locked by one statement and changed by a later one, instead of both at once.
    #[must_use]
    pub fn locks_first(&self) -> bool {
        self.locks_first
    }

    /// How many statements of a batch take time, one after the other.
    #[must_use]
    pub fn statements_of_a_batch(&self) -> u32 {
        let absent = self.conditions.iter().filter(|it| matches!(it, Condition::NotExists(_)));
        if self.locks_first { 2 + u32::try_from(absent.count()).unwrap_or(16) } else { 1 }
    }

    /// The tables whose change in mid-run ends the rule: its own, those that it looks at, and those
    /// that it inserts into.
    #[must_use]
    pub fn tables(&self) -> Vec<QualifiedTable> {
        let related = self.conditions.iter().filter_map(|condition| match condition {
            Condition::Exists(related) | Condition::NotExists(related) => Some(&related.table),
            Condition::Column(_) | Condition::AnyOf(_) => None,
        });
        let archive = match &self.action {
            Action::Archive(into) => Some(into),
            _ => None,
        };
        let emitted = self.emit.iter().map(|row| &row.into);
        let mut tables = vec![self.table.clone()];
        for table in related.chain(archive).chain(emitted) {
            if !tables.contains(table) {
                tables.push(table.clone());
            }
        }
        tables
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
