//! The keys of codes, which the database never sees: one that makes codes, and another one, whose codes hold too. While
//! keys are exchanged that is the next one at first, which other replicas may use already, and then the one before it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use thiserror::Error;

use super::{Code, KeptCode, Purpose};

type Sha256Hmac = Hmac<Sha256>;

/// The shortest secret, in bytes: as much as the hash has.
const SHORTEST: usize = 32;

/// Why a text is no set of keys. Says nothing of what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeysProblem {
    /// Neither keys nor a file.
    #[error("the keys of codes are neither keys (id:hex) nor a file that can be read")]
    Unreadable,
    /// Not `id:hex`.
    #[error(
        "a key of codes is an id of up to 16 letters and digits, a colon, and at least 64 hexadecimal digits"
    )]
    Malformed,
    /// None, or more than two.
    #[error(
        "there must be one key of codes, or two: the one that makes codes and another one whose codes hold too"
    )]
    Count,
    /// Twice the same id.
    #[error("two keys of codes have the same id")]
    SameId,
}

/// One key, as the two that are made of it.
#[derive(Clone)]
struct CodeKey {
    id: String,
    proves: Sha256Hmac,
    finds: Sha256Hmac,
}

/// The keys, the one that makes codes first. They have no `Debug`.
#[derive(Clone)]
pub struct CodeKeys {
    makes: CodeKey,
    other: Option<CodeKey>,
}

impl CodeKeys {
    /// Reads keys, or the file that holds them: `id:hex`, separated by commas or white space.
    pub fn read(given: &str) -> Result<Self, KeysProblem> {
        if given.contains(':') {
            return Self::parse(given);
        }
        let text = std::fs::read_to_string(given.trim()).map_err(|_| KeysProblem::Unreadable)?;
        Self::parse(&text)
    }

    /// Reads keys.
    pub fn parse(text: &str) -> Result<Self, KeysProblem> {
        let entries = text.split(|c: char| c == ',' || c.is_whitespace());
        let keys = entries.filter(|entry| !entry.is_empty()).map(CodeKey::parse);
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let mut keys = keys.into_iter();
        let (makes, other) = (keys.next().ok_or(KeysProblem::Count)?, keys.next());
        if keys.next().is_some() {
            return Err(KeysProblem::Count);
        }
        if other.as_ref().is_some_and(|other| other.id == makes.id) {
            return Err(KeysProblem::SameId);
        }
        Ok(Self { makes, other })
    }

    fn all(&self) -> impl Iterator<Item = &CodeKey> {
        [Some(&self.makes), self.other.as_ref()].into_iter().flatten()
    }

    /// What is kept of a new code.
    pub fn keep(&self, code: &Code, purpose: Purpose<'_>, salt: [u8; 16]) -> KeptCode {
        let key = &self.makes;
        KeptCode {
            key_id: key.id.clone(),
            salt,
            hash: key.proof(code, purpose, &salt).finalize().into_bytes().to_vec(),
            lookup: key.lookup(code),
        }
    }

    /// By what a code is found, whichever key made it.
    pub fn lookups(&self, code: &Code) -> Vec<Vec<u8>> {
        self.all().map(|key| key.lookup(code)).collect()
    }

    /// Whether a code is the one that was kept, in a time that does not tell how much of it is right.
    pub fn proves(
        &self,
        code: &Code,
        purpose: Purpose<'_>,
        key_id: &str,
        salt: &[u8],
        hash: &[u8],
    ) -> bool {
        let key = self.all().find(|key| key.id == key_id);
        // A key that is gone takes as long, and proves nothing.
        let proof = key.unwrap_or(&self.makes).proof(code, purpose, salt);
        proof.verify_slice(hash).is_ok() && key.is_some()
    }
}

impl CodeKey {
    fn parse(entry: &str) -> Result<Self, KeysProblem> {
        let (id, digits) = entry.split_once(':').ok_or(KeysProblem::Malformed)?;
        let is_id = (1..=16).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
        let secret = bytes(digits).filter(|secret| is_id && secret.len() >= SHORTEST);
        let secret = secret.ok_or(KeysProblem::Malformed)?;
        // One secret for two uses would let the one speak for the other.
        let derive = |purpose: &[u8]| {
            let mut made = Sha256Hmac::new_from_slice(&secret).ok()?;
            made.update(purpose);
            Sha256Hmac::new_from_slice(&made.finalize().into_bytes()).ok()
        };
        let proves = derive(b"session-api join code proof").ok_or(KeysProblem::Malformed)?;
        let finds = derive(b"session-api join code lookup").ok_or(KeysProblem::Malformed)?;
        Ok(Self { id: id.to_owned(), proves, finds })
    }

    fn proof(&self, code: &Code, purpose: Purpose<'_>, salt: &[u8]) -> Sha256Hmac {
        let mut proof = self.proves.clone();
        proof.update(salt);
        proof.update(purpose.app.as_bytes());
        proof.update(purpose.session.as_bytes());
        proof.update(code.shown().as_bytes());
        proof
    }

    fn lookup(&self, code: &Code) -> Vec<u8> {
        let mut lookup = self.finds.clone();
        lookup.update(code.shown().as_bytes());
        lookup.finalize().into_bytes().to_vec()
    }
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, digit: &str) -> String {
        format!("{id}:{}", digit.repeat(64))
    }

    fn purpose() -> Purpose<'static> {
        Purpose { app: "table_talk", session: uuid::Uuid::from_u128(7) }
    }

    #[test]
    fn keys_are_one_or_two_of_the_right_length() {
        let parse = |text: &str| CodeKeys::parse(text).map(|_| ());
        assert_eq!(parse(&key("a", "1")), Ok(()));
        assert_eq!(parse(&format!("{}\n{}\n", key("b", "2"), key("a", "1"))), Ok(()));
        assert_eq!(parse(" "), Err(KeysProblem::Count));
        let three = [key("a", "1"), key("b", "2"), key("c", "3")].join(",");
        assert_eq!(parse(&three), Err(KeysProblem::Count));
        let same = [key("a", "1"), key("a", "2")].join(",");
        assert_eq!(parse(&same), Err(KeysProblem::SameId));
        for wrong in ["a:00", "a", &key("a", "g"), &key("", "1"), &key("a b", "1")] {
            assert_eq!(parse(wrong), Err(KeysProblem::Malformed), "{wrong}");
        }
        assert_eq!(CodeKeys::read("/no/such").map(|_| ()), Err(KeysProblem::Unreadable));
    }

    /// Proves: G27.
    #[test]
    fn a_code_proves_itself_for_its_own_session_alone() {
        let keys = CodeKeys::parse(&key("a", "1")).expect("a key");
        let code = Code::typed("493817".to_owned());
        let kept = keys.keep(&code, purpose(), [9; 16]);
        let proves = |code: &Code, purpose, salt: &[u8]| {
            keys.proves(code, purpose, &kept.key_id, salt, &kept.hash)
        };
        assert!(proves(&code, purpose(), &kept.salt));
        assert!(!proves(&Code::typed("493818".to_owned()), purpose(), &kept.salt));
        assert!(!proves(&code, Purpose { app: "tarot", ..purpose() }, &kept.salt));
        let other = Purpose { session: uuid::Uuid::from_u128(8), ..purpose() };
        assert!(!proves(&code, other, &kept.salt));
        assert!(!proves(&code, purpose(), &[8; 16]));
        let salted = keys.keep(&code, purpose(), [8; 16]);
        assert!(salted.hash != kept.hash && salted.lookup == kept.lookup);
        assert_ne!(kept.hash, kept.lookup);
    }

    #[test]
    fn a_key_that_was_replaced_still_proves_its_codes_until_it_is_dropped() {
        let (old, new) = (key("old", "1"), key("new", "2"));
        let code = Code::typed("493817".to_owned());
        let before = CodeKeys::parse(&old).expect("a key");
        let kept = before.keep(&code, purpose(), [9; 16]);
        let proves = |keys: &str| {
            let keys = CodeKeys::parse(keys).expect("keys");
            let found = keys.lookups(&code).contains(&kept.lookup);
            (found, keys.proves(&code, purpose(), &kept.key_id, &kept.salt, &kept.hash))
        };
        assert_eq!(proves(&format!("{new},{old}")), (true, true));
        assert_eq!(proves(&new), (false, false));
        let both = CodeKeys::parse(&format!("{new},{old}")).expect("keys");
        assert_eq!(both.keep(&code, purpose(), [9; 16]).key_id, "new");
    }
}
