//! Indexes of tables that may be large by the time they are added: built beside those who write, and so in no
//! transaction.

use runtime::database::failure::{Failure, FailureKind};
use sqlx::PgConnection;

use super::{PAUSE, TRIES};

/// One of them.
pub struct Index {
    /// Its name, for people.
    pub name: &'static str,
    state: &'static str,
    create: &'static str,
    drop: &'static str,
}

macro_rules! index {
    ($name:literal, $on:literal) => {
        Index {
            name: $name,
            state: concat!(
                "SELECT i.indisvalid, EXISTS (
                   SELECT
                   FROM pg_catalog.pg_locks AS l
                   WHERE l.locktype = 'relation'
                     AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
                     AND l.relation = i.indrelid
                     AND l.mode = 'ShareUpdateExclusiveLock'
                     AND l.granted
                 )
                 FROM pg_catalog.pg_index AS i
                 WHERE i.indexrelid = to_regclass('core.",
                $name,
                "')"
            ),
            create: concat!("CREATE INDEX CONCURRENTLY ", $name, " ON ", $on),
            drop: concat!("DROP INDEX CONCURRENTLY IF EXISTS core.", $name),
        }
    };
}

/// All of them.
pub const INDEXES: [Index; 1] = [
    // The lines of an app that has few are found without reading those of the others.
    index!("session_audit_log_app", "core.session_audit_log (app, id)"),
];

/// How `PostgreSQL` says that there is one of that name.
const DUPLICATE: &str = "42P07";

/// What there is of an index.
enum State {
    Nothing,
    /// Somebody builds it.
    Begun,
    /// Somebody began to.
    Broken,
    Whole,
}

impl Index {
    /// For a script, outside of its transaction.
    pub fn script(&self) -> String {
        self.create.replace("CONCURRENTLY", "CONCURRENTLY IF NOT EXISTS")
    }

    /// Builds it where it is missing, and anew where a former build broke off. Whether it did.
    ///
    /// No lock of the session keeps two apart, which a pooler of transactions would lend to somebody else: whoever
    /// gets in the way of the other one looks again. Behind such a pooler the limits of the role hold.
    pub async fn build(&self, connection: &mut PgConnection) -> Result<bool, Failure> {
        if let State::Whole = self.state(connection).await? {
            return Ok(false);
        }
        // Outside of a transaction nothing else sets these: it takes as long as it does, whatever limits a role or the
        // database has.
        sqlx::raw_sql("SET statement_timeout = 0; SET lock_timeout = 0")
            .execute(&mut *connection)
            .await?;
        let built = self.try_build(connection).await;
        // Where the connection is lost there is nothing to reset, and why it was lost is said by the build.
        let _ =
            sqlx::raw_sql("RESET statement_timeout; RESET lock_timeout").execute(connection).await;
        built
    }

    async fn try_build(&self, connection: &mut PgConnection) -> Result<bool, Failure> {
        let mut tries = 0;
        loop {
            match self.state(connection).await? {
                State::Whole => return Ok(false),
                State::Begun => tokio::time::sleep(PAUSE).await,
                State::Broken => {
                    sqlx::raw_sql(self.drop).execute(&mut *connection).await?;
                }
                State::Nothing => {
                    let created = sqlx::raw_sql(self.create).execute(&mut *connection).await;
                    let Err(failure) = created.map_err(Failure::from) else { return Ok(true) };
                    let is_met =
                        failure.kind == FailureKind::Contention || failure.sql_state == DUPLICATE;
                    if !is_met || tries == TRIES {
                        return Err(failure);
                    }
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn state(&self, connection: &mut PgConnection) -> Result<State, sqlx::Error> {
        let state = sqlx::query_as(self.state).persistent(false);
        Ok(match state.fetch_optional(connection).await? {
            None => State::Nothing,
            Some((true, _)) => State::Whole,
            Some((false, true)) => State::Begun,
            Some((false, false)) => State::Broken,
        })
    }
}
