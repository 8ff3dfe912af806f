//! What keeps a policy from running on a database, by stable names.

use std::fmt;

/// Why a rule cannot run on this database. A retry cannot help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaProblem {
    /// Name of the rule; empty where it is about the whole policy.
    pub rule: String,
    /// Which kind.
    pub kind: SchemaProblemKind,
    /// The SQLSTATE of the same.
    pub sql_state: String,
    /// One sentence that names table, column or privilege, and the way out.
    pub message: String,
}

impl SchemaProblem {
    /// A problem with the SQLSTATE of its kind.
    #[must_use]
    pub fn new(rule: &str, kind: SchemaProblemKind, message: String) -> Self {
        let sql_state = kind.sql_state().to_owned();
        Self { rule: rule.to_owned(), kind, sql_state, message }
    }
}

impl fmt::Display for SchemaProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.rule.is_empty() {
            write!(formatter, "rule {}: ", self.rule)?;
        }
        write!(formatter, "{}: {}", self.kind.as_str(), self.message)
    }
}

/// Kinds of [`SchemaProblem`], by stable names; `docs/preflight.md` has the way out of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaProblemKind {
    /// No such table.
    TableMissing,
    /// A view or the like.
    NotATable,
    /// No such column.
    ColumnMissing,
    /// A column of a new row takes no NULL and gets no value.
    ColumnNotFilled,
    /// The column cannot be used so.
    TypeMismatch,
    /// The role may not.
    PrivilegeMissing,
    /// Row security would hide rows from the role.
    RowSecurity,
    /// Rows of the table have no stable name.
    NoPrimaryKey,
    /// The table is published, and its rows have no identity for a subscriber.
    NoReplicaIdentity,
    /// A later rule removes the rows that keep this rule's rows from going.
    OrderCannotWork,
    /// The archive cannot hold the rows as they are.
    ArchiveMismatch,
    /// The archive changes rows on their way in.
    ArchiveChangesRows,
    /// The delete takes rows of another table along that nobody has archived.
    CascadeNotArchived,
    /// The table is not partitioned by the rule's age.
    NotPartitioned,
    /// A default partition keeps others from being detached.
    DefaultPartition,
    /// Only an owner detaches and drops.
    NotOwner,
    /// The database itself refuses a statement or value.
    StatementRefused,
}

impl SchemaProblemKind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::TableMissing,
        Self::NotATable,
        Self::ColumnMissing,
        Self::ColumnNotFilled,
        Self::TypeMismatch,
        Self::PrivilegeMissing,
        Self::RowSecurity,
        Self::NoPrimaryKey,
        Self::NoReplicaIdentity,
        Self::OrderCannotWork,
        Self::ArchiveMismatch,
        Self::ArchiveChangesRows,
        Self::CascadeNotArchived,
        Self::NotPartitioned,
        Self::DefaultPartition,
        Self::NotOwner,
        Self::StatementRefused,
    ];

    /// Its stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TableMissing => "TableMissing",
            Self::NotATable => "NotATable",
            Self::ColumnMissing => "ColumnMissing",
            Self::ColumnNotFilled => "ColumnNotFilled",
            Self::TypeMismatch => "TypeMismatch",
            Self::PrivilegeMissing => "PrivilegeMissing",
            Self::RowSecurity => "RowSecurity",
            Self::NoPrimaryKey => "NoPrimaryKey",
            Self::NoReplicaIdentity => "NoReplicaIdentity",
            Self::OrderCannotWork => "OrderCannotWork",
            Self::ArchiveMismatch => "ArchiveMismatch",
            Self::ArchiveChangesRows => "ArchiveChangesRows",
            Self::CascadeNotArchived => "CascadeNotArchived",
            Self::NotPartitioned => "NotPartitioned",
            Self::DefaultPartition => "DefaultPartition",
            Self::NotOwner => "NotOwner",
            Self::StatementRefused => "StatementRefused",
        }
    }

    /// The SQLSTATE that Postgres gives for the same.
    #[must_use]
    pub fn sql_state(self) -> &'static str {
        match self {
            Self::TableMissing => "42P01",
            Self::NotATable | Self::NotPartitioned => "42809",
            Self::ColumnMissing => "42703",
            Self::ColumnNotFilled => "23502",
            Self::TypeMismatch | Self::ArchiveMismatch => "42804",
            Self::PrivilegeMissing | Self::RowSecurity | Self::NotOwner => "42501",
            Self::NoPrimaryKey | Self::NoReplicaIdentity | Self::DefaultPartition => "55000",
            Self::OrderCannotWork => "23503",
            Self::ArchiveChangesRows | Self::CascadeNotArchived => "27000",
            Self::StatementRefused => "42000",
        }
    }

    /// Whether it may go without an edit of the policy, so that it is worth another look: by a
    /// migration, a GRANT, the DDL of an archive. What only the policy can mend waits for an edit.
    #[must_use]
    pub fn may_pass(self) -> bool {
        match self {
            // Applied before its migration, or before the GRANT.
            Self::TableMissing
            | Self::ColumnMissing
            | Self::PrivilegeMissing
            | Self::RowSecurity
            | Self::NotOwner
            // A default, a key, an identity, partitions: the owner of the table gives them.
            | Self::ColumnNotFilled
            | Self::NoPrimaryKey
            | Self::NoReplicaIdentity
            | Self::NotPartitioned
            | Self::DefaultPartition
            | Self::ArchiveMismatch
            | Self::ArchiveChangesRows => true,
            // The policy asks for something else than what is there.
            Self::NotATable
            | Self::TypeMismatch
            | Self::OrderCannotWork
            | Self::CascadeNotArchived
            | Self::StatementRefused => false,
        }
    }
}
