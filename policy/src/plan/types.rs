//! The types of the columns that a plan compares, joins and sets.

use std::collections::BTreeMap;

use crate::catalog::{Catalog, TableFacts};
use crate::identifier::{Identifier, QualifiedTable};

/// The types of columns, as SQL spells them; none where there is no catalog: Postgres then finds
/// them out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Types(BTreeMap<QualifiedTable, BTreeMap<Identifier, String>>);

impl Types {
    pub(super) fn of(catalog: &Catalog) -> Self {
        let columns = |facts: &TableFacts| {
            facts.columns.iter().map(|it| (it.name.clone(), it.sql_type.clone())).collect()
        };
        Self(catalog.tables().map(|(table, facts)| (table.clone(), columns(facts))).collect())
    }

    pub(crate) fn get(&self, table: &QualifiedTable, column: &Identifier) -> Option<&str> {
        self.0.get(table)?.get(column).map(String::as_str)
    }
}
