//! The messages that a client of Postgres sends.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use tokio::io::{AsyncRead, AsyncReadExt};

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;
/// More than any test sends at once: what is longer is not what we think it is.
const LONGEST: usize = 64 * 1024 * 1024;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Asks for TLS.
    SslRequest,
    /// Asks for GSSAPI.
    GssRequest,
    /// Asks to cancel what another connection does.
    Cancel,
    /// Names user and database.
    Startup,
    /// One step of a login.
    Password,
    /// A statement with all that belongs to it.
    Query,
    /// The text of a statement.
    Parse,
    /// Its values.
    Bind,
    /// Asks for its columns.
    Describe,
    /// Runs it.
    Execute,
    /// Ends a step, which the server then answers.
    Sync,
    /// Asks for answers at once.
    Flush,
    /// Forgets a statement.
    Close,
    /// Data of a `COPY`, or their end.
    Copy,
    /// The polite end.
    Terminate,
    /// Anything else.
    Other(u8),
}

/// One message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its place among all messages, from 1.
    pub number: usize,
    /// The connection that it came by, from 1.
    pub connection: usize,
    /// What it is.
    pub kind: Kind,
    /// The SQL of a Query or Parse, and of the statement that an Execute runs; else empty.
    pub text: String,
}

impl Message {
    /// Whether the server runs a statement for it.
    #[must_use]
    pub fn runs_a_statement(&self) -> bool {
        matches!(self.kind, Kind::Query | Kind::Execute)
    }

    /// Whether it is a `COMMIT`.
    #[must_use]
    pub fn is_commit(&self) -> bool {
        self.kind == Kind::Query && self.text == "COMMIT"
    }
}

/// A message as it came.
#[derive(Debug)]
pub struct Raw {
    pub kind: Kind,
    pub bytes: Vec<u8>,
    /// Where its fields begin in the bytes.
    body: usize,
}

impl Raw {
    /// The next message before the login, which has no letter. Nothing at the end of the stream.
    pub async fn read_first(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Self>> {
        let Some(bytes) = read(stream, Vec::new()).await? else { return Ok(None) };
        let code = bytes.get(4..8).and_then(|code| code.try_into().ok());
        let kind = match code.map_or(0, u32::from_be_bytes) {
            SSL_REQUEST => Kind::SslRequest,
            GSS_REQUEST => Kind::GssRequest,
            CANCEL_REQUEST => Kind::Cancel,
            _ => Kind::Startup,
        };
        Ok(Some(Self { kind, bytes, body: 4 }))
    }

    /// The next message. Nothing at the end of the stream.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Self>> {
        let Ok(letter) = stream.read_u8().await else { return Ok(None) };
        let Some(bytes) = read(stream, vec![letter]).await? else { return Ok(None) };
        let kind = match letter {
            b'p' => Kind::Password,
            b'Q' => Kind::Query,
            b'P' => Kind::Parse,
            b'B' => Kind::Bind,
            b'D' => Kind::Describe,
            b'E' => Kind::Execute,
            b'S' => Kind::Sync,
            b'H' => Kind::Flush,
            b'C' => Kind::Close,
            b'd' | b'c' | b'f' => Kind::Copy,
            b'X' => Kind::Terminate,
            other => Kind::Other(other),
        };
        Ok(Some(Self { kind, bytes, body: 5 }))
    }

    /// The texts at its begin, each of which ends with a zero.
    fn texts<const N: usize>(&self) -> [String; N] {
        let body = self.bytes.get(self.body..).unwrap_or_default();
        let mut texts = body.split(|byte| *byte == 0);
        std::array::from_fn(|_| {
            String::from_utf8_lossy(texts.next().unwrap_or_default()).into_owned()
        })
    }
}

/// Reads a length, which counts itself, and what it announces.
async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    mut bytes: Vec<u8>,
) -> Result<Option<Vec<u8>>> {
    let Ok(length) = stream.read_u32().await else { return Ok(None) };
    bytes.extend(length.to_be_bytes());
    let rest = (length as usize).saturating_sub(4);
    ensure!(rest < LONGEST, "a message of {rest} bytes is none of Postgres's");
    let begin = bytes.len();
    bytes.resize(begin + rest, 0);
    let body = bytes.get_mut(begin..).unwrap_or_default();
    Ok(stream.read_exact(body).await.is_ok().then_some(bytes))
}

/// What a connection has prepared, so that an Execute can be told by its SQL.
#[derive(Debug, Default)]
pub struct Prepared {
    statements: HashMap<String, String>,
    portals: HashMap<String, String>,
}

impl Prepared {
    /// The SQL that a message is about.
    pub fn text(&mut self, message: &Raw) -> String {
        match message.kind {
            Kind::Query => {
                let [sql] = message.texts();
                sql
            }
            Kind::Parse => {
                let [name, sql] = message.texts();
                self.statements.insert(name, sql.clone());
                sql
            }
            Kind::Bind => {
                let [portal, statement] = message.texts();
                let sql = self.statements.get(&statement).cloned().unwrap_or_default();
                self.portals.insert(portal, sql);
                String::new()
            }
            Kind::Execute => {
                let [portal] = message.texts();
                self.portals.get(&portal).cloned().unwrap_or_default()
            }
            _ => String::new(),
        }
    }
}
