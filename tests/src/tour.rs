//! The tour: a platform team's first hour with pgsweep, by the very commands that they would type.
//!
//! Each line is run by a shell, with the real `kubectl`, `helm` and `psql`, on a cluster and a
//! Postgres that nobody else uses. What it must say is asserted, and what was typed and printed
//! becomes a page, `docs/tour.md`: `cargo xtask tour` writes it, and a test compares. What differs
//! from one time to the next is replaced by words like `<age>`, so that twice makes the same page.

mod chapters;
mod difference;
mod output;
mod session;

use std::path::PathBuf;

use anyhow::Result;

use crate::{Cluster, chart};
use session::Session;

pub use difference::difference;

/// Where the page is in the checkout.
pub const PAGE: &str = "docs/tour.md";

/// Goes the whole way on a cluster that has the images of the release and nothing else, and returns
/// the page.
pub async fn page(cluster: &Cluster) -> Result<String> {
    let mut session = Session::begin(cluster).await?;
    chapters::all(&mut session).await?;
    session.end().await
}

/// The page as it is checked in.
#[must_use]
pub fn path() -> PathBuf {
    root().join(PAGE)
}

/// The folder in which the commands are typed.
fn root() -> PathBuf {
    chart::folder().join("../..")
}
