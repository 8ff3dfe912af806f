//! Whole partitions: which ones go, what is counted, and what is kept.

use anyhow::Result;
use serde_json::json;
use tests::Database;
use tests::days::{
    DROP_OLD, DUE, ROWS, a_second_has_passed, codes, count, keeping, noted, partitions, removed,
    tables,
};
use tests::job::{self, fingerprint, policy, run_on, with};

#[tokio::test]
async fn partitions_go_whole_and_the_counts_of_report_ledger_and_test_are_equal() -> Result<()> {
    let database = codes().await?;
    let young = fingerprint(
        &database,
        "(SELECT * FROM codes WHERE expires_at > day(11) - interval '1 hour')",
    )
    .await?;
    let before = count(&database).await?;
    let ended = run_on(&database, &policy(DROP_OLD)).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(
        (ended.report["result"].as_str(), ended.rule("strategy")),
        (Some("Succeeded"), &json!("Partition"))
    );
    let gone = before - count(&database).await?;
    assert_eq!(gone, DUE * ROWS);
    assert_eq!((ended.rule("matched"), ended.rule("affected")), (&json!(gone), &json!(gone)));
    assert_eq!((ended.rule("remaining"), ended.rule("failed")), (&json!(0), &json!(0)));
    assert_eq!(
        (noted(&database, "Dropped").await?, removed(&database).await?),
        ((DUE, gone), gone)
    );
    let batches: i64 = database.scalar("SELECT batches FROM pgsweep.run_rules").await?;
    assert_eq!(ended.rule("batches"), &json!(batches), "a detach and a drop each");
    assert_eq!((batches, tables(&database).await?), (2 * DUE, 12));
    // The boundary partition has rows that are due beside young ones: it stays as it is.
    assert_eq!(fingerprint(&database, "codes").await?, young);
    let again = run_on(&database, &policy(DROP_OLD)).await?;
    assert_eq!(
        (again.code, again.rule("affected"), again.rule("matched")),
        (Some(0), &json!(0), &json!(0))
    );
    assert_eq!(fingerprint(&database, "codes").await?, young);
    assert_eq!(again.report["totals"]["rowsAffected"], json!(gone));
    Ok(())
}

#[tokio::test]
async fn a_dry_run_counts_the_same_with_select_alone_and_changes_nothing() -> Result<()> {
    let database = codes().await?;
    let user = database.create_user().await?;
    database.execute("GRANT SELECT ON codes TO PUBLIC").await?;
    let dry = job::run(&policy(DROP_OLD), &user.to_string(), &["--dry-run"]).await?;
    assert_eq!(dry.code, Some(0), "{}", dry.output);
    assert_eq!((dry.rule("matched"), dry.rule("affected")), (&json!(DUE * ROWS), &json!(0)));
    assert_eq!((partitions(&database).await?, count(&database).await?), (21, 210));
    let ledger: bool = database.scalar("SELECT to_regnamespace('pgsweep') IS NOT NULL").await?;
    assert!(!ledger, "a dry run makes no ledger");
    let overdue = dry.rule("oldestOverdueSeconds").as_i64().unwrap_or_default();
    let expected: i64 =
        database.scalar("SELECT (extract(epoch FROM now() - day(19)) - 864000)::bigint").await?;
    assert!(
        (expected - overdue).abs() < 60,
        "since its last moment is due: {overdue}, not {expected}"
    );
    Ok(())
}

#[tokio::test]
async fn the_guard_speaks_before_the_first_partition() -> Result<()> {
    let database = codes().await?;
    database
        .execute(
            "INSERT INTO codes SELECT k, day(15), '' FROM generate_series(100000, 101999) AS k",
        )
        .await?;
    let guarded = with(policy(DROP_OLD), "/limits", json!({"maxPercentOfTable": 50}));
    for arguments in [&[][..], &["--dry-run"]] {
        let ended = job::run(&guarded, &database.url(), arguments).await?;
        assert_eq!(ended.code, Some(3), "{}", ended.output);
        let message = ended.report["message"].as_str().unwrap_or_default();
        assert!(message.contains("2090 of the 2210 rows"), "{message}");
    }
    assert_eq!(partitions(&database).await?, 21);
    Ok(())
}

#[tokio::test]
async fn dates_timestamps_and_epoch_numbers_are_keys() -> Result<()> {
    let keys = [
        ("date", "((now() AT TIME ZONE 'UTC')::date - {n})", ""),
        ("timestamp", "(now() AT TIME ZONE 'UTC' - {n} * interval '24 hours')", ""),
        ("bigint", "(extract(epoch FROM now())::bigint - {n} * 86400)", ", unit: EpochSeconds"),
        (
            "bigint",
            "((extract(epoch FROM now()) * 1000)::bigint - {n} * 86400000::bigint)",
            ", unit: EpochMillis",
        ),
        ("numeric", "(extract(epoch FROM now()) - {n} * 86400)", ", unit: EpochSeconds"),
    ];
    for (sql_type, moment, unit) in keys {
        let database = Database::create().await?;
        let day = |n: &str| moment.replace("{n}", n);
        // Days 0 to 4 are young and 13 to 17 due, whatever the time of day.
        database
            .execute(&format!(
                "CREATE TABLE codes (expires_at {sql_type} PRIMARY KEY) PARTITION BY RANGE (expires_at);
                 DO $$DECLARE n int; BEGIN
                   FOREACH n IN ARRAY ARRAY[0, 1, 2, 3, 4, 13, 14, 15, 16, 17] LOOP
                     EXECUTE format('CREATE TABLE codes_%s PARTITION OF codes FOR VALUES FROM (%L) TO (%L)', n, {from}, {to});
                     INSERT INTO codes VALUES ({from});
                   END LOOP;
                 END$$;
                 ANALYZE codes",
                from = day("n"),
                to = day("(n - 1)"),
            ))
            .await?;
        let rules = DROP_OLD.replace("age: 10d", &format!("age: 10d{unit}"));
        let dry = job::run(&policy(&rules), &database.url(), &["--dry-run"]).await?;
        let ended = run_on(&database, &policy(&rules)).await?;
        assert_eq!(ended.code, Some(0), "{sql_type}{unit}: {}", ended.output);
        assert_eq!(
            (dry.rule("matched"), ended.rule("affected")),
            (&json!(5), &json!(5)),
            "{sql_type}{unit}"
        );
        assert_eq!(count(&database).await?, 5, "{sql_type}{unit}");
    }
    Ok(())
}

#[tokio::test]
async fn a_row_that_never_ages_keeps_its_partition_in_silence() -> Result<()> {
    let database = codes().await?;
    database
        .execute(
            "CREATE TABLE codes_first PARTITION OF codes FOR VALUES FROM (MINVALUE) TO ('2001-01-01');
             INSERT INTO codes SELECT k, '2000-01-01', '' FROM generate_series(1, 5) AS k;
             INSERT INTO codes VALUES (6, '-infinity', '')",
        )
        .await?;
    let ended = run_on(&database, &policy(DROP_OLD)).await?;
    assert_eq!(
        (ended.code, ended.rule("affected")),
        (Some(0), &json!(DUE * ROWS)),
        "{}",
        ended.output
    );
    assert_eq!((ended.rule("matched"), ended.rule("remaining")), (&json!(DUE * ROWS), &json!(0)));
    assert_eq!(ended.report["stopReason"], "Drained");
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM codes_first").await?, 6);
    database.execute("DELETE FROM codes WHERE id = 6").await?;
    let ended = run_on(&database, &policy(DROP_OLD)).await?;
    assert_eq!((ended.code, ended.rule("affected")), (Some(0), &json!(5)), "{}", ended.output);
    assert_eq!(partitions(&database).await?, 12);
    Ok(())
}

#[tokio::test]
async fn names_are_quoted_and_partitions_of_partitions_go_with_theirs() -> Result<()> {
    let database = codes().await?;
    let hostile = r#"x"; DROP TABLE codes; --'$1"#.replace('"', "\"\"");
    database
        .execute(&format!(
            r#"CREATE SCHEMA "select ""all""";
               CREATE TABLE "select ""all"""."{hostile}" PARTITION OF codes
                 FOR VALUES FROM (day(40)) TO (day(30)) PARTITION BY HASH (id);
               CREATE TABLE codes_40a PARTITION OF "select ""all"""."{hostile}" FOR VALUES WITH (MODULUS 2, REMAINDER 0);
               CREATE TABLE codes_40b PARTITION OF "select ""all"""."{hostile}" FOR VALUES WITH (MODULUS 2, REMAINDER 1);
               INSERT INTO codes SELECT k, day(35), '' FROM generate_series(1, 20) AS k"#
        ))
        .await?;
    let ended = run_on(&database, &policy(DROP_OLD)).await?;
    assert_eq!(
        (ended.code, ended.rule("affected")),
        (Some(0), &json!(DUE * ROWS + 20)),
        "{}",
        ended.output
    );
    assert_eq!((partitions(&database).await?, tables(&database).await?), (12, 12));
    let empty: bool = database
        .scalar("SELECT NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname LIKE 'select%')")
        .await?;
    assert!(empty, "all of it is gone");
    Ok(())
}

#[tokio::test]
async fn detached_partitions_are_kept_for_the_grace_age_and_dropped_by_a_later_run() -> Result<()> {
    let database = codes().await?;
    let ended = run_on(&database, &keeping("1h")).await?;
    assert_eq!(
        (ended.code, ended.rule("affected")),
        (Some(0), &json!(DUE * ROWS)),
        "{}",
        ended.output
    );
    assert_eq!((partitions(&database).await?, tables(&database).await?), (12, 21));
    assert_eq!(noted(&database, "Detached").await?, (DUE, DUE * ROWS));
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM codes_15").await?, ROWS, "readable");
    let during = run_on(&database, &keeping("1h")).await?;
    assert_eq!((during.code, during.rule("affected")), (Some(0), &json!(0)), "{}", during.output);
    assert_eq!(tables(&database).await?, 21, "their time is not over");
    a_second_has_passed(&database).await?;
    let after = run_on(&database, &keeping("1s")).await?;
    assert_eq!((after.code, after.rule("affected")), (Some(0), &json!(0)), "{}", after.output);
    assert_eq!((tables(&database).await?, removed(&database).await?), (12, DUE * ROWS));
    assert_eq!(noted(&database, "Dropped").await?, (DUE, DUE * ROWS));
    Ok(())
}

#[tokio::test]
async fn a_cap_is_kept_by_whole_partitions() -> Result<()> {
    let database = codes().await?;
    let capped = |rows: i64| with(policy(DROP_OLD), "/rules/0/limits", json!({"maxRows": rows}));
    let ended = run_on(&database, &capped(25)).await?;
    assert_eq!((ended.code, ended.rule("affected")), (Some(0), &json!(20)), "{}", ended.output);
    assert_eq!(
        (ended.report["stopReason"].as_str(), ended.rule("message")),
        (Some("RowLimit"), &json!(""))
    );
    assert_eq!(ended.rule("remaining"), &json!(DUE * ROWS - 20));
    let oldest_are_gone: bool = database
        .scalar("SELECT to_regclass('codes_19') IS NULL AND to_regclass('codes_18') IS NOT NULL")
        .await?;
    assert!(oldest_are_gone);
    let ended = run_on(&database, &capped(20)).await?;
    assert_eq!(ended.rule("affected"), &json!(20), "a cap that is met exactly: {}", ended.output);
    assert_eq!(
        noted(&database, "Dropped").await?,
        (4, 40),
        "what is detached is dropped all the same"
    );
    let ended = run_on(&database, &capped(9)).await?;
    assert_eq!((ended.code, ended.rule("affected")), (Some(0), &json!(0)), "{}", ended.output);
    let message = ended.report["message"].as_str().unwrap_or_default();
    assert!(message.contains("public.codes_16") && message.contains("limits.maxRows"), "{message}");
    let ended = run_on(&database, &policy(DROP_OLD)).await?;
    assert_eq!(ended.rule("affected"), &json!(DUE * ROWS - 40), "{}", ended.output);
    Ok(())
}

#[tokio::test]
async fn a_row_for_a_partition_that_is_gone_is_refused_as_postgres_does() -> Result<()> {
    let database = codes().await?;
    run_on(&database, &policy(DROP_OLD)).await?;
    let late =
        sqlx::query("INSERT INTO codes VALUES (1, day(15), '')").execute(database.pool()).await;
    let code =
        late.err().and_then(|error| error.as_database_error()?.code().map(Into::<String>::into));
    assert_eq!(code.as_deref(), Some("23514"), "no partition found for row");
    database
        .execute("CREATE TABLE codes_15 PARTITION OF codes FOR VALUES FROM (day(15)) TO (day(14)); INSERT INTO codes VALUES (1, day(15), '')")
        .await?;
    let ended = run_on(&database, &policy(DROP_OLD)).await?;
    assert_eq!((ended.code, ended.rule("affected")), (Some(0), &json!(1)), "{}", ended.output);
    Ok(())
}
