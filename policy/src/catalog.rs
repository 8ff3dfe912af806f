//! What the catalog of a database says of the tables of a policy, and what is
//! wrong with it for a rule.

mod facts;
mod found;
mod graph;
mod insert;
mod privileges;
mod problem;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use crate::identifier::QualifiedTable;
use crate::policy::{Action, Policy};

use found::Found;

pub use facts::{
    ColumnFacts, IndexFacts, OnDelete, PartitioningFacts, PublishedFacts, ReferenceFacts,
    RelationKind, TableFacts, TriggerFacts,
};
pub use graph::Cascade;
pub use insert::{ARCHIVE_COLUMNS, archive_ddl};
pub use privileges::grants;
pub use problem::{SchemaProblem, SchemaProblemKind};

/// The tables of a policy, as they are in the database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    tables: BTreeMap<QualifiedTable, TableFacts>,
    /// The keys that point at tables that a cascade reaches.
    beyond: BTreeMap<QualifiedTable, Vec<ReferenceFacts>>,
    /// Whether the role may see how far replicas are behind.
    pub(crate) sees_replica_lag: bool,
}

impl Catalog {
    /// No table yet.
    #[must_use]
    pub fn new(sees_replica_lag: bool) -> Self {
        Self { sees_replica_lag, ..Self::default() }
    }

    /// Adds what is known of a table.
    pub fn insert(&mut self, table: QualifiedTable, facts: TableFacts) {
        self.tables.insert(table, facts);
    }

    /// Adds a foreign key that points at `table`, which is known already or reached by a cascade.
    pub fn refer(&mut self, table: QualifiedTable, key: ReferenceFacts) {
        match self.tables.get_mut(&table) {
            Some(facts) => facts.referenced_by.push(key),
            None => self.beyond.entry(table).or_default().push(key),
        }
    }

    /// Every table that is known.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (&QualifiedTable, &TableFacts)> {
        self.tables.iter()
    }

    pub(crate) fn table(&self, table: &QualifiedTable) -> Option<&TableFacts> {
        self.tables.get(table)
    }

    /// The foreign keys that point at `table`.
    pub(crate) fn references(&self, table: &QualifiedTable) -> &[ReferenceFacts] {
        let known = self.table(table).map(|facts| &facts.referenced_by);
        known.or_else(|| self.beyond.get(table)).map_or(&[], Vec::as_slice)
    }

    /// Everything that keeps `policy` from running, of all its rules.
    pub(crate) fn problems(&self, policy: &Policy) -> Vec<SchemaProblem> {
        let rules = 0..policy.rules().len();
        let mut problems: Vec<_> =
            rules.flat_map(|index| Found::of_rule(self, policy, index).problems).collect();
        problems.extend(Found::of_report(self, policy).problems);
        problems
    }
}

impl Policy {
    /// Every table that the policy names, each once.
    #[must_use]
    pub fn tables(&self) -> Vec<&QualifiedTable> {
        let of_rule = self.rules().iter().flat_map(|rule| {
            let archive = match rule.action() {
                Action::Archive(into) => Some(into),
                _ => None,
            };
            let related = rule.related().map(|related| &related.table);
            let emitted = rule.emit().iter().map(|row| &row.into);
            std::iter::once(rule.table()).chain(related).chain(emitted).chain(archive)
        });
        let mut tables: Vec<_> = of_rule.chain(self.report().map(|row| &row.into)).collect();
        tables.sort_unstable();
        tables.dedup();
        tables
    }

    /// The tables whose rows go, each once: what points at them can go with them.
    #[must_use]
    pub fn emptied_tables(&self) -> Vec<&QualifiedTable> {
        let removing = self.rules().iter().filter(|rule| rule.action().removes_rows());
        let mut tables: Vec<_> = removing.map(crate::policy::Rule::table).collect();
        tables.sort_unstable();
        tables.dedup();
        tables
    }
}
