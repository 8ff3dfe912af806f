//! `where`, in SQL.

use crate::crd::{EpochUnit, Scalar};
use crate::identifier::{Identifier, QualifiedTable};
use crate::plan::Step;
use crate::policy::{ColumnCondition, Condition, Related, Test};

use super::{Bind, Builder, CutoffAs};

/// A table under its name in a statement.
#[derive(Clone, Copy)]
pub(super) struct Alias<'a> {
    pub(super) name: &'static str,
    pub(super) table: &'a QualifiedTable,
}

impl Builder<'_> {
    /// Every condition of the step on the row `t`, one a line.
    pub(super) fn conditions(&mut self, step: &Step, indent: &str) -> String {
        let row = Alias { name: "t", table: &step.table };
        let mut lines: Vec<_> =
            step.conditions.iter().map(|condition| self.condition(row, condition)).collect();
        lines.extend(step.children.iter().map(|child| self.exists("NOT EXISTS", row, child)));
        lines.join(&format!("\n{indent}AND "))
    }

    fn condition(&mut self, row: Alias<'_>, condition: &Condition) -> String {
        match condition {
            Condition::Column(condition) => self.column_condition(row, condition),
            Condition::AnyOf(conditions) => {
                let any: Vec<_> = conditions
                    .iter()
                    .map(|condition| self.column_condition(row, condition))
                    .collect();
                format!("({})", any.join(" OR "))
            }
            Condition::Exists(related) => self.exists("EXISTS", row, related),
            // A row that names no partner has lost none: NULL is no orphan.
            Condition::NotExists(related) => {
                let named: Vec<_> = related
                    .join
                    .iter()
                    .map(|join| format!("{}.{} IS NOT NULL", row.name, join.references))
                    .collect();
                let none = self.exists("NOT EXISTS", row, related);
                format!("({} AND {none})", named.join(" AND "))
            }
        }
    }

    fn exists(&mut self, word: &str, row: Alias<'_>, related: &Related) -> String {
        let other = Alias { name: "r", table: &related.table };
        let mut lines: Vec<_> = related
            .join
            .iter()
            .map(|join| format!("r.{} = {}.{}", join.column, row.name, join.references))
            .collect();
        for condition in &related.conditions {
            lines.push(self.column_condition(other, condition));
        }
        format!("{word} (SELECT FROM {} AS r WHERE {})", related.table, lines.join(" AND "))
    }

    fn column_condition(&mut self, row: Alias<'_>, condition: &ColumnCondition) -> String {
        let column = format!("{}.{}", row.name, condition.column);
        let name = &condition.column;
        match &condition.test {
            Test::Equals(value) => self.compare(row, name, "=", value.to_string()),
            Test::NotEquals(value) => self.compare(row, name, "<>", value.to_string()),
            Test::LessThan(value) => self.compare(row, name, "<", value.to_string()),
            Test::GreaterThan(value) => self.compare(row, name, ">", value.to_string()),
            Test::In(values) => self.among(row, name, values, ["= ANY", "IN"]),
            Test::NotIn(values) => self.among(row, name, values, ["<> ALL", "NOT IN"]),
            Test::IsNull => format!("{column} IS NULL"),
            Test::IsNotNull => format!("{column} IS NOT NULL"),
            // `-infinity` is before every cutoff and yet means "never": it is not old. A range, and
            // not isfinite(), so that the planner's estimate stays right and an index bounds both ends.
            Test::OlderThan { age, unit } => {
                let kind = self.time_kind(row, name, *unit);
                let written = kind.written(*unit, CutoffAs::RoundedUp);
                let cutoff = self.cutoff(Bind::Cutoff(*age, written), kind);
                match kind.never() {
                    Some(never) => format!("({column} < {cutoff} AND {column} > {never})"),
                    None => format!("{column} < {cutoff}"),
                }
            }
            Test::NewerThan { age, unit } => {
                let kind = self.time_kind(row, name, *unit);
                let written = kind.written(*unit, CutoffAs::RoundedDown);
                format!("{column} > {}", self.cutoff(Bind::Cutoff(*age, written), kind))
            }
        }
    }

    /// A moment as something that a column of this kind compares with, by its own index.
    pub(super) fn cutoff(&mut self, bind: Bind, kind: TimeKind) -> String {
        format!("CAST({} AS {})", self.bind(bind), kind.sql_type())
    }

    pub(super) fn time_kind(
        &self,
        row: Alias<'_>,
        column: &Identifier,
        unit: Option<EpochUnit>,
    ) -> TimeKind {
        match (unit, self.types.get(row.table, column)) {
            (None, None | Some("timestamp with time zone")) => TimeKind::Zoned,
            (None, Some(_)) => TimeKind::Naive,
            (Some(_), Some("real" | "double precision")) => TimeKind::Approximate,
            (Some(_), Some("numeric")) => TimeKind::Decimal,
            (Some(_), _) => TimeKind::Integer,
        }
    }

    /// A list is one parameter; where the column itself is a list, Postgres would compare with the
    /// elements of its elements.
    fn among(
        &mut self,
        row: Alias<'_>,
        column: &Identifier,
        values: &[Scalar],
        [of_list, of_values]: [&str; 2],
    ) -> String {
        let texts = values.iter().map(ToString::to_string);
        let (operator, values) = if self.is_list(row.table, column) {
            let values: Vec<_> =
                texts.map(|text| self.cast(Bind::Text(text), row.table, column)).collect();
            (of_values, values.join(", "))
        } else {
            (of_list, self.cast(Bind::Texts(texts.collect()), row.table, column))
        };
        format!("{}.{column} {operator} ({values})", row.name)
    }

    /// Whether a column holds arrays.
    pub(super) fn is_list(&self, table: &QualifiedTable, column: &Identifier) -> bool {
        self.types.get(table, column).is_some_and(|sql_type| sql_type.ends_with("[]"))
    }

    fn compare(
        &mut self,
        row: Alias<'_>,
        column: &Identifier,
        operator: &str,
        value: String,
    ) -> String {
        let value = self.cast(Bind::Text(value), row.table, column);
        format!("{}.{column} {operator} {value}", row.name)
    }
}

/// Holds for the rows `t` that a part of the statement has found. No join, whose price the planner
/// compares with that of reading and hashing the whole table: the array leads to the rows and to no
/// other, and `IS TRUE` keeps the pairs, which tell partitions apart, from becoming a join again.
pub(super) fn rows_of(part: &str) -> String {
    format!(
        "t.ctid = ANY (ARRAY(SELECT batch_row FROM {part}))\n    \
         AND ((t.tableoid, t.ctid) IN (SELECT batch_table, batch_row FROM {part})) IS TRUE"
    )
}

/// How a column holds time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeKind {
    Zoned,
    Naive,
    Integer,
    Decimal,
    Approximate,
}

impl TimeKind {
    pub(super) fn sql_type(self) -> &'static str {
        match self {
            TimeKind::Zoned => "timestamptz",
            TimeKind::Naive => "timestamp",
            // As wide as it gets: the cutoff of a narrow column may lie beyond its range.
            TimeKind::Integer => "bigint",
            TimeKind::Decimal => "numeric",
            TimeKind::Approximate => "double precision",
        }
    }

    /// How a cutoff is written for it; `rounded` where it is a whole number.
    pub(super) fn written(
        self,
        unit: Option<EpochUnit>,
        rounded: fn(EpochUnit) -> CutoffAs,
    ) -> CutoffAs {
        match (self, unit) {
            (_, None) => CutoffAs::Moment,
            (TimeKind::Integer, Some(unit)) => rounded(unit),
            (_, Some(unit)) => CutoffAs::Number(unit),
        }
    }

    /// What stands for "never" in it, where it has such a value.
    pub(super) fn never(self) -> Option<String> {
        (self != TimeKind::Integer).then(|| format!("CAST('-infinity' AS {})", self.sql_type()))
    }
}
