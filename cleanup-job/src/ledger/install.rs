//! Making the ledger, and what its tables need of a role.

use std::time::Duration;

use policy::{Identifier, QualifiedTable};
use sqlx::{Postgres, Row as _, Transaction};

use crate::database::{self, Database};
use crate::failure::Failure;

/// One step of the schema.
struct Migration {
    version: i64,
    description: &'static str,
    sql: &'static str,
}

/// All of them, in their order. A released one never changes.
const MIGRATIONS: [Migration; 1] = [Migration {
    version: 1,
    description: "ledger",
    sql: include_str!("migrations/0001_ledger.sql"),
}];

const CREATE_SCHEMA: &str = "CREATE SCHEMA IF NOT EXISTS pgsweep";
const CREATE_MIGRATIONS: &str = "CREATE TABLE IF NOT EXISTS pgsweep.migrations (
  version bigint PRIMARY KEY,
  description text NOT NULL,
  installed_at timestamptz NOT NULL DEFAULT now()
)";

/// What a run does with each table, and so what its role needs.
const NEEDED: [(&str, &[&str]); 7] = [
    ("migrations", &["SELECT"]),
    ("policies", &["SELECT", "INSERT", "UPDATE"]),
    ("leases", &["SELECT", "INSERT", "UPDATE"]),
    ("runs", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("run_rules", &["SELECT", "INSERT", "UPDATE"]),
    ("totals", &["SELECT", "INSERT", "UPDATE"]),
    ("partitions", &["SELECT", "INSERT", "UPDATE"]),
];

/// Serialises two that would make the ledger at once: "pgsweep" in ASCII.
const LOCK: i64 = 0x0070_6773_7765_6570;

/// Why the ledger cannot be used.
#[derive(Debug)]
pub enum Unready {
    /// Something was wrong.
    Failed(Failure),
    /// A privilege is missing: what the owner of the database runs to give it.
    Lines {
        /// One sentence.
        message: String,
        /// The SQL.
        lines: String,
    },
}

impl From<Failure> for Unready {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<sqlx::Error> for Unready {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

#[expect(clippy::struct_excessive_bools, reason = "facts that are independent of each other")]
struct Probe {
    standby: bool,
    role: String,
    can_create: bool,
    has_schema: bool,
    can_use: bool,
    has_migrations: bool,
    missing: Vec<String>,
    /// Owners of the schema or of something in it who could have code of theirs run by this role.
    strangers: Vec<String>,
    /// Tables of the ledger with triggers, or other code that is not ours.
    coded: Vec<String>,
}

/// Makes the ledger, or brings it up to this version, when the role may; says what is lacking
/// when it may not. Two at once wait for each other.
///
/// Whoever owns one of the tables that are `changed` can have code of theirs run by the role
/// already, and so may own the ledger too.
pub async fn ensure(database: &mut Database, changed: &[&QualifiedTable]) -> Result<(), Unready> {
    let mut transaction = database.begin_ledger(Duration::ZERO).await?;
    let Some(probe) = may_make(&mut transaction, changed).await? else {
        return Ok(transaction.commit().await?);
    };
    match migrate(&mut transaction, &probe, changed).await {
        Ok(()) => Ok(transaction.commit().await?),
        Err(failure) if failure.sql_state == "42501" => Err(not_made(&probe)),
        Err(failure) => Err(failure.while_doing("making the ledger").into()),
    }
}

/// Whether [`ensure`] would do, as far as that can be told by reading alone.
pub async fn check(
    transaction: &mut Transaction<'_, Postgres>,
    changed: &[&QualifiedTable],
) -> Result<(), Unready> {
    may_make(transaction, changed).await.map(drop)
}

/// Nothing where the ledger is there for the role to use; what was found where the role may be able
/// to make it.
async fn may_make(
    transaction: &mut Transaction<'_, Postgres>,
    changed: &[&QualifiedTable],
) -> Result<Option<Probe>, Unready> {
    let probe = look(transaction, changed).await?;
    if probe.standby {
        return Err(database::standby().into());
    }
    trust(&probe)?;
    if is_current(transaction, &probe).await? {
        return if probe.missing.is_empty() { Ok(None) } else { Err(not_granted(&probe)) };
    }
    if !probe.has_schema && !probe.can_create {
        return Err(not_made(&probe));
    }
    Ok(Some(probe))
}

async fn look(
    transaction: &mut Transaction<'_, Postgres>,
    changed: &[&QualifiedTable],
) -> Result<Probe, Failure> {
    let needed = NEEDED.iter().flat_map(|(table, privileges)| {
        privileges.iter().map(move |privilege| (*table, *privilege))
    });
    let (tables, privileges): (Vec<_>, Vec<_>) = needed.unzip();
    let (schemas, names): (Vec<_>, Vec<_>) =
        changed.iter().map(|table| (table.schema.as_str(), table.name.as_str())).unzip();
    let row = sqlx::query(include_str!("probe.sql"))
        .bind(tables)
        .bind(privileges)
        .bind(schemas)
        .bind(names)
        .persistent(false)
        .fetch_one(&mut **transaction)
        .await?;
    Ok(Probe {
        standby: row.try_get("standby")?,
        role: row.try_get("role")?,
        can_create: row.try_get("can_create")?,
        has_schema: row.try_get("has_schema")?,
        can_use: row.try_get("can_use")?,
        has_migrations: row.try_get("has_migrations")?,
        missing: row.try_get("missing")?,
        strangers: row.try_get("strangers")?,
        coded: row.try_get("coded")?,
    })
}

/// Fails where a write to the ledger could run somebody else's code with the rights of this role.
fn trust(probe: &Probe) -> Result<(), Failure> {
    let role = &probe.role;
    if let Some(owner) = probe.strangers.first() {
        return Err(Failure::wrong(
            "",
            format!(
                "schema pgsweep, or something in it, belongs to role {owner}, whose triggers would run with the rights of \
                 role {role}; if the ledger is yours, have the owner of the database take it over (ALTER SCHEMA pgsweep OWNER \
                 TO …, ALTER TABLE pgsweep.… OWNER TO …), else DROP SCHEMA pgsweep CASCADE"
            ),
        ));
    }
    no_code(probe)
}

fn no_code(probe: &Probe) -> Result<(), Failure> {
    let role = &probe.role;
    if let Some(table) = probe.coded.first() {
        return Err(Failure::wrong(
            "",
            format!(
                "table pgsweep.{table} of the ledger has a trigger, a rule or an expression that is not of pgsweep and would run \
                 with the rights of role {role}; have its owner drop that, and run again"
            ),
        ));
    }
    Ok(())
}

/// Whether every migration of this version is installed, as far as the role may see.
async fn is_current(
    transaction: &mut Transaction<'_, Postgres>,
    probe: &Probe,
) -> Result<bool, Unready> {
    if !probe.has_migrations {
        return Ok(false);
    }
    let unreadable = probe.missing.iter().any(|missing| missing == "SELECT ON pgsweep.migrations");
    if !probe.can_use || unreadable {
        return Err(not_granted(probe));
    }
    Ok(missing_versions(transaction).await?.is_empty())
}

/// Migrations that are not installed. A newer version than ours is no concern: they only add.
async fn missing_versions(
    transaction: &mut Transaction<'_, Postgres>,
) -> Result<Vec<&'static Migration>, Failure> {
    let installed: Vec<i64> = sqlx::query_scalar("SELECT version FROM pgsweep.migrations")
        .persistent(false)
        .fetch_all(&mut **transaction)
        .await?;
    Ok(MIGRATIONS.iter().filter(|migration| !installed.contains(&migration.version)).collect())
}

async fn migrate(
    transaction: &mut Transaction<'_, Postgres>,
    probe: &Probe,
    changed: &[&QualifiedTable],
) -> Result<(), Failure> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .persistent(false)
        .execute(&mut **transaction)
        .await?;
    // Somebody may have been first.
    let found = look(transaction, changed).await?;
    trust(&found)?;
    if !found.has_schema {
        sqlx::raw_sql(CREATE_SCHEMA).execute(&mut **transaction).await?;
    }
    if !found.has_migrations {
        sqlx::raw_sql(CREATE_MIGRATIONS).execute(&mut **transaction).await?;
    }
    for migration in missing_versions(transaction).await? {
        sqlx::raw_sql(migration.sql).execute(&mut **transaction).await?;
        sqlx::query("INSERT INTO pgsweep.migrations (version, description) VALUES ($1, $2)")
            .bind(migration.version)
            .bind(migration.description)
            .persistent(false)
            .execute(&mut **transaction)
            .await?;
        tracing::info!(version = migration.version, role = probe.role, "the ledger was migrated");
    }
    Ok(())
}

fn not_made(probe: &Probe) -> Unready {
    let role = &probe.role;
    let what = if probe.has_migrations { "is of an older version" } else { "is missing" };
    Unready::Lines {
        message: format!(
            "the ledger (schema pgsweep) {what}, and role {role} may not make it; have the owner of the database run \
             `pgsweep init`, or the lines that `pgsweep init --print --role {role}` prints"
        ),
        lines: script(&grants(role)),
    }
}

fn not_granted(probe: &Probe) -> Unready {
    let role = &probe.role;
    let mut lines = Vec::new();
    if !probe.can_use {
        lines.push(format!("GRANT USAGE ON SCHEMA pgsweep TO {role};"));
    }
    lines.extend(probe.missing.iter().map(|missing| format!("GRANT {missing} TO {role};")));
    Unready::Lines {
        message: format!("role {role} lacks privileges on the ledger: {}", lines.join(" ")),
        lines: lines.join("\n"),
    }
}

/// The least that the role, given quoted, needs on the ledger.
pub fn grants(role: &str) -> Vec<String> {
    let mut lines = vec![format!("GRANT USAGE ON SCHEMA pgsweep TO {role};")];
    lines.extend(NEEDED.iter().map(|(table, privileges)| {
        format!("GRANT {} ON pgsweep.{table} TO {role};", privileges.join(", "))
    }));
    lines
}

/// Makes a role that may log in, where it is missing. It has no password yet.
pub fn create_role(role: &Identifier) -> String {
    let name = role.as_str().replace('\'', "''");
    format!(
        "DO $role$ BEGIN\n  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{name}') THEN\n    \
         CREATE ROLE {role} LOGIN;\n  END IF;\nEND $role$;"
    )
}

/// The whole ledger as SQL that a database owner can read and run, also a second time, with these
/// lines at its end.
pub fn script(lines: &[String]) -> String {
    let mut script = format!(
        "-- The ledger of pgsweep. Run this in the database that is cleaned, as a role that may create\n\
         -- schemas and grant; again after an upgrade, or for another role.\n\
         BEGIN;\n\n{CREATE_SCHEMA};\n\n{CREATE_MIGRATIONS};\n"
    );
    for Migration { version, description, sql } in &MIGRATIONS {
        script.push_str(&format!(
            "\nDO $ledger$ BEGIN IF NOT EXISTS (SELECT FROM pgsweep.migrations WHERE version = {version}) THEN\n\n\
             {sql}\nINSERT INTO pgsweep.migrations (version, description) VALUES ({version}, '{description}');\n\n\
             END IF; END $ledger$;\n"
        ));
    }
    script.push_str(&format!("\n{}\n\nCOMMIT;", lines.join("\n")));
    script
}

/// Whether the database has a ledger at all.
pub async fn exists(database: &mut Database) -> Result<bool, Failure> {
    let mut transaction = database.begin_reading().await?;
    let found = look(&mut transaction, &[]).await?;
    no_code(&found)?;
    transaction.commit().await?;
    Ok(found.has_migrations)
}

/// Runs lines of [`create_role`] and [`grants`], all or none.
pub async fn give(database: &mut Database, lines: &[String]) -> Result<(), Failure> {
    let mut transaction = database.begin_ledger(Duration::ZERO).await?;
    for line in lines {
        database::query(line, Vec::new()).execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}
