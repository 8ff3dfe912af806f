//! How a database is reached, and what is said when that, or anything else with it, fails.
//!
//! No word of the URL and no message of the server passes through here.

pub mod address;
mod connect;
pub mod failure;
mod trust;
mod url;

pub use connect::connect;
