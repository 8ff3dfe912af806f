//! Whole partitions beside others: locks, kills, and what people and apps do meanwhile.

// Longer than 400 lines: a test for each way in which others get in between.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tests::Database;
use tests::days::{
    DROP_OLD, DUE, ROWS, a_second_has_passed, codes, count, keeping, noted, partitions, removed,
    tables, waits_for,
};
use tests::job::{self, Run, policy, run_on, with};
use tests::wait;

/// Holds statements of that kind up while somebody has the advisory lock 42.
async fn hold_up(database: &Database, event: &str, tag: &str) -> Result<()> {
    database
        .execute(&format!(
            "CREATE FUNCTION hold_up() RETURNS event_trigger LANGUAGE plpgsql AS
               $$BEGIN PERFORM pg_advisory_xact_lock_shared(42); END$$;
             CREATE EVENT TRIGGER hold_up ON {event} WHEN TAG IN ('{tag}') EXECUTE FUNCTION hold_up()"
        ))
        .await
}

async fn is_held_up(database: &Database) -> Result<()> {
    // The view shows the locks of other tests too.
    let waiting = "SELECT EXISTS (
                     SELECT FROM pg_locks
                     JOIN pg_database AS d ON d.oid = database AND d.datname = current_database()
                     WHERE locktype = 'advisory' AND NOT granted
                   )";
    wait::until("a statement to be held up", Duration::from_secs(20), async || {
        Ok(database.scalar::<bool>(waiting).await?.then_some(()))
    })
    .await
}

/// Waits for locks for as long as a test needs.
fn patient(policy: Value) -> Value {
    with(policy, "/execution", json!({"lockTimeout": "15s", "batchTimeout": "20s"}))
}

#[tokio::test]
async fn a_kill_before_a_detach_commits_loses_nothing_and_the_next_attempt_goes_on() -> Result<()> {
    let database = codes().await?;
    hold_up(&database, "ddl_command_end", "ALTER TABLE").await?;
    let mut app = database.pool().acquire().await?;
    sqlx::query("SELECT pg_advisory_lock(42)").execute(&mut *app).await?;
    let run = Run::start(&policy(DROP_OLD), &database.url(), &["--job-uid", "one"])?;
    is_held_up(&database).await?;
    drop(run);
    assert_eq!((partitions(&database).await?, count(&database).await?), (21, 210));
    sqlx::query("SELECT pg_advisory_unlock(42)").execute(&mut *app).await?;
    let run = Run::start(&policy(DROP_OLD), &database.url(), &["--job-uid", "one"])?;
    let ended = run.end().await?;
    assert_eq!(
        (ended.code, ended.rule("affected")),
        (Some(0), &json!(DUE * ROWS)),
        "{}",
        ended.output
    );
    assert_eq!((count(&database).await?, removed(&database).await?), (120, DUE * ROWS));
    Ok(())
}

#[tokio::test]
async fn a_kill_between_detach_and_drop_loses_nothing_and_the_next_attempt_goes_on() -> Result<()> {
    let database = codes().await?;
    hold_up(&database, "ddl_command_end", "DROP TABLE").await?;
    let mut app = database.pool().acquire().await?;
    sqlx::query("SELECT pg_advisory_lock(42)").execute(&mut *app).await?;
    let run = Run::start(&policy(DROP_OLD), &database.url(), &["--job-uid", "one"])?;
    wait::until("the first partition to be detached", Duration::from_secs(20), async || {
        Ok((partitions(&database).await? < 21).then_some(()))
    })
    .await?;
    drop(run);
    let detached = 21 - partitions(&database).await?;
    assert_eq!(tables(&database).await?, 21, "nothing was dropped");
    assert_eq!(noted(&database, "Detached").await?, (detached, detached * ROWS));
    assert_eq!(removed(&database).await?, 210 - count(&database).await?);
    sqlx::query("SELECT pg_advisory_unlock(42)").execute(&mut *app).await?;
    let run = Run::start(&policy(DROP_OLD), &database.url(), &["--job-uid", "one"])?;
    let ended = run.end().await?;
    assert_eq!(
        (ended.code, ended.rule("affected")),
        (Some(0), &json!(DUE * ROWS)),
        "{}",
        ended.output
    );
    assert_eq!(ended.report["attempts"], 2);
    assert_eq!((count(&database).await?, removed(&database).await?), (120, DUE * ROWS));
    assert_eq!(noted(&database, "Dropped").await?, (DUE, DUE * ROWS));
    Ok(())
}

#[tokio::test]
async fn a_table_that_the_app_reads_is_left_alone_and_the_app_never_waits_for_long() -> Result<()> {
    let database = codes().await?;
    let mut app = sqlx::PgConnection::connect(&database.url()).await?;
    let mut reader = app.begin().await?;
    sqlx::query("SELECT count(*) FROM codes").execute(&mut *reader).await?;
    let mut writer = database.pool().acquire().await?;
    sqlx::query("SET lock_timeout = '2s'").execute(&mut *writer).await?;
    let run = Run::start(&policy(DROP_OLD), &database.url(), &[])?;
    let mut ended = std::pin::pin!(run.end());
    let mut written = 0;
    let ended = loop {
        tokio::select! {
            ended = &mut ended => break ended?,
            write = sqlx::query("INSERT INTO codes VALUES ($1, day(0), '')").bind(100_000 + written).execute(&mut *writer) => {
                // Behind a lock that waits for the reader this would fail.
                write?;
                written += 1;
            }
        }
    };
    reader.rollback().await?;
    assert_eq!(ended.code, Some(11), "{}", ended.output);
    assert_eq!(
        (ended.rule("stopReason").as_str(), ended.rule("sqlState").as_str()),
        (Some("LockTimeout"), Some("55P03"))
    );
    assert_eq!((ended.rule("affected"), partitions(&database).await?), (&json!(0), 21));
    assert!(written > 10, "the app was held up: {written}");
    let ended = run_on(&database, &policy(DROP_OLD)).await?;
    assert_eq!(
        (ended.code, ended.rule("affected")),
        (Some(0), &json!(DUE * ROWS)),
        "{}",
        ended.output
    );
    Ok(())
}

#[tokio::test]
async fn rows_that_come_between_the_count_and_the_detach_are_counted_exactly() -> Result<()> {
    let database = codes().await?;
    let mut app = database.pool().begin().await?;
    sqlx::query("SELECT FROM codes_20").execute(&mut *app).await?;
    let run = Run::start(&policy(DROP_OLD), &database.url(), &[])?;
    waits_for(&database, "codes_20").await?;
    sqlx::query("INSERT INTO codes_20 SELECT k, day(20) + interval '1 hour', '' FROM generate_series(5000, 5004) AS k")
        .execute(&mut *app)
        .await?;
    app.commit().await?;
    let ended = run.end().await?;
    assert_eq!(
        (ended.code, ended.rule("affected")),
        (Some(0), &json!(DUE * ROWS + 5)),
        "{}",
        ended.output
    );
    assert_eq!(noted(&database, "Dropped").await?, (DUE, DUE * ROWS + 5));
    assert_eq!(removed(&database).await?, DUE * ROWS + 5);
    Ok(())
}

#[tokio::test]
async fn a_detach_of_somebody_that_was_cut_off_is_finished() -> Result<()> {
    let database = codes().await?;
    let mut reader = database.pool().begin().await?;
    sqlx::query("SELECT count(*) FROM codes").execute(&mut *reader).await?;
    let mut person = sqlx::PgConnection::connect(&database.url()).await?;
    let process: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut person).await?;
    let detach = tokio::spawn(async move {
        sqlx::raw_sql("ALTER TABLE codes DETACH PARTITION codes_15 CONCURRENTLY")
            .execute(&mut person)
            .await
    });
    wait::until("the detach to be half done", Duration::from_secs(20), async || {
        Ok((partitions(&database).await? == 20).then_some(()))
    })
    .await?;
    database.scalar::<bool>(&format!("SELECT pg_cancel_backend({process})")).await?;
    assert!(detach.await?.is_err(), "the detach was cut off");
    reader.rollback().await?;
    assert_eq!(count(&database).await?, 200, "its rows are hidden");
    let ended = run_on(&database, &policy(DROP_OLD)).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(
        (ended.rule("matched"), ended.rule("affected")),
        (&json!(DUE * ROWS), &json!(DUE * ROWS))
    );
    assert_eq!((tables(&database).await?, count(&database).await?), (12, 120));
    Ok(())
}

#[tokio::test]
async fn a_detached_table_with_a_row_that_is_not_due_is_attached_again() -> Result<()> {
    let database = codes().await?;
    database
        .execute(
            "CREATE TABLE codes_first PARTITION OF codes FOR VALUES FROM (MINVALUE) TO ('2001-01-01');
             INSERT INTO codes SELECT k, '2000-01-01', '' FROM generate_series(1, 5) AS k;
             CREATE TABLE people (id bigint PRIMARY KEY);
             ALTER TABLE codes ADD COLUMN person bigint REFERENCES people;
             CREATE INDEX ON codes (expires_at)",
        )
        .await?;
    assert_eq!(run_on(&database, &keeping("1h")).await?.rule("affected"), &json!(DUE * ROWS + 5));
    database.execute("INSERT INTO codes_first VALUES (6, '-infinity', 'canary-in-a-row')").await?;
    a_second_has_passed(&database).await?;
    let ended = run_on(&database, &keeping("1s")).await?;
    assert_eq!(ended.code, Some(11), "{}", ended.output);
    assert_eq!((ended.rule("affected"), ended.rule("failed")), (&json!(0), &json!(1)));
    let message = ended.rule("message").as_str().unwrap_or_default();
    assert!(message.contains("public.codes_first was attached again"), "{message}");
    assert!(!ended.output.contains("canary"), "{}", ended.output);
    assert_eq!((partitions(&database).await?, count(&database).await?), (13, 126));
    assert_eq!(
        (noted(&database, "Attached").await?.0, noted(&database, "Dropped").await?.0),
        (1, DUE)
    );
    let orphan =
        sqlx::query("INSERT INTO codes VALUES (7, '-infinity', '', 1)").execute(database.pool());
    assert!(orphan.await.is_err(), "its foreign key holds again");
    let again = run_on(&database, &keeping("1s")).await?;
    assert_eq!((again.code, count(&database).await?), (Some(0), 126), "{}", again.output);
    Ok(())
}

#[tokio::test]
async fn a_detached_table_that_cannot_be_attached_again_is_kept() -> Result<()> {
    let database = codes().await?;
    run_on(&database, &keeping("1h")).await?;
    // Nothing binds a table to the range of the partition that it was.
    database.execute("INSERT INTO codes_15 VALUES (1, now(), '')").await?;
    a_second_has_passed(&database).await?;
    for _ in 0..2 {
        let ended = run_on(&database, &keeping("1s")).await?;
        assert_eq!(
            (ended.code, ended.rule("sqlState").as_str()),
            (Some(11), Some("23514")),
            "{}",
            ended.output
        );
        let message = ended.rule("message").as_str().unwrap_or_default();
        assert!(
            message.contains("public.codes_15") && message.contains("kept as a table"),
            "{message}"
        );
        assert_eq!(database.scalar::<i64>("SELECT count(*) FROM codes_15").await?, ROWS + 1);
        assert_eq!((tables(&database).await?, noted(&database, "Detached").await?.0), (13, 1));
    }
    database.execute("DELETE FROM codes_15 WHERE id = 1").await?;
    assert_eq!(run_on(&database, &keeping("1s")).await?.code, Some(0));
    assert_eq!(tables(&database).await?, 12);
    Ok(())
}

#[tokio::test]
async fn what_a_person_did_with_a_detached_table_stands() -> Result<()> {
    let database = codes().await?;
    run_on(&database, &keeping("1h")).await?;
    database
        .execute(
            "DROP TABLE codes_20;
             ALTER TABLE codes_19 RENAME TO codes_kept;
             CREATE TABLE codes_19 (LIKE codes);
             INSERT INTO codes_19 VALUES (1, day(19), '');
             ALTER TABLE codes ATTACH PARTITION codes_18 FOR VALUES FROM (MINVALUE) TO (day(17) - interval '1 hour');
             INSERT INTO codes VALUES (7, '-infinity', '')",
        )
        .await?;
    a_second_has_passed(&database).await?;
    let ended = run_on(&database, &keeping("1s")).await?;
    assert_eq!((ended.code, ended.rule("affected")), (Some(0), &json!(0)), "{}", ended.output);
    assert_eq!((noted(&database, "Gone").await?.0, noted(&database, "Attached").await?.0), (2, 1));
    assert_eq!(noted(&database, "Dropped").await?.0, DUE - 3);
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM codes_kept").await?, ROWS);
    assert_eq!(
        database.scalar::<i64>("SELECT count(*) FROM codes_19").await?,
        1,
        "another table of that name"
    );
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM codes_18").await?, ROWS + 1);
    assert!(ended.output.contains("somebody else"), "{}", ended.output);
    Ok(())
}

#[tokio::test]
async fn a_partition_that_is_exchanged_before_our_detach_is_left_alone() -> Result<()> {
    let database = codes().await?;
    hold_up(&database, "ddl_command_start", "ALTER TABLE").await?;
    let mut app = database.pool().acquire().await?;
    sqlx::raw_sql("SET session_replication_role = replica; SELECT pg_advisory_lock(42)")
        .execute(&mut *app)
        .await?;
    let run = Run::start(&patient(policy(DROP_OLD)), &database.url(), &[])?;
    is_held_up(&database).await?;
    sqlx::raw_sql(
        "ALTER TABLE codes DETACH PARTITION codes_20;
         ALTER TABLE codes_20 RENAME TO codes_kept;
         CREATE TABLE codes_20 PARTITION OF codes FOR VALUES FROM (day(-5)) TO (day(-6));
         INSERT INTO codes VALUES (77777, day(-5), '');
         SELECT pg_advisory_unlock(42)",
    )
    .execute(&mut *app)
    .await?;
    let ended = run.end().await?;
    assert_eq!(
        (ended.code, ended.rule("affected")),
        (Some(0), &json!((DUE - 1) * ROWS)),
        "{}",
        ended.output
    );
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM codes WHERE id = 77777").await?, 1);
    assert_eq!((partitions(&database).await?, noted(&database, "Dropped").await?.0), (13, DUE - 1));
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM codes_kept").await?, ROWS);
    Ok(())
}

#[tokio::test]
async fn a_table_that_takes_the_name_of_a_detached_one_before_our_lock_is_left_alone() -> Result<()>
{
    let database = codes().await?;
    run_on(&database, &keeping("1h")).await?;
    a_second_has_passed(&database).await?;
    let mut app = database.pool().begin().await?;
    sqlx::query("LOCK TABLE codes_15 IN ACCESS SHARE MODE").execute(&mut *app).await?;
    let run = Run::start(&patient(keeping("1s")), &database.url(), &[])?;
    waits_for(&database, "codes_15").await?;
    sqlx::raw_sql("ALTER TABLE codes_15 RENAME TO codes_kept; CREATE TABLE codes_15 (LIKE codes)")
        .execute(&mut *app)
        .await?;
    app.commit().await?;
    let ended = run.end().await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(tables(&database).await?, 14, "the young partitions, the kept one and the new one");
    assert_eq!(
        (noted(&database, "Gone").await?.0, noted(&database, "Dropped").await?.0),
        (1, DUE - 1)
    );
    Ok(())
}

#[tokio::test]
async fn a_partition_that_others_point_at_stays_and_the_others_go() -> Result<()> {
    let database = codes().await?;
    database
        .execute(
            "CREATE TABLE child (id bigint, at timestamptz, FOREIGN KEY (id, at) REFERENCES codes);
             INSERT INTO child SELECT id, expires_at FROM codes_15 LIMIT 1",
        )
        .await?;
    let ended = run_on(&database, &policy(DROP_OLD)).await?;
    assert_eq!(
        (ended.code, ended.rule("sqlState").as_str()),
        (Some(11), Some("23503")),
        "{}",
        ended.output
    );
    assert_eq!(
        (ended.rule("affected"), ended.rule("failed")),
        (&json!((DUE - 1) * ROWS), &json!(ROWS))
    );
    let message = ended.rule("message").as_str().unwrap_or_default();
    assert!(message.contains("public.codes_15"), "{message}");
    assert!(!ended.output.contains("(id"), "{}", ended.output);
    assert_eq!((partitions(&database).await?, count(&database).await?), (13, 130));
    database.execute("DELETE FROM child").await?;
    let ended = run_on(&database, &policy(DROP_OLD)).await?;
    assert_eq!((ended.code, ended.rule("affected")), (Some(0), &json!(ROWS)), "{}", ended.output);
    Ok(())
}

#[tokio::test]
async fn the_owner_of_table_and_partitions_is_enough_and_another_owner_is_named_before_the_first_row()
-> Result<()> {
    let database = codes().await?;
    let user = database.create_user().await?;
    let url = user.to_string();
    let name = url.split(['/', ':']).nth(3).unwrap_or_default().to_owned();
    let sql = format!(
        "GRANT CREATE ON DATABASE {database} TO {name};
         ALTER TABLE codes OWNER TO {name};
         DO $$BEGIN
           FOR n IN 0..20 LOOP
             IF n <> 15 THEN EXECUTE format('ALTER TABLE codes_%s OWNER TO {name}', n); END IF;
           END LOOP;
         END$$",
        database = database.name(),
    );
    database.execute(&sql).await?;
    let ended = job::run(&policy(DROP_OLD), &url, &[]).await?;
    assert_eq!(ended.code, Some(2), "{}", ended.output);
    assert_eq!(ended.rule("sqlState"), "42501");
    let message = ended.rule("message").as_str().unwrap_or_default();
    assert!(message.contains("NotOwner") || message.contains("only an owner"), "{message}");
    assert_eq!(partitions(&database).await?, 21);
    database.execute(&format!("ALTER TABLE codes_15 OWNER TO {name}")).await?;
    let ended = job::run(&policy(DROP_OLD), &url, &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(ended.rule("affected"), &json!(DUE * ROWS));
    Ok(())
}

#[tokio::test]
async fn a_table_that_a_view_needs_is_kept_until_the_view_is_gone() -> Result<()> {
    let database = codes().await?;
    database.execute("CREATE VIEW seen AS SELECT * FROM codes_15").await?;
    let ended = run_on(&database, &policy(DROP_OLD)).await?;
    assert_eq!(
        (ended.code, ended.rule("sqlState").as_str()),
        (Some(11), Some("2BP01")),
        "{}",
        ended.output
    );
    assert_eq!(ended.rule("affected"), &json!(DUE * ROWS), "its rows have left the table");
    assert_eq!((tables(&database).await?, noted(&database, "Detached").await?), (13, (1, ROWS)));
    database.execute("DROP VIEW seen").await?;
    let ended = run_on(&database, &policy(DROP_OLD)).await?;
    assert_eq!((ended.code, ended.rule("affected")), (Some(0), &json!(0)), "{}", ended.output);
    assert_eq!((tables(&database).await?, removed(&database).await?), (12, DUE * ROWS));
    Ok(())
}
