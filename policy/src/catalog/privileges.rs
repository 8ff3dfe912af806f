//! What a role needs on the tables of a policy, and no more.

use std::collections::{BTreeMap, BTreeSet};

use crate::crd::Mode;
use crate::identifier::{Identifier, QualifiedTable};
use crate::policy::{Action, Condition, NewRow, Policy, Rule};

use super::TableFacts;

type Columns = BTreeSet<Identifier>;

/// One privilege on one table.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Privilege {
    UseSchema,
    /// On the whole table: a row that is changed is met by its `ctid`, which no grant on columns
    /// covers.
    Select,
    SelectColumns(Columns),
    Insert,
    InsertColumns(Columns),
    UpdateColumns(Columns),
    /// On any column, for example this one: Postgres lets only a role lock rows that may update a
    /// column of them.
    Lock(Identifier),
    Delete,
}

pub(super) type Need<'a> = (&'a QualifiedTable, Privilege);

/// What `rule` needs. `key` is the primary key of its table, where that is known.
pub(super) fn of_rule<'a>(rule: &'a Rule, mode: Mode, key: &[Identifier]) -> Vec<Need<'a>> {
    let table = rule.table();
    let looked_at: Columns = rule.condition_columns().cloned().collect();
    let mut needs = vec![(table, Privilege::UseSchema)];
    let lock = key.first().or(looked_at.first()).cloned().map(Privilege::Lock);
    if mode == Mode::Enforce {
        needs.push((table, Privilege::Select));
    } else {
        needs.push((table, Privilege::SelectColumns(looked_at)));
    }
    needs.extend(of_related(rule, mode));
    if mode != Mode::Enforce {
        return needs;
    }
    match rule.action() {
        Action::Update(_) => {
            let written = rule.written_columns().cloned().collect();
            needs.push((table, Privilege::UpdateColumns(written)));
        }
        Action::Delete | Action::Archive(_) => {
            needs.push((table, Privilege::Delete));
            needs.extend(lock.map(|lock| (table, lock)));
        }
        // Its owner may do it.
        Action::DropPartitions { .. } => {}
    }
    if let Action::Archive(into) = rule.action() {
        needs.extend([(into, Privilege::UseSchema), (into, Privilege::Insert)]);
    }
    needs.extend(rule.emit().iter().flat_map(of_row));
    needs
}

fn of_related(rule: &Rule, mode: Mode) -> Vec<Need<'_>> {
    let mut needs = Vec::new();
    for condition in rule.conditions() {
        let (related, held) = match condition {
            Condition::Exists(related) => (related, false),
            // What must stay absent is held while the row goes.
            Condition::NotExists(related) => (related, mode == Mode::Enforce),
            Condition::Column(_) | Condition::AnyOf(_) => continue,
        };
        let table = &related.table;
        needs.push((table, Privilege::UseSchema));
        if held {
            needs.push((table, Privilege::Select));
            let joined = related.join.first().map(|join| join.column.clone());
            needs.extend(joined.map(|column| (table, Privilege::Lock(column))));
        } else {
            let joined = related.join.iter().map(|join| &join.column);
            let columns = related.conditions.iter().map(|it| &it.column).chain(joined);
            needs.push((table, Privilege::SelectColumns(columns.cloned().collect())));
        }
    }
    needs
}

/// What a new row needs.
pub(super) fn of_row(row: &NewRow) -> [Need<'_>; 2] {
    let columns = row.values.iter().map(|cell| cell.column.clone()).collect();
    [(&row.into, Privilege::UseSchema), (&row.into, Privilege::InsertColumns(columns))]
}

impl Privilege {
    /// The part of it that the role lacks.
    pub(super) fn lacking(&self, facts: &TableFacts) -> Option<Self> {
        let without = |columns: &Columns, may: fn(&super::ColumnFacts) -> bool| {
            let named = columns.iter().filter_map(|name| facts.column(name));
            let lacking: Columns = named.filter(|it| !may(it)).map(|it| it.name.clone()).collect();
            (!lacking.is_empty()).then_some(lacking)
        };
        let unless = |held: bool| (!held).then(|| self.clone());
        match self {
            Self::UseSchema => unless(facts.can_use_schema),
            Self::Select => unless(facts.can_select),
            Self::SelectColumns(columns) => {
                without(columns, |it| it.can_select).map(Self::SelectColumns)
            }
            Self::Insert => {
                unless(facts.can_insert || facts.columns.iter().all(|column| column.can_insert))
            }
            Self::InsertColumns(columns) => {
                without(columns, |it| it.can_insert).map(Self::InsertColumns)
            }
            Self::UpdateColumns(columns) => {
                without(columns, |it| it.can_update).map(Self::UpdateColumns)
            }
            Self::Lock(_) => unless(facts.columns.iter().any(|column| column.can_update)),
            Self::Delete => unless(facts.can_delete),
        }
    }

    /// As it stands between `GRANT` and `TO`.
    pub(super) fn on(&self, table: &QualifiedTable) -> String {
        match self {
            Self::UseSchema => format!("USAGE ON SCHEMA {}", table.schema),
            Self::Select => format!("SELECT ON {table}"),
            Self::SelectColumns(columns) => format!("SELECT ({}) ON {table}", list(columns)),
            Self::Insert => format!("INSERT ON {table}"),
            Self::InsertColumns(columns) => format!("INSERT ({}) ON {table}", list(columns)),
            Self::UpdateColumns(columns) => format!("UPDATE ({}) ON {table}", list(columns)),
            Self::Lock(column) => format!("UPDATE ({column}) ON {table}"),
            Self::Delete => format!("DELETE ON {table}"),
        }
    }
}

fn list(columns: &Columns) -> String {
    columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The least that `role` (quoted) needs on the tables of `policy`, one `GRANT` a line, without
/// repeats. What only a database can tell stands in a line of comment.
#[must_use]
pub fn grants(policy: &Policy, role: &str) -> Vec<String> {
    let mode = policy.mode();
    let mut needs: Vec<_> =
        policy.rules().iter().flat_map(|rule| of_rule(rule, mode, &[])).collect();
    if mode == Mode::Enforce {
        needs.extend(policy.report().into_iter().flat_map(of_row));
    }
    let schemas: BTreeSet<_> = needs.iter().map(|(table, _)| &table.schema).collect();
    let mut lines: Vec<_> = schemas
        .into_iter()
        .map(|schema| format!("GRANT USAGE ON SCHEMA {schema} TO {role};"))
        .collect();
    let mut tables: BTreeMap<&QualifiedTable, Together> = BTreeMap::new();
    for (table, privilege) in needs {
        tables.entry(table).or_default().add(privilege);
    }
    for (table, together) in tables {
        let on = |privilege: &Privilege| format!("GRANT {} TO {role};", privilege.on(table));
        lines.extend(together.privileges().iter().map(on));
    }
    for rule in policy.rules() {
        if matches!(rule.action(), Action::DropPartitions { .. }) {
            let table = rule.table();
            lines.push(format!(
                "-- dropPartitions of {table} needs the rights of its owner: GRANT <owner> TO {role};"
            ));
        }
    }
    lines
}

/// The privileges on one table, of all rules.
#[derive(Default)]
struct Together {
    select: bool,
    selected: Columns,
    insert: bool,
    inserted: Columns,
    updated: Columns,
    lock: Option<Identifier>,
    delete: bool,
}

impl Together {
    fn add(&mut self, privilege: Privilege) {
        match privilege {
            Privilege::UseSchema => {}
            Privilege::Select => self.select = true,
            Privilege::SelectColumns(columns) => self.selected.extend(columns),
            Privilege::Insert => self.insert = true,
            Privilege::InsertColumns(columns) => self.inserted.extend(columns),
            Privilege::UpdateColumns(columns) => self.updated.extend(columns),
            Privilege::Lock(column) => self.lock = Some(column),
            Privilege::Delete => self.delete = true,
        }
    }

    fn privileges(self) -> Vec<Privilege> {
        let some = |columns: Columns| Some(columns).filter(|it| !it.is_empty());
        let lock = self.lock.filter(|_| self.updated.is_empty());
        let select = if self.select {
            Some(Privilege::Select)
        } else {
            some(self.selected).map(Privilege::SelectColumns)
        };
        let insert = if self.insert {
            Some(Privilege::Insert)
        } else {
            some(self.inserted).map(Privilege::InsertColumns)
        };
        let update = some(self.updated).map(Privilege::UpdateColumns);
        let delete = self.delete.then_some(Privilege::Delete);
        [select, insert, update, lock.map(Privilege::Lock), delete].into_iter().flatten().collect()
    }
}
