//! No authority at all. sqlx adds this list to the authorities that a connection is given; while it
//! is empty, a connection trusts what it was given and nothing else.

#![no_std]
#![forbid(unsafe_code)]

use pki_types::TrustAnchor;

/// Trusted by every connection, whatever its options say.
pub const TLS_SERVER_ROOTS: &[TrustAnchor<'static>] = &[];
