//! Days of the outbox and months of the analytics, made ahead.

use std::time::Duration;

use anyhow::{Result, ensure};
use sqlx::Connection as _;
use tests::sessions::on_each_version;

use super::scene::{execute, rows, rows_of};

const BOUNDS: &str = "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relispartition AND relkind = 'r' AND relname LIKE";

/// Ends of the ranges of a table's partitions, as the server writes them.
fn ends(bounds: &[String]) -> Vec<(String, String)> {
    let mut ends: Vec<_> = bounds
        .iter()
        .map(|bound| {
            let mut times = bound.split('\'').skip(1).step_by(2).map(str::to_owned);
            (times.next().unwrap_or_default(), times.next().unwrap_or_default())
        })
        .collect();
    ends.sort();
    ends
}

#[tokio::test]
async fn two_years_of_days_leave_no_gap_whatever_the_callers_time_zone_is() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        // 2028 has a 29th of February; New York changes its clock twice a year.
        database
            .execute(
                "SET TimeZone TO 'America/New_York';
                 SELECT core.make_partitions(day) FROM generate_series(timestamptz '2027-11-30 12:00Z', '2029-01-02 12:00Z', '1 day') AS day;
                 RESET TimeZone",
            )
            .await?;
        for (table, from, to, count) in [
            ("session_events", "2027-11-30 00:00:00+00", "2029-01-06 00:00:00+00", 403),
            ("analytics_events", "2027-11-01 00:00:00+00", "2029-04-01 00:00:00+00", 17),
        ] {
            let sql = format!("{BOUNDS} '{table}_%' AND substring(relname FROM '_(20\\d\\d_\\d\\d)') > '2027_10'");
            let ends = ends(&rows_of(database, &sql).await?);
            assert_eq!(ends.len(), count, "{table}");
            assert_eq!(ends[0].0, from, "{table}");
            assert_eq!(ends[count - 1].1, to, "{table}");
            for pair in ends.windows(2) {
                assert_eq!(pair[0].1, pair[1].0, "{table} has a gap or an overlap");
            }
        }
        database
            .execute(
                "INSERT INTO core.session_groups (session_group_id, app) VALUES (md5('g')::uuid, 'tarot');
                 INSERT INTO core.session_events (session_group_id, type, created_at)
                 SELECT md5('g')::uuid, 'x', moment FROM unnest('{2027-12-31 23:59:59.999999Z, 2028-01-01 00:00Z, 2028-02-29 23:59:59.999999Z, 2029-01-05 23:59Z}'::timestamptz[]) AS moment;
                 INSERT INTO core.analytics_events (event_type, timestamp)
                 SELECT 'x', moment FROM unnest('{2027-12-31 23:59:59.999999Z, 2028-01-01 00:00Z, 2028-02-29 23:59:59.999999Z}'::timestamptz[]) AS moment",
            )
            .await?;
        let places = "SELECT tableoid::regclass::text FROM core.session_events ORDER BY created_at";
        assert_eq!(
            rows_of(database, places).await?,
            [
                "(core_partitions.session_events_2027_12_31)",
                "(core_partitions.session_events_2028_01_01)",
                "(core_partitions.session_events_2028_02_29)",
                "(core_partitions.session_events_2029_01_05)",
            ]
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_turn_of_the_year_has_its_days_and_months_ahead_and_asking_again_makes_none()
-> Result<()> {
    on_each_version(async |sessions| {
        let mut api = sessions.connect(&sessions.roles.api, "core").await?;
        let made = "SELECT core.make_partitions('2030-12-30 23:59:59Z')";
        assert_eq!(rows(&mut api, made).await?, ["(7)"]);
        assert_eq!(rows(&mut api, made).await?, ["(0)"]);
        let names = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '_20(30|31)_' ORDER BY 1";
        assert_eq!(
            rows(&mut api, names).await?,
            [
                "(analytics_events_2030_12)",
                "(analytics_events_2031_01)",
                "(analytics_events_2031_02)",
                "(session_events_2030_12_30)",
                "(session_events_2030_12_31)",
                "(session_events_2031_01_01)",
                "(session_events_2031_01_02)",
            ]
        );
        assert_eq!(rows(&mut api, "SELECT core.make_partitions()").await?, ["(0)"], "migrate made today's");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn partitions_are_made_beside_open_transactions_and_by_two_at_once() -> Result<()> {
    on_each_version(async |sessions| {
        let roles = &sessions.roles;
        let mut writer = sessions.connect(&roles.api, "core").await?;
        let mut open = writer.begin().await?;
        execute(
            &mut open,
            "INSERT INTO session_groups (session_group_id, app) VALUES (md5('g')::uuid, 'tarot');
             INSERT INTO session_events (session_group_id, type) VALUES (md5('g')::uuid, 'x');
             INSERT INTO analytics_events (event_type) VALUES ('x')",
        )
        .await?;
        let make = async |connection: &mut sqlx::PgConnection| {
            execute(connection, "SET lock_timeout TO '5s'").await?;
            rows(connection, "SELECT core.make_partitions('2031-06-15')").await
        };
        let (mut one, mut other) = (
            sessions.connect(&roles.api, "core").await?,
            sessions.connect(&roles.api, "core").await?,
        );
        let both = async { tokio::join!(make(&mut one), make(&mut other)) };
        let (one, other) = tokio::time::timeout(Duration::from_secs(20), both).await?;
        let mut counts = [one?, other?].concat();
        counts.sort();
        ensure!(counts == ["(0)", "(7)"], "{counts:?}");
        execute(
            &mut open,
            "INSERT INTO session_events (session_group_id, type) VALUES (md5('g')::uuid, 'y')",
        )
        .await?;
        open.commit().await?;
        Ok(())
    })
    .await
}
