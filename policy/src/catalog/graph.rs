//! The foreign keys below a table: what a delete takes along, or runs into.

use crate::identifier::QualifiedTable;
use crate::policy::{Condition, Rule};

use super::{Catalog, OnDelete, ReferenceFacts};

/// Bounds of the tree: keys in a row, and keys in all.
const DEEPEST: usize = 8;
const MOST: usize = 200;

/// One foreign key that a delete meets, by the way of cascades before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cascade {
    /// How many cascades lead here; 0 for a key that points at the rule's own table.
    pub depth: usize,
    /// The table that the key points at.
    pub parent: QualifiedTable,
    /// The key.
    pub key: ReferenceFacts,
    /// How many of its rows one deleted row of the rule's table meets, by estimate; `None` where
    /// statistics are missing.
    pub per_row: Option<f64>,
}

impl Catalog {
    /// The foreign keys that a delete from `table` meets, each below the one that leads to it.
    #[must_use]
    pub fn cascades(&self, table: &QualifiedTable) -> Vec<Cascade> {
        let mut found = Vec::new();
        self.descend(table, Some(1.0), &mut vec![table.clone()], &mut found);
        found
    }

    fn descend(
        &self,
        parent: &QualifiedTable,
        parents: Option<f64>,
        path: &mut Vec<QualifiedTable>,
        found: &mut Vec<Cascade>,
    ) {
        let depth = path.len() - 1;
        for key in self.references(parent) {
            if found.len() >= MOST {
                return;
            }
            let per_row = parents.zip(key.children_per_parent).map(|(all, each)| all * each);
            found.push(Cascade { depth, parent: parent.clone(), key: key.clone(), per_row });
            let again = path.contains(&key.table);
            if key.on_delete == OnDelete::Cascade && !again && depth + 1 < DEEPEST {
                path.push(key.table.clone());
                self.descend(&key.table, per_row, path, found);
                path.pop();
            }
        }
    }

    /// The tables that lose rows when `rule` is carried out, its own first.
    pub(crate) fn emptied_by(&self, rule: &Rule) -> Vec<QualifiedTable> {
        if !rule.action().removes_rows() {
            return Vec::new();
        }
        let mut tables = vec![rule.table().clone()];
        let cascades = self.cascades(rule.table()).into_iter();
        let taken = cascades.filter(|it| it.key.on_delete == OnDelete::Cascade);
        tables.extend(taken.map(|it| it.key.table));
        tables
    }

    /// The keys whose rows keep rows of rule `index` from going, where neither an earlier rule
    /// removes those nor the rule itself looks out for them; and whether a later rule removes them.
    pub(crate) fn refusals(&self, rules: &[Rule], index: usize) -> Vec<(Cascade, bool)> {
        let Some((earlier, [rule, later @ ..])) = rules.split_at_checked(index) else {
            return Vec::new();
        };
        if !rule.action().removes_rows() {
            return Vec::new();
        }
        let looks_out = |table: &QualifiedTable| {
            let mut absent = rule.conditions().iter().filter_map(|it| match it {
                Condition::NotExists(related) => Some(&related.table),
                _ => None,
            });
            absent.any(|it| it == table)
        };
        let emptied = |rules: &[Rule], table: &QualifiedTable| {
            rules.iter().any(|rule| self.emptied_by(rule).contains(table))
        };
        self.cascades(rule.table())
            .into_iter()
            .filter(|it| it.key.on_delete == OnDelete::Refuse)
            .filter(|it| !looks_out(&it.key.table) && !emptied(earlier, &it.key.table))
            .map(|it| {
                let too_late = it.key.table != *rule.table() && emptied(later, &it.key.table);
                (it, too_late)
            })
            .collect()
    }
}
