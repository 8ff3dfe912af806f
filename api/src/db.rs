//! The database: how it is reached, and every statement on our own tables.
//!
//! Statements are constants. No text of a user, and no message of the server, passes through here.

pub mod connect;
pub mod failure;
pub mod migrations;
pub mod roles;
