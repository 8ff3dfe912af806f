//! Every type of Postgres that a condition can meet, cast from the scalar of a policy.

use anyhow::Result;
use serde_json::{Value, json};
use tests::Database;
use tests::job::{policy, run_on};

/// A type, and what its conditions must find.
struct Kind {
    sql_type: &'static str,
    /// Literals in the type's own order; the last row is NULL.
    values: &'static [&'static str],
    /// The second of them, as a policy writes it: another spelling where there is one.
    second: &'static str,
    /// The last of them, as a policy writes it.
    last: &'static str,
}

const fn kind(
    sql_type: &'static str,
    values: &'static [&'static str],
    second: &'static str,
    last: &'static str,
) -> Kind {
    Kind { sql_type, values, second, last }
}

/// What is made before the tables: types of the user's own, under names that need quotes.
const OWN_TYPES: &str = "
CREATE SCHEMA \"My Types\";
CREATE TYPE \"My Types\".\"Mood\" AS ENUM ('zeal', 'calm', 'a \"quoted\" one');
CREATE DOMAIN \"My Types\".amount AS numeric CHECK (VALUE >= 0);
CREATE DOMAIN \"My Types\".price AS \"My Types\".amount NOT NULL DEFAULT 0;
CREATE TYPE \"My Types\".pair AS (a int, b text);
CREATE DOMAIN \"My Types\".tags AS text[];
";

const LONG: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// The types whose values have an order.
const ORDERED: [Kind; 45] = [
    kind("boolean", &["false", "true"], "'on'", "1"),
    kind("smallint", &["-32768", "7", "32767"], "7", "'32767'"),
    kind("integer", &["-1", "0", "2147483647"], "'-0'", "2147483647"),
    kind(
        "bigint",
        &["-9223372036854775808", "0", "9223372036854775807"],
        "' 0 '",
        "9223372036854775807",
    ),
    kind("numeric", &["-1", "1.0", "18446744073709551616", "NaN"], "1", "'NaN'"),
    kind("numeric(10,2)", &["0.10", "1.00", "99.99"], "'1'", "'99.990'"),
    kind("real", &["-1", "0.1", "NaN"], "'0.1'", "'nan'"),
    kind("double precision", &["-Infinity", "-0", "0.1", "NaN"], "0", "'NaN'"),
    kind("text", &["", "a", "b"], "a", "b"),
    kind("text", &["a", "null", "yes"], "'null'", "'yes'"),
    kind("text", &["1", "1e3", "2"], "'1e3'", "2"),
    kind("text", &["a", LONG, "z"], LONG, "z"),
    kind("character varying(20)", &["a", "b", "c"], "b", "'c'"),
    kind("character(5)", &["a", "b", "c"], "'b  '", "c"),
    kind("bpchar", &["a", "b  ", "c"], "b", "c"),
    kind("\"char\"", &["a", "b", "c"], "b", "c"),
    kind("name", &["a", "b", "c"], "b", "c"),
    kind(
        "uuid",
        &[
            "00000000-0000-0000-0000-000000000001",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ],
        "'{A0EEBC999C0B4EF8BB6D6BB9BD380A11}'",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ),
    kind("bytea", &["\\x", "\\x00ff", "\\x01"], "'\\x00FF'", "'\\x01'"),
    kind("date", &["-infinity", "2026-01-02", "infinity"], "2026-01-02", "infinity"),
    kind("time", &["00:00", "12:30", "24:00"], "12:30:00.000", "'24:00'"),
    kind("time with time zone", &["10:00+00", "12:30+02", "12:30+00"], "'12:30+02'", "'12:30Z'"),
    kind(
        "timestamp",
        &["-infinity", "2026-01-02 03:04:05", "infinity"],
        "2026-01-02T03:04:05",
        "infinity",
    ),
    kind(
        "timestamp with time zone",
        &["2026-01-02 00:00Z", "2026-01-02 03:04:05Z", "infinity"],
        "'2026-01-02T05:04:05+02:00'",
        "infinity",
    ),
    kind("interval", &["-1 day", "1 day", "1 month"], "24:00:00", "'P30D'"),
    kind("jsonb", &["null", "1", "{\"a\": 1, \"b\": [2.0]}"], "1", "'{\"b\":[2.00],\"a\":1}'"),
    kind("inet", &["10.0.0.1", "10.0.0.2", "::1"], "10.0.0.2/32", "'0:0::1'"),
    kind("cidr", &["10.0.0.0/8", "10.0.0.0/16", "::/0"], "'10.0/16'", "'::/0'"),
    kind(
        "macaddr",
        &["08:00:2b:01:02:03", "08:00:2b:01:02:04", "ff:ff:ff:ff:ff:ff"],
        "08002b-010204",
        "ffff.ffff.ffff",
    ),
    kind(
        "macaddr8",
        &["08:00:2b:01:02:03:04:05", "08:00:2b:01:02:03:04:06", "ff:ff:ff:ff:ff:ff:ff:ff"],
        "08002b0102030406",
        "'ffffffffffffffff'",
    ),
    kind("bit(3)", &["001", "010", "111"], "'010'", "'111'"),
    kind("bit varying", &["0", "01", "1"], "'01'", "'1'"),
    kind(
        "\"My Types\".\"Mood\"",
        &["zeal", "calm", "a \"quoted\" one"],
        "calm",
        "'a \"quoted\" one'",
    ),
    kind("\"My Types\".amount", &["0", "1.0", "2"], "1", "2"),
    kind("integer[]", &["{}", "{1,NULL}", "{2}"], "'{ 1, null }'", "'{2}'"),
    kind("text[]", &["{}", "{a,b}", "{b}"], "'{\"a\",b}'", "'{b}'"),
    kind("\"My Types\".tags", &["{}", "{a,b}", "{b}"], "'{a,b}'", "'{b}'"),
    kind("\"My Types\".\"Mood\"[]", &["{}", "{zeal}", "{calm}"], "'{zeal}'", "'{calm}'"),
    kind("int4range", &["empty", "[1,2]", "[5,6]"], "'[1,3)'", "'(4,6]'"),
    kind(
        "tstzrange",
        &["[2026-01-01,2026-01-02)", "[2026-01-01,2026-01-03)", "[2026-01-02,)"],
        "'[2026-01-01T00:00Z,2026-01-03 00:00+00)'",
        "'[2026-01-02,)'",
    ),
    kind("int4multirange", &["{}", "{[1,2]}", "{[5,6]}"], "'{[1,3)}'", "'{[5,7)}'"),
    kind("money", &["-1", "1.5", "2"], "'1.50'", "2"),
    kind("oid", &["1", "7", "4294967295"], "7", "4294967295"),
    kind("pg_lsn", &["0/1", "0/A", "1/0"], "'0/a'", "'1/0'"),
    kind("\"My Types\".pair", &["(1,a)", "(1,b)", "(2,a)"], "'(1,b)'", "'(2,a)'"),
];

/// Rules for one run: 32 is the most.
const KINDS_A_RUN: usize = 5;

/// The six comparisons with the second value, or the second and the last, of a kind.
const COMPARISONS: [(&str, &str); 6] = [
    ("equals", "operator: Equals, value: SECOND"),
    ("not-equals", "operator: NotEquals, value: SECOND"),
    ("in", "operator: In, values: [SECOND, LAST]"),
    ("not-in", "operator: NotIn, values: [SECOND, LAST]"),
    ("less-than", "operator: LessThan, value: SECOND"),
    ("greater-than", "operator: GreaterThan, value: SECOND"),
];

impl Kind {
    /// The places in `values` that a comparison finds: the order of the list is the oracle.
    fn found_by(&self, comparison: &str) -> Vec<usize> {
        let last = self.values.len() - 1;
        let holds = |place: &usize| match comparison {
            "equals" => *place == 1,
            "not-equals" => *place != 1,
            "in" => *place == 1 || *place == last,
            "not-in" => *place != 1 && *place != last,
            "less-than" => *place < 1,
            _ => *place > 1,
        };
        (0..self.values.len()).filter(holds).collect()
    }

    fn table(&self, number: usize) -> String {
        let rows = self.values.iter().enumerate().map(|(place, value)| {
            let value = value.replace('\'', "''");
            format!("({place}, CAST('{value}' AS {}))", self.sql_type)
        });
        let rows: Vec<_> = rows
            .chain([format!("({}, CAST(NULL AS {}))", self.values.len(), self.sql_type)])
            .collect();
        let marks: String =
            COMPARISONS.iter().map(|(name, _)| format!(", \"{name}\" text")).collect();
        format!(
            "CREATE TABLE t{number} (id int PRIMARY KEY, v {0}, copy {0}{marks}); \
             INSERT INTO t{number} (id, v) VALUES {1};",
            self.sql_type,
            rows.join(", ")
        )
    }

    /// A rule for each comparison: it marks what it finds, and the first copies its value.
    fn rules(&self, number: usize) -> String {
        let rule = |(name, condition): &(&str, &str)| {
            let condition = condition.replace("SECOND", self.second).replace("LAST", self.last);
            let copy = match *name {
                "equals" => format!(", {{column: copy, value: {}}}", self.second),
                _ => String::new(),
            };
            format!(
                "
- name: t{number}-{name}
  table: {{schema: public, name: t{number}}}
  where: [{{column: v, {condition}}}, {{column: {name}, operator: IsNull}}]
  action: {{update: {{set: [{{column: {name}, value: found}}{copy}]}}}}"
            )
        };
        COMPARISONS.iter().map(rule).collect()
    }
}

#[tokio::test]
async fn every_comparison_finds_what_the_order_of_the_type_says() -> Result<()> {
    let database = Database::create().await?;
    database.execute(OWN_TYPES).await?;
    let mut wrong = Vec::new();
    for (run, kinds) in ORDERED.chunks(KINDS_A_RUN).enumerate() {
        let numbered = || kinds.iter().enumerate().map(|(n, kind)| (run * KINDS_A_RUN + n, kind));
        let tables: String = numbered().map(|(number, kind)| kind.table(number)).collect();
        database.execute(&tables).await?;
        let rules: String = numbered().map(|(number, kind)| kind.rules(number)).collect();
        let ended = run_on(&database, &policy(&rules)).await?;
        if ended.code != Some(0) {
            wrong.push(format!("{}: {}", ended.report["message"], ended.output));
            continue;
        }
        for (number, kind) in numbered() {
            for (name, _) in COMPARISONS {
                let sql = format!(
                    "SELECT coalesce(jsonb_agg(id ORDER BY id) FILTER (WHERE \"{name}\" = 'found'), '[]') FROM t{number}"
                );
                let found: Value = database.scalar(&sql).await?;
                let expected = json!(kind.found_by(name));
                if found != expected {
                    wrong.push(format!("{} {name}: {found}, not {expected}", kind.sql_type));
                }
            }
            let sql = format!(
                "SELECT coalesce(bool_and(copy = v), FALSE) FROM t{number} WHERE copy IS NOT NULL"
            );
            if !database.scalar::<bool>(&sql).await? {
                wrong.push(format!("{}: not set to {}", kind.sql_type, kind.second));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// A table with one row that every comparison would look at, and a rule that deletes by it.
async fn refusal(sql_type: &str, condition: &str) -> Result<(Option<i32>, Value, String)> {
    let database = Database::create().await?;
    database.execute(OWN_TYPES).await?;
    database
        .execute(&format!(
            "CREATE TABLE odd (id int PRIMARY KEY, v {sql_type}); INSERT INTO odd VALUES (1, NULL)"
        ))
        .await?;
    let rule = format!(
        "
- name: delete-odd
  table: {{schema: public, name: odd}}
  where: [{{column: v, {condition}}}]
  action: {{delete: {{}}}}
"
    );
    let ended = run_on(&database, &policy(&rule)).await?;
    let left: i64 = database.scalar("SELECT count(*) FROM odd").await?;
    anyhow::ensure!(left == 1 || ended.code == Some(0), "{sql_type}: {}", ended.output);
    let message = ended.report["message"].as_str().unwrap_or_default().to_owned();
    Ok((ended.code, ended.rule("sqlState").clone(), message))
}

#[expect(clippy::too_many_lines, reason = "a table: a line a type")]
#[tokio::test]
async fn what_cannot_be_compared_is_refused_with_the_reason() -> Result<()> {
    let mut wrong = Vec::new();
    for (sql_type, condition, state, words) in [
        (
            "json",
            "operator: Equals, value: '{}'",
            "42804",
            "column \"v\" of public.odd is of type json, whose values have no equality",
        ),
        ("xml", "operator: In, values: ['<a/>']", "42804", "whose values have no equality"),
        ("point", "operator: NotEquals, value: '(1,2)'", "42804", "whose values have no equality"),
        (
            "box",
            "operator: Equals, value: '(1,2),(3,4)'",
            "42804",
            "which Postgres compares by area",
        ),
        ("path", "operator: Equals, value: '[(1,2)]'", "42804", "by its number of points"),
        ("json[]", "operator: Equals, value: '{}'", "42804", "whose values have no equality"),
        ("xid", "operator: LessThan, value: 5", "42883", "of a type that does not fit"),
        (
            "name",
            &format!("operator: Equals, value: {LONG}"),
            "42804",
            "holds names of at most 63 bytes",
        ),
        (
            "smallint",
            "operator: Equals, value: 40000",
            "22003",
            "out of the range of the column's type",
        ),
        ("bigint", "operator: LessThan, value: '9223372036854775808'", "22003", "out of the range"),
        (
            "integer",
            "operator: Equals, value: '1.5'",
            "22P02",
            "cannot be read as the column's type",
        ),
        ("integer", "operator: Equals, value: ''", "22P02", "cannot be read as the column's type"),
        (
            "boolean",
            "operator: Equals, value: maybe",
            "22P02",
            "cannot be read as the column's type",
        ),
        ("boolean", "operator: Equals, value: 2", "22P02", "cannot be read as the column's type"),
        ("uuid", "operator: In, values: [a]", "22P02", "cannot be read as the column's type"),
        (
            "date",
            "operator: Equals, value: 2026-02-30",
            "22008",
            "cannot be read as the column's type",
        ),
        (
            "date",
            "operator: Equals, value: today",
            "42804",
            "a moment that passes while the run goes on",
        ),
        ("time", "operator: LessThan, value: now", "42804", "a moment that passes"),
        ("tstzrange", "operator: Equals, value: '[now,)'", "42804", "a moment that passes"),
        (
            "\"My Types\".\"Mood\"",
            "operator: Equals, value: Zeal",
            "22P02",
            "cannot be read as the column's type",
        ),
        (
            "text",
            "operator: OlderThan, age: 1h",
            "42804",
            "OlderThan and NewerThan need a timestamp or a date",
        ),
        ("integer", "operator: OlderThan, age: 1h", "42804", "or a number with a unit"),
        (
            "time",
            "operator: OlderThan, age: 1h",
            "42804",
            "OlderThan and NewerThan need a timestamp or a date",
        ),
        (
            "date",
            "operator: OlderThan, age: 1h, unit: EpochMillis",
            "42804",
            "a unit belongs to a column of numbers",
        ),
        (
            "text",
            "operator: NewerThan, age: 1h, unit: EpochSeconds",
            "42804",
            "a unit belongs to a column of numbers",
        ),
    ] {
        let (code, found, message) = refusal(sql_type, condition).await?;
        if code != Some(2) || found != state || !message.contains(words) {
            wrong.push(format!("{sql_type}, {condition}: {code:?} {found} {message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test]
async fn a_column_of_any_type_can_be_null() -> Result<()> {
    for sql_type in ["json", "xml", "point", "\"My Types\".pair", "\"My Types\".amount[]"] {
        let (code, _, message) = refusal(sql_type, "operator: IsNull").await?;
        assert_eq!(code, Some(0), "{sql_type}: {message}");
    }
    Ok(())
}
