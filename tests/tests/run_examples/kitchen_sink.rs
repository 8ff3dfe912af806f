//! `kitchen-sink` against plain SQL, and against the schema of the language.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::job;

use super::example::{Example, Proof, changed, ids, switched_on, text};

const EXAMPLE: Example = Example {
    name: "kitchen-sink",
    schema: "kitchen",
    tables: &["carts", "tokens", "posts", "uploads", "orders", "order_lines", "page_views"],
    keys: "ALTER TABLE witness.order_lines ADD FOREIGN KEY (order_id) REFERENCES witness.orders",
    statements: &[
        (
            "abandon-carts",
            "UPDATE carts
             SET state = 'abandoned', closed_at = now(), closed_by = owner, coupon = NULL
             WHERE state = 'open'
               AND to_timestamp(seen_ms / 1000.0) < now() - interval '2 hours'
               AND opened_at > now() - interval '28 days'
             RETURNING id",
        ),
        (
            "forget-tokens",
            "DELETE FROM tokens
             WHERE to_timestamp(issued_at) < now() - interval '30 days'
               AND kind <> 'permanent'
               AND region NOT IN ('test-1', 'test-2')
               AND uses < 1000
               AND held_by IS NULL
               AND (revoked_at IS NOT NULL OR uses > 99 OR kind IN ('single', 'invite'))
             RETURNING id",
        ),
        (
            "delete-orphaned-uploads",
            "DELETE FROM uploads AS u
             WHERE uploaded_at < now() - interval '24 hours'
               AND post_id IS NOT NULL
               AND NOT EXISTS (SELECT FROM posts AS p WHERE p.id = u.post_id AND p.state <> 'discarded')
             RETURNING id",
        ),
        (
            "archive-order-lines",
            "DELETE FROM order_lines AS l
             WHERE created_at < now() - interval '90 days'
               AND EXISTS (SELECT FROM orders AS o WHERE o.id = l.order_id AND o.closed_at < now() - interval '90 days')
             RETURNING order_id || '/' || line",
        ),
        (
            "archive-orders",
            "DELETE FROM orders AS o
             WHERE closed_at < now() - interval '90 days'
               AND NOT EXISTS (SELECT FROM order_lines AS l WHERE l.order_id = o.id)
             RETURNING id",
        ),
        (
            // Whole days: the one in which the cutoff lies stays.
            "drop-old-views",
            "DELETE FROM page_views
             WHERE viewed_at < date_trunc('day', now()) - 30 * interval '24 hours'
             RETURNING id",
        ),
    ],
    reports: "SELECT FROM kitchen.journal WHERE event = 'cleanup_job_completed'",
};

#[tokio::test]
async fn each_feature_does_what_plain_sql_does() -> Result<()> {
    let Proof { database, ended } = EXAMPLE.prove().await?;
    let now = ended.report["startTime"].as_str().context("a run has a start")?;
    let told = ids(
        &database,
        &format!(
            "SELECT subject FROM kitchen.journal AS j
             WHERE event = 'cart_abandoned' AND at = '{now}' AND note IS NULL
               AND data - 'owner' - 'abandoned_at' = '{{\"reason\": \"silence\", \"coupon\": null}}'
               AND (data ->> 'abandoned_at')::timestamptz = at
               AND data ->> 'owner' = (SELECT owner FROM kitchen.carts AS c WHERE c.id = j.subject)"
        ),
    )
    .await?;
    let carts = changed(&database, "abandon-carts").await?;
    assert_eq!(told, carts);
    let told = ids(&database, "SELECT cart_id FROM kitchen.outbox WHERE topic = 'carts'").await?;
    assert_eq!(told, carts);

    for (table, id, rule) in [
        ("orders", "id", "archive-orders"),
        ("order_lines", "order_id || '/' || line", "archive-order-lines"),
    ] {
        let archived = format!(
            "SELECT {id} FROM kitchen.{table}_archive
             WHERE pgsweep_rule = '{rule}' AND pgsweep_run_id = '{}'",
            ended.report["runId"].as_str().unwrap_or_default()
        );
        assert_eq!(ids(&database, &archived).await?, changed(&database, rule).await?);
    }
    let report: Value = database
        .scalar(
            "SELECT data || jsonb_build_object('subject', subject, 'rows', rows) FROM kitchen.journal
             WHERE event = 'cleanup_job_completed' ORDER BY id LIMIT 1",
        )
        .await?;
    let at = report["at"].as_str().unwrap_or_default().to_owned();
    let expected = json!({
        "carts": 600, "carts_due": 600, "tokens": 400, "uploads": 327, "orders": 200, "views": 200,
        "by": "kitchen-sink", "at": at, "note": null, "subject": 600, "rows": 600,
    });
    assert_eq!(report, expected);
    Ok(())
}

/// The tables of the old days: those that still hang on their parent, and those that are there.
const OLD_DAYS: &str = "
  SELECT count(*) FILTER (WHERE EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid)), count(*)
  FROM pg_class AS c
  WHERE c.relnamespace = 'kitchen'::regnamespace
    AND c.relkind = 'r'
    AND c.relname ~ '^page_views_[0-9_]+$'
    AND c.relname < 'page_views_' || to_char(date_trunc('day', now()) - 30 * interval '24 hours', 'YYYY_MM_DD')";

#[tokio::test]
async fn a_day_that_is_detached_is_kept_for_its_grace_and_dropped_after_it() -> Result<()> {
    let database = super::example::loaded(&[EXAMPLE.name]).await?;
    let days = async || -> Result<(i64, i64)> {
        Ok(sqlx::query_as(OLD_DAYS).fetch_one(database.pool()).await?)
    };
    assert_eq!(days().await?, (10, 10));
    let ended = super::example::run(EXAMPLE.name, &database, &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(days().await?, (0, 10), "detached, and still there");

    let without_grace = text(EXAMPLE.name)?.replace("graceAge: 1d", "graceAge: 0s");
    let policy: Value = serde_saphyr::from_str(&without_grace)?;
    let ended = job::run(&policy, &database.url(), &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(days().await?, (0, 0), "dropped");
    let views: i64 = database.scalar("SELECT count(*) FROM kitchen.page_views").await?;
    assert_eq!(views, 620);
    Ok(())
}

/// Fields that hold the same kind of thing, by one name for them.
fn kind(field: &str) -> &str {
    match field {
        "anyOf" => "where",
        "notExists" => "exists",
        other => other,
    }
}

/// Each field of the schema below `schema`, with the field that it stands in; what is Kubernetes'
/// own, or is not implemented yet, is not looked into.
fn fields_of_schema(parent: &str, schema: &Value, found: &mut BTreeSet<(String, String)>) {
    let schema = if schema["items"].is_null() { schema } else { &schema["items"] };
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let description = field["description"].as_str().unwrap_or_default();
        if description.starts_with("Not implemented") {
            continue;
        }
        found.insert((kind(parent).to_owned(), name.clone()));
        if parent != "podTemplate" {
            fields_of_schema(name, field, found);
        }
    }
}

/// The same of a document.
fn fields_of_document(parent: &str, value: &Value, found: &mut BTreeSet<(String, String)>) {
    match value {
        Value::Array(items) => {
            for item in items {
                fields_of_document(parent, item, found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                found.insert((kind(parent).to_owned(), name.clone()));
                fields_of_document(name, field, found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_field_and_every_operator_of_the_language_is_in_the_kitchen_sink() -> Result<()> {
    let crd = super::example::file("../crds/cleanuppolicies.pgsweep.dev.yaml");
    let crd: Value = serde_saphyr::from_str(&std::fs::read_to_string(crd)?)?;
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut language = BTreeSet::new();
    fields_of_schema("spec", schema, &mut language);
    assert!(language.len() > 80, "{language:?}");

    let text = switched_on(&text(EXAMPLE.name)?);
    let policy: Value = serde_saphyr::from_str(&text)?;
    let mut used = BTreeSet::new();
    fields_of_document("spec", &policy["spec"], &mut used);
    let missing: Vec<_> = language.difference(&used).collect();
    assert!(missing.is_empty(), "{missing:?}");

    let condition = &schema["properties"]["rules"]["items"]["properties"]["where"]["items"];
    for field in ["operator", "unit"] {
        let words = condition["properties"][field]["enum"].as_array().into_iter().flatten();
        let words: Vec<_> = words.filter_map(Value::as_str).collect();
        assert!(words.len() >= 2, "{field}: {condition}");
        for word in words {
            assert!(text.contains(&format!("{field}: {word}")), "{field}: {word}");
        }
    }
    Ok(())
}
