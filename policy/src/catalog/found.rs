//! What is wrong with the tables that a rule reads and changes: their kind, types and privileges.

use crate::crd::{Mode, Scalar};
use crate::identifier::{MAX_IDENTIFIER_BYTES, QualifiedTable};
use crate::policy::{
    Action, Assignment, ColumnCondition, NewRow, NewValue, Policy, Related, Rule, Test,
};

use super::SchemaProblemKind::{
    DefaultPartition, NoPrimaryKey, NoReplicaIdentity, NotATable, NotOwner, NotPartitioned,
    OrderCannotWork, PrivilegeMissing, RowSecurity, TableMissing,
};
use super::privileges::{self, Need};
use super::{Catalog, ColumnFacts, RelationKind, SchemaProblem, SchemaProblemKind, TableFacts};

/// Words that Postgres reads as a moment of its own, other than the start of the run.
const MOMENTS: [&str; 5] = ["now", "today", "tomorrow", "yesterday", "allballs"];

/// The problems of one rule, or of the report, as they are found.
pub(super) struct Found<'a> {
    pub(super) catalog: &'a Catalog,
    mode: Mode,
    rule: &'a str,
    pub(super) problems: Vec<SchemaProblem>,
}

impl<'a> Found<'a> {
    /// The problems of the rule at `index`.
    pub(super) fn of_rule(catalog: &'a Catalog, policy: &'a Policy, index: usize) -> Self {
        let rules = policy.rules();
        let (earlier, rule) = (&rules[..index], &rules[index]);
        let mode = policy.mode();
        let mut found = Self { catalog, mode, rule: rule.name(), problems: Vec::new() };
        found.table(rule);
        for related in rule.related() {
            found.related(rule, related);
        }
        for row in rule.emit() {
            found.new_row("emit", row);
        }
        if let Action::Archive(into) = rule.action() {
            found.archive(rule, into);
            found.archived_cascades(earlier, rule);
        }
        found.order(rules, index);
        let key = catalog.table(rule.table()).map_or(&[][..], |facts| &facts.primary_key);
        found.privileges(privileges::of_rule(rule, mode, key), rule.emit());
        found
    }

    /// The problems of the report.
    pub(super) fn of_report(catalog: &'a Catalog, policy: &'a Policy) -> Self {
        let mode = policy.mode();
        let mut found = Self { catalog, mode, rule: "", problems: Vec::new() };
        if let Some(row) = policy.report() {
            found.new_row("report", row);
            if mode == Mode::Enforce {
                found.privileges(privileges::of_row(row).into(), std::slice::from_ref(row));
            }
        }
        found
    }

    pub(super) fn add(&mut self, kind: SchemaProblemKind, message: String) {
        self.problems.push(SchemaProblem::new(self.rule, kind, message));
    }

    fn table(&mut self, rule: &'a Rule) {
        let table = rule.table();
        let Some(facts) = self.existing(table) else { return };
        if let Some(refusal) = facts.kind.refusal() {
            return self.not_a_table(table, facts, refusal);
        }
        if facts.primary_key.is_empty() && !matches!(rule.action(), Action::DropPartitions { .. }) {
            let table = table.plain();
            let message =
                format!("table {table} has no primary key, so its rows cannot be named; add one");
            self.add(NoPrimaryKey, message);
        }
        for column in rule.columns().filter(|it| facts.column(it).is_none()) {
            self.column_missing(table, column);
        }
        self.types(rule, facts);
        self.row_security(table, facts);
        if let Action::DropPartitions { .. } = rule.action() {
            self.partitions(rule, facts);
        } else {
            self.replica_identity(rule, facts);
        }
    }

    fn existing(&mut self, table: &QualifiedTable) -> Option<&'a TableFacts> {
        let facts = self.catalog.table(table);
        if facts.is_none() {
            let table = table.plain();
            self.add(TableMissing, format!("table {table} does not exist in this database; check spec.database and the migration"));
        }
        facts
    }

    fn not_a_table(&mut self, table: &QualifiedTable, facts: &TableFacts, refusal: &str) {
        let behind = match facts.base_tables.as_slice() {
            [base] => format!(", {base}"),
            _ => String::new(),
        };
        self.add(NotATable, format!("{} {refusal}{behind}", table.plain()));
    }

    pub(super) fn row_security(&mut self, table: &QualifiedTable, facts: &TableFacts) {
        if facts.row_security {
            let (plain, role) = (table.plain(), &facts.role);
            self.add(RowSecurity, format!("row security would hide rows of {plain} from role {role}; as a superuser: ALTER ROLE {role} BYPASSRLS; or use the owner of the table"));
        }
    }

    fn replica_identity(&mut self, rule: &Rule, facts: &TableFacts) {
        if self.mode != Mode::Enforce {
            return;
        }
        let removes = rule.action().removes_rows();
        let published = facts.published_without_identity.iter();
        let own = published.filter(|it| if removes { it.delete } else { it.update });
        let mut parts: Vec<_> = own.map(|it| it.part.clone()).collect();
        if removes {
            let cascades = self.catalog.cascades(rule.table()).into_iter();
            parts.extend(cascades.filter(|it| it.key.unidentified).map(|it| it.key.table.plain()));
        }
        for part in parts {
            self.add(
                NoReplicaIdentity,
                format!("{part} is published, and its rows have no replica identity, so the database would refuse the change; as its owner, set one: ALTER TABLE … REPLICA IDENTITY DEFAULT (its primary key) or FULL"),
            );
        }
    }

    /// Rows of another table that a condition looks for.
    fn related(&mut self, rule: &Rule, related: &Related) {
        let table = &related.table;
        let Some(facts) = self.existing(table) else { return };
        let refusal = facts.kind.refusal().filter(|_| facts.kind != RelationKind::Inherited);
        if let Some(refusal) = refusal {
            return self.not_a_table(table, facts, refusal);
        }
        self.row_security(table, facts);
        for condition in &related.conditions {
            match facts.column(&condition.column) {
                Some(column) => self.condition(table, condition, column),
                None => self.column_missing(table, &condition.column),
            }
        }
        let own = self.catalog.table(rule.table());
        for join in &related.join {
            let Some(column) = facts.column(&join.column) else {
                self.column_missing(table, &join.column);
                continue;
            };
            self.operators(table, column, "is joined");
            let Some(other) = own.and_then(|own| own.column(&join.references)) else { continue };
            self.operators(rule.table(), other, "is joined");
            let families = column.family().zip(other.family());
            if families.is_some_and(|(one, another)| one != another) {
                let (one, another, name) = (&column.sql_type, &other.sql_type, other.name.as_str());
                self.add_column(table, column, &format!("is of type {one} and cannot be joined with \"{name}\" of {}, which is of type {another}", rule.table().plain()));
            }
        }
    }

    fn partitions(&mut self, rule: &Rule, facts: &TableFacts) {
        let (table, due) = (rule.table().plain(), rule.due());
        let key: Vec<_> = due.iter().map(|due| Some(due.column.clone())).collect();
        let fits = |it: &&super::PartitioningFacts| it.by_range && it.key == key;
        let Some(partitioning) = facts.partitioning.as_ref().filter(fits) else {
            let column = due.map_or("", |due| due.column.as_str());
            return self.add(NotPartitioned, format!("table {table} is not partitioned by range of \"{column}\" alone, so no partition of it is due as a whole; use delete"));
        };
        if let Some(default) = &partitioning.default_partition {
            self.add(DefaultPartition, format!("table {table} has the default partition {default}, which keeps others from being dropped safely; move its rows into partitions of their own and drop it"));
        }
        if self.mode != Mode::Enforce {
            return;
        }
        let own = (!facts.is_owner).then_some(&facts.owner);
        let mut owners: Vec<_> = own.into_iter().chain(&partitioning.foreign_owners).collect();
        owners.dedup();
        if !owners.is_empty() {
            let to = &facts.role;
            let grants: Vec<_> =
                owners.iter().map(|owner| format!("GRANT {owner} TO {to};")).collect();
            self.add(
                NotOwner,
                format!(
                    "only an owner may drop partitions of {table}; as a superuser: {}",
                    grants.join(" ")
                ),
            );
        }
    }

    fn order(&mut self, rules: &[Rule], index: usize) {
        for (cascade, too_late) in self.catalog.refusals(rules, index) {
            if too_late {
                let (key, parent) = (cascade.key, cascade.parent.plain());
                let (child, constraint) = (key.table.plain(), key.constraint);
                self.add(OrderCannotWork, format!("rows of {child} keep rows of {parent} from going by constraint \"{constraint}\", and only a later rule removes them; put that rule before this one"));
            }
        }
    }

    fn types(&mut self, rule: &'a Rule, facts: &TableFacts) {
        let table = rule.table();
        for condition in rule.column_conditions() {
            if let Some(column) = facts.column(&condition.column) {
                self.condition(table, condition, column);
            }
        }
        for column in facts.primary_key.iter().filter_map(|name| facts.column(name)) {
            self.operators(table, column, "is in the primary key and");
        }
        if let Action::Update(assignments) = rule.action() {
            for assignment in assignments {
                if let Some(column) = facts.column(&assignment.column) {
                    self.assignment(table, assignment, column);
                }
            }
        }
    }

    fn operators(&mut self, table: &QualifiedTable, column: &ColumnFacts, place: &str) {
        if column.foreign_operators {
            let sql_type = &column.sql_type;
            self.add_column(
                table,
                column,
                &format!(
                    "{place} is of type {sql_type}, whose own operators this version does not use"
                ),
            );
        }
    }

    fn condition(
        &mut self,
        table: &QualifiedTable,
        condition: &ColumnCondition,
        column: &ColumnFacts,
    ) {
        let sql_type = &column.sql_type;
        match &condition.test {
            Test::IsNull | Test::IsNotNull => return,
            Test::OlderThan { unit: None, .. } | Test::NewerThan { unit: None, .. } => {
                if !column.is_time() {
                    self.add_column(table, column, &format!("is of type {sql_type}; OlderThan and NewerThan need a timestamp or a date, or a number with a unit"));
                }
                return;
            }
            Test::OlderThan { unit: Some(_), .. } | Test::NewerThan { unit: Some(_), .. } => {
                if !column.is_number() {
                    self.add_column(
                        table,
                        column,
                        &format!("is of type {sql_type}; a unit belongs to a column of numbers"),
                    );
                }
                return;
            }
            _ => {}
        }
        if let Some(why) = column.comparison_refusal() {
            let why = format!("is of type {sql_type}, {why}; compare another column");
            self.add_column(table, column, &why);
        }
        for value in condition.test.scalars() {
            self.moment(table, value, column);
            if sql_type == "name" && value.to_string().len() > MAX_IDENTIFIER_BYTES {
                self.add_column(table, column, "holds names of at most 63 bytes: Postgres would cut the value off and find another one");
            }
        }
    }

    fn assignment(
        &mut self,
        table: &QualifiedTable,
        assignment: &Assignment,
        column: &ColumnFacts,
    ) {
        if column.generated {
            return self.add_column(table, column, "is generated and cannot be set");
        }
        match &assignment.to {
            NewValue::Now if !column.is_time() => {
                let sql_type = &column.sql_type;
                self.add_column(
                    table,
                    column,
                    &format!("is of type {sql_type}; now needs a timestamp or a date"),
                );
            }
            NewValue::Null if column.not_null => {
                self.add_column(table, column, "is NOT NULL and cannot be set to NULL");
            }
            NewValue::Scalar(value) => self.scalar(table, value, column),
            NewValue::Now | NewValue::Null | NewValue::Column(_) => {}
        }
    }

    /// A value that a column gets.
    pub(super) fn scalar(&mut self, table: &QualifiedTable, value: &Scalar, column: &ColumnFacts) {
        self.moment(table, value, column);
        let length = value.to_string().chars().count();
        if let Some(most) = column.max_length.filter(|most| length > *most) {
            self.add_column(
                table,
                column,
                &format!("takes at most {most} characters, and its value has {length}"),
            );
        }
    }

    /// A run sees one moment, its start: no value may bring another.
    fn moment(&mut self, table: &QualifiedTable, value: &Scalar, column: &ColumnFacts) {
        let Scalar::Text(text) = value else { return };
        let text = text.to_ascii_lowercase();
        let mut words = text.split(|c: char| !c.is_ascii_alphabetic());
        if column.reads_moments() && words.any(|word| MOMENTS.contains(&word)) {
            self.add_column(table, column, "is compared with or set to a moment that passes while the run goes on; use OlderThan or NewerThan with an age (0s is the start of the run), or now: true in set");
        }
    }

    fn privileges(&mut self, needs: Vec<Need<'a>>, rows: &[NewRow]) {
        let mut missing = Vec::new();
        let mut role = "";
        for (table, privilege) in needs {
            let Some(facts) = self.catalog.table(table) else { continue };
            role = &facts.role;
            if let Some(lacking) = privilege.lacking(facts) {
                missing.push(lacking.on(table));
            }
        }
        if self.mode == Mode::Enforce {
            let sequences = rows.iter().flat_map(|row| self.closed_sequences(row));
            missing.extend(sequences.map(|it| format!("USAGE ON SEQUENCE {it}")));
        }
        let mut grants: Vec<String> = Vec::new();
        for privilege in missing {
            let grant = format!("GRANT {privilege} TO {role};");
            if !grants.contains(&grant) {
                grants.push(grant);
            }
        }
        if !grants.is_empty() {
            self.add(
                PrivilegeMissing,
                format!("the role lacks a privilege; as the owner: {}", grants.join(" ")),
            );
        }
    }
}
