//! A canary sits in the URL and in every row: no output of any run, good or bad, may sing of it.

use anyhow::{Result, ensure};
use serde_json::Value;
use tests::Database;
use tests::job::{self, Ended, Launch, policy, with};

const CANARY: &str = "canary4f1d";

const TABLES: &str = "
    CREATE TABLE users (email text PRIMARY KEY, age text, due timestamptz DEFAULT now() - interval '1 day', note text);
    CREATE INDEX ON users (due);
    INSERT INTO users SELECT 'canary4f1d-' || n || '@example.com', 'canary4f1d', now() - n * interval '1 day', 'canary4f1d' FROM generate_series(1, 20) AS n;
    CREATE TABLE seen (email text UNIQUE, age integer, note text);
    CREATE TABLE archived (LIKE users);
    ALTER TABLE archived ADD pgsweep_run_id text, ADD pgsweep_rule text, ADD pgsweep_archived_at timestamptz;
    ANALYZE";

const DELETE: &str = "{delete: {}}";
const UPDATE: &str = "{update: {set: [{column: due, setNull: true}]}}";
const ARCHIVE: &str = "{archive: {into: {schema: public, name: archived}}}";
const EMIT_EMAIL: &str =
    "emit: [{into: {schema: public, name: seen}, values: [{column: email, fromColumn: email}]}],";
const EMIT_AGE: &str =
    "emit: [{into: {schema: public, name: seen}, values: [{column: age, fromColumn: age}]}],";
const RAISE: &str = "
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
      RAISE EXCEPTION 'no %', OLD USING ERRCODE = 'P0001', DETAIL = OLD::text, HINT = OLD::text,
        TABLE = OLD.email, COLUMN = OLD.email, CONSTRAINT = OLD.email, SCHEMA = OLD.email, DATATYPE = OLD.email;
    END$$;
    CREATE TRIGGER refuse BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION refuse()";

/// What goes wrong, how, and the SQLSTATE by which it is told.
const CASES: [(&str, &str, &str, &str, &str); 8] = [
    ("nothing", "SELECT", "", DELETE, ""),
    (
        "a foreign key",
        "CREATE TABLE orders (email text REFERENCES users); INSERT INTO orders SELECT email FROM users",
        "",
        DELETE,
        "23503",
    ),
    ("a check", "ALTER TABLE users ADD CHECK (due IS NOT NULL)", "", UPDATE, "23514"),
    (
        "a column that takes no NULL",
        "ALTER TABLE users ALTER due SET NOT NULL",
        "",
        UPDATE,
        "42804",
    ),
    ("a trigger", RAISE, "", DELETE, "P0001"),
    ("a cast", "SELECT", EMIT_AGE, DELETE, "22P02"),
    ("a unique event", "INSERT INTO seen SELECT email FROM users", EMIT_EMAIL, DELETE, "23505"),
    (
        "a unique archive",
        "ALTER TABLE archived ADD UNIQUE (email); INSERT INTO archived SELECT * FROM users",
        "",
        ARCHIVE,
        "23505",
    ),
];

fn rules(emit: &str, action: &str) -> Value {
    policy(&format!(
        "[{{name: sweep, table: {{schema: public, name: users}}, where: [{{column: due, operator: OlderThan, age: 1h}}], {emit} action: {action}}}]"
    ))
}

/// A login whose password is the canary.
async fn login(database: &Database) -> Result<String> {
    let address = database.create_user().await?;
    let role = address.to_string();
    let role = role
        .split("//")
        .nth(1)
        .and_then(|rest| rest.split(':').next())
        .unwrap_or_default()
        .to_owned();
    database.execute(&format!("ALTER ROLE {role} SUPERUSER PASSWORD '{CANARY}'")).await?;
    Ok(database.address().login(&role, CANARY).to_string())
}

fn launch(arguments: &[&str], policy: &Value, url: &str) -> Launch {
    Launch::of(arguments)
        .env("PGSWEEP_POLICY", &policy.to_string())
        .env("DATABASE_URL", url)
        .env(job::CONNECT_TIMEOUT, job::SOON)
        .env("PGSWEEP_LOG_LEVEL", "trace")
}

fn is_silent(what: &str, ended: &Ended) -> Result<()> {
    ensure!(!ended.output.contains(CANARY), "{what}: {}", ended.output);
    ensure!(!ended.output.trim().is_empty(), "{what} said nothing");
    Ok(())
}

/// The whole ledger as text; without the places where rules go on, which are keys of rows.
async fn ledger(database: &Database) -> Result<String> {
    let tables: Vec<String> = database
        .scalar("SELECT coalesce(array_agg(tablename::text), '{}') FROM pg_tables WHERE schemaname = 'pgsweep'")
        .await?;
    let mut all = String::new();
    for table in tables {
        let sql = format!(
            "SELECT coalesce(string_agg((to_jsonb(t) - 'place')::text, ' '), '') FROM pgsweep.{table} AS t"
        );
        all.push_str(&database.scalar::<String>(&sql).await?);
    }
    Ok(all)
}

/// Proves: R6.
#[tokio::test]
async fn what_is_in_rows_and_in_the_url_is_in_no_output_of_good_and_bad_runs() -> Result<()> {
    for (what, wrong, emit, action, sql_state) in CASES {
        let database = Database::create().await?;
        let url = login(&database).await?;
        database.execute(TABLES).await?;
        database
            .execute(
                wrong
                    .replace("SELECT * FROM users", "SELECT *, 'r', 'r', now() FROM users")
                    .as_str(),
            )
            .await?;
        let policy = rules(emit, action);
        for arguments in [&["run", "--dry-run", "-o", "yaml"][..], &["plan", "-o", "json"]] {
            is_silent(what, &launch(arguments, &policy, &url).end().await?)?;
        }
        let ended = launch(&["run", "-o", "json"], &policy, &url).end().await?;
        is_silent(what, &ended)?;
        ensure!(ended.rule("sqlState") == sql_state, "{what}: {}", ended.output);
        ensure!(sql_state.is_empty() == (ended.code == Some(0)), "{what}: {}", ended.output);
        let more = [&["run", "-o", "table"][..], &["history", "-o", "json"]];
        let for_people = [&["plan"][..], &["history"], &["run", "-o", "yaml"]];
        // What people see is made of the same: once is enough.
        let for_people = for_people.iter().filter(|_| what == "a trigger");
        for arguments in more.iter().chain(for_people) {
            is_silent(what, &launch(arguments, &policy, &url).end().await?)?;
        }
        let ledger = ledger(&database).await?;
        ensure!(ledger.contains("sweep") && !ledger.contains(CANARY), "{what}: {ledger}");
        if sql_state.is_empty() {
            let places: i64 = database
                .scalar("SELECT count(*) FROM pgsweep.run_rules WHERE place IS NOT NULL")
                .await?;
            ensure!(places == 0, "a rule that is drained keeps a key of a row");
        }
    }
    Ok(())
}

/// Proves: R6.
#[tokio::test]
async fn a_url_that_is_wrong_is_not_repeated() -> Result<()> {
    let database = Database::create().await?;
    database.execute(TABLES).await?;
    let right = login(&database).await?;
    let policy = rules("", DELETE);
    let wrong = [
        right.replace(CANARY, &format!("{CANARY}-wrong")),
        right.replace("//", &format!("//{CANARY}@{CANARY}:")),
        format!("{right}?{CANARY}={CANARY}"),
        format!("{right}?sslmode={CANARY}"),
        format!("postgres://u:{CANARY}@127.0.0.1:1/{CANARY}"),
        format!("mysql://u:{CANARY}@h/{CANARY}"),
        CANARY.to_owned(),
    ];
    for url in wrong {
        for command in ["run", "history"] {
            let ended = launch(&[command], &policy, &url).end().await?;
            is_silent(command, &ended)?;
            ensure!(ended.code != Some(0), "{command} on {url}: {}", ended.output);
        }
    }
    Ok(())
}

/// A value of a policy that cannot be read is a value of a Secret as well as not.
///
/// Proves: R6.
#[tokio::test]
async fn a_value_that_cannot_be_read_is_told_by_its_type_alone() -> Result<()> {
    let database = Database::create().await?;
    let url = login(&database).await?;
    database.execute(TABLES).await?;
    let wrong = with(
        rules("", DELETE),
        "/rules/0/where",
        serde_json::json!([{"column": "due", "operator": "LessThan", "value": CANARY}]),
    );
    let ended = launch(&["run", "-o", "json"], &wrong, &url).end().await?;
    is_silent("a value", &ended)?;
    ensure!(ended.code == Some(2), "{}", ended.output);
    Ok(())
}
