//! Indexes of tables that may be large by the time they are added: built beside those who write, and so in no
//! transaction.

use sqlx::PgConnection;

use super::PAUSE;

/// One of them.
pub struct Index {
    /// Its name, for people.
    pub name: &'static str,
    is_valid: &'static str,
    create: &'static str,
    drop: &'static str,
}

macro_rules! index {
    ($name:literal, $on:literal) => {
        Index {
            name: $name,
            is_valid: concat!(
                "SELECT indisvalid FROM pg_catalog.pg_index WHERE indexrelid = to_regclass('core.",
                $name,
                "')"
            ),
            create: concat!("CREATE INDEX CONCURRENTLY ", $name, " ON ", $on),
            drop: concat!("DROP INDEX CONCURRENTLY core.", $name),
        }
    };
}

/// All of them.
pub const INDEXES: [Index; 1] = [
    // The lines of an app that has few are found without reading those of the others.
    index!("session_audit_log_app", "core.session_audit_log (app, id)"),
];

/// Serialises two that build at once: "indexes" in ASCII.
const LOCK: i64 = 0x0069_6e64_6578_6573;

impl Index {
    /// For a script, which is one transaction.
    pub fn script(&self) -> String {
        self.create.replace("INDEX CONCURRENTLY", "INDEX IF NOT EXISTS")
    }

    /// Builds it where it is missing, and anew where a former build broke off. Whether it did.
    pub async fn build(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        if self.is_valid(connection).await? == Some(true) {
            return Ok(false);
        }
        sqlx::raw_sql("SET statement_timeout TO 0; SET lock_timeout TO 0")
            .execute(&mut *connection)
            .await?;
        // Who waits for the other one holds no snapshot: a build waits for all that are older than it.
        while !try_lock(connection).await? {
            tokio::time::sleep(PAUSE).await;
        }
        let is_missing = match self.is_valid(connection).await? {
            Some(true) => false,
            Some(false) => {
                sqlx::raw_sql(self.drop).execute(&mut *connection).await?;
                true
            }
            None => true,
        };
        if is_missing {
            sqlx::raw_sql(self.create).execute(&mut *connection).await?;
        }
        // After a failure the connection ends, and its lock with it.
        let unlock = sqlx::query("SELECT pg_advisory_unlock($1)").bind(LOCK).persistent(false);
        unlock.execute(connection).await?;
        Ok(is_missing)
    }

    /// Nothing where there is none.
    async fn is_valid(&self, connection: &mut PgConnection) -> Result<Option<bool>, sqlx::Error> {
        sqlx::query_scalar(self.is_valid).persistent(false).fetch_optional(connection).await
    }
}

async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK);
    lock.persistent(false).fetch_one(connection).await
}
