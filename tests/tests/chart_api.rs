//! The chart of the session API without a cluster: what it renders, and its policies on a real database
//! of the session API.

#[path = "chart_api/documents.rs"]
mod documents;
#[path = "chart_api/objects.rs"]
mod objects;
#[path = "chart_api/policies.rs"]
mod policies;

/// Helm is built with Go; who has none is told so.
fn has_helm() -> anyhow::Result<bool> {
    if tests::tools::can_build() {
        return Ok(true);
    }
    tests::skip::<()>("Helm is built with Go: install Go")?;
    Ok(false)
}
