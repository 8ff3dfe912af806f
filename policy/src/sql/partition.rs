//! The statements that detach and drop whole partitions.
//!
//! Names in statements like these cannot be bound: they are quoted by [`crate::Identifier`], and
//! ranges are held to harmless characters by [`PartitionBound`].

use crate::crd::EpochUnit;
use crate::identifier::QualifiedTable;
use crate::partition::PartitionBound;
use crate::plan::Step;

use super::condition::Alias;
use super::{Bind, Builder, CutoffAs, Statement};

impl Step {
    /// The partitions all of whose rows are due by their range, the oldest first. One row of
    /// arrays (`text[]` each): `schemas`, `names`, `oids`, `bounds`, `pending` (`t` or `f`), and
    /// `overdue` (seconds since the last moment of its range became due). A foreign table is none:
    /// a drop would leave its rows where they are.
    #[must_use]
    pub fn due_partitions(&self) -> Option<Statement> {
        let (column, age, unit) = self.due.as_ref()?;
        let mut sql = Builder::new(&self.types);
        let kind = sql.time_kind(Alias { name: "t", table: &self.table }, column, *unit);
        let schema = sql.bind(Bind::Text(self.table.schema.as_str().to_owned()));
        let name = sql.bind(Bind::Text(self.table.name.as_str().to_owned()));
        let written = kind.written(*unit, CutoffAs::RoundedUp);
        let cutoff = sql.cutoff(Bind::Cutoff(*age, written), kind);
        let sql_type = kind.sql_type();
        let overdue = match unit {
            None => format!("extract(epoch FROM {cutoff} - ends)"),
            Some(EpochUnit::EpochSeconds) => format!("({cutoff} - ends)"),
            Some(EpochUnit::EpochMillis) => format!("(({cutoff} - ends) / 1000)"),
        };
        let overdue = match kind.never() {
            Some(never) => format!("CASE WHEN ends > {never} THEN {overdue} ELSE 0 END"),
            None => overdue,
        };
        sql.push(&format!(
            "WITH partitions AS (\n\
             \x20 SELECT n.nspname, c.relname, c.oid, i.inhdetachpending, pg_get_expr(c.relpartbound, c.oid) AS bound\n\
             \x20 FROM pg_inherits AS i\n\
             \x20 JOIN pg_class AS c ON c.oid = i.inhrelid\n\
             \x20 JOIN pg_namespace AS n ON n.oid = c.relnamespace\n\
             \x20 JOIN pg_class AS parent ON parent.oid = i.inhparent\n\
             \x20 JOIN pg_namespace AS parent_schema ON parent_schema.oid = parent.relnamespace\n\
             \x20 WHERE parent_schema.nspname = CAST({schema} AS name)\n\
             \x20   AND parent.relname = CAST({name} AS name)\n\
             \x20   AND c.relkind IN ('r', 'p')\n\
             ), ranges AS (\n\
             \x20 SELECT *, btrim(substring(bound FROM '^FOR VALUES FROM [(].+[)] TO [(](.+)[)]$'), '''') AS upper\n\
             \x20 FROM partitions\n\
             ), due AS (\n\
             \x20 SELECT *, CASE WHEN upper <> 'MAXVALUE' THEN CAST(upper AS {sql_type}) END AS ends\n\
             \x20 FROM ranges\n\
             )\n\
             SELECT COALESCE(array_agg(CAST(nspname AS text) ORDER BY ends), '{{}}') AS schemas,\n\
             \x20 COALESCE(array_agg(CAST(relname AS text) ORDER BY ends), '{{}}') AS names,\n\
             \x20 COALESCE(array_agg(CAST(oid AS text) ORDER BY ends), '{{}}') AS oids,\n\
             \x20 COALESCE(array_agg(bound ORDER BY ends), '{{}}') AS bounds,\n\
             \x20 COALESCE(array_agg(left(CAST(inhdetachpending AS text), 1) ORDER BY ends), '{{}}') AS pending,\n\
             \x20 COALESCE(array_agg(CAST({overdue} AS text) ORDER BY ends), '{{}}') AS overdue\n\
             FROM due\n\
             WHERE ends <= {cutoff}"
        ));
        Some(sql.finish())
    }

    /// One row, two `bigint`: how many rows `partition` has, and how many of them are not due.
    #[must_use]
    pub fn count_partition(&self, partition: &QualifiedTable) -> Statement {
        let mut sql = Builder::new(&self.types);
        let conditions = sql.conditions(self, "    ");
        sql.push(&format!(
            "SELECT count(*) AS rows,\n  count(*) FILTER (\n    WHERE ({conditions}) IS NOT TRUE\n  ) AS survivors\nFROM {partition} AS t"
        ));
        sql.finish()
    }

    /// The same of the first rows of `partition`, up to [`Bind::Limit`] of them.
    #[must_use]
    pub fn count_partition_up_to(&self, partition: &QualifiedTable) -> Statement {
        let mut sql = Builder::new(&self.types);
        let conditions = sql.conditions(self, "    ");
        let limit = sql.bind(Bind::Limit);
        sql.push(&bounded_count(&conditions, &format!("{partition} AS t"), &limit));
        sql.finish()
    }

    /// The same of the rows between the ends of `bound`, through the table that they are rows of:
    /// for a role that may read that table alone.
    #[must_use]
    pub fn count_range_up_to(&self, bound: &PartitionBound) -> Option<Statement> {
        let mut sql = Builder::new(&self.types);
        let conditions = sql.conditions(self, "    ");
        let range = sql.range(self, bound)?;
        let limit = sql.bind(Bind::Limit);
        let rows = format!("{table} AS t\n  WHERE {range}", table = self.table);
        sql.push(&bounded_count(&conditions, &rows, &limit));
        Some(sql.finish())
    }

    /// `EXPLAIN` of a read of the same rows; see [`Step::estimate_matched`].
    #[must_use]
    pub fn estimate_range(&self, bound: &PartitionBound) -> Option<Statement> {
        let mut sql = Builder::new(&self.types);
        let range = sql.range(self, bound)?;
        sql.push(&format!(
            "EXPLAIN (FORMAT JSON)\nSELECT 1\nFROM {table} AS t\nWHERE {range}",
            table = self.table
        ));
        Some(sql.finish())
    }

    /// Detaches `partition`, or ends a detach that was cut off.
    #[must_use]
    pub fn detach(&self, partition: &QualifiedTable, pending: bool) -> Statement {
        let finalize = if pending { " FINALIZE" } else { "" };
        plain(format!("ALTER TABLE {}\nDETACH PARTITION {partition}{finalize}", self.table))
    }

    /// Gives a detached table back.
    #[must_use]
    pub fn attach(&self, partition: &QualifiedTable, bound: &PartitionBound) -> Statement {
        plain(format!("ALTER TABLE {}\nATTACH PARTITION {partition}\n{bound}", self.table))
    }

    /// Keeps everybody else from a detached table until the end of the transaction.
    #[must_use]
    pub fn lock_detached(partition: &QualifiedTable) -> Statement {
        plain(format!("LOCK TABLE {partition} IN ACCESS EXCLUSIVE MODE"))
    }

    /// Drops a detached table, and nothing that depends on it.
    #[must_use]
    pub fn drop_detached(partition: &QualifiedTable) -> Statement {
        plain(format!("DROP TABLE {partition}"))
    }
}

impl Builder<'_> {
    /// Holds for the rows between the ends of `bound`.
    fn range(&mut self, step: &Step, bound: &PartitionBound) -> Option<String> {
        let (column, ..) = step.due.as_ref()?;
        let ends = [(">=", bound.lower()), ("<", bound.upper())];
        let mut range = Vec::new();
        for (operator, value) in ends {
            if let Some(value) = value {
                let value = self.cast(Bind::Text(value.to_owned()), &step.table, column);
                range.push(format!("t.{column} {operator} {value}"));
            }
        }
        (!range.is_empty()).then(|| range.join(" AND "))
    }
}

/// One row, two `bigint`: rows, and those of them that are not due.
fn bounded_count(conditions: &str, rows: &str, limit: &str) -> String {
    format!(
        "SELECT count(*) AS rows, count(*) FILTER (WHERE due IS NOT TRUE) AS survivors\n\
         FROM (\n  SELECT ({conditions}) AS due\n  FROM {rows}\n  LIMIT {limit}\n) AS bounded"
    )
}

fn plain(text: String) -> Statement {
    Statement { text, binds: Vec::new() }
}
