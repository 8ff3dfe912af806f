//! What a process does around its work, for every binary of the project: logs,
//! the end of the process; behind the feature `admin` its health and metrics
//! pages, and behind `database` the way to its database.
//!
//! A closed list, not a home for shared code: nothing here knows what a policy is.

#[cfg(feature = "admin")]
pub mod admin;
pub mod args;
#[cfg(feature = "database")]
pub mod database;
pub mod exit;
pub mod log;
#[cfg(feature = "admin")]
pub mod metrics;
pub mod shutdown;
