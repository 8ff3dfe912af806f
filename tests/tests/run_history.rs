//! The ledger as a person meets it: who makes it, who may use it, what it tells, what it forgets.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::Database;
use tests::job::{self, DELETE_OLD, Ended, codes, fingerprint, policy, run_on, with};

/// What the rule of [`DELETE_OLD`] needs beside the ledger.
async fn grant_rules(database: &Database, role: &str) -> Result<()> {
    database.execute(&format!("GRANT SELECT, UPDATE, DELETE ON codes TO {role}")).await
}

async fn without_rights(database: &Database) -> Result<(String, String)> {
    let url = database.create_user().await?.to_string();
    let role = url.split("//").nth(1).and_then(|rest| rest.split(':').next());
    let role = role.context("a login")?.to_owned();
    grant_rules(database, &role).await?;
    Ok((url, role))
}

/// The SQL that a run has asked for in its log.
fn asked_for(ended: &Ended) -> Result<String> {
    let lines = ended.output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let sql = lines.filter_map(|line| {
        let field = line.pointer("/fields/sql").or_else(|| line.get("sql"))?;
        field.as_str().map(str::to_owned)
    });
    sql.into_iter().next().with_context(|| format!("no SQL in {}", ended.output))
}

fn message(ended: &Ended) -> &str {
    ended.report["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_role_that_may_not_make_the_ledger_ends_with_the_lines_that_an_owner_runs() -> Result<()>
{
    let database = codes(200).await?;
    let (url, role) = without_rights(&database).await?;
    let before = fingerprint(&database, "codes").await?;
    let ended = job::run(&policy(DELETE_OLD), &url, &[]).await?;
    assert_eq!(ended.code, Some(2), "{}", ended.output);
    assert!(message(&ended).contains("pgsweep init --print"), "{}", message(&ended));
    assert!(message(&ended).contains(&role), "{}", message(&ended));
    assert_eq!(fingerprint(&database, "codes").await?, before);

    let sql = asked_for(&ended)?;
    database.execute(&sql).await?;
    let ended = job::run(&policy(DELETE_OLD), &url, &[]).await?;
    assert_eq!(ended.code, Some(0), "with these lines and no more it runs: {}", ended.output);
    assert_eq!(ended.rule("affected"), &json!(141));
    assert_eq!(ended.report["totals"]["runs"], 1);
    database.execute(&sql).await.context("it may be run again")
}

#[tokio::test]
async fn a_role_that_lacks_everything_is_told_so_at_once() -> Result<()> {
    let database = codes(200).await?;
    let url = database.create_user().await?.to_string();
    let ended = job::run(&policy(DELETE_OLD), &url, &[]).await?;
    assert_eq!(ended.code, Some(2), "{}", ended.output);
    for words in ["DELETE ON \"public\".\"codes\"", "pgsweep init --print"] {
        assert!(message(&ended).contains(words), "{words}: {}", message(&ended));
    }
    assert_eq!(ended.rule("sqlState"), "42501");
    Ok(())
}

#[tokio::test]
async fn each_grant_on_the_ledger_that_is_taken_away_is_named_and_no_row_changes() -> Result<()> {
    let database = codes(200).await?;
    let (url, role) = job::cleaner(&database).await?;
    grant_rules(&database, &role).await?;
    let before = fingerprint(&database, "codes").await?;
    let printed = job::pgsweep("", &["init", "--print", "--role", &role]).await?;
    let grants: Vec<String> = printed
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("GRANT "))
        .map(|line| line.replace(['"', ';'], ""))
        .collect();
    assert_eq!(grants.len(), 8, "{}", printed.stdout);
    for grant in &grants {
        let (what, _) = grant.split_once(" TO ").context("a grant is to somebody")?;
        let (privileges, on) = what.split_once(" ON ").context("a grant is on something")?;
        for privilege in privileges.split(", ") {
            database.execute(&format!("REVOKE {privilege} ON {on} FROM {role}")).await?;
            let ended = job::run(&policy(DELETE_OLD), &url, &[]).await?;
            let lost = format!("GRANT {privilege} ON {on} TO");
            assert_eq!(ended.code, Some(2), "{lost}: {}", ended.output);
            assert!(message(&ended).contains(&lost), "{lost}: {}", message(&ended));
            assert_eq!(fingerprint(&database, "codes").await?, before, "{lost}");
            database.execute(&asked_for(&ended)?).await?;
        }
    }
    let ended = job::run(&policy(DELETE_OLD), &url, &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    Ok(())
}

#[tokio::test]
async fn init_makes_the_ledger_and_the_role_and_may_be_repeated() -> Result<()> {
    let database = codes(200).await?;
    let role = format!("a \"b' {}", &database.name()[5..15]);
    for _ in 0..2 {
        let made = job::pgsweep(&database.url(), &["init", "--role", &role]).await?;
        assert_eq!(
            (made.code, made.stdout.as_str()),
            (Some(0), "the ledger is ready: schema pgsweep\n"),
            "{}",
            made.stderr
        );
        let printed = job::pgsweep("", &["init", "--print", "--role", &role]).await?;
        database.execute(&printed.stdout).await?;
    }
    let quoted = format!("\"{}\"", role.replace('"', "\"\""));
    let can: bool = database
        .scalar(&format!(
            "SELECT rolcanlogin AND NOT rolsuper AND has_schema_privilege(oid, 'pgsweep', 'USAGE')
             FROM pg_roles WHERE rolname = '{}'",
            role.replace('\'', "''")
        ))
        .await?;
    assert!(can);
    let untold: i64 = database
        .scalar(
            "SELECT count(*) FROM pg_class AS c
             WHERE relnamespace = 'pgsweep'::regnamespace AND relkind = 'r' AND obj_description(oid) IS NULL",
        )
        .await?;
    assert_eq!(untold, 0, "every table says what it is for");
    database.execute(&format!("DROP OWNED BY {quoted}; DROP ROLE {quoted}")).await
}

#[tokio::test]
async fn two_first_runs_at_once_make_one_ledger() -> Result<()> {
    let database = codes(200).await?;
    let mut other = policy(DELETE_OLD);
    other["metadata"]["name"] = json!("other");
    let one = policy(DELETE_OLD);
    let (one, other) = tokio::join!(run_on(&database, &one), run_on(&database, &other));
    let (one, other) = (one?, other?);
    assert_eq!((one.code, other.code), (Some(0), Some(0)), "{}\n{}", one.output, other.output);
    let versions: i64 = database.scalar("SELECT count(*) FROM pgsweep.migrations").await?;
    assert_eq!(versions, 1);
    Ok(())
}

#[tokio::test]
async fn an_older_binary_works_beside_a_newer_ledger() -> Result<()> {
    let database = codes(200).await?;
    job::pgsweep(&database.url(), &["init"]).await?;
    database
        .execute(
            "INSERT INTO pgsweep.migrations VALUES (99, 'a later version');
             ALTER TABLE pgsweep.runs ADD later text; CREATE TABLE pgsweep.later (id int)",
        )
        .await?;
    let ended = run_on(&database, &policy(DELETE_OLD)).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    Ok(())
}

#[tokio::test]
async fn history_tells_the_runs_newest_first_and_filters_them() -> Result<()> {
    let database = codes(500).await?;
    let capped = with(policy(DELETE_OLD), "/rules/0/limits", json!({"maxRows": 100}));
    let mut other = capped.clone();
    other["metadata"] = json!({"name": "other", "namespace": "elsewhere"});
    let wrong = policy(&DELETE_OLD.replace("name: codes", "name: nothing"));
    for (policy, uid) in
        [(&capped, "job-1"), (&other, "job-2"), (&wrong, "job-3"), (&capped, "job-4")]
    {
        job::run(policy, &database.url(), &["--job-uid", uid]).await?;
    }
    let ids = async |arguments: &[&str]| -> Result<Vec<String>> {
        let arguments = [&["history", "-o", "json"], arguments].concat();
        let said = job::pgsweep(&database.url(), &arguments).await?;
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let reports: Vec<Value> = serde_json::from_str(&said.stdout).context(said.stdout)?;
        Ok(reports.iter().map(|report| report["runId"].as_str().unwrap_or("").to_owned()).collect())
    };
    assert_eq!(ids(&[]).await?, ["job-4", "job-3", "job-2", "job-1"]);
    assert_eq!(ids(&["--limit", "2"]).await?, ["job-4", "job-3"]);
    assert_eq!(ids(&["--policy", "elsewhere/other"]).await?, ["job-2"]);
    assert_eq!(ids(&["--namespace", "tests", "--result", "Failed"]).await?, ["job-3"]);
    database
        .execute(
            "UPDATE pgsweep.runs SET started_at = now() - interval '8 days' WHERE run_id = 'job-4'",
        )
        .await?;
    assert_eq!(ids(&["--since", "7d"]).await?, ["job-3", "job-2", "job-1"]);

    let said = job::pgsweep(&database.url(), &["history"]).await?;
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{}", said.stdout);
    assert!(lines[1].contains("tests/test") && lines[1].contains("Error"), "{}", said.stdout);
    let column = lines[0].find("REMAINING").context("a column")?;
    let remaining = |run: &str| {
        let line = lines.iter().find(|line| line.contains(run)).copied().unwrap_or_default();
        line.get(column..column + "REMAINING".len()).map(str::trim).map(str::to_owned)
    };
    assert_eq!(remaining("job-3").as_deref(), Some(""), "it counted nothing: {}", said.stdout);
    assert_eq!(remaining("job-2").as_deref(), Some("241"), "{}", said.stdout);
    let last = job::pgsweep(
        &database.url(),
        &["history", "-o", "json", "--limit", "1", "--result", "Failed"],
    )
    .await?;
    let reports: Value = serde_json::from_str(&last.stdout)?;
    assert_eq!(reports[0]["rules"][0]["sqlState"], "42P01", "the whole report: {reports}");
    Ok(())
}

#[tokio::test]
async fn history_shows_a_run_that_was_cut_off_and_needs_select_alone() -> Result<()> {
    let database = codes(500).await?;
    let said = job::pgsweep(&database.url(), &["history", "-o", "json"]).await?;
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "[]\n"), "{}", said.stderr);
    assert!(said.stderr.contains("no ledger"), "{}", said.stderr);

    let capped = with(policy(DELETE_OLD), "/rules/0/limits", json!({"maxRows": 100}));
    job::run(&capped, &database.url(), &["--job-uid", "job-1"]).await?;
    database
        .execute("UPDATE pgsweep.runs SET ended_at = NULL, result = NULL, stop_reason = NULL, report = NULL")
        .await?;
    let said = job::pgsweep(&database.url(), &["history"]).await?;
    assert!(said.stdout.contains("cut off"), "{}", said.stdout);
    job::run(&capped, &database.url(), &["--job-uid", "job-2"]).await?;

    let (url, role) = without_rights(&database).await?;
    database
        .execute(&format!("GRANT USAGE ON SCHEMA pgsweep TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA pgsweep TO {role}"))
        .await?;
    let said = job::pgsweep(&url, &["history", "-o", "json"]).await?;
    let reports: Value = serde_json::from_str(&said.stdout).context(said.stderr)?;
    let cut_off = &reports[1];
    assert_eq!((&cut_off["runId"], &cut_off["result"]), (&json!("job-1"), &json!("Failed")));
    assert_eq!(cut_off["rules"][0]["affected"], 100, "{cut_off}");
    Ok(())
}

#[tokio::test]
async fn old_runs_are_forgotten_beyond_the_newest_hundred_and_their_totals_are_not() -> Result<()> {
    let database = codes(500).await?;
    let capped = with(policy(DELETE_OLD), "/rules/0/limits", json!({"maxRows": 100}));
    run_on(&database, &capped).await?;
    database
        .execute(
            "INSERT INTO pgsweep.runs (policy, run_id, epoch, generation, rules_hash, attempts, started_at, ended_at, result, stop_reason, counted)
             SELECT 'tests/test', 'old-' || n, 1, 0, '', 1, now() - n * interval '1 day', now() - n * interval '1 day', 'Succeeded', 'Drained', TRUE
             FROM generate_series(1, 200) AS n;
             INSERT INTO pgsweep.run_rules (policy, run_id, rule, position, action)
             SELECT policy, run_id, 'delete-old', 1, 'Delete' FROM pgsweep.runs WHERE run_id LIKE 'old-%';
             UPDATE pgsweep.totals SET runs = 201",
        )
        .await?;
    let ended = run_on(&database, &capped).await?;
    assert_eq!(ended.report["totals"]["runs"], 202, "{}", ended.output);
    // 1 to 98 are among the newest hundred, with the two of today; none is younger than 90 days.
    let oldest: String =
        database.scalar("SELECT run_id FROM pgsweep.runs ORDER BY started_at LIMIT 1").await?;
    assert_eq!(oldest, "old-98");
    let rules: i64 = database.scalar("SELECT count(*) FROM pgsweep.run_rules").await?;
    assert_eq!(rules, 100, "their rules are forgotten with them");
    Ok(())
}
