//! Tokens: 256 random bits that are shown once. Only their SHA-256 is kept, by which they are found: whoever
//! sends a token does not know where in the index its hash lies, so how long that takes tells nothing.

use axum::http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};

use crate::problem::{Code, Problem};

/// What the token of a participant begins with.
pub const SESSION: &str = "st_";
/// What the key of somebody who runs the service begins with.
pub const ADMIN: &str = "ad_";
/// What the token of an invite begins with.
pub const INVITE: &str = "in_";

const BYTES: usize = 32;

/// A token. It has no `Debug`, and is in no log.
pub struct Token(String);

impl Token {
    /// A new one, of the system's random numbers.
    pub fn draw(prefix: &str) -> Result<Self, getrandom::Error> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self::of(prefix, &bytes))
    }

    fn of(prefix: &str, bytes: &[u8]) -> Self {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{prefix}{digits}"))
    }

    /// Reads one that somebody sent.
    pub fn parse(prefix: &str, text: &str) -> Option<Self> {
        let digits = text.strip_prefix(prefix)?;
        let is_token =
            digits.len() == 2 * BYTES && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_token.then(|| Self(text.to_owned()))
    }

    /// What `Authorization: Bearer` says, which is the only place where a token is taken from.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, Problem> {
        Self::bearer(SESSION, headers).ok_or_else(|| Problem::new(Code::TokenInvalid))
    }

    /// The same of one that begins so.
    pub fn bearer(prefix: &str, headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        Self::parse(prefix, token).filter(|_| scheme.eq_ignore_ascii_case("bearer"))
    }

    /// What is kept of it.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    /// For the one answer that shows it.
    pub fn shown(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().expect("a header"));
        Token::from_headers(&headers).ok().map(|token| token.0)
    }

    #[test]
    fn only_a_bearer_of_the_right_form_is_taken() {
        let token = Token::of(SESSION, &[7; BYTES]);
        assert_eq!(read(&format!("Bearer {}", token.0)), Some(token.0.clone()));
        assert_eq!(read(&format!("bearer {}", token.0)), Some(token.0.clone()));
        for wrong in [
            token.0.clone(),
            format!("Basic {}", token.0),
            format!("Bearer {}0", token.0),
            format!("Bearer {}", Token::of(INVITE, &[7; BYTES]).0),
            format!("Bearer  {}", token.0),
            "Bearer st_".to_owned(),
            "Bearer".to_owned(),
        ] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
        assert!(Token::from_headers(&HeaderMap::new()).is_err());
    }

    #[test]
    fn no_two_tokens_are_alike_and_the_hash_is_not_the_token() {
        let (one, two) =
            (Token::draw(INVITE).expect("random"), Token::draw(INVITE).expect("random"));
        assert!(one.0 != two.0 && one.hash() != two.hash());
        assert_eq!(one.0.len(), INVITE.len() + 2 * BYTES);
    }
}
