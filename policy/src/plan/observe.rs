//! Finds the warnings and the advice of a step.

use crate::catalog::{Cascade, Catalog, OnDelete, TableFacts};
use crate::identifier::{Identifier, QualifiedTable};
use crate::policy::{Action, Condition, Policy, Rule};

use super::Step;
use super::remark::{Advice, Warning};

/// What is looked at for the remarks of one rule.
pub(super) struct Observer<'a> {
    pub(super) policy: &'a Policy,
    pub(super) catalog: Option<&'a Catalog>,
    pub(super) index: usize,
}

impl Observer<'_> {
    fn rule(&self) -> &Rule {
        &self.policy.rules()[self.index]
    }

    fn earlier(&self) -> &[Rule] {
        &self.policy.rules()[..self.index]
    }

    fn facts(&self) -> Option<&TableFacts> {
        self.catalog?.table(self.rule().table())
    }

    /// Whether an earlier rule writes what this one reads, by itself or by a cascade.
    pub(super) fn depends_on_earlier(&self) -> bool {
        let rule = self.rule();
        let read = |table: &QualifiedTable| {
            table == rule.table() || rule.related().any(|related| related.table == *table)
        };
        self.earlier().iter().any(|earlier| {
            let reached = self.catalog.map(|catalog| catalog.emptied_by(earlier));
            rule.reads_what_is_written_by(earlier)
                || reached.into_iter().flatten().any(|it| read(&it))
        })
    }

    /// Adds every warning and all advice that the catalog alone gives rise to.
    pub(super) fn remark(&self, step: &mut Step) {
        self.conditions(step);
        if let Some(facts) = self.facts() {
            table(step, facts);
        }
        self.related(step);
        if self.rule().action().removes_rows() {
            for cascade in step.cascades.clone() {
                self.cascade(step, &cascade);
            }
            self.refusals(step);
        }
    }

    fn conditions(&self, step: &mut Step) {
        if step.action.removes_rows() && step.due.is_none() {
            step.warn(Warning::NoAgeCondition, "no age decides which rows go: a row that was inserted just now goes as well as an old one; add an OlderThan condition".to_owned());
        }
        if step.depends_on_earlier {
            step.warn(Warning::CountDependsOnEarlierRule, "an earlier rule changes what this one looks at, so it will meet other rows than are counted at the start; its guard speaks again when its turn comes".to_owned());
        }
        if step.emit.iter().any(|row| row.into == step.table) {
            step.warn(Warning::EmitsIntoOwnTable, format!("emit inserts rows into {}, which the rule goes through: where they hold its conditions it goes on until a cap or execution.maxDuration ends it; give them values that do not", step.table.plain()));
        }
        let naive = |column: &Identifier| {
            step.types.get(&step.table, column) == Some("timestamp without time zone")
        };
        let mut naive: Vec<_> = self.rule().timed_columns().filter(|it| naive(it)).collect();
        naive.sort_unstable();
        naive.dedup();
        if !naive.is_empty() {
            let names: Vec<_> = naive.into_iter().map(ToString::to_string).collect();
            step.warn(Warning::TimestampReadAsUtc, format!("{} of {} has no time zone and is read as UTC; if the app writes another zone, rows go too early or too late: make it timestamptz", names.join(", "), step.table.plain()));
        }
    }

    /// Other tables that are looked up for each row.
    fn related(&self, step: &mut Step) {
        for related in self.rule().related() {
            let Some(facts) = self.catalog.and_then(|it| it.table(&related.table)) else {
                continue;
            };
            let columns: Vec<_> = related.join.iter().map(|join| &join.column).collect();
            if facts.is_large() && !columns.iter().any(|column| facts.has_index_on(&[column])) {
                let partitioned = facts.partitioning.is_some();
                let message = format!(
                    "no index of {} leads to the rows that are joined, so each batch may read it whole: {}",
                    related.table.plain(),
                    create_index(&related.table, &columns, partitioned)
                );
                step.advise(Advice::MissingIndex, message);
            }
        }
    }

    fn cascade(&self, step: &mut Step, cascade: &Cascade) {
        let key = &cascade.key;
        let (child, parent, constraint) =
            (key.table.plain(), cascade.parent.plain(), &key.constraint);
        let whole_partitions = matches!(step.action, Action::DropPartitions { .. });
        let named = self.policy.rules().iter().any(|rule| *rule.table() == key.table);
        let size = self.policy.execution().batch_size;
        let many = children(cascade, size);
        match key.on_delete {
            _ if whole_partitions => {}
            OnDelete::Cascade if key.table == step.table => {
                step.warn(Warning::CascadesIntoOwnTable, format!("a row of {child} takes the rows that point at it along by constraint \"{constraint}\", due or not: {many}"));
            }
            OnDelete::Cascade if !named => {
                step.warn(Warning::CascadesIntoUnnamedTable, format!("rows of {child} go with their rows of {parent} by constraint \"{constraint}\", and no rule names that table: {many}"));
            }
            OnDelete::Cascade if !self.spares(step, cascade) => {
                step.warn(Warning::CascadesIntoNamedTable, format!("rows of {child} go with their rows of {parent} by constraint \"{constraint}\", also those that the rules of that table leave alone; a notExists condition on {child} keeps them: {many}"));
            }
            OnDelete::Set if !named => {
                step.warn(Warning::SetsColumnsOfUnnamedTable, format!("columns of {child} are set when their rows of {parent} go, by constraint \"{constraint}\", and no rule names that table: {many}"));
            }
            OnDelete::Cascade | OnDelete::Set | OnDelete::Refuse => {}
        }
        if !key.indexed && !whole_partitions {
            step.warn(Warning::ForeignKeyWithoutIndex, format!("no index of {child} leads by constraint \"{constraint}\" to the rows that point at {parent}: the database reads all of {child} for each row that goes"));
            let columns: Vec<_> = key.columns.iter().collect();
            let ddl = create_index(&key.table, &columns, key.partitioned);
            step.advise(Advice::MissingIndex, format!("for constraint \"{constraint}\": {ddl}"));
        }
    }

    /// Whether the rows of a key never go along, since the step leaves alone what has any.
    fn spares(&self, step: &Step, cascade: &Cascade) -> bool {
        let spares = |table: &QualifiedTable| {
            self.rule().conditions().iter().any(|condition| match condition {
                Condition::NotExists(other) => other.table == *table && other.conditions.is_empty(),
                _ => false,
            })
        };
        !step.children.is_empty() || spares(&cascade.key.table) || spares(&cascade.parent)
    }

    fn refusals(&self, step: &mut Step) {
        let Some(catalog) = self.catalog else { return };
        for (cascade, _) in catalog.refusals(self.policy.rules(), self.index) {
            let (key, parent) = (cascade.key, cascade.parent.plain());
            let (child, constraint) = (key.table.plain(), key.constraint);
            step.warn(Warning::ReferencedByForeignKey, format!("rows of {child} keep rows of {parent} from going by constraint \"{constraint}\", and no earlier rule removes them: add one, or a notExists condition on {child}"));
        }
    }
}

impl Step {
    /// Whether a trigger can keep a row from being changed without an error.
    #[must_use]
    pub fn may_be_refused(&self) -> bool {
        !self.refusing.is_empty()
    }
}

/// What is odd about the table itself.
fn table(step: &mut Step, facts: &TableFacts) {
    let (table, plain) = (&step.table.clone(), step.table.plain());
    let by_rows = !matches!(step.action, Action::DropPartitions { .. });
    let removes = step.action.removes_rows();
    let fires = facts.triggers.iter().filter(|it| if removes { it.delete } else { it.update });
    let refusing = fires.clone().filter(|it| it.row && it.before);
    step.refusing = refusing.map(|it| it.name.clone()).collect();
    let names: Vec<_> = fires.map(|it| it.name.as_str()).collect();
    if by_rows && !names.is_empty() {
        step.warn(Warning::UserTriggers, format!("triggers of {plain} fire for each batch, with the rights of the run's role, and can refuse a row or change others: {}", names.join(", ")));
    }
    if let Some(partitioning) = &facts.partitioning {
        for part in &partitioning.pending {
            step.warn(Warning::PendingDetach, format!("the detachment of {part} from {plain} was begun and not finished, which hides its rows; a run with dropPartitions finishes it, or: ALTER TABLE {table} DETACH PARTITION … FINALIZE"));
        }
    }
    if !facts.analysed {
        step.advise(
            Advice::StatisticsMissing,
            format!(
                "{plain} was never analysed, so shares and plans are guesses: ANALYZE {table};"
            ),
        );
    }
}

/// How many rows of the key's table a batch meets.
fn children(cascade: &Cascade, batch: i64) -> String {
    let Some(per_row) = cascade.per_row else {
        let table = &cascade.key.table;
        return format!("how many is not known; ANALYZE {table} and {}", cascade.parent);
    };
    #[expect(clippy::cast_precision_loss, reason = "an estimate in a sentence")]
    let in_all = (per_row * batch as f64).round();
    format!("about {in_all:.0} with a batch of {batch} rows")
}

/// The statement that makes an index, without holding up the app.
pub(super) fn create_index(
    table: &QualifiedTable,
    columns: &[&Identifier],
    partitioned: bool,
) -> String {
    let columns: Vec<_> = columns.iter().map(ToString::to_string).collect();
    let columns = columns.join(", ");
    if partitioned {
        // CONCURRENTLY does not go with a partitioned table.
        format!(
            "CREATE INDEX ON ONLY {table} ({columns}); then CREATE INDEX CONCURRENTLY on each partition and ALTER INDEX … ATTACH PARTITION"
        )
    } else {
        format!("CREATE INDEX CONCURRENTLY ON {table} ({columns});")
    }
}
