//! The schema, step by step. Steps go forward only; a released one never changes, and its checksum in
//! `core.migrations` says whether it did.
//!
//! Each step is a transaction of its own. It waits for a lock for [`LOCK_TIMEOUT`] and then gives all
//! of its locks back and tries again: whoever waits for an exclusive lock holds up all who come after.

mod indexes;

use std::time::Duration;

use runtime::database::failure::{Failure, FailureKind};
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Postgres, Transaction};
use thiserror::Error;

use self::indexes::INDEXES;
use super::roles;
use crate::args::RoleArgs;

/// One step of the schema.
struct Migration {
    version: i64,
    description: &'static str,
    sql: &'static str,
}

/// A step by the name of its file.
macro_rules! migration {
    ($version:literal, $description:literal, $file:literal) => {
        Migration {
            version: $version,
            description: $description,
            sql: include_str!(concat!("../../migrations/", $file)),
        }
    };
}

/// All of them, in their order.
const MIGRATIONS: [Migration; 9] = [
    migration!(1, "tables", "0001_tables.sql"),
    migration!(2, "events", "0002_events.sql"),
    migration!(3, "triggers", "0003_triggers.sql"),
    migration!(4, "views", "0004_views.sql"),
    migration!(5, "functions", "0005_functions.sql"),
    migration!(6, "ends", "0006_ends.sql"),
    migration!(7, "figures", "0007_figures.sql"),
    migration!(8, "news", "0008_news.sql"),
    migration!(9, "apps", "0009_apps.sql"),
];

/// The version that this program makes.
pub const NEWEST: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Whether this program works on a schema of that version: on its own, and, while a release is rolled out,
/// on the next.
pub fn fits(version: i64) -> bool {
    (NEWEST..=NEWEST + 1).contains(&version)
}

const CREATE_SCHEMA: &str = "CREATE SCHEMA IF NOT EXISTS core";
const CREATE_MIGRATIONS: &str = "CREATE TABLE IF NOT EXISTS core.migrations (
  version bigint PRIMARY KEY,
  description text NOT NULL,
  checksum text NOT NULL,
  installed_at timestamptz NOT NULL DEFAULT now()
)";

/// Serialises two that migrate at once: "sessions" in ASCII.
const LOCK: i64 = 0x7365_7373_696f_6e73;

/// How long a step waits for a lock of a table.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
/// Between two tries, and how many of them: two minutes in all.
const PAUSE: Duration = Duration::from_millis(500);
const TRIES: u32 = 120;

/// Why the schema could not be made.
#[derive(Debug, Error)]
pub enum MigrationError {
    /// The list of steps cannot be made or read.
    #[error("failed to read which migrations are installed")]
    ReadInstalled(#[source] Failure),
    /// A step failed; it left nothing.
    #[error("failed to install migration {version} ({description})")]
    Install {
        /// Its number.
        version: i64,
        /// What it is about.
        description: &'static str,
        /// What the database said.
        source: Failure,
    },
    /// What is installed is not what this program would have installed.
    #[error(
        "migration {version} was installed with another text than this program has; use the program that installed it, or restore the schema"
    )]
    Changed {
        /// Its number.
        version: i64,
    },
    /// A newer program was here, and what it made is not for this one.
    #[error(
        "the schema is at version {found} and this program knows {NEWEST}; use the newer program"
    )]
    Newer {
        /// The newest that is installed.
        found: i64,
    },
    /// An index beside those who write.
    #[error("failed to build the index {name}")]
    BuildIndex {
        /// Its name.
        name: &'static str,
        /// What the database said.
        source: Failure,
    },
    /// Roles and privileges.
    #[error(
        "failed to give the roles their privileges; who migrates owns the database, and either may create roles (CREATEROLE) and has made them, or is itself in the role of events: GRANT it to the owner"
    )]
    GiveRoles(#[source] Failure),
    /// Partitions ahead.
    #[error("failed to make the partitions of the next days and months")]
    MakePartitions(#[source] Failure),
    /// The sums of bills.
    #[error("failed to sum up what was used")]
    FoldUsage(#[source] Failure),
}

impl MigrationError {
    /// What the database said, where it was the database.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::ReadInstalled(source)
            | Self::Install { source, .. }
            | Self::BuildIndex { source, .. }
            | Self::GiveRoles(source)
            | Self::MakePartitions(source)
            | Self::FoldUsage(source) => Some(source),
            Self::Changed { .. } | Self::Newer { .. } => None,
        }
    }
}

/// What a migration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The version of the schema: that of this program, or the next after a rollback.
    pub version: i64,
    /// Steps that were installed now.
    pub installed: usize,
    /// Partitions that were made now.
    pub partitions: i32,
}

/// Brings the schema up to this version. Two at once wait for each other, step by step. The schema of the next version
/// is left as it is: a release that was rolled back works on it, and has to be upgraded as any other.
pub async fn migrate(
    connection: &mut PgConnection,
    names: &RoleArgs,
) -> Result<Done, MigrationError> {
    prepare(connection).await.map_err(MigrationError::ReadInstalled)?;
    let mut done = Done { version: NEWEST, installed: 0, partitions: 0 };
    for migration in &MIGRATIONS {
        match install(connection, migration).await {
            Err(MigrationError::Newer { found }) if fits(found) => {
                return Ok(Done { version: found, ..done });
            }
            installed => done.installed += usize::from(installed?),
        }
    }
    // At once: replicas of before call functions that a step has changed.
    give_roles(connection, names).await.map_err(MigrationError::GiveRoles)?;
    done.partitions = partitions(connection).await.map_err(MigrationError::MakePartitions)?;
    for index in INDEXES {
        let failed = |source| MigrationError::BuildIndex { name: index.name, source };
        if index.build(connection).await.map_err(failed)? {
            tracing::info!(index = index.name, "an index was built");
        }
    }
    fold_usage(connection).await.map_err(MigrationError::FoldUsage)?;
    Ok(done)
}

/// The list of steps.
async fn prepare(connection: &mut PgConnection) -> Result<(), Failure> {
    let mut transaction = begin(connection).await?;
    sqlx::raw_sql(CREATE_SCHEMA).execute(&mut *transaction).await?;
    sqlx::raw_sql(CREATE_MIGRATIONS).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// Installs a step where it is missing. Whether it was.
async fn install(
    connection: &mut PgConnection,
    migration: &Migration,
) -> Result<bool, MigrationError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match try_install(connection, migration).await {
            Err(MigrationError::Install { source, .. })
                if source.kind == FailureKind::Contention && tries < TRIES =>
            {
                tracing::info!(version = migration.version, "a lock was not free, trying again");
                tokio::time::sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}

async fn try_install(
    connection: &mut PgConnection,
    migration: &Migration,
) -> Result<bool, MigrationError> {
    let &Migration { version, description, sql } = migration;
    let failed = |source: Failure| MigrationError::Install { version, description, source };
    let mut transaction = begin(connection).await.map_err(failed)?;
    if is_installed(&mut transaction, migration).await? {
        return Ok(false);
    }
    sqlx::raw_sql(sql).execute(&mut *transaction).await.map_err(|error| failed(error.into()))?;
    sqlx::query("INSERT INTO core.migrations (version, description, checksum) VALUES ($1, $2, $3)")
        .bind(version)
        .bind(description)
        .bind(checksum(sql))
        .persistent(false)
        .execute(&mut *transaction)
        .await
        .map_err(|error| failed(error.into()))?;
    transaction.commit().await.map_err(|error| failed(error.into()))?;
    tracing::info!(version, description, "a migration was installed");
    Ok(true)
}

/// Whether a step is there, by the list under the lock: somebody may have been first.
async fn is_installed(
    transaction: &mut Transaction<'_, Postgres>,
    migration: &Migration,
) -> Result<bool, MigrationError> {
    let read = |error: sqlx::Error| MigrationError::ReadInstalled(error.into());
    let installed: Vec<(i64, String)> =
        sqlx::query_as("SELECT version, checksum FROM core.migrations ORDER BY version")
            .persistent(false)
            .fetch_all(&mut **transaction)
            .await
            .map_err(read)?;
    if let Some((found, _)) = installed.last().filter(|(version, _)| *version > NEWEST) {
        return Err(MigrationError::Newer { found: *found });
    }
    match installed.iter().find(|(version, _)| *version == migration.version) {
        None => Ok(false),
        Some((_, found)) if *found == checksum(migration.sql) => Ok(true),
        Some((version, _)) => Err(MigrationError::Changed { version: *version }),
    }
}

async fn give_roles(connection: &mut PgConnection, names: &RoleArgs) -> Result<(), Failure> {
    let mut transaction = begin(connection).await?;
    roles::give(&mut transaction, names).await?;
    Ok(transaction.commit().await?)
}

async fn partitions(connection: &mut PgConnection) -> Result<i32, Failure> {
    let mut transaction = begin(connection).await?;
    let made = sqlx::query_scalar("SELECT core.make_partitions()")
        .persistent(false)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(made)
}

/// Sums up what was used, which the first time takes longer than a request may: here nothing waits for it.
async fn fold_usage(connection: &mut PgConnection) -> Result<(), Failure> {
    let mut transaction = begin(connection).await?;
    sqlx::raw_sql("SELECT core.fold_usage()").execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// Begins a transaction with the lock of migrations, for which it waits as long as the other takes, and
/// with settings that no role or database decides.
async fn begin(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>, Failure> {
    let mut transaction = connection.begin().await?;
    sqlx::query(
        "SELECT set_config('search_path', 'pg_catalog', TRUE),
                set_config('timezone', 'UTC', TRUE),
                set_config('client_min_messages', 'error', TRUE),
                set_config('lock_timeout', '0', TRUE),
                set_config('statement_timeout', '0', TRUE),
                set_config('idle_in_transaction_session_timeout', '10s', TRUE)",
    )
    .persistent(false)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("SELECT set_config('lock_timeout', $1, TRUE)")
        .bind(format!("{}ms", LOCK_TIMEOUT.as_millis()))
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}

/// The whole schema as SQL that a person can read and run, also a second time.
pub fn script(names: &RoleArgs) -> String {
    let mut script = format!(
        "-- The schema of the session API, version {NEWEST}. Run this as the owner of the database, who may create\n\
         -- roles; again after an upgrade.\n\
         --\n\
         -- Where a lock is not free within half a second all of it is undone, and nobody was held up: run it again.\n\
         BEGIN;\nSELECT pg_advisory_xact_lock({LOCK});\nSET LOCAL lock_timeout = '{}ms';\nSET LOCAL statement_timeout = 0;\n\
         {CREATE_SCHEMA};\n{CREATE_MIGRATIONS};\n",
        LOCK_TIMEOUT.as_millis()
    );
    for Migration { version, description, sql } in &MIGRATIONS {
        let checksum = checksum(sql);
        script.push_str(&format!(
            "\nDO $migration$ BEGIN IF NOT EXISTS (SELECT FROM core.migrations WHERE version = {version}) THEN\n\n\
             {sql}\nINSERT INTO core.migrations (version, description, checksum) VALUES ({version}, '{description}', '{checksum}');\n\n\
             END IF; END $migration$;\n"
        ));
    }
    script.push_str(&format!(
        "\n{}\nSELECT core.make_partitions();\nCOMMIT;\n\n\
         -- Beside those who write, statement by statement: no transaction may be around these.\n\
         SET statement_timeout = 0;\n",
        roles::script(names)
    ));
    for index in INDEXES {
        script.push_str(&format!("{};\n", index.script()));
    }
    script.push_str("SELECT core.fold_usage();\nRESET statement_timeout;");
    script
}

fn checksum(sql: &str) -> String {
    Sha256::digest(sql).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_counted_without_a_gap() {
        let versions: Vec<_> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        assert_eq!(versions, (1..=NEWEST).collect::<Vec<_>>());
    }

    #[test]
    fn no_step_can_end_the_quotes_of_the_printed_script() {
        for migration in &MIGRATIONS {
            assert!(!migration.sql.contains("$migration$"), "{}", migration.version);
        }
    }
}
