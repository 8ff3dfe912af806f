//! `session-api migrate`: once, again, by two at once, by few rights, and when it must not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_postgres::ServerUrl;
use sqlx::Connection as _;
use tests::sessions::{self, Roles, Sessions, migrate, on_each_version};
use tests::{Database, Version, database, wait};

use super::scene::{execute, rows_of, run_script};

/// All that a migration makes, as the catalog tells it, without the names of roles.
async fn schema(database: &Database, roles: &Roles) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let sorted = |acl: &str| {
        format!("(SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest({acl}) AS a)")
    };
    let ours = "relnamespace <> 'pg_toast'::regnamespace AND c.oid >= 16384";
    for sql in [
        format!(
            "SELECT attrelid::regclass, attname, atttypid::regtype, attnotnull, attgenerated, {}, pg_get_expr(adbin, adrelid)
             FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
             WHERE attnum > 0 AND {ours} ORDER BY attrelid::regclass::text, 2",
            sorted("attacl")
        ),
        format!("SELECT c.oid::regclass::text, relkind, relowner::regrole, {}, relpersistence FROM pg_class AS c WHERE {ours} ORDER BY 1", sorted("relacl")),
        format!("SELECT pg_get_indexdef(c.oid) FROM pg_class AS c WHERE relkind IN ('i', 'I') AND {ours} ORDER BY 1"),
        format!("SELECT c.oid::regclass::text, pg_get_viewdef(c.oid) FROM pg_class AS c WHERE relkind = 'v' AND {ours} ORDER BY 1"),
        format!("SELECT pg_get_functiondef(oid), proowner::regrole, {} FROM pg_proc WHERE oid >= 16384 ORDER BY 1", sorted("proacl")),
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1".to_owned(),
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE oid >= 16384 AND contype <> 'n' ORDER BY 1, 2".to_owned(),
        format!("SELECT nspname, {} FROM pg_namespace WHERE oid >= 16384 ORDER BY 1", sorted("nspacl")),
        "SELECT version, description, checksum FROM core.migrations ORDER BY 1".to_owned(),
    ] {
        found.extend(rows_of(database, &sql).await?);
    }
    let plain = |text: String| {
        roles
            .names()
            .iter()
            .enumerate()
            .fold(text, |text, (number, name)| text.replace(name, &format!("role{number}")))
    };
    Ok(found.into_iter().map(plain).collect())
}

/// Fails with what is in one and not in the other.
fn same(one: &[String], other: &[String]) -> Result<()> {
    let without = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    let (more, less) = (without(one, other), without(other, one));
    ensure!(one == other, "only in the first: {more:#?}\nonly in the second: {less:#?}");
    Ok(())
}

/// A database that is not migrated yet, and roles for it.
async fn empty(server: &ServerUrl) -> Result<(Database, Roles)> {
    let (database, roles) = (Database::create_on(server).await?, Roles::fresh());
    for role in roles.names() {
        database.owns_role(role);
    }
    Ok((database, roles))
}

#[tokio::test]
async fn a_second_migration_finds_all_there_and_puts_privileges_right() -> Result<()> {
    on_each_version(async |sessions| {
        let Sessions { database, roles } = sessions;
        let before = schema(database, roles).await?;
        ensure!(before.len() > 300, "the catalog says something: {}", before.len());
        let wrong = format!(
            "GRANT DELETE ON core.session_archive TO {api}; REVOKE SELECT ON core.sessions FROM {api}; GRANT SELECT ON core.sessions TO PUBLIC",
            api = roles.api
        );
        database.execute(&wrong).await?;
        assert_ne!(schema(database, roles).await?, before);
        let said = migrate(&database.url(), roles, &[]).await?;
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert_eq!(said.stdout, "the schema is at version 9: 0 migrations installed, 0 partitions made\n");
        same(&schema(database, roles).await?, &before)
    })
    .await
}

#[tokio::test]
async fn an_index_whose_build_broke_off_is_built_anew() -> Result<()> {
    on_each_version(async |sessions| {
        let Sessions { database, roles } = sessions;
        let index = "indexrelid = 'core.session_audit_log_app'::regclass";
        database.execute(&format!("UPDATE pg_index SET indisvalid = false WHERE {index}")).await?;
        let said = migrate(&database.url(), roles, &[]).await?;
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert!(said.stderr.contains("an index was built"), "{}", said.stderr);
        let valid = format!("SELECT indisvalid FROM pg_index WHERE {index}");
        assert!(database.scalar::<bool>(&valid).await?);
        Ok(())
    })
    .await
}

/// A build waits for whoever wrote before it: here for longer than a statement of this database may take. Replicas of
/// before call what a step has changed, and have what they need for it by then.
#[tokio::test]
async fn an_index_takes_as_long_as_it_does_and_no_privilege_waits_for_it() -> Result<()> {
    const LIMIT: Duration = Duration::from_millis(500);
    on_each_version(async |sessions| {
        let Sessions { database, roles } = sessions;
        let name = database.name();
        let before = format!(
            "DROP INDEX core.session_audit_log_app; REVOKE ALL ON core.usage_summed FROM {api};
             ALTER DATABASE {name} SET statement_timeout = '{limit}ms'; ALTER DATABASE {name} SET lock_timeout = '{limit}ms'",
            api = roles.api,
            limit = LIMIT.as_millis(),
        );
        database.execute(&before).await?;
        let mut writer = database.pool().begin().await?;
        execute(&mut writer, "INSERT INTO core.session_audit_log (app, event_type, actor_kind) VALUES ('tarot', 'x', 'system')").await?;
        let beside = async {
            let waits = "SELECT count(*) > 0 FROM pg_stat_progress_create_index WHERE datname = current_database()";
            wait::until("the build to wait", Duration::from_secs(20), async || {
                Ok(database.scalar::<bool>(waits).await?.then_some(()))
            })
            .await?;
            let may = format!("SELECT has_table_privilege('{}', 'core.usage_summed', 'SELECT')", roles.api);
            assert!(database.scalar::<bool>(&may).await?);
            // That the limit passes is what is tried.
            tokio::time::sleep(LIMIT * 2).await;
            Ok::<_, anyhow::Error>(writer.rollback().await?)
        };
        let url = database.url();
        let (said, beside) = tokio::join!(migrate(&url, roles, &[]), beside);
        let said = said?;
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert!(said.stderr.contains("an index was built"), "{}", said.stderr);
        beside
    })
    .await
}

#[tokio::test]
async fn two_processes_at_once_install_each_step_once() -> Result<()> {
    for version in Version::ALL {
        let Some(server) = database::server_of(version).await? else { continue };
        let (database, roles) = empty(&server).await?;
        let url = database.url();
        let (one, other) = tokio::join!(migrate(&url, &roles, &[]), migrate(&url, &roles, &[]));
        let (one, other) = (one?, other?);
        assert_eq!((one.code, other.code), (Some(0), Some(0)), "{}{}", one.stderr, other.stderr);
        let installed =
            [&one, &other].map(|said| said.stderr.matches("a migration was installed").count());
        assert_eq!(installed.iter().sum::<usize>(), 9, "{installed:?}");
        let partitions = "SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'";
        assert_eq!(database.scalar::<i64>(partitions).await?, 7);
    }
    Ok(())
}

#[tokio::test]
async fn the_printed_sql_makes_the_same_also_when_it_is_run_twice() -> Result<()> {
    on_each_version(async |sessions| {
        let (database, roles) = empty(&sessions.database.address()).await?;
        let printed = migrate("", &roles, &["--print"]).await?;
        assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""));
        run_script(&database, &printed.stdout).await?;
        let once = schema(&database, &roles).await?;
        same(&once, &schema(&sessions.database, &sessions.roles).await?)?;
        run_script(&database, &printed.stdout).await?;
        same(&schema(&database, &roles).await?, &once)?;
        let said = migrate(&database.url(), &roles, &[]).await?;
        assert!(said.stdout.contains(": 0 migrations installed, 0 partitions"), "{}", said.stdout);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_owner_who_is_no_superuser_can_migrate_and_is_told_what_is_lacking() -> Result<()> {
    for version in Version::ALL {
        let Some(server) = database::server_of(version).await? else { continue };
        let (database, roles) = empty(&server).await?;
        let owner = database.create_user().await?.to_string();
        let name: String = {
            let mut login = sqlx::PgConnection::connect(&owner).await?;
            sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut login).await?
        };
        database.execute(&format!("ALTER DATABASE {} OWNER TO {name}", database.name())).await?;
        let said = migrate(&owner, &roles, &[]).await?;
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        assert!(
            said.stderr.contains("CREATEROLE") && said.stderr.contains("42501"),
            "{}",
            said.stderr
        );

        database.execute(&format!("ALTER ROLE {name} CREATEROLE")).await?;
        let said = migrate(&owner, &roles, &[]).await?;
        assert_eq!(said.code, Some(0), "{version}: {}", said.stderr);
        // What triggers do with the rights of that owner.
        database
            .execute(&format!(
                "SET ROLE {name}; INSERT INTO core.sessions (app) VALUES ('tarot'); RESET ROLE"
            ))
            .await?;
        let all = Sessions { database, roles };
        let mut cleanup = all.connect(&all.roles.cleanup, "tarot").await?;
        execute(&mut cleanup, "DELETE FROM reading_sessions").await?;
        let kept = "SELECT (SELECT count(*) FROM core.session_archive) + (SELECT count(*) FROM core.session_events)";
        assert_eq!(all.database.scalar::<i64>(kept).await?, 2, "{version}");
        let said = migrate(&owner, &all.roles, &[]).await?;
        assert_eq!(said.code, Some(0), "{version}: {}", said.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn a_schema_that_is_newer_or_another_is_left_alone() -> Result<()> {
    on_each_version(async |sessions| {
        let Sessions { database, roles } = sessions;
        for (change, code, word) in [
            // The next: the release was rolled back, and goes on.
            ("INSERT INTO core.migrations (version, description, checksum) VALUES (10, 'later', '')", 0, "version 10"),
            ("UPDATE core.migrations SET version = 11 WHERE version = 10", 2, "version 11"),
            ("DELETE FROM core.migrations WHERE version = 11; UPDATE core.migrations SET checksum = 'x' WHERE version = 3", 2, "migration 3"),
        ] {
            database.execute(change).await?;
            let before = schema(database, roles).await?;
            let said = migrate(&database.url(), roles, &[]).await?;
            assert_eq!(said.code, Some(code), "{}", said.stderr);
            assert!((said.stdout + &said.stderr).contains(word), "{}", said.stderr);
            same(&schema(database, roles).await?, &before)?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_is_away_or_wrong_has_its_exit_code_and_no_password_is_shown() -> Result<()> {
    let server = database::shared_server().await?;
    let (database, roles) = empty(&server).await?;
    let user = database.create_user().await?;
    for (url, code) in [
        (ServerUrl::parse("postgres://user:very-secret@127.0.0.1:1/database")?.to_string(), 10),
        (user.login("nobody-here", "very-secret").to_string(), 2),
        ("postgres://very-secret".to_owned(), 2),
        (String::new(), 2),
    ] {
        let said = migrate(&url, &roles, &[]).await?;
        // A server of tests may trust everybody; then the role is what lacks.
        assert_eq!(said.code, Some(code), "{url}: {}", said.stderr);
        assert!(!(said.stdout + &said.stderr).contains("very-secret"), "{url}");
    }
    Ok(())
}

#[tokio::test]
async fn who_waits_for_another_migration_ends_at_sigterm_and_leaves_nothing() -> Result<()> {
    let server = database::shared_server().await?;
    let (database, roles) = empty(&server).await?;
    let mut other = database.pool().begin().await?;
    execute(&mut other, "SELECT pg_advisory_xact_lock(8315179226536832627)").await?;
    let arguments: Vec<_> = ["migrate"].iter().chain(&roles.flags()).copied().collect();
    let mut process = sessions::command(&database.url(), &arguments)?.spawn()?;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'session-api' AND wait_event = 'advisory' AND datname = current_database()";
    wait::until("migrate to wait", Duration::from_secs(20), async || {
        Ok((database.scalar::<i64>(waits).await? == 1).then_some(()))
    })
    .await?;
    let id = process.id().context("it runs")?;
    tests::command::run(std::process::Command::new("kill").args(["-TERM", &id.to_string()]))?;
    let status = tokio::time::timeout(Duration::from_secs(10), process.wait()).await??;
    assert_eq!(status.code(), Some(143));
    other.rollback().await?;
    let made = "SELECT count(*) FROM pg_namespace WHERE nspname = 'core'";
    assert_eq!(database.scalar::<i64>(made).await?, 0);
    let said = migrate(&database.url(), &roles, &[]).await?;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    Ok(())
}

#[tokio::test]
async fn the_help_teaches_the_way() -> Result<()> {
    let said = sessions::session_api("", &["migrate", "--help"]).await?;
    for word in
        ["migrate --print", "GRANT session_api", "PGSWEEP_API_ROLE", "Exit codes", "DATABASE_URL"]
    {
        assert!(said.stdout.contains(word), "{word}: {}", said.stdout);
    }
    Ok(())
}
