//! Rows that a policy inserts.

use crate::crd::Scalar;
use crate::identifier::{Identifier, QualifiedTable};
use crate::plan::Plan;
use crate::policy::{CellValue, NewCell, NewRow, ObjectField, RowValue};

use super::{Bind, Builder, Statement};

impl Plan {
    /// Inserts the row of the policy's `report`; returns nothing. `None` where it has none.
    #[must_use]
    pub fn report_row(&self) -> Option<Statement> {
        let row = self.report.as_ref()?;
        let mut sql = Builder::new(&self.types);
        let values = sql.row_values(row, &|column| column.to_string());
        sql.push(&format!("{}\nVALUES ({})", insert_into(row), values.join(", ")));
        Some(sql.finish())
    }

    /// `EXPLAIN` of [`Plan::report_row`]: has the database check it without making a row.
    #[must_use]
    pub fn explain_report_row(&self) -> Option<Statement> {
        let mut statement = self.report_row()?;
        statement.text = format!("EXPLAIN (FORMAT JSON)\n{}", statement.text);
        Some(statement)
    }
}

/// `INSERT INTO` with the columns of the row.
pub(super) fn insert_into(row: &NewRow) -> String {
    let columns: Vec<_> = row.values.iter().map(|cell| cell.column.to_string()).collect();
    format!("INSERT INTO {} ({})", row.into, columns.join(", "))
}

/// How a column of the changed row is reached.
pub(super) type Source<'a> = dyn Fn(&Identifier) -> String + 'a;

impl Builder<'_> {
    /// The values of a row, in the order of its columns.
    pub(super) fn row_values(&mut self, row: &NewRow, source: &Source<'_>) -> Vec<String> {
        row.values.iter().map(|cell| self.cell(&row.into, cell, source)).collect()
    }

    fn cell(&mut self, into: &QualifiedTable, cell: &NewCell, source: &Source<'_>) -> String {
        let value = match &cell.value {
            CellValue::Plain(RowValue::Null) => return "NULL".to_owned(),
            CellValue::Plain(RowValue::Scalar(value)) => {
                return self.cast(Bind::Text(value.to_string()), into, &cell.column);
            }
            CellValue::Plain(RowValue::Now) => {
                return self.cast_time(Bind::Now, into, &cell.column);
            }
            CellValue::Plain(RowValue::Column(column)) => source(column),
            CellValue::Plain(RowValue::Affected(rule)) => self.count(Bind::Affected(*rule)),
            CellValue::Plain(RowValue::Matched(rule)) => self.count(Bind::Matched(*rule)),
            CellValue::Object(fields) => self.object(fields, source),
        };
        match self.types.get(into, &cell.column) {
            Some(sql_type) => format!("CAST({value} AS {sql_type})"),
            None => value,
        }
    }

    fn object(&mut self, fields: &[ObjectField], source: &Source<'_>) -> String {
        let mut pairs = Vec::new();
        for field in fields {
            let key = self.text(field.key.clone());
            let value = match &field.value {
                RowValue::Scalar(Scalar::Integer(integer)) => {
                    format!("CAST({} AS bigint)", self.text(integer.to_string()))
                }
                RowValue::Scalar(Scalar::Text(text)) => self.text(text.clone()),
                RowValue::Now => format!("CAST({} AS timestamptz)", self.bind(Bind::Now)),
                RowValue::Column(column) => source(column),
                RowValue::Null => "NULL".to_owned(),
                RowValue::Affected(rule) => self.count(Bind::Affected(*rule)),
                RowValue::Matched(rule) => self.count(Bind::Matched(*rule)),
            };
            pairs.push(format!("{key}, {value}"));
        }
        format!("jsonb_build_object({})", pairs.join(", "))
    }

    /// A text of the policy that stays one.
    fn text(&mut self, text: String) -> String {
        format!("CAST({} AS text)", self.bind(Bind::Text(text)))
    }

    fn count(&mut self, bind: Bind) -> String {
        format!("CAST({} AS bigint)", self.bind(bind))
    }
}
