//! Names and values that would end a quote, name another table or be cut off, in every place of a
//! policy, on a real Postgres.

use anyhow::Result;
use serde_json::{Value, json};
use tests::Database;
use tests::job::{DELETE_OLD, codes, policy, run_on, with};

const VALUE: &str = "canary'; DROP TABLE x; -- \" $1 \\ é $(DATABASE_URL)";

/// A name quoted as Postgres does it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names for one database, no two of them the same: `letter` and what is hostile about it.
#[derive(Clone, Copy)]
struct Names<'a>(&'a str);

impl Names<'_> {
    fn of(self, letter: char) -> String {
        format!("{letter}{}", self.0)
    }

    fn table(self, letter: char) -> String {
        format!("{}.{}", quoted(&self.of('S')), quoted(&self.of(letter)))
    }

    fn column(self, letter: char) -> String {
        quoted(&self.of(letter))
    }

    /// Rows 1 to 6, of which 4 to 6 are old; 1, 2, 4 and 5 have a partner, 1 and 4 an awake one.
    async fn create(self) -> Result<Database> {
        let database = Database::create().await?;
        let (key, at, text) = (self.column('K'), self.column('A'), self.column('T'));
        let (joined, awake) = (self.column('J'), self.column('W'));
        let (rows, people) = (self.table('R'), self.table('P'));
        let value = VALUE.replace('\'', "''");
        database
            .execute(&format!(
                "CREATE SCHEMA {schema};
                 CREATE TABLE {rows} ({key} bigint PRIMARY KEY, {at} timestamptz, {text} text);
                 CREATE TABLE {people} ({joined} bigint, {awake} text);
                 CREATE TABLE {archive} (LIKE {rows});
                 ALTER TABLE {archive} ADD pgsweep_run_id text, ADD pgsweep_rule text, ADD pgsweep_archived_at timestamptz;
                 CREATE TABLE {events} ({key} bigint, {at} timestamptz, {text} jsonb);
                 INSERT INTO {rows}
                 SELECT n, now() - CASE WHEN n > 3 THEN interval '2 days' ELSE interval '1 hour' END, '{value}'
                 FROM generate_series(1, 6) AS n;
                 INSERT INTO {people} VALUES (1, 'yes'), (2, 'no'), (4, 'yes'), (5, 'no')",
                schema = quoted(&self.of('S')),
                archive = self.table('O'),
                events = self.table('E'),
            ))
            .await?;
        Ok(database)
    }

    fn rule(self, action: &Value, conditions: &Value) -> Value {
        let table = |letter| json!({"schema": self.of('S'), "name": self.of(letter)});
        let document = policy("[]");
        let rule = json!({
            "name": "r", "table": table('R'), "where": conditions, "action": action,
            "emit": [{"into": table('E'), "values": [
                {"column": self.of('K'), "fromColumn": self.of('K')},
                {"column": self.of('A'), "now": true},
                {"column": self.of('T'), "object": [
                    {"key": VALUE, "value": VALUE}, {"key": self.of('T'), "fromColumn": self.of('T')},
                ]},
            ]}],
        });
        with(document, "/rules", json!([rule]))
    }

    fn related(self, awake: &str) -> Value {
        json!({
            "table": {"schema": self.of('S'), "name": self.of('P')},
            "join": [{"column": self.of('J'), "references": self.of('K')}],
            "where": [{"column": self.of('W'), "operator": "In", "values": [awake, VALUE]}],
        })
    }

    /// The keys of a table's rows.
    async fn keys(self, database: &Database, letter: char) -> Result<Vec<i64>> {
        let (table, key) = (self.table(letter), self.column('K'));
        let sql = format!("SELECT coalesce(array_agg({key} ORDER BY {key}), '{{}}') FROM {table}");
        database.scalar(&sql).await
    }
}

/// 62 bytes at the most: a letter goes before.
const HOSTILE: [&str; 9] = [
    "",
    "; DROP SCHEMA public CASCADE; --",
    "\" OR TRUE --",
    "\"\"\"",
    "SELECT from",
    "$1 \\ 'x' /* */",
    "éêë \u{1F9F9} \u{202E}",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "ééééééééééééééééééééééééééééééé",
];

#[tokio::test]
async fn rows_are_archived_with_their_events_whatever_their_tables_are_called() -> Result<()> {
    for hostile in HOSTILE {
        let names = Names(hostile);
        let database = names.create().await?;
        let into = json!({"schema": names.of('S'), "name": names.of('O')});
        let old = json!([
            {"column": names.of('A'), "operator": "OlderThan", "age": "1d"},
            {"column": names.of('T'), "operator": "Equals", "value": VALUE},
        ]);
        let rule = names.rule(&json!({"archive": {"into": into}}), &old);
        let report = json!({"into": {"schema": names.of('S'), "name": names.of('E')}, "values": [
            {"column": names.of('K'), "affected": "r"},
            {"column": names.of('T'), "object": [{"key": VALUE, "matched": "r"}]},
        ]});
        let ended = run_on(&database, &with(rule, "/report", report)).await?;
        assert_eq!(ended.code, Some(0), "{hostile}: {}", ended.output);
        assert!(!ended.output.contains("canary"), "{hostile}: {}", ended.output);
        assert_eq!(names.keys(&database, 'R').await?, [1, 2, 3], "{hostile}");
        assert_eq!(names.keys(&database, 'O').await?, [4, 5, 6], "{hostile}");
        // Three rows, and the report's with the count.
        assert_eq!(names.keys(&database, 'E').await?, [3, 4, 5, 6], "{hostile}");
        let (events, data, key) = (names.table('E'), names.column('T'), names.column('K'));
        let found: Value =
            database.scalar(&format!("SELECT {data} FROM {events} WHERE {key} = 5")).await?;
        assert_eq!(found, json!({VALUE: VALUE, names.of('T'): VALUE}), "{hostile}");
    }
    Ok(())
}

#[tokio::test]
async fn rows_are_joined_and_set_whatever_their_columns_are_called() -> Result<()> {
    for hostile in HOSTILE {
        let names = Names(hostile);
        let database = names.create().await?;
        let asleep = json!([{"exists": names.related("no")}, {"notExists": names.related("yes")}]);
        let set =
            json!({"update": {"set": [{"column": names.of('T'), "value": format!("{VALUE}!")}]}});
        let unset = json!({"column": names.of('T'), "operator": "Equals", "value": VALUE});
        let mut conditions = asleep.clone();
        conditions.as_array_mut().into_iter().for_each(|it| it.push(unset.clone()));
        let ended = run_on(&database, &names.rule(&set, &conditions)).await?;
        assert_eq!(ended.code, Some(0), "{hostile}: {}", ended.output);
        assert!(!ended.output.contains("canary"), "{hostile}: {}", ended.output);
        assert_eq!(names.keys(&database, 'E').await?, [2, 5], "{hostile}");
        let ended = run_on(&database, &names.rule(&json!({"delete": {}}), &asleep)).await?;
        assert_eq!(ended.code, Some(0), "{hostile}: {}", ended.output);
        assert_eq!(names.keys(&database, 'R').await?, [1, 3, 4, 6], "{hostile}");
        assert_eq!(names.keys(&database, 'E').await?, [2, 2, 5, 5], "{hostile}");
    }
    Ok(())
}

/// Postgres would cut it to 63 bytes, and find the table of that name.
#[tokio::test]
async fn a_name_of_64_bytes_is_refused_where_one_of_63_is_there() -> Result<()> {
    let names = Names(HOSTILE[7]);
    let database = names.create().await?;
    for letter in ['S', 'R', 'A', 'O', 'E', 'K'] {
        let into = json!({"schema": names.of('S'), "name": names.of('O')});
        let old = json!([{"column": names.of('A'), "operator": "OlderThan", "age": "1d"}]);
        let rule = names.rule(&json!({"archive": {"into": into}}), &old).to_string();
        let long = rule.replace(&names.of(letter), &format!("{}x", names.of(letter)));
        assert_ne!(long, rule);
        let ended = run_on(&database, &serde_json::from_str(&long)?).await?;
        assert_eq!(ended.code, Some(2), "{letter}: {}", ended.output);
        assert!(ended.output.contains("must have at most 63"), "{letter}: {}", ended.output);
        assert_eq!(names.keys(&database, 'R').await?, [1, 2, 3, 4, 5, 6]);
    }
    Ok(())
}

/// A view that says that a replica stands still, where an unpinned session would look first.
#[tokio::test]
async fn what_a_search_path_puts_before_the_catalog_is_not_asked_for_replicas() -> Result<()> {
    let database = codes(200).await?;
    database
        .execute(
            "CREATE SCHEMA evil;
             CREATE VIEW evil.pg_stat_replication AS
             SELECT 0 AS pid, 'streaming' AS state, CAST('0/0' AS pg_lsn) AS replay_lsn, interval '1 day' AS replay_lag;
             DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = evil, pg_catalog, public', current_database()); END$$",
        )
        .await?;
    let policy = with(policy(DELETE_OLD), "/execution/maxDuration", json!("5s"));
    let ended = run_on(&database, &policy).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(ended.report["stopReason"], "Drained", "{}", ended.output);
    Ok(())
}
