//! What is odd about a rule, and what would help it, by stable names: neither keeps it from
//! running. `docs/preflight.md` has the meaning and the way out of each.

use crate::catalog::SchemaProblem;

/// One warning or one piece of advice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark<K> {
    /// Name of the rule; empty where it is about the whole policy.
    pub rule: String,
    /// Which kind.
    pub kind: K,
    /// One sentence that names the object, and the way out.
    pub message: String,
}

/// What is odd, and may surprise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A delete without any age: a young row goes as well as an old one.
    NoAgeCondition,
    /// An earlier rule writes what this one reads: what it holds at the start is not what it meets.
    CountDependsOnEarlierRule,
    /// A rule inserts rows into the table that it goes through, and may meet them.
    EmitsIntoOwnTable,
    /// A column without a time zone is compared with UTC's clock.
    TimestampReadAsUtc,
    /// Triggers of the table run as our role, and can refuse a row.
    UserTriggers,
    /// A delete takes rows of a table along that no rule names.
    CascadesIntoUnnamedTable,
    /// A delete takes rows of a table along that other rules name, also those that they leave alone.
    CascadesIntoNamedTable,
    /// A delete takes other rows of the same table along, due or not.
    CascadesIntoOwnTable,
    /// A delete sets columns of a table that no rule names.
    SetsColumnsOfUnnamedTable,
    /// Rows of another table keep rows from going, and no earlier rule removes them.
    ReferencedByForeignKey,
    /// For each deleted row the database reads a whole table that points at it.
    ForeignKeyWithoutIndex,
    /// Somebody's detachment of a partition was begun and not finished.
    PendingDetach,
}

/// What would help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// An index would lead to the rows.
    MissingIndex,
    /// The planner guesses, since nobody has analysed the table.
    StatisticsMissing,
    /// The role does not see how far replicas are behind, so it cannot wait for them.
    ReplicaLagUnavailable,
}

impl Warning {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::NoAgeCondition,
        Self::CountDependsOnEarlierRule,
        Self::EmitsIntoOwnTable,
        Self::TimestampReadAsUtc,
        Self::UserTriggers,
        Self::CascadesIntoUnnamedTable,
        Self::CascadesIntoNamedTable,
        Self::CascadesIntoOwnTable,
        Self::SetsColumnsOfUnnamedTable,
        Self::ReferencedByForeignKey,
        Self::ForeignKeyWithoutIndex,
        Self::PendingDetach,
    ];

    /// Its stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAgeCondition => "NoAgeCondition",
            Self::CountDependsOnEarlierRule => "CountDependsOnEarlierRule",
            Self::EmitsIntoOwnTable => "EmitsIntoOwnTable",
            Self::TimestampReadAsUtc => "TimestampReadAsUtc",
            Self::UserTriggers => "UserTriggers",
            Self::CascadesIntoUnnamedTable => "CascadesIntoUnnamedTable",
            Self::CascadesIntoNamedTable => "CascadesIntoNamedTable",
            Self::CascadesIntoOwnTable => "CascadesIntoOwnTable",
            Self::SetsColumnsOfUnnamedTable => "SetsColumnsOfUnnamedTable",
            Self::ReferencedByForeignKey => "ReferencedByForeignKey",
            Self::ForeignKeyWithoutIndex => "ForeignKeyWithoutIndex",
            Self::PendingDetach => "PendingDetach",
        }
    }
}

impl Advice {
    /// Every kind.
    pub const ALL: [Self; 3] =
        [Self::MissingIndex, Self::StatisticsMissing, Self::ReplicaLagUnavailable];

    /// Its stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingIndex => "MissingIndex",
            Self::StatisticsMissing => "StatisticsMissing",
            Self::ReplicaLagUnavailable => "ReplicaLagUnavailable",
        }
    }
}

/// What problems, warnings and advice have in common for who shows them.
pub trait Named {
    /// Its stable name.
    fn name(&self) -> &'static str;
    /// Name of the rule; empty where it is about the whole policy.
    fn rule(&self) -> &str;
    /// One sentence.
    fn message(&self) -> &str;
}

impl Named for Remark<Warning> {
    fn name(&self) -> &'static str {
        self.kind.as_str()
    }

    fn rule(&self) -> &str {
        &self.rule
    }

    fn message(&self) -> &str {
        &self.message
    }
}

impl Named for Remark<Advice> {
    fn name(&self) -> &'static str {
        self.kind.as_str()
    }

    fn rule(&self) -> &str {
        &self.rule
    }

    fn message(&self) -> &str {
        &self.message
    }
}

impl Named for SchemaProblem {
    fn name(&self) -> &'static str {
        self.kind.as_str()
    }

    fn rule(&self) -> &str {
        &self.rule
    }

    fn message(&self) -> &str {
        &self.message
    }
}
