//! What each role may do, and that it may do no more.

use std::collections::BTreeMap;

use anyhow::Result;
use sqlx::{Connection as _, PgConnection};
use tests::Sessions;
use tests::sessions::on_each_version;

use super::scene::{execute, participant, refusal, rows_of, session};

/// All that a role was given, by the catalog: tables, columns and functions, schemas apart.
async fn granted(sessions: &Sessions, role: &str) -> Result<BTreeMap<String, Vec<String>>> {
    let sql = format!(
        "SELECT object, string_agg(privilege, ' ' ORDER BY privilege)
         FROM (
           SELECT c.oid::regclass::text AS object, a.privilege_type AS privilege, a.grantee
           FROM pg_class AS c, aclexplode(c.relacl) AS a
           WHERE c.relkind <> 'i'
           UNION ALL
           SELECT attrelid::regclass || '.' || attname, a.privilege_type, a.grantee
           FROM pg_attribute, aclexplode(attacl) AS a
           UNION ALL
           SELECT p.oid::regproc::text || '()', a.privilege_type, a.grantee
           FROM pg_proc AS p, aclexplode(p.proacl) AS a
           UNION ALL
           SELECT 'schema ' || nspname, a.privilege_type, a.grantee
           FROM pg_namespace, aclexplode(nspacl) AS a
         ) AS given
         WHERE grantee = '{role}'::regrole
         GROUP BY object"
    );
    let rows = rows_of(&sessions.database, &sql).await?;
    let pairs = rows.iter().filter_map(|row| row.trim_matches(['(', ')']).rsplit_once(','));
    let clean = |text: &str| text.trim_matches('"').to_owned();
    Ok(pairs
        .map(|(object, privileges)| {
            let privileges = clean(privileges).split(' ').map(str::to_owned).collect();
            (clean(object).replace("()\"", "()"), privileges)
        })
        .collect())
}

fn with(granted: &BTreeMap<String, Vec<String>>, privilege: &str) -> Vec<String> {
    let found = granted.iter().filter(|(_, all)| all.iter().any(|one| one == privilege));
    found.map(|(object, _)| object.clone()).collect()
}

#[tokio::test]
async fn the_api_deletes_nothing_and_rewrites_no_record() -> Result<()> {
    on_each_version(async |sessions| {
        let api = granted(sessions, &sessions.roles.api).await?;
        assert!(with(&api, "DELETE").is_empty() && with(&api, "TRUNCATE").is_empty(), "{api:?}");
        assert!(with(&api, "TRIGGER").is_empty() && with(&api, "CREATE").is_empty(), "{api:?}");
        assert_eq!(
            with(&api, "UPDATE"),
            [
                "after_hours.after_hours_matches",
                "after_hours.after_hours_profiles",
                "core.api_replicas",
                "core.idempotency_keys",
                "core.invites",
                "core.rate_limits",
                "core.realtime_tickets",
                "core.session_groups",
                "core.session_participants",
                "core.sessions",
            ]
        );
        for only_read in [
            "core.session_archive",
            "core.migrations",
            "core.billing_usage",
            "core.active_sessions",
        ] {
            assert_eq!(
                api.get(only_read).map(Vec::as_slice),
                Some(&["SELECT".to_owned()][..]),
                "{only_read}"
            );
        }
        session(&sessions.database, "tarot", "s", &[]).await?;
        let mut login = sessions.connect(&sessions.roles.api, "core").await?;
        for refused in [
            "DELETE FROM sessions",
            "DELETE FROM session_audit_log",
            "UPDATE session_audit_log SET event_type = ''",
            "UPDATE session_events SET data = '{}'",
            "INSERT INTO session_archive (session_id) VALUES (gen_random_uuid())",
            "TRUNCATE sessions CASCADE",
            "DROP TABLE sessions",
            "ALTER TABLE session_events DISABLE TRIGGER ALL",
            "CREATE TABLE core.mine ()",
            "CREATE TABLE core_partitions.mine ()",
            "SELECT core.make_partition('session_events', 'x', now(), now())",
            "SELECT FROM table_talk.sessions",
            "UPDATE migrations SET checksum = ''",
        ] {
            assert_eq!(refusal(&mut login, refused).await?, "42501", "{refused}");
        }
        Ok(())
    })
    .await
}

/// What the cleanup role deletes from.
const CLEANUP_DELETES: [&str; 15] = [
    "after_hours.after_hours_declines",
    "after_hours.after_hours_matches",
    "after_hours.after_hours_messages",
    "after_hours.after_hours_profiles",
    "after_hours.after_hours_sessions",
    "after_hours.device_fingerprints",
    "core.api_replicas",
    "core.idempotency_keys",
    "core.invites",
    "core.rate_limits",
    "core.realtime_tickets",
    "core.session_groups",
    "core.sessions",
    "table_talk.sessions",
    "tarot.reading_sessions",
];

/// What it changes. One column that nothing depends on lets it lock the rows that it deletes.
const CLEANUP_UPDATES: [&str; 19] = [
    "after_hours.after_hours_declines.created_at",
    "after_hours.after_hours_matches.created_at",
    "after_hours.after_hours_messages.sent_at",
    "after_hours.after_hours_profiles.created_at",
    "after_hours.after_hours_sessions",
    "after_hours.device_fingerprints.created_at",
    "core.api_replicas.started_at",
    "core.idempotency_keys.created_at",
    "core.invites.created_at",
    "core.rate_limits.updated_at",
    "core.realtime_tickets.created_at",
    "core.session_groups.created_at",
    "core.session_participants.disconnected_at",
    "core.session_participants.left_at",
    "core.sessions",
    "table_talk.session_participants",
    "table_talk.sessions",
    "tarot.reading_sessions",
    "tarot.session_participants",
];

#[tokio::test]
async fn cleanup_ends_marks_and_deletes_and_may_do_no_more() -> Result<()> {
    on_each_version(async |sessions| {
        let cleanup = granted(sessions, &sessions.roles.cleanup).await?;
        assert_eq!(with(&cleanup, "DELETE"), CLEANUP_DELETES);
        assert_eq!(with(&cleanup, "UPDATE"), CLEANUP_UPDATES);
        let mut login = sessions.connect(&sessions.roles.cleanup, "core").await?;
        for refused in [
            "UPDATE session_participants SET token_hash = NULL",
            "UPDATE invites SET expires_at = 'infinity'",
            "UPDATE realtime_tickets SET used_at = NULL",
            "DELETE FROM session_events",
            "DELETE FROM analytics_events",
            "SELECT FROM session_archive",
            "DELETE FROM session_archive",
            "DELETE FROM session_audit_log",
            "DELETE FROM session_participants",
            "TRUNCATE sessions CASCADE",
            "INSERT INTO sessions (app) VALUES ('tarot')",
            "DROP TABLE core.session_events",
            "ALTER TABLE core.session_events DETACH PARTITION core_partitions.x",
            "SELECT core.make_partitions()",
        ] {
            let state = refusal(&mut login, refused).await?;
            assert!(matches!(state.as_str(), "42501" | "42P01"), "{refused}: {state}");
        }
        // By the trigger alone, with the rights of its owner.
        session(&sessions.database, "tarot", "s", &[]).await?;
        participant(&sessions.database, "s", "p", &[]).await?;
        execute(&mut login, "DELETE FROM sessions").await?;
        assert_eq!(
            sessions.database.scalar::<i64>("SELECT count(*) FROM core.session_archive").await?,
            1
        );
        assert_eq!(
            sessions
                .database
                .scalar::<i64>("SELECT count(*) FROM core.session_participants")
                .await?,
            0
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn dashboards_read_figures_and_no_code_token_or_message() -> Result<()> {
    on_each_version(async |sessions| {
        let readonly = granted(sessions, &sessions.roles.readonly).await?;
        for privilege in
            ["INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER", "CREATE", "REFERENCES"]
        {
            assert!(with(&readonly, privilege).is_empty(), "{privilege}: {readonly:?}");
        }
        let mut login = sessions.connect(&sessions.roles.readonly, "core").await?;
        for read in [
            "SELECT FROM billing_usage",
            "SELECT FROM active_sessions",
            "SELECT session_id, title FROM sessions",
            "SELECT FROM table_talk.active_sessions",
            "SELECT table_token, title, pairing_expires_at FROM table_talk.sessions",
            "SELECT FROM table_talk.session_participants, tarot.reading_sessions, tarot.session_participants",
            "SELECT FROM core.get_session_billing_data(now() - interval '1 day', now())",
            "SELECT FROM core.get_session_analytics(now() - interval '1 day', now())",
            "SELECT FROM tarot.get_session_analytics(now() - interval '1 day', now())",
            "SELECT count(*) FROM session_audit_log, analytics_events",
        ] {
            assert_eq!(refusal(&mut login, read).await?, "", "{read}");
        }
        for refused in [
            "SELECT * FROM sessions",
            "SELECT pairing_code_hash FROM sessions",
            "SELECT pairing_code_hash FROM table_talk.sessions",
            "SELECT token_hash FROM session_participants",
            "SELECT FROM after_hours.after_hours_messages",
            "SELECT FROM invites",
            "SELECT FROM session_events",
            "SELECT FROM rate_limits",
            "SELECT tarot.cleanup_inactive_sessions()",
            "SELECT core.log_session_event(gen_random_uuid(), 'x')",
        ] {
            assert_eq!(refusal(&mut login, refused).await?, "42501", "{refused}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_owner_of_events_owns_two_tables_their_partitions_and_nothing_else() -> Result<()> {
    on_each_version(async |sessions| {
        let events = &sessions.roles.events;
        let owned = format!("SELECT relname FROM pg_class WHERE relowner = '{events}'::regrole AND relkind IN ('r', 'p', 'v') AND relnamespace <> 'core_partitions'::regnamespace ORDER BY 1");
        let names = rows_of(&sessions.database, &owned).await?;
        assert_eq!(names, ["(analytics_events)", "(session_events)"]);
        let strange = format!("SELECT count(*) FROM pg_class WHERE relnamespace = 'core_partitions'::regnamespace AND relowner <> '{events}'::regrole");
        assert_eq!(sessions.database.scalar::<i64>(&strange).await?, 0);
        let mut login = sessions.connect(events, "core").await?;
        for refused in ["SELECT FROM sessions", "CREATE TABLE core.mine ()", "DELETE FROM session_groups", "ALTER TABLE sessions ADD x text"] {
            assert_eq!(refusal(&mut login, refused).await?, "42501", "{refused}");
        }
        let day: String = sessions.database.scalar("SELECT min(relname)::text FROM pg_class WHERE relname LIKE 'session_events_20%' AND relkind = 'r'").await?;
        let drop = format!("ALTER TABLE core.session_events DETACH PARTITION core_partitions.{day}; DROP TABLE core_partitions.{day}");
        execute(&mut login, &drop).await
    })
    .await
}

#[tokio::test]
async fn nobody_else_may_anything_and_every_function_with_rights_of_its_owner_is_pinned()
-> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        let public = "SELECT c.oid::regclass::text FROM pg_class AS c, aclexplode(c.relacl) AS a
                      WHERE a.grantee = 0 AND c.relnamespace IN ('core'::regnamespace, 'table_talk'::regnamespace, 'tarot'::regnamespace, 'after_hours'::regnamespace)
                      UNION ALL
                      SELECT p.oid::regproc::text FROM pg_proc AS p
                      WHERE p.pronamespace IN ('core'::regnamespace, 'tarot'::regnamespace)
                        AND (p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) AS a WHERE a.grantee = 0))";
        assert!(rows_of(database, public).await?.is_empty());
        let unpinned = "SELECT oid::regproc FROM pg_proc
                        WHERE pronamespace IN ('core'::regnamespace, 'tarot'::regnamespace)
                          AND NOT COALESCE(proconfig @> '{\"search_path=pg_catalog, pg_temp\"}', false)";
        // That one has the rights of who calls it, and is planned as a part of the statement that does.
        assert_eq!(rows_of(database, unpinned).await?, ["(core.usage_beside_sums)"]);
        let stranger = database.create_user().await?;
        let mut login = PgConnection::connect(&stranger.to_string()).await?;
        for refused in ["SELECT FROM core.sessions", "SELECT FROM table_talk.sessions", "SELECT core.make_partitions()", "SELECT tarot.cleanup_inactive_sessions()"] {
            assert_eq!(refusal(&mut login, refused).await?, "42501", "{refused}");
        }
        Ok(())
    })
    .await
}
