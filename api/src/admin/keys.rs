//! The keys of those who run the service. Only a keyed hash of each is in the memory, and all of them are
//! compared, in a time that does not tell how much of one is right.

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use thiserror::Error;

use super::Scope;
use crate::problem::{Code, Problem};
use crate::token::{self, Token};

type Sha256Hmac = Hmac<Sha256>;

/// Why a text is no set of keys. Says nothing of what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AdminKeysProblem {
    /// Neither keys nor a file.
    #[error("the keys of admins are neither keys (id:scope:key) nor a file that can be read")]
    Unreadable,
    /// Not `id:scope:key`.
    #[error(
        "a key of an admin is an id of up to 32 letters, digits and hyphens, read or operate, and ad_ with 64 hexadecimal digits, with colons between"
    )]
    Malformed,
    /// Twice the same id, so that the audit log would not know who it was.
    #[error("two keys of admins have the same id")]
    SameId,
}

struct AdminKey {
    id: String,
    scope: Scope,
    hash: Vec<u8>,
}

/// All keys; none where nobody may. They have no `Debug`.
#[derive(Default)]
pub struct AdminKeys(Vec<AdminKey>);

impl AdminKeys {
    /// Reads keys, or the file that holds them: `id:scope:key`, separated by commas or white space.
    pub fn read(given: &str) -> Result<Self, AdminKeysProblem> {
        if given.contains(':') {
            return Self::parse(given);
        }
        let text = std::fs::read_to_string(given.trim());
        Self::parse(&text.map_err(|_| AdminKeysProblem::Unreadable)?)
    }

    fn parse(text: &str) -> Result<Self, AdminKeysProblem> {
        let entries = text.split(|c: char| c == ',' || c.is_whitespace());
        let mut keys: Vec<AdminKey> = Vec::new();
        for entry in entries.filter(|entry| !entry.is_empty()) {
            let key = AdminKey::parse(entry).ok_or(AdminKeysProblem::Malformed)?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(AdminKeysProblem::SameId);
            }
            keys.push(key);
        }
        Ok(Self(keys))
    }

    /// Whose key a request bears, and what it is good for.
    pub fn find(&self, headers: &HeaderMap) -> Result<(&str, Scope), Problem> {
        let nobody = || Problem::new(Code::AdminKeyInvalid);
        let token = Token::bearer(token::ADMIN, headers).ok_or_else(nobody)?;
        let mut found = None;
        for key in &self.0 {
            let is_right = hash(&token).is_some_and(|sent| sent.verify_slice(&key.hash).is_ok());
            if is_right {
                found = Some((key.id.as_str(), key.scope));
            }
        }
        found.ok_or_else(nobody)
    }
}

impl AdminKey {
    fn parse(entry: &str) -> Option<Self> {
        let (id, rest) = entry.split_once(':')?;
        let (scope, key) = rest.split_once(':')?;
        let is_id = (1..=32).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let scope = match scope {
            "read" => Scope::Read,
            "operate" => Scope::Operate,
            _ => return None,
        };
        let hash = hash(&Token::parse(token::ADMIN, key)?)?.finalize().into_bytes().to_vec();
        is_id.then(|| Self { id: id.to_owned(), scope, hash })
    }
}

fn hash(token: &Token) -> Option<Sha256Hmac> {
    let mut hash = Sha256Hmac::new_from_slice(b"session-api admin key").ok()?;
    hash.update(token.shown().as_bytes());
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: &str) -> String {
        format!("ad_{}", digit.repeat(64))
    }

    #[test]
    fn a_key_is_found_by_all_of_it_and_tells_who_it_is() {
        let keys = format!("eve:read:{}\nops:operate:{}", key("1"), key("2"));
        let keys = AdminKeys::parse(&keys).expect("keys");
        let found = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", value.parse().expect("a header"));
            keys.find(&headers).ok().map(|(id, scope)| (id.to_owned(), scope))
        };
        assert_eq!(found(&format!("Bearer {}", key("1"))), Some(("eve".to_owned(), Scope::Read)));
        assert_eq!(
            found(&format!("Bearer {}", key("2"))),
            Some(("ops".to_owned(), Scope::Operate))
        );
        let nearly = format!("Bearer {}2", &key("1")[..66]);
        for wrong in [nearly.as_str(), "Bearer ", &format!("Basic {}", key("1")), &key("1")] {
            assert_eq!(found(wrong), None, "{wrong}");
        }
        assert!(AdminKeys::default().find(&HeaderMap::new()).is_err());
    }

    #[test]
    fn what_is_no_set_of_keys_is_refused() {
        let parse = |text: &str| AdminKeys::parse(text).err();
        assert_eq!(parse(""), None, "nobody");
        for wrong in [
            "a:read:ad_00".to_owned(),
            format!("a:write:{}", key("1")),
            format!("a b:read:{}", key("1")),
            format!(":read:{}", key("1")),
            key("1"),
        ] {
            assert_eq!(parse(&wrong), Some(AdminKeysProblem::Malformed), "{wrong}");
        }
        let same = format!("a:read:{},a:operate:{}", key("1"), key("2"));
        assert_eq!(parse(&same), Some(AdminKeysProblem::SameId));
        assert_eq!(AdminKeys::read("/no/such").err(), Some(AdminKeysProblem::Unreadable));
    }
}
