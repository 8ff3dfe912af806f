//! Join codes: six digits that one phone shows and another types.
//!
//! A million codes are few: a salted hash of one is undone in a second. What is kept are therefore HMACs
//! with keys that the database does not have: one over salt, app, session and code, which proves it, and
//! one over the code alone, which finds it. A code is shown once, is in no log, and has no `Debug`.

mod keys;

use uuid::Uuid;

pub use keys::{CodeKeys, KeysProblem};

const CODES: u32 = 1_000_000;
/// The largest multiple of [`CODES`] that a `u32` holds: from here on a remainder would prefer low codes.
const FAIR: u32 = u32::MAX - u32::MAX % CODES;

/// What people try first.
const TRIVIAL: [&str; 22] = [
    "000000", "111111", "222222", "333333", "444444", "555555", "666666", "777777", "888888",
    "999999", "012345", "123456", "234567", "345678", "456789", "987654", "654321", "543210",
    "121212", "123123", "112233", "123321",
];

/// A code.
pub struct Code(String);

impl Code {
    /// What a code looks like.
    pub const FORM: &str = "must be six digits";

    /// Draws one. `random` gives numbers that nobody can foretell.
    pub fn draw<E>(mut random: impl FnMut() -> Result<u32, E>) -> Result<Self, E> {
        loop {
            let number = random()?;
            if number >= FAIR {
                continue;
            }
            let code = format!("{:06}", number % CODES);
            if !TRIVIAL.contains(&code.as_str()) {
                return Ok(Self(code));
            }
        }
    }

    /// Whether a text has the shape of a code.
    pub fn is_code(text: &str) -> bool {
        text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// One that somebody typed.
    pub fn typed(text: String) -> Self {
        Self(text)
    }

    /// For the one answer that shows it.
    pub fn shown(&self) -> &str {
        &self.0
    }
}

/// What is kept of a code.
#[derive(Clone)]
pub struct KeptCode {
    /// The key by which it was made.
    pub key_id: String,
    /// Random, one for each code.
    pub salt: [u8; 16],
    /// What proves the code.
    pub hash: Vec<u8>,
    /// What finds it.
    pub lookup: Vec<u8>,
}

/// What a code is for: it proves nothing anywhere else.
#[derive(Clone, Copy)]
pub struct Purpose<'a> {
    /// The app of the session.
    pub app: &'a str,
    /// The session.
    pub session: Uuid,
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn drawn(numbers: &[u32]) -> String {
        let mut numbers = numbers.iter().copied();
        let code = Code::draw(|| Ok::<_, Infallible>(numbers.next().expect("enough numbers")));
        let Ok(code) = code;
        code.0
    }

    /// Proves: G26.
    #[test]
    fn each_code_is_as_likely_as_any_other_and_no_trivial_one_is_given() {
        assert_eq!(FAIR % CODES, 0);
        assert_eq!(drawn(&[42]), "000042");
        assert_eq!(drawn(&[FAIR, u32::MAX, 1_000_042]), "000042", "beyond what is fair");
        assert_eq!(drawn(&[0, 111_111, 123_456, FAIR - 1, 7]), "000007", "999999 is trivial too");
        for code in TRIVIAL {
            assert_eq!(drawn(&[code.parse().expect("a number"), 42]), "000042", "{code}");
        }
    }

    #[test]
    fn a_code_is_six_digits() {
        assert!(Code::is_code("000000"));
        for wrong in ["", "12345", "1234567", "12345a", "１２３４５６", "12 456"] {
            assert!(!Code::is_code(wrong), "{wrong}");
        }
    }
}
