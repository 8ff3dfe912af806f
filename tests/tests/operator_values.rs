//! Each field of the spec is given each kind of bad value, and its good one again: what the API server
//! does not refuse at once is told in the status or carried literally, never passed over, and the
//! policy stands as before without a restart. A policy beside it is never touched.

mod operator_values {
    pub mod api;
    pub mod bad;
    pub mod fields;
    pub mod place;
    pub mod proof;
    pub mod scene;
}

use anyhow::Result;
use operator_values::fields;
use operator_values::place::{self, Place};
use operator_values::proof::prove;

/// What the schema lets stand where it means nothing: each value of them is refused, so that no right
/// policy has them. The rows of `emit` and `report` have one type.
const NEVER_RIGHT: [&str; 6] = [
    "spec.report.values[].fromColumn",
    "spec.report.values[].object[].fromColumn",
    "spec.rules[].emit[].values[].affected",
    "spec.rules[].emit[].values[].matched",
    "spec.rules[].emit[].values[].object[].affected",
    "spec.rules[].emit[].values[].object[].matched",
];

#[test]
fn every_field_of_the_crd_stands_in_a_right_policy() -> Result<()> {
    let shapes = place::shapes()?;
    for shape in &shapes {
        let problems = policy::validate(shape).err();
        assert_eq!(problems, None, "{}", shape["metadata"]["name"]);
    }
    let without = fields::all().into_iter().map(|field| field.path);
    let without: Vec<_> = without.filter(|path| Place::of(path, &shapes).is_none()).collect();
    assert_eq!(without, NEVER_RIGHT, "put what is new into a policy of shapes.yaml");
    Ok(())
}

#[tokio::test]
async fn a_bad_setting_is_refused_or_told_and_taken_back() -> Result<()> {
    prove("settings").await
}

#[tokio::test]
async fn what_is_bad_for_pods_is_refused_or_told_and_taken_back() -> Result<()> {
    prove("pods").await
}

#[tokio::test]
async fn a_bad_update_is_refused_or_told_and_taken_back() -> Result<()> {
    prove("updates").await
}

#[tokio::test]
async fn bad_alternatives_are_refused_or_told_and_taken_back() -> Result<()> {
    prove("choices").await
}

#[tokio::test]
async fn what_is_bad_about_orphans_is_refused_or_told_and_taken_back() -> Result<()> {
    prove("orphans").await
}

#[tokio::test]
async fn what_is_bad_about_partners_is_refused_or_told_and_taken_back() -> Result<()> {
    prove("partners").await
}

#[tokio::test]
async fn a_bad_archive_is_refused_or_told_and_taken_back() -> Result<()> {
    prove("archives").await
}

#[tokio::test]
async fn bad_rows_to_insert_are_refused_or_told_and_taken_back() -> Result<()> {
    prove("inserts").await
}

#[tokio::test]
async fn a_bad_report_is_refused_or_told_and_taken_back() -> Result<()> {
    prove("reports").await
}

#[tokio::test]
async fn a_bad_authority_is_refused_or_told_and_taken_back() -> Result<()> {
    prove("authorities").await
}
