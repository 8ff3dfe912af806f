//! From a policy and the catalog to steps: what each rule will do, decided before
//! any row is looked at.

mod locks;
mod observe;
mod remark;
#[cfg(test)]
mod tests;
mod types;

use crate::age::Age;
use crate::catalog::{Cascade, Catalog, OnDelete, SchemaProblem, TableFacts};
use crate::crd::EpochUnit;
use crate::explain::Access;
use crate::identifier::{Identifier, QualifiedTable};
use crate::policy::{Action, Condition, NewRow, Policy, Related, Rule};
use crate::report::Strategy;

use observe::{Observer, create_index};

pub use remark::{Advice, Named, Remark, Warning};
pub(crate) use types::Types;

/// What a run will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    steps: Vec<Step>,
    pub(crate) report: Option<NewRow>,
    pub(crate) types: Types,
    /// What would help the policy as a whole.
    advice: Vec<Remark<Advice>>,
}

/// What one rule will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub(crate) rule: String,
    pub(crate) table: QualifiedTable,
    pub(crate) conditions: Vec<Condition>,
    /// What must be gone before a row is archived: its delete would take them along, and nobody
    /// would have archived them. Their foreign keys let none come once the row is locked.
    pub(crate) children: Vec<Related>,
    pub(crate) action: Action,
    pub(crate) emit: Vec<NewRow>,
    pub(crate) types: Types,
    pub(crate) primary_key: Vec<Identifier>,
    strategy: Strategy,
    pub(crate) due: Option<(Identifier, Age, Option<EpochUnit>)>,
    /// The columns that an archive gets, in the order of the table.
    pub(crate) archived: Vec<Identifier>,
    locks_first: bool,
    /// Triggers that can keep a row from being changed without an error.
    refusing: Vec<String>,
    pub(crate) max_rows: i64,
    pub(crate) max_percent_of_table: i64,
    pub(crate) analysed: bool,
    pub(crate) depends_on_earlier: bool,
    /// The foreign keys that a delete meets.
    cascades: Vec<Cascade>,
    warnings: Vec<Remark<Warning>>,
    advice: Vec<Remark<Advice>>,
    /// What is known of the table; nothing without a catalog.
    known: Option<Known>,
    /// The indexes that lead to its rows, where the database was asked.
    indexes: Vec<String>,
}

/// What is known of a step's table.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    rows: Option<i64>,
    is_large: bool,
    is_partitioned: bool,
    /// Whether an index begins with the age column.
    has_age_index: bool,
}

/// Rules with fewer rows than this are never stopped by a guard.
const FREE_OF_GUARDS: i64 = 1000;

impl Plan {
    /// Plans against a database.
    ///
    /// # Errors
    /// Every problem of every rule: one stops the whole run before its first row.
    pub fn new(policy: &Policy, catalog: &Catalog) -> Result<Self, Vec<SchemaProblem>> {
        let problems = catalog.problems(policy);
        if problems.is_empty() { Ok(Self::of(policy, Some(catalog))) } else { Err(problems) }
    }

    /// Plans without a database: for showing the SQL. The types of the columns
    /// and the primary key are not known then.
    #[must_use]
    pub fn offline(policy: &Policy) -> Self {
        Self::of(policy, None)
    }

    fn of(policy: &Policy, catalog: Option<&Catalog>) -> Self {
        let types = catalog.map(Types::of).unwrap_or_default();
        let step = |(index, rule): (usize, &Rule)| {
            let facts = catalog.and_then(|catalog| catalog.table(rule.table()));
            let mut step = Step::new(policy, rule, &types, facts);
            if let Some(catalog) = catalog.filter(|_| rule.action().removes_rows()) {
                step.cascades = catalog.cascades(rule.table());
            }
            let observer = Observer { policy, catalog, index };
            // An earlier rule archives the children, or the plan would have been refused.
            step.depends_on_earlier = observer.depends_on_earlier() || !step.children.is_empty();
            observer.remark(&mut step);
            step
        };
        let steps = policy.rules().iter().enumerate().map(step).collect();
        let mut advice = Vec::new();
        if catalog.is_some_and(|catalog| !catalog.sees_replica_lag) {
            advice.push(Remark {
                rule: String::new(),
                kind: Advice::ReplicaLagUnavailable,
                message: "the role may not see how far replicas are behind, so execution.maxReplicaLag cannot pause a run; as a superuser: GRANT pg_monitor to it".to_owned(),
            });
        }
        Self { steps, report: policy.report().cloned(), types, advice }
    }

    /// What is odd, of all rules.
    pub fn warnings(&self) -> impl Iterator<Item = &Remark<Warning>> {
        self.steps.iter().flat_map(|step| &step.warnings)
    }

    /// What would help, the policy as a whole and each rule.
    pub fn advice(&self) -> impl Iterator<Item = &Remark<Advice>> {
        self.advice.iter().chain(self.steps.iter().flat_map(|step| &step.advice))
    }

    /// Decides how the rows of a step are found, by what the database says of its first batch
    /// ([`Step::explain_batch`]); `None` where it was not asked. True when the step is now
    /// another one: ask again.
    pub fn decide(&mut self, index: usize, access: Option<Access>) -> bool {
        self.steps.get_mut(index).is_some_and(|step| step.decide(access))
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
            children: match rule.action() {
                Action::Archive(_) => facts.map(TableFacts::taken_along).unwrap_or_default(),
                _ => Vec::new(),
            },
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
            refusing: Vec::new(),
            depends_on_earlier: false,
            cascades: Vec::new(),
            warnings: Vec::new(),
            advice: Vec::new(),
            known: facts.map(|facts| Known {
                rows: facts.rows,
                is_large: facts.is_large(),
                is_partitioned: facts.partitioning.is_some(),
                has_age_index: due.is_some_and(|due| facts.has_index_on(&[due.column])),
            }),
            indexes: Vec::new(),
        }
    }

    fn warn(&mut self, kind: Warning, message: String) {
        self.warnings.push(Remark { rule: self.rule.clone(), kind, message });
    }

    fn advise(&mut self, kind: Advice, message: String) {
        self.advice.push(Remark { rule: self.rule.clone(), kind, message });
    }

    /// See [`Plan::decide`].
    fn decide(&mut self, access: Option<Access>) -> bool {
        let Some(known) = self.known.clone() else { return false };
        let asked = access.is_some();
        let reads_everything =
            access.as_ref().map_or(!known.has_age_index, |it| it.reads_everything);
        self.indexes = access.map(|access| access.indexes).unwrap_or_default();
        let Some((column, ..)) = &self.due else { return false };
        if self.strategy != Strategy::Keyset || !known.is_large || !reads_everything {
            return false;
        }
        let rest = self.primary_key.iter().filter(|key| *key != column);
        let columns: Vec<_> = std::iter::once(column).chain(rest).collect();
        let ddl = create_index(&self.table, &columns, known.is_partitioned);
        let message = format!(
            "no index of {} leads to the rows that are due, so a run walks all of it by its primary key: {ddl}",
            self.table.plain()
        );
        self.advise(Advice::MissingIndex, message);
        self.strategy = Strategy::PrimaryKey;
        asked
    }

    /// Names of what is odd about the rule, each once.
    #[must_use]
    pub fn warnings(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for name in self.warnings.iter().map(Named::name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The foreign keys that a delete meets, each below the one that leads to it.
    #[must_use]
    pub fn cascades(&self) -> &[Cascade] {
        &self.cascades
    }

    /// What one row of a batch weighs: itself, and the rows that go or change with it, by estimate.
    #[must_use]
    pub fn weight(&self) -> f64 {
        let taken = self.cascades.iter().filter(|it| it.key.on_delete != OnDelete::Refuse);
        1.0 + taken.map(|it| it.per_row.unwrap_or(1.0)).sum::<f64>()
    }

    /// The indexes that lead to its rows, where the database was asked.
    #[must_use]
    pub fn indexes(&self) -> &[String] {
        &self.indexes
    }

    /// The rows of the table, as the planner estimates them.
    #[must_use]
    pub fn table_rows(&self) -> Option<i64> {
        self.known.as_ref()?.rows
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
        let children = self.children.iter().map(|child| &child.table);
        let archive = match &self.action {
            Action::Archive(into) => Some(into),
            _ => None,
        };
        let emitted = self.emit.iter().map(|row| &row.into);
        let mut tables = vec![self.table.clone()];
        for table in related.chain(children).chain(archive).chain(emitted) {
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
