//! What a process does around its work, for every binary of the project: logs,
//! the end of the process and, behind the feature `admin`, its health and
//! metrics pages.
//!
//! A closed list, not a home for shared code: nothing here knows what a policy is.

#[cfg(feature = "admin")]
pub mod admin;
pub mod args;
pub mod log;
#[cfg(feature = "admin")]
pub mod metrics;
pub mod shutdown;
