//! The rows of `emit` and `report`: each kind of value in columns of each type.

use anyhow::Result;
use serde_json::{Value, json};
use tests::Database;
use tests::job::{policy, run_on, with};

#[expect(clippy::too_many_lines, reason = "a table: a line a kind of value")]
#[tokio::test]
async fn every_kind_of_value_is_written_as_the_type_of_its_column() -> Result<()> {
    let database = Database::create().await?;
    database
        .execute(
            "CREATE TYPE \"Mood\" AS ENUM ('zeal', 'calm');
             CREATE TABLE gone (id uuid PRIMARY KEY, number int, at timestamptz, tags text[], data jsonb, mood \"Mood\");
             INSERT INTO gone VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 7, '2020-01-02 03:04:05.6789Z', '{a,\"b c\"}', '{\"x\": 1.50}', 'calm');
             CREATE TABLE events (
               i int, u uuid, b boolean, m \"Mood\", a int[], j json, jb jsonb, t text, v varchar(40), d date,
               ts timestamp, num numeric(6,2), from_uuid text, from_int bigint, from_tags text[], from_mood text, from_data jsonb, kept text DEFAULT 'default'
             );
             CREATE TABLE reports (i int, t text, n numeric, j json, at date, nothing text DEFAULT 'default')",
        )
        .await?;
    let rules = "
- name: delete-gone
  table: {schema: public, name: gone}
  where: [{column: at, operator: OlderThan, age: 1d}]
  action: {delete: {}}
  emit:
  - into: {schema: public, name: events}
    values:
    - {column: i, value: '7'}
    - {column: u, value: A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}
    - {column: b, value: 'yes'}
    - {column: m, value: zeal}
    - {column: a, value: '{1,2}'}
    - {column: j, value: '{\"k\": 1}'}
    - {column: jb, object: [{key: s, value: '5'}, {key: i, value: 5}, {key: u, fromColumn: id}, {key: number, fromColumn: number}, {key: at, fromColumn: at}, {key: tags, fromColumn: tags}, {key: data, fromColumn: data}, {key: mood, fromColumn: mood}, {key: none, setNull: true}]}
    - {column: t, object: [{key: a, value: 1}]}
    - {column: v, value: '0777'}
    - {column: d, now: true}
    - {column: ts, now: true}
    - {column: num, value: '1.5'}
    - {column: from_uuid, fromColumn: id}
    - {column: from_int, fromColumn: number}
    - {column: from_tags, fromColumn: tags}
    - {column: from_mood, fromColumn: mood}
    - {column: from_data, fromColumn: data}
";
    let report = json!({"into": {"schema": "public", "name": "reports"}, "values": [
        {"column": "i", "affected": "delete-gone"}, {"column": "t", "matched": "delete-gone"}, {"column": "n", "value": 5},
        {"column": "j", "object": [{"key": "a", "affected": "delete-gone"}, {"key": "s", "value": "x"}]},
        {"column": "at", "now": true}, {"column": "nothing", "setNull": true},
    ]});
    let ended = run_on(&database, &with(policy(rules), "/report", report)).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    let start = ended.report["startTime"].as_str().unwrap_or_default();
    let written: Value =
        database.scalar("SELECT to_jsonb(e) - 'd' - 'ts' FROM events AS e").await?;
    let expected = json!({
        "i": 7, "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "b": true, "m": "zeal", "a": [1, 2], "j": {"k": 1},
        "jb": {
            "s": "5", "i": 5, "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "number": 7, "at": "2020-01-02T03:04:05.6789+00:00",
            "tags": ["a", "b c"], "data": {"x": 1.50}, "mood": "calm", "none": null,
        },
        "t": "{\"a\": 1}", "v": "0777", "num": 1.5, "from_uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "from_int": 7,
        "from_tags": ["a", "b c"], "from_mood": "calm", "from_data": {"x": 1.50}, "kept": "default",
    });
    assert_eq!(written, expected);
    let clock = format!(
        "SELECT bool_and(d = '{start}'::timestamptz::date AND ts = '{start}'::timestamptz AT TIME ZONE 'UTC') FROM events"
    );
    assert!(database.scalar::<bool>(&clock).await?, "{start}");
    let reported: Value = database.scalar("SELECT to_jsonb(r) - 'at' FROM reports AS r").await?;
    assert_eq!(
        reported,
        json!({"i": 1, "t": "1", "n": 5, "j": {"a": 1, "s": "x"}, "nothing": null})
    );
    Ok(())
}
