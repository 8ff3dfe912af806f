//! `OlderThan` and `NewerThan` on numbers, against arithmetic of the test's own.

use anyhow::Result;
use serde_json::json;
use tests::Database;
use tests::job::policy;

/// The columns of numbers that hold time, with their units in microseconds.
const CLOCKS: [(&str, &str, &str, i128); 7] = [
    ("whole_s", "integer", "EpochSeconds", 1_000_000),
    ("whole_ms", "bigint", "EpochMillis", 1_000),
    ("exact_s", "numeric", "EpochSeconds", 1_000_000),
    ("exact_ms", "numeric", "EpochMillis", 1_000),
    ("rough_s", "double precision", "EpochSeconds", 1_000_000),
    ("rough_ms", "double precision", "EpochMillis", 1_000),
    ("rougher_s", "real", "EpochSeconds", 1_000_000),
];

/// Whether a number stands before or after the cutoff, by arithmetic of the test's own. `-infinity`
/// is before every cutoff and yet means never; NaN is after all numbers.
fn stands(text: &str, sql_type: &str, cutoff_micros: i128, unit: i128) -> (bool, bool) {
    match text {
        "-Infinity" => return (false, false),
        "Infinity" | "NaN" => return (false, true),
        _ => {}
    }
    if matches!(sql_type, "real" | "double precision") {
        let digits = if unit == 1_000 { 3 } else { 6 };
        let cutoff: f64 = format!("{cutoff_micros}e-{digits}").parse().unwrap_or(f64::NAN);
        let number = match sql_type {
            "real" => text.parse::<f32>().map(f64::from),
            _ => text.parse(),
        };
        let number = number.unwrap_or(f64::NAN);
        return (number < cutoff, number > cutoff);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    // In billionths of a microsecond: more digits than any row has.
    let scale = |digits: u32| unit * 1_000_000_000 / 10_i128.pow(digits);
    let magnitude = |text: &str| text.parse::<i128>().unwrap_or_default();
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let places = u32::try_from(fraction.len()).unwrap_or_default();
    let number = magnitude(whole) * scale(0) + sign * magnitude(fraction) * scale(places);
    let cutoff = cutoff_micros * 1_000_000_000;
    (number < cutoff, number > cutoff)
}

#[tokio::test]
async fn numbers_are_before_or_after_the_cutoff_as_plain_arithmetic_says() -> Result<()> {
    let database = Database::create().await?;
    let columns: Vec<_> =
        CLOCKS.iter().map(|(name, sql_type, ..)| format!("{name} {sql_type}")).collect();
    let odd = "('NaN'::float8), ('infinity'), ('-infinity'), (-0.5), (-1), (0), (-1e20)";
    database
        .execute(&format!(
            "CREATE TABLE ticks (id serial PRIMARY KEY, {});
             -- A row a millisecond, before and after where the cutoff will be.
             INSERT INTO ticks (whole_s, whole_ms, exact_s, exact_ms, rough_s, rough_ms, rougher_s)
             SELECT floor(ms / 1000), ms, ms / 1000, ms + 0.5, ms / 1000, ms + 0.25, ms / 1000
             FROM generate_series(-3000, 20000) AS n,
               LATERAL (SELECT floor(extract(epoch FROM now() - interval '30 minutes') * 1000) + n AS ms) AS around;
             INSERT INTO ticks (exact_s, exact_ms, rough_s, rough_ms, rougher_s)
             SELECT v, v, v, v, v FROM (VALUES {odd}) AS odd (v);
             INSERT INTO ticks (whole_s, whole_ms) VALUES
               (NULL, NULL), (-2147483648, -9223372036854775808), (2147483647, 9223372036854775807), (-1, -1), (0, 0)",
            columns.join(", ")
        ))
        .await?;
    let rule = |(name, _, unit, _): &(&str, &str, &str, i128), operator: &str| {
        format!(
            "
- name: {}-{}
  table: {{schema: public, name: ticks}}
  where: [{{column: {name}, operator: {operator}, age: 30m, unit: {unit}}}]
  action: {{delete: {{}}}}",
            name.replace('_', "-"),
            operator.to_ascii_lowercase()
        )
    };
    let rules: String = CLOCKS
        .iter()
        .flat_map(|clock| [rule(clock, "OlderThan"), rule(clock, "NewerThan")])
        .collect();
    let ended = tests::job::run(&policy(&rules), &database.url(), &["--dry-run"]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    let start = ended.report["startTime"].as_str().unwrap_or_default();
    let micros: i64 = database
        .scalar(&format!(
            "SELECT CAST(extract(epoch FROM CAST('{start}' AS timestamptz)) * 1000000 AS bigint)"
        ))
        .await?;
    let cutoff = i128::from(micros) - 30 * 60 * 1_000_000;
    for (index, (name, sql_type, _, unit)) in CLOCKS.iter().enumerate() {
        let values: Vec<String> = database
            .scalar(&format!(
                "SELECT array_agg(CAST({name} AS text)) FROM ticks WHERE {name} IS NOT NULL"
            ))
            .await?;
        let stands: Vec<_> =
            values.iter().map(|text| stands(text, sql_type, cutoff, *unit)).collect();
        let before = stands.iter().filter(|(before, _)| *before).count();
        let after = stands.iter().filter(|(_, after)| *after).count();
        assert!(before > 1 && after > 1, "{name}: the cutoff is among the rows: {before}, {after}");
        let rules = &ended.report["rules"];
        let found = (&rules[2 * index]["matched"], &rules[2 * index + 1]["matched"]);
        assert_eq!(found, (&json!(before), &json!(after)), "{name} at {cutoff}");
    }
    Ok(())
}
