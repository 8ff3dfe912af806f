//! A shop that a policy cleans by every action at once, and the laws that hold for it at any moment:
//! whatever was killed, cut off or restarted meanwhile.

pub mod interrupt;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::Database;
use crate::job::{self, Ended, with};

/// Up to this id a row is due.
const DUE: i64 = 99;
/// What the policy's rules change, in their order.
pub const AFFECTED: [i64; 5] = [3, 3, 3, 5, 6];

/// Laws that need no ledger: each a count of what breaks it.
const LAWS: [(&str, &str); 5] = [
    (
        "an order is in one place, to the letter",
        "SELECT count(*) FROM witness.orders AS before
         WHERE 1 <> (SELECT count(*) FROM shop.orders AS o WHERE o::text = before.line)
                  + (SELECT count(*) FROM shop.orders_archive AS a
                     WHERE ROW(a.id, a.price, a.rough, a.tags, a.data, a.doubled, a.at_day, a.closed_at)::text = before.line)",
    ),
    (
        "what was deleted is archived",
        "SELECT count(*) FROM witness.changes AS gone
         WHERE place = 'orders'
           AND NOT EXISTS (
             SELECT FROM shop.orders_archive AS a
             WHERE ROW(a.id, a.price, a.rough, a.tags, a.data, a.doubled, a.at_day, a.closed_at)::text = gone.line
           )",
    ),
    (
        "a changed row has one emitted row, and an emitted row one changed row",
        "WITH emitted AS (SELECT event, subject FROM shop.journal WHERE event <> 'cleanup_job_completed'),
              changed AS (SELECT place, id FROM witness.changes WHERE place IN ('carts', 'sessions', 'orders'))
         SELECT count(*) FROM (
           (SELECT * FROM emitted EXCEPT ALL SELECT * FROM changed)
           UNION ALL
           (SELECT * FROM changed EXCEPT ALL SELECT * FROM emitted)
         ) AS unpaired",
    ),
    ("no row is touched that is not due", "SELECT count(*) FROM witness.changes WHERE id > $1"),
    (
        "there is one row about the run at the most",
        "SELECT greatest(count(*) - 1, 0) FROM shop.journal WHERE event = 'cleanup_job_completed'",
    ),
];

/// Laws about what the ledger says.
const LEDGER_LAWS: [(&str, &str); 4] = [
    (
        "the ledger counts what the witness counts",
        "WITH said AS (
           SELECT rule, sum(affected) AS rows, sum(batches) AS batches FROM pgsweep.run_rules GROUP BY rule
         ), seen AS (
           SELECT place AS rule, count(*) AS rows, count(DISTINCT transaction) AS batches FROM witness.changes GROUP BY place
           UNION ALL
           SELECT 'views', 7 - count(*), NULL FROM shop.views
         )
         SELECT count(*) FROM said FULL JOIN seen USING (rule)
         WHERE coalesce(said.rows, 0) <> coalesce(seen.rows, 0)
            OR coalesce(said.batches, 0) <> coalesce(seen.batches, 0) AND rule <> 'views'",
    ),
    (
        "a partition is attached, or noted as detached and there, or noted as dropped and gone",
        "SELECT count(*)
         FROM witness.partitions AS known
         LEFT JOIN pg_class AS c ON c.oid = known.table_oid
         LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid
         LEFT JOIN pgsweep.partitions AS noted ON noted.table_oid = known.table_oid
         WHERE coalesce(noted.state, 'Attached') <> CASE
           WHEN c.oid IS NULL THEN 'Dropped'
           WHEN i.inhrelid IS NULL THEN 'Detached'
           ELSE 'Attached' END",
    ),
    (
        "a detached table holds what was counted",
        "SELECT count(*) FROM pgsweep.partitions
         WHERE state = 'Detached' AND counted_rows <> witness.rows_of(table_oid)",
    ),
    (
        "the row about the run is there exactly when the ledger says so",
        "SELECT abs((SELECT count(*) FROM shop.journal WHERE event = 'cleanup_job_completed')
                    - (SELECT count(*) FROM pgsweep.runs WHERE reported))",
    ),
];

/// The shop, in a database of its own on the shared server.
pub async fn open() -> Result<Database> {
    fill(Database::create().await?).await
}

/// The shop in an empty database.
pub async fn fill(database: Database) -> Result<Database> {
    database.execute(include_str!("shop/tables.sql")).await?;
    Ok(database)
}

/// Its policy: two rows a batch.
#[must_use]
pub fn policy() -> Value {
    let policy = with(
        job::policy(include_str!("shop/policy.yaml")),
        "/execution",
        // A batch takes longer than its target, and so none is larger than the first.
        json!({"batchSize": 2, "targetBatchDuration": "1ms", "batchTimeout": "10s", "lockTimeout": "5s"}),
    );
    let counts: Vec<Value> = ["carts", "sessions", "uploads", "orders", "views"]
        .iter()
        .map(|rule| json!({"key": rule, "affected": rule}))
        .collect();
    let report = json!({"into": {"schema": "shop", "name": "journal"}, "values": [
        {"column": "event", "value": "cleanup_job_completed"},
        {"column": "subject", "matched": "carts"},
        {"column": "data", "object": counts},
    ]});
    with(policy, "/report", report)
}

/// Checks what must hold at any moment when no run is at work.
pub async fn check_laws(database: &Database) -> Result<()> {
    let mut laws = LAWS.to_vec();
    if has_ledger(database).await? {
        laws.extend(LEDGER_LAWS);
    }
    for (law, breaches) in laws {
        let count: i64 = database.scalar(&breaches.replace("$1", &DUE.to_string())).await?;
        ensure!(count == 0, "{law}: {count} breaches");
    }
    Ok(())
}

/// Whether the ledger is there.
pub async fn has_ledger(database: &Database) -> Result<bool> {
    database.scalar("SELECT to_regclass('pgsweep.run_rules') IS NOT NULL").await
}

/// How often the run has begun.
pub async fn attempts(database: &Database) -> Result<i64> {
    if !has_ledger(database).await? {
        return Ok(0);
    }
    database.scalar("SELECT coalesce(max(attempts), 0)::bigint FROM pgsweep.runs").await
}

/// All that the shop holds at the end, but for the moments at which it was done.
pub async fn state(database: &Database) -> Result<Value> {
    database
        .scalar(
            "SELECT jsonb_build_object(
               'carts', (SELECT jsonb_agg(jsonb_build_array(id, state, closed_at IS NULL) ORDER BY id) FROM shop.carts),
               'sessions', (SELECT jsonb_agg(id ORDER BY id) FROM shop.sessions),
               'tokens', (SELECT jsonb_agg(id ORDER BY id) FROM shop.tokens),
               'uploads', (SELECT jsonb_agg(id ORDER BY id) FROM shop.uploads),
               'orders', (SELECT jsonb_agg(o::text ORDER BY id) FROM shop.orders AS o),
               'archive', (SELECT jsonb_agg(to_jsonb(a) - 'pgsweep_archived_at' ORDER BY id) FROM shop.orders_archive AS a),
               'views', (SELECT jsonb_agg(id ORDER BY id) FROM shop.views),
               'partitions', (SELECT jsonb_agg(relname ORDER BY relname) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'views%'),
               'journal', (SELECT jsonb_agg(jsonb_build_array(event, subject, data, at IS NULL) ORDER BY event, subject) FROM shop.journal)
             )",
        )
        .await
}

/// What a report says that does not depend on how often the run was interrupted.
#[must_use]
pub fn told(report: &Value) -> Value {
    let fields = [
        "name",
        "matched",
        "affected",
        "remaining",
        "failed",
        "skippedLocked",
        "stopReason",
        "sqlState",
        "message",
        "warnings",
    ];
    let rules = report["rules"].as_array().into_iter().flatten();
    let rules: Vec<Value> = rules
        .map(|rule| {
            fields.iter().map(|field| ((*field).to_owned(), rule[*field].clone())).collect()
        })
        .collect();
    json!([
        report["result"],
        report["stopReason"],
        report["message"],
        report["totals"],
        report["earlier"],
        rules
    ])
}

/// The shop as a run leaves it that nobody disturbs.
#[derive(Debug)]
pub struct Undisturbed {
    state: Value,
    told: Value,
}

impl Undisturbed {
    /// By a run as this Job, just ended on this database.
    pub async fn of(database: &Database, ended: &Ended) -> Result<Self> {
        ensure!(ended.code == Some(0), "it was disturbed: {}", ended.output);
        check_laws(database).await?;
        let undisturbed = Self { state: state(database).await?, told: told(&ended.report) };
        let rules = ended.report["rules"].as_array().context("a report has rules")?;
        let affected: Vec<_> = rules.iter().map(|rule| rule["affected"].clone()).collect();
        ensure!(affected == AFFECTED.map(Value::from), "the shop is not as it was: {affected:?}");
        ensure!(ended.report["result"] == "Succeeded", "{}", ended.output);
        Ok(undisturbed)
    }

    /// Checks that another run has come to the same end.
    pub async fn check(&self, database: &Database, ended: &Ended) -> Result<()> {
        ensure!(ended.code == Some(0), "it ended with {:?}: {}", ended.code, ended.output);
        check_laws(database).await?;
        let (state, told) = (state(database).await?, told(&ended.report));
        ensure!(state == self.state, "the shop is {state:#}\ninstead of {:#}", self.state);
        ensure!(
            told == self.told,
            "the report is {told:#}\ninstead of {:#}\n{}",
            self.told,
            ended.output
        );
        Ok(())
    }
}
