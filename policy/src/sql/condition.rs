//! `where`, in SQL.

use crate::identifier::Identifier;
use crate::policy::{ColumnCondition, Condition, Test};

use super::{Bind, Builder};

impl Builder<'_> {
    /// Every condition of the step on the row `t`, one a line.
    pub(super) fn conditions(&mut self, indent: &str) -> String {
        let step = self.step;
        let lines: Vec<_> =
            step.conditions.iter().map(|condition| self.condition(condition)).collect();
        lines.join(&format!("\n{indent}AND "))
    }

    fn condition(&mut self, condition: &Condition) -> String {
        match condition {
            Condition::Column(condition) => self.column_condition(condition),
            Condition::AnyOf(conditions) => {
                let any: Vec<_> =
                    conditions.iter().map(|condition| self.column_condition(condition)).collect();
                format!("({})", any.join(" OR "))
            }
        }
    }

    fn column_condition(&mut self, condition: &ColumnCondition) -> String {
        let name = &condition.column;
        let column = format!("t.{name}");
        match &condition.test {
            Test::Equals(value) => self.compare(name, "=", value.to_string()),
            Test::NotEquals(value) => self.compare(name, "<>", value.to_string()),
            Test::LessThan(value) => self.compare(name, "<", value.to_string()),
            Test::GreaterThan(value) => self.compare(name, ">", value.to_string()),
            Test::In(values) => {
                let values = values.iter().map(ToString::to_string).collect();
                format!("{column} = ANY ({})", self.cast(Bind::Texts(values), name))
            }
            Test::NotIn(values) => {
                let values = values.iter().map(ToString::to_string).collect();
                format!("{column} <> ALL ({})", self.cast(Bind::Texts(values), name))
            }
            Test::IsNull => format!("{column} IS NULL"),
            Test::IsNotNull => format!("{column} IS NOT NULL"),
            // `-infinity` is before every cutoff and yet means "never": it is not old. A range, and
            // not isfinite(), so that the planner's estimate stays right and an index bounds both ends.
            Test::OlderThan(age) => {
                let cutoff = self.cast_time(Bind::Cutoff(*age), name);
                let never = format!("CAST('-infinity' AS {})", self.time_type(name));
                format!("({column} < {cutoff} AND {column} > {never})")
            }
            Test::NewerThan(age) => {
                let cutoff = self.cast_time(Bind::Cutoff(*age), name);
                format!("{column} > {cutoff}")
            }
        }
    }

    fn compare(&mut self, column: &Identifier, operator: &str, value: String) -> String {
        format!("t.{column} {operator} {}", self.cast(Bind::Text(value), column))
    }
}
