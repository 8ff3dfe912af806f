//! What the app does at the worst moment: between the statements of a batch, and inside one.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tests::Database;
use tests::job::{Ended, Run, policy, with};
use tests::proxy::{Proxy, When};
use tests::wait;

/// Sessions 1 to 5, all silent for a day; with a heartbeat the app keeps one alive.
const TABLES: &str = "
    CREATE TABLE sessions (id bigint PRIMARY KEY, state text DEFAULT 'new', due timestamptz DEFAULT now() - interval '1 day');
    CREATE TABLE participants (id bigint PRIMARY KEY, session_id bigint, seen timestamptz);
    CREATE INDEX ON participants (session_id);
    INSERT INTO sessions SELECT n FROM generate_series(1, 5) AS n;
    INSERT INTO participants SELECT n, n, now() - interval '1 day' FROM generate_series(1, 5) AS n;
    ANALYZE";

const SILENT: &str = "
- name: delete-silent
  table: {schema: public, name: sessions}
  where: [{notExists: {table: {schema: public, name: participants}, join: [{column: session_id, references: id}], where: [{column: seen, operator: NewerThan, age: 1h}]}}]
  action: {delete: {}}
";

const LEFT: &str = "
- name: delete-left
  table: {schema: public, name: sessions}
  where: [{exists: {table: {schema: public, name: participants}, join: [{column: session_id, references: id}], where: [{column: seen, operator: OlderThan, age: 1h}]}}]
  action: {delete: {}}
";

/// What only this statement of a batch has in its text.
const PICK: &str = "WITH batch AS MATERIALIZED";
const WALK: &str = "WITH walked AS MATERIALIZED";
const HOLD_PARTNERS: &str = "FOR SHARE OF r SKIP LOCKED";
const CHANGE: &str = "DELETE FROM \"public\".\"sessions\"";

/// Holds a run before a statement, acts, and lets it go.
async fn meanwhile(
    database: &Database,
    rules: &str,
    statement: &str,
    act: impl AsyncFnOnce() -> Result<()>,
) -> Result<Ended> {
    let proxy = Proxy::start(&database.address())?;
    let mut stop = proxy.stop_at_statement(statement, When::Before);
    let mut run = Run::start(&policy(rules), &proxy.address().to_string(), &[])?;
    tokio::time::timeout(Duration::from_secs(20), stop.reached())
        .await
        .with_context(|| format!("{statement} was not met: {:?}", run.has_ended()))??;
    act().await?;
    stop.release();
    run.end().await
}

async fn sessions(database: &Database) -> Result<Vec<i64>> {
    let sql = "SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM sessions";
    database.scalar(sql).await
}

async fn silent_sessions() -> Result<Database> {
    let database = Database::create().await?;
    database.execute(TABLES).await?;
    Ok(database)
}

/// Fails unless somebody holds a row that this statement needs.
async fn has_to_wait(database: &Database, statement: &'static str) -> Result<()> {
    let mut app = sqlx::PgConnection::connect(&database.url()).await?;
    sqlx::query("SET lock_timeout = '100ms'").execute(&mut app).await?;
    let refused = sqlx::query(statement).execute(&mut app).await;
    let refused = refused.err().context("nobody held the row")?;
    assert!(refused.to_string().contains("lock timeout"), "{refused}");
    Ok(())
}

/// Proves: R1.
#[tokio::test]
async fn a_heartbeat_between_the_lock_and_the_change_keeps_its_session() -> Result<()> {
    let database = silent_sessions().await?;
    let ended = meanwhile(&database, SILENT, HOLD_PARTNERS, async || {
        database.execute("UPDATE participants SET seen = now() WHERE session_id = 3").await
    })
    .await?;
    assert_eq!((ended.code, sessions(&database).await?), (Some(0), vec![3]), "{}", ended.output);
    Ok(())
}

/// Proves: R1.
#[tokio::test]
async fn a_participant_who_joins_after_the_others_were_held_keeps_the_session() -> Result<()> {
    let database = silent_sessions().await?;
    let ended = meanwhile(&database, SILENT, CHANGE, async || {
        database.execute("INSERT INTO participants VALUES (9, 3, now())").await
    })
    .await?;
    assert_eq!((ended.code, sessions(&database).await?), (Some(0), vec![3]), "{}", ended.output);
    Ok(())
}

/// Between the last look at the participants and the commit a heartbeat would come too late: it
/// has to wait, and finds its session gone.
///
/// Proves: R1.
#[tokio::test]
async fn a_heartbeat_after_the_participants_were_held_waits_for_the_run() -> Result<()> {
    let database = silent_sessions().await?;
    let ended = meanwhile(&database, SILENT, CHANGE, async || {
        has_to_wait(&database, "UPDATE participants SET seen = now() WHERE session_id = 3").await
    })
    .await?;
    assert_eq!((ended.code, sessions(&database).await?), (Some(0), vec![]), "{}", ended.output);
    Ok(())
}

/// Proves: R1.
#[tokio::test]
async fn a_session_whose_partner_is_held_by_the_app_is_left_alone() -> Result<()> {
    let database = silent_sessions().await?;
    let mut app = sqlx::PgConnection::connect(&database.url()).await?;
    let mut heartbeat = app.begin().await?;
    let ended = meanwhile(&database, SILENT, HOLD_PARTNERS, async || {
        let sql = "UPDATE participants SET seen = now() WHERE session_id = 3";
        sqlx::query(sql).execute(&mut *heartbeat).await?;
        Ok(())
    })
    .await?;
    heartbeat.commit().await?;
    assert_eq!((ended.code, sessions(&database).await?), (Some(0), vec![3]), "{}", ended.output);
    assert_eq!((ended.rule("failed"), ended.rule("stopReason")), (&json!(0), &json!("Blocked")));
    Ok(())
}

/// Proves: R1.
#[tokio::test]
async fn a_row_whose_partner_leaves_between_the_lock_and_the_change_stays() -> Result<()> {
    for away in [
        "DELETE FROM participants WHERE session_id = 3",
        "UPDATE participants SET session_id = 4 WHERE session_id = 3",
    ] {
        let database = silent_sessions().await?;
        let ended =
            meanwhile(&database, LEFT, CHANGE, async || database.execute(away).await).await?;
        assert_eq!(
            (ended.code, sessions(&database).await?),
            (Some(0), vec![3]),
            "{}",
            ended.output
        );
    }
    Ok(())
}

/// While a batch holds its rows, the app can neither renew them nor tie new ones to them.
///
/// Proves: R1.
#[tokio::test]
async fn rows_that_are_locked_cannot_be_renewed_before_they_go() -> Result<()> {
    let database = silent_sessions().await?;
    let ended = meanwhile(&database, SILENT, HOLD_PARTNERS, async || {
        has_to_wait(&database, "UPDATE sessions SET state = 'renewed' WHERE id = 3").await
    })
    .await?;
    assert_eq!((ended.code, sessions(&database).await?), (Some(0), vec![]), "{}", ended.output);
    Ok(())
}

/// Before the others stands a row that is old and no session, with a text that is kept outside of
/// the table.
const FAR: &str = "
    ALTER TABLE sessions ADD far text;
    ALTER TABLE sessions ALTER far SET STORAGE EXTERNAL;
    DELETE FROM sessions;
    INSERT INTO sessions VALUES (1001, 'none', now() - interval '2 days', repeat('x', 10000));
    INSERT INTO sessions SELECT n, 'new', now() - interval '1 day', 'x' FROM generate_series(1, 5) AS n;
    ANALYZE sessions";

/// A rule that looks at that text, by an age that an index leads by, or else by the primary key.
fn far_rule(by_age: bool) -> Value {
    let age = "{column: due, operator: OlderThan, age: 1h}";
    let age = if by_age { age.to_owned() } else { format!("{{anyOf: [{age}]}}") };
    let rule = format!(
        "[{{name: delete-due, table: {{schema: public, name: sessions}}, action: {{delete: {{}}}},
           where: [{age}, {{column: far, operator: LessThan, value: z}}, {{column: state, operator: Equals, value: new}}]}}]"
    );
    let patient = json!({"batchTimeout": "1m", "lockTimeout": "1m", "statementTimeout": "1m"});
    with(policy(&rule), "/execution", patient)
}

/// Keeps whoever reads the text of [`FAR`] waiting inside the statement: its snapshot is taken, and
/// none of the rows that are due is locked.
struct Hold<'a> {
    database: &'a Database,
    /// In a transaction that has the lock.
    app: sqlx::PgConnection,
    /// When the statement began that was met last.
    last: String,
}

impl<'a> Hold<'a> {
    async fn of(database: &'a Database) -> Result<Self> {
        Ok(Self { database, app: lock(database).await?, last: String::new() })
    }

    /// Acts inside the next statement of a batch.
    async fn act(&mut self, act: &str) -> Result<()> {
        loop {
            let (begun, query) = waiting(self.database).await?;
            if query.contains("batch AS MATERIALIZED") && begun != self.last {
                self.last = begun;
                return self.database.execute(act).await;
            }
            self.pass().await?;
        }
    }

    /// Lets whoever waits read once.
    async fn pass(&mut self) -> Result<()> {
        let (next, ()) = tokio::try_join!(lock(self.database), async {
            while !waiting(self.database).await?.1.starts_with(LOCK) {}
            Ok(sqlx::query("COMMIT").execute(&mut self.app).await.map(drop)?)
        })?;
        self.app = next;
        Ok(())
    }
}

const LOCK: &str = "BEGIN; REINDEX INDEX";

/// What reading a text from outside of the table needs.
async fn lock(database: &Database) -> Result<sqlx::PgConnection> {
    let index = "SELECT indexrelid::regclass::text FROM pg_index
                 WHERE indrelid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'sessions'::regclass)";
    let index: String = database.scalar(index).await?;
    let mut app = sqlx::PgConnection::connect(&database.url()).await?;
    let lock = format!("{LOCK} {index}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut app).await?;
    Ok(app)
}

/// Waits until a statement waits for a lock. Returns when the newest of them began, and its text.
async fn waiting(database: &Database) -> Result<(String, String)> {
    let sql = "SELECT query_start::text, query FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock'
               ORDER BY query_start DESC LIMIT 1";
    wait::until("a statement that waits", Duration::from_mins(1), async || {
        Ok(sqlx::query_as(sql).fetch_optional(database.pool()).await?)
    })
    .await
}

/// Each of these rows is due in the statement's snapshot, and none is when its turn comes.
///
/// Proves: R1.
#[tokio::test]
async fn a_row_that_is_renewed_inside_the_statement_that_deletes_it_stays() -> Result<()> {
    for by_age in [true, false] {
        let database = silent_sessions().await?;
        database.execute(FAR).await?;
        let mut hold = Hold::of(&database).await?;
        let run = Run::start(&far_rule(by_age), &database.url(), &[])?;
        let renew = "UPDATE sessions SET due = now() + interval '1 hour' WHERE id = 2;
                     UPDATE sessions SET state = 'kept' WHERE id = 3;
                     UPDATE sessions SET id = 14, due = now() WHERE id = 4";
        hold.act(renew).await?;
        drop(hold);
        let ended = run.end().await?;
        assert_eq!(ended.code, Some(0), "{}", ended.output);
        assert_eq!(ended.rule("strategy"), if by_age { "Keyset" } else { "PrimaryKey" });
        assert_eq!((ended.rule("affected"), ended.rule("failed")), (&json!(2), &json!(0)));
        assert_eq!(live(&database).await?, [2, 3, 14], "{}", ended.output);
    }
    Ok(())
}

/// What is there of the sessions that are about to go.
async fn live(database: &Database) -> Result<Vec<i64>> {
    let all = sessions(database).await?;
    Ok(all.into_iter().filter(|id| *id < 1000).collect())
}

/// The row stays due.
const TOUCH: &str = "UPDATE sessions SET due = due - interval '1 minute' WHERE id = 3";

#[tokio::test]
async fn a_row_that_is_touched_inside_the_statement_and_still_due_goes_later() -> Result<()> {
    let database = silent_sessions().await?;
    database.execute(FAR).await?;
    let mut hold = Hold::of(&database).await?;
    let run = Run::start(&far_rule(true), &database.url(), &[])?;
    hold.act(TOUCH).await?;
    drop(hold);
    let ended = run.end().await?;
    assert_eq!((ended.code, live(&database).await?), (Some(0), vec![]), "{}", ended.output);
    assert_eq!((ended.rule("affected"), ended.rule("failed")), (&json!(5), &json!(0)));
    Ok(())
}

/// The app writes a row that stays due inside the statements of both passes: it is not changed, and
/// that is no failure of the row.
#[tokio::test]
async fn a_row_that_the_app_keeps_writing_is_left_for_the_next_run() -> Result<()> {
    let database = silent_sessions().await?;
    database.execute(FAR).await?;
    let mut hold = Hold::of(&database).await?;
    let run = Run::start(&far_rule(true), &database.url(), &[])?;
    // The first pass, its end, and the second pass.
    for _ in 0..3 {
        hold.act(TOUCH).await?;
    }
    drop(hold);
    let ended = run.end().await?;
    assert_eq!((ended.code, live(&database).await?), (Some(0), vec![3]), "{}", ended.output);
    assert_eq!((ended.rule("failed"), ended.rule("stopReason")), (&json!(0), &json!("Blocked")));
    Ok(())
}

const DELETE_DUE: &str = "
- name: delete-due
  table: {schema: public, name: sessions}
  where: [{column: due, operator: OlderThan, age: 1h}, {column: state, operator: Equals, value: new}]
  action: {delete: {}}
";

/// The app holds a row: a batch goes round it at once, in each way of finding rows.
#[tokio::test]
async fn a_batch_never_waits_for_a_row_that_the_app_holds() -> Result<()> {
    let walked = DELETE_DUE.replace("{column: due, operator: OlderThan, age: 1h}, ", "");
    for (rules, statement) in [(DELETE_DUE, PICK), (&walked, WALK), (SILENT, WALK)] {
        let database = silent_sessions().await?;
        let mut app = sqlx::PgConnection::connect(&database.url()).await?;
        let mut hold = app.begin().await?;
        let ended = meanwhile(&database, rules, statement, async || {
            sqlx::query("SELECT FROM sessions WHERE id = 3 FOR UPDATE").execute(&mut *hold).await?;
            Ok(())
        })
        .await?;
        hold.rollback().await?;
        assert_eq!(
            (ended.code, sessions(&database).await?),
            (Some(0), vec![3]),
            "{}",
            ended.output
        );
        assert_eq!((ended.rule("skippedLocked"), ended.rule("failed")), (&json!(1), &json!(0)));
        // A walk by the primary key passes by once more.
        let batches = ended.rule("batches").as_i64();
        assert!(batches <= Some(2), "it halved its batches: {}", ended.output);
    }
    Ok(())
}
