//! The database: every statement on our own tables. How it is reached is in `runtime::database`.
//!
//! Statements are constants. No text of a user, and no message of the server, passes through here.
//! Functions take a transaction and return what they found; nothing is decided here.

pub mod events;
pub mod groups;
pub mod idempotency_keys;
pub mod invites;
pub mod join_codes;
pub mod migrations;
pub mod participants;
pub mod partitions;
pub mod rate_limits;
pub mod roles;
pub mod sessions;
mod work;

pub use work::{Database, PoolSize, Work};
