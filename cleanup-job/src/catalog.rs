//! Reads what the catalog of the database says of the tables of a policy: three queries, however
//! many tables there are.

use policy::{
    CATALOG_SQL, Catalog, Identifier, Policy, QualifiedTable, REFERENCES_SQL, ReferenceFacts,
    TableFacts,
};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, Row as _, Transaction};

use crate::failure::Failure;

/// What the catalog says of the tables of `policy`, and of those that its deletes reach.
pub async fn read(
    transaction: &mut Transaction<'_, Postgres>,
    policy: &Policy,
) -> Result<Catalog, Failure> {
    let mut catalog = Catalog::new(sees_replica_lag(transaction).await?);
    for row in fetch(transaction, CATALOG_SQL, &policy.tables()).await? {
        let Json(facts): Json<TableFacts> = row.try_get("facts")?;
        if let Some(table) = table(&row)? {
            catalog.insert(table, facts);
        }
    }
    for row in fetch(transaction, REFERENCES_SQL, &policy.emptied_tables()).await? {
        let Json(key): Json<ReferenceFacts> = row.try_get("facts")?;
        if let Some(table) = table(&row)? {
            catalog.refer(table, key);
        }
    }
    Ok(catalog)
}

async fn fetch(
    transaction: &mut Transaction<'_, Postgres>,
    sql: &'static str,
    tables: &[&QualifiedTable],
) -> Result<Vec<PgRow>, Failure> {
    let schemas: Vec<_> = tables.iter().map(|table| table.schema.as_str()).collect();
    let names: Vec<_> = tables.iter().map(|table| table.name.as_str()).collect();
    Ok(sqlx::query(sql)
        .bind(schemas)
        .bind(names)
        .persistent(false)
        .fetch_all(&mut **transaction)
        .await?)
}

/// The table that a row is about; `None` for a name that is none of ours.
fn table(row: &PgRow) -> Result<Option<QualifiedTable>, Failure> {
    let identifier =
        |column| row.try_get::<String, _>(column).map(|name| Identifier::parse(&name).ok());
    let (schema, name) = (identifier("schema_name")?, identifier("table_name")?);
    Ok(schema.zip(name).map(|(schema, name)| QualifiedTable { schema, name }))
}

/// Without these rights the positions of `pg_stat_replication` are NULL.
async fn sees_replica_lag(transaction: &mut Transaction<'_, Postgres>) -> Result<bool, Failure> {
    let sql = "SELECT pg_has_role('pg_read_all_stats', 'USAGE')";
    Ok(sqlx::query_scalar(sql).persistent(false).fetch_one(&mut **transaction).await?)
}
