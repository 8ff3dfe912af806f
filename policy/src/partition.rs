//! A partition of a table, by its name and the range of its rows.

use std::fmt;

use crate::identifier::QualifiedTable;

/// A partition, or a table that was one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its name as a table.
    pub table: QualifiedTable,
    /// The identity of the table, however it is named.
    pub oid: i64,
    /// Which rows it takes.
    pub bound: PartitionBound,
    /// Whether a `DETACH CONCURRENTLY` of somebody's was cut off: its rows are hidden from the table
    /// that it belongs to.
    pub detach_pending: bool,
}

/// The range of a partition: `FOR VALUES FROM (…) TO (…)`, on one column.
///
/// The text comes from the catalog and goes back into a statement, so it may hold nothing but what
/// moments and numbers are written with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionBound {
    lower: Bound,
    upper: Bound,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Bound {
    Unlimited(&'static str),
    Value(String),
}

impl PartitionBound {
    /// Reads what `pg_get_expr(relpartbound, oid)` says, or what is shown by `Display`; `None` for
    /// a default partition, a range over several columns, and anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let inner = text.strip_prefix("FOR VALUES FROM (")?.strip_suffix(')')?;
        let (lower, upper) = inner.split_once(") TO (")?;
        Some(Self { lower: Bound::parse(lower)?, upper: Bound::parse(upper)? })
    }

    /// The smallest value of its rows; `None` where it has no lower end.
    pub(crate) fn lower(&self) -> Option<&str> {
        self.lower.value()
    }

    /// What all of its rows are below; `None` where it has no upper end.
    pub(crate) fn upper(&self) -> Option<&str> {
        self.upper.value()
    }
}

impl Bound {
    fn parse(text: &str) -> Option<Self> {
        if let Some(word) = ["MINVALUE", "MAXVALUE"].into_iter().find(|word| *word == text) {
            return Some(Bound::Unlimited(word));
        }
        let quoted = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
        let value = quoted.unwrap_or(text);
        let harmless = |c: char| c.is_ascii_alphanumeric() || " :.+-".contains(c);
        (!value.is_empty() && value.chars().all(harmless)).then(|| Bound::Value(value.to_owned()))
    }

    fn value(&self) -> Option<&str> {
        match self {
            Bound::Unlimited(_) => None,
            Bound::Value(value) => Some(value),
        }
    }
}

impl fmt::Display for PartitionBound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FOR VALUES FROM ({}) TO ({})", self.lower, self.upper)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Unlimited(word) => formatter.write_str(word),
            Bound::Value(value) => write!(formatter, "'{value}'"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_is_read_and_shown_as_the_catalog_has_it() {
        for text in [
            "FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2026-02-01 00:00:00+00')",
            "FOR VALUES FROM (MINVALUE) TO ('2026-02-01')",
            "FOR VALUES FROM ('-5') TO (MAXVALUE)",
        ] {
            let bound = PartitionBound::parse(text).unwrap();
            assert_eq!(bound.to_string(), text);
        }
        let numbers = PartitionBound::parse("FOR VALUES FROM (0) TO (10)").unwrap();
        assert_eq!(numbers.to_string(), "FOR VALUES FROM ('0') TO ('10')");
    }

    #[test]
    fn what_is_no_range_on_one_column_is_refused() {
        for text in [
            "DEFAULT",
            "FOR VALUES IN ('a')",
            "FOR VALUES FROM ('a', 'b') TO ('c', 'd')",
            "FOR VALUES FROM ('x''); DROP TABLE t; --') TO ('y')",
            "FOR VALUES FROM ('') TO ('y')",
        ] {
            assert_eq!(PartitionBound::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_gets_out_of_its_quotes(lower in ".{0,12}", upper in ".{0,12}") {
            let text = format!("FOR VALUES FROM ('{lower}') TO ('{upper}')");
            if let Some(bound) = PartitionBound::parse(&text) {
                let shown = bound.to_string();
                prop_assert_eq!(shown.matches('\'').count() % 2, 0);
                prop_assert!(!shown.contains(';') && !shown.contains('\\'));
                prop_assert_eq!(PartitionBound::parse(&shown), Some(bound));
            }
        }
    }
}
