//! Figures for those who run the service, of one app or of all.

pub mod active_sessions;
pub mod cleanup_runs;
pub mod forecast;
pub mod join_codes;
pub mod pairing;
pub mod sessions;
pub mod tables;

use crate::problem::Problem;
use crate::query::{Page, Place, Query};

/// The apps, as figures are asked for by.
pub const APPS: &[&str] = &["table_talk", "tarot", "after_hours"];

/// The app that is asked for, where nothing else may be.
fn app_alone(mut query: Query) -> Result<Option<&'static str>, Problem> {
    let app = query.fields().choice("app", APPS);
    query.done()?;
    Ok(app)
}

/// The same, and the page.
fn app_and_page<P: Place>(mut query: Query) -> Result<(Option<&'static str>, Page<P>), Problem> {
    let app = query.fields().choice("app", APPS);
    let page = query.page();
    query.done()?;
    Ok((app, page))
}
