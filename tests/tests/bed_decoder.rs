//! The witness sees each change as it was, on every version.

use anyhow::Result;
use tests::decoder::{Change, Decoder, Operation};
use tests::{Server, Version};

async fn check_on(version: Version) -> Result<()> {
    let Some(server) = Server::of_version(version, &[("wal_level", "logical")]).await? else {
        return Ok(());
    };
    let database = server.database().await?;
    database
        .execute(
            r#"CREATE TABLE "Odd ""name: " (
                 id bigint PRIMARY KEY,
                 "the [column]:" text,
                 at timestamptz,
                 tags text[],
                 amount numeric,
                 ratio float8,
                 gone int,
                 large text);
               ALTER TABLE "Odd ""name: " DROP COLUMN gone;
               ALTER TABLE "Odd ""name: " ALTER COLUMN large SET STORAGE EXTERNAL;
               ALTER TABLE "Odd ""name: " REPLICA IDENTITY FULL"#,
        )
        .await?;
    let mut decoder = Decoder::create(&database).await?;
    database
        .execute(
            r#"BEGIN;
               INSERT INTO "Odd ""name: " VALUES
                 (1, 'it''s ''new-tuple: '' ü \', '2026-03-29 01:30:00+00', '{a,"b c",NULL}', 1.0,
                  '-0', repeat('x', 10000)),
                 (2, NULL, '-infinity', NULL, 'NaN', 'infinity', NULL);
               COMMIT;
               BEGIN; UPDATE "Odd ""name: " SET amount = 2.50 WHERE id = 1; COMMIT;
               BEGIN; DELETE FROM "Odd ""name: " WHERE id = 1; ROLLBACK;
               DELETE FROM "Odd ""name: " WHERE id = 2"#,
        )
        .await?;
    let changes = decoder.changes().await?;
    let seen: Vec<_> = changes.iter().map(|change| change.operation).collect();
    let (insert, update, delete) = (Operation::Insert, Operation::Update, Operation::Delete);
    assert_eq!(seen, [insert, insert, update, delete], "{version}");
    let [first, second, renewed, gone] = changes.as_slice() else { unreachable!() };
    assert_eq!(first.transaction, second.transaction);
    assert_ne!(second.transaction, renewed.transaction);
    assert!(changes.iter().all(|change| change.table == r#"public."Odd ""name: ""#));
    whole(first, renewed);
    assert_eq!(gone.old, second.new, "{version}");
    assert_eq!(gone.old.get("at").map(String::as_str), Some("-infinity"));
    assert_eq!(gone.old.len(), 4, "NULLs are absent: {:?}", gone.old);

    assert!(decoder.changes().await?.is_empty(), "each change is seen once");
    database.execute(r#"DELETE FROM "Odd ""name: ""#).await?;
    assert_eq!(decoder.some_changes(1).await?.len(), 1);
    Ok(())
}

/// The insert of the first row, and its update.
fn whole(first: &Change, renewed: &Change) {
    let value = |column: &str| first.new.get(column).map(String::as_str);
    assert_eq!(value("the [column]:"), Some(r"it's 'new-tuple: ' ü \"));
    assert_eq!(value("at"), Some("2026-03-29 01:30:00+00"));
    assert_eq!(value("tags"), Some(r#"{a,"b c",NULL}"#));
    assert_eq!((value("amount"), value("ratio")), (Some("1.0"), Some("-0")));
    assert_eq!(value("large").map(str::len), Some(10_000));
    assert_eq!(renewed.old, first.new);
    assert_eq!(renewed.new.get("amount").map(String::as_str), Some("2.50"));
    assert_eq!(renewed.new.get("large"), first.new.get("large"), "what did not change is there");
}

#[tokio::test]
async fn the_witness_sees_each_change_of_postgres_15() -> Result<()> {
    check_on(Version::V15).await
}

#[tokio::test]
async fn the_witness_sees_each_change_of_postgres_17() -> Result<()> {
    check_on(Version::V17).await
}

#[tokio::test]
async fn the_witness_sees_each_change_of_postgres_18() -> Result<()> {
    check_on(Version::V18).await
}
