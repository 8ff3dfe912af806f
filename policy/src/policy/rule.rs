//! One rule of a policy.

use crate::age::Age;
use crate::crd::{EpochUnit, Scalar};
use crate::identifier::{Identifier, QualifiedTable};
use crate::report::ActionKind;

use super::NewRow;

/// Which rows of one table go, and what happens to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub(crate) name: String,
    pub(crate) table: QualifiedTable,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) action: Action,
    pub(crate) emit: Vec<NewRow>,
    pub(crate) max_rows: Option<i64>,
    pub(crate) max_percent_of_table: i64,
}

impl Rule {
    /// Name, unique in the policy.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The table whose rows go.
    #[must_use]
    pub fn table(&self) -> &QualifiedTable {
        &self.table
    }

    /// All of these hold for a row that goes; at least one.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// What happens to the rows.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// Rows that are inserted for each changed row, in the same transaction; their values are
    /// never [`super::RowValue::Affected`] or [`super::RowValue::Matched`].
    #[must_use]
    pub fn emit(&self) -> &[NewRow] {
        &self.emit
    }

    /// A cap on the rows of this rule.
    #[must_use]
    pub fn max_rows(&self) -> Option<i64> {
        self.max_rows
    }

    /// A guard, in percent of the table's rows: the rule's own or the policy's.
    #[must_use]
    pub fn max_percent_of_table(&self) -> i64 {
        self.max_percent_of_table
    }

    /// Every column of the rule's table that the rule reads or writes, without repeats.
    pub fn columns(&self) -> impl Iterator<Item = &Identifier> {
        let mut columns: Vec<_> = self.read_columns().chain(self.written_columns()).collect();
        columns.sort_unstable();
        columns.dedup();
        columns.into_iter()
    }

    /// The columns of the rule's table that the rule reads.
    pub fn read_columns(&self) -> impl Iterator<Item = &Identifier> {
        let sources = self.assignments().iter().filter_map(|assignment| match &assignment.to {
            NewValue::Column(column) => Some(column),
            NewValue::Scalar(_) | NewValue::Now | NewValue::Null => None,
        });
        let emitted = self.emit.iter().flat_map(NewRow::source_columns);
        self.condition_columns().chain(sources).chain(emitted)
    }

    /// The columns of the rule's table that decide which rows go.
    pub(crate) fn condition_columns(&self) -> impl Iterator<Item = &Identifier> {
        let joined = self.related().flat_map(|related| &related.join).map(|join| &join.references);
        self.column_conditions().map(|condition| &condition.column).chain(joined)
    }

    /// Whether `earlier` changes what this rule holds: it writes a column that a condition of this
    /// rule looks at, or removes rows that one looks for.
    pub(crate) fn reads_what_is_written_by(&self, earlier: &Rule) -> bool {
        let own = *earlier.table() == self.table
            && (earlier.action.removes_rows()
                || earlier.written_columns().any(|it| self.condition_columns().any(|c| c == it)));
        let related = self.related().filter(|related| related.table == earlier.table);
        let theirs = related.into_iter().any(|related| {
            let conditions = related.conditions.iter().map(|condition| &condition.column);
            let joined = related.join.iter().map(|join| &join.column);
            let mut columns = conditions.chain(joined);
            earlier.action.removes_rows()
                || columns.any(|column| earlier.written_columns().any(|it| it == column))
        });
        own || theirs
    }

    /// The columns that the rule writes; none for a delete.
    pub fn written_columns(&self) -> impl Iterator<Item = &Identifier> {
        self.assignments().iter().map(|assignment| &assignment.column)
    }

    /// The columns that are compared with the start of the run as timestamps.
    pub(crate) fn timed_columns(&self) -> impl Iterator<Item = &Identifier> {
        let timed = self.column_conditions().filter(|condition| {
            matches!(
                condition.test,
                Test::OlderThan { unit: None, .. } | Test::NewerThan { unit: None, .. }
            )
        });
        timed.map(|condition| &condition.column)
    }

    /// Every condition on one column of the rule's table, those inside `anyOf` too.
    pub fn column_conditions(&self) -> impl Iterator<Item = &ColumnCondition> {
        self.conditions.iter().flat_map(|condition| match condition {
            Condition::Column(condition) => std::slice::from_ref(condition),
            Condition::AnyOf(conditions) => conditions,
            Condition::Exists(_) | Condition::NotExists(_) => &[],
        })
    }

    /// The other tables that the conditions look at.
    pub fn related(&self) -> impl Iterator<Item = &Related> {
        self.conditions.iter().filter_map(|condition| match condition {
            Condition::Exists(related) | Condition::NotExists(related) => Some(related),
            Condition::Column(_) | Condition::AnyOf(_) => None,
        })
    }

    /// The first age that every row must have, if there is one.
    #[must_use]
    pub fn due(&self) -> Option<Due<'_>> {
        self.top_level_ages().next()
    }

    /// The ages that every row must have: those of top-level `OlderThan` conditions.
    pub(crate) fn top_level_ages(&self) -> impl Iterator<Item = Due<'_>> {
        self.conditions.iter().filter_map(|condition| match condition {
            Condition::Column(ColumnCondition { column, test: Test::OlderThan { age, unit } }) => {
                Some(Due { column, age: *age, unit: *unit })
            }
            _ => None,
        })
    }

    fn assignments(&self) -> &[Assignment] {
        match &self.action {
            Action::Update(assignments) => assignments,
            Action::Delete | Action::Archive(_) | Action::DropPartitions { .. } => &[],
        }
    }
}

/// The column and age by which a row becomes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due<'a> {
    /// The column.
    pub column: &'a Identifier,
    /// Its age.
    pub age: Age,
    /// How the column holds time, where it is a number.
    pub unit: Option<EpochUnit>,
}

/// One entry of `where`.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The column passes the test.
    Column(ColumnCondition),
    /// One of these holds.
    AnyOf(Vec<ColumnCondition>),
    /// Another table has such a row.
    Exists(Related),
    /// Another table has no such row.
    NotExists(Related),
}

/// Rows of another table that belong to a row of the rule's table.
#[derive(Clone, Debug, PartialEq)]
pub struct Related {
    /// The other table.
    pub table: QualifiedTable,
    /// How they belong together; at least one.
    pub join: Vec<Join>,
    /// What holds for them besides; may be empty.
    pub conditions: Vec<ColumnCondition>,
}

/// A pair of columns that are equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// On the other table.
    pub column: Identifier,
    /// On the rule's table.
    pub references: Identifier,
}

/// A test of one column. NULL passes none but [`Test::IsNull`].
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnCondition {
    /// The column.
    pub column: Identifier,
    /// The test.
    pub test: Test,
}

/// What a column is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// `=`
    Equals(Scalar),
    /// `<>`
    NotEquals(Scalar),
    /// `= ANY`
    In(Vec<Scalar>),
    /// `<> ALL`
    NotIn(Vec<Scalar>),
    /// `<`
    LessThan(Scalar),
    /// `>`
    GreaterThan(Scalar),
    /// `IS NULL`
    IsNull,
    /// `IS NOT NULL`
    IsNotNull,
    /// Before the cutoff; never `-infinity`.
    OlderThan {
        /// The cutoff is the start of the run minus this.
        age: Age,
        /// How a number column holds time.
        unit: Option<EpochUnit>,
    },
    /// After the cutoff.
    NewerThan {
        /// The cutoff is the start of the run minus this.
        age: Age,
        /// How a number column holds time.
        unit: Option<EpochUnit>,
    },
}

impl Test {
    /// The values that the column is compared with, as they stand in the policy.
    #[must_use]
    pub fn scalars(&self) -> &[Scalar] {
        match self {
            Test::Equals(value)
            | Test::NotEquals(value)
            | Test::LessThan(value)
            | Test::GreaterThan(value) => std::slice::from_ref(value),
            Test::In(values) | Test::NotIn(values) => values,
            Test::IsNull | Test::IsNotNull | Test::OlderThan { .. } | Test::NewerThan { .. } => &[],
        }
    }
}

/// What happens to the rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Columns are set.
    Update(Vec<Assignment>),
    /// The rows are deleted.
    Delete,
    /// The rows are deleted and inserted into this table, in one transaction.
    Archive(QualifiedTable),
    /// Whole partitions whose rows are all due are detached and dropped.
    DropPartitions {
        /// How long a detached table is kept before it is dropped.
        grace_age: Age,
    },
}

impl Action {
    /// The word of reports and metrics.
    #[must_use]
    pub fn kind(&self) -> ActionKind {
        match self {
            Action::Update(_) => ActionKind::Update,
            Action::Delete => ActionKind::Delete,
            Action::Archive(_) => ActionKind::Archive,
            Action::DropPartitions { .. } => ActionKind::DropPartitions,
        }
    }

    /// Whether rows leave the table.
    #[must_use]
    pub fn removes_rows(&self) -> bool {
        !matches!(self, Action::Update(_))
    }
}

/// One column that is set.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The column.
    pub column: Identifier,
    /// What it is set to.
    pub to: NewValue,
}

/// What a column is set to.
#[derive(Clone, Debug, PartialEq)]
pub enum NewValue {
    /// A value, cast to the column's type.
    Scalar(Scalar),
    /// The start of the run.
    Now,
    /// What another column of the row holds.
    Column(Identifier),
    /// NULL.
    Null,
}
