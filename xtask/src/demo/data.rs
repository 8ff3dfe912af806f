//! The sample database: the tables of all examples, with their data.

use anyhow::{Context as _, Result};
use local_postgres::ServerUrl;
use sqlx::{Connection as _, PgConnection};

use super::show::line;

const TABLES: [&str; 5] = [
    include_str!("../../../examples/table-talk-sessions.sql"),
    include_str!("../../../examples/tarot-reading-sessions.sql"),
    include_str!("../../../examples/after-hours-messages.sql"),
    include_str!("../../../examples/after-hours-sessions.sql"),
    include_str!("../../../examples/kitchen-sink.sql"),
];

/// Counts by the demo's own SQL, beside what the policy says: never by a rule's.
const OVERDUE: &str = "
SELECT
  (SELECT count(*) FROM table_talk.sessions),
  (SELECT count(*) FROM table_talk.session_participants),
  (SELECT count(*) FROM table_talk.sessions WHERE dual_status = 'waiting' AND pairing_expires_at < now()),
  (SELECT count(*) FROM table_talk.sessions WHERE expires_at < now() - interval '1 hour')";

/// A database of the demo's.
pub struct SampleDatabase {
    url: ServerUrl,
}

impl SampleDatabase {
    /// Makes the tables and fills them, on the server of this superuser's URL.
    pub async fn fill(server: &str) -> Result<Self> {
        let server = ServerUrl::parse(server)?;
        let mut admin = PgConnection::connect(&server.to_string())
            .await
            .context("cannot connect to the demo's Postgres")?;
        for sql in
            ["DROP DATABASE IF EXISTS pgsweep_demo WITH (FORCE)", "CREATE DATABASE pgsweep_demo"]
        {
            sqlx::raw_sql(sql)
                .execute(&mut admin)
                .await
                .context("cannot make the demo's database")?;
        }
        let url = server.database("pgsweep_demo");
        let mut connection = PgConnection::connect(&url.to_string()).await?;
        for tables in TABLES {
            sqlx::raw_sql(tables)
                .execute(&mut connection)
                .await
                .context("cannot fill the demo's tables")?;
        }
        Ok(Self { url })
    }

    /// As this machine reaches it.
    pub fn url(&self) -> String {
        without_tls(&self.url)
    }

    /// As another network reaches it.
    pub fn url_at(&self, host: &str) -> String {
        without_tls(&self.url.host(host))
    }

    /// Says what is in the tables of one of them.
    pub async fn describe(&self) -> Result<()> {
        let mut connection = PgConnection::connect(&self.url.to_string()).await?;
        let (sessions, participants, waiting, expired): (i64, i64, i64, i64) =
            sqlx::query_as(OVERDUE).fetch_one(&mut connection).await.context("cannot count")?;
        line(&format!(
            "Table-Talk has {sessions} sessions with {participants} participants; {waiting} wait in vain, {expired} expired over an hour ago"
        ));
        Ok(())
    }
}

/// The demo's server has no certificate and never leaves this machine; to say so saves a warning.
fn without_tls(url: &ServerUrl) -> String {
    format!("{url}?sslmode=disable")
}
