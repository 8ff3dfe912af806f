//! Whom a connection trusts: what `sslmode` and the CA mean together. Never less than was asked for.

use std::io;

use pem::{EncodeConfig, LineEnding, Pem};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sqlx::postgres::PgSslMode;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use super::failure::Failure;
use super::url::{Place, SslMode, Url};

/// How a connection is secured.
#[derive(Debug)]
pub struct Trust {
    /// What the driver is told.
    pub mode: PgSslMode,
    /// The authorities that it trusts, as PEM; empty where no certificate is checked.
    pub authorities: String,
    /// Nothing was said about it, and so the server is not verified.
    pub unverified: bool,
}

/// Whose signature counts.
enum Authority {
    /// What `--database-ca`, `database.caFrom` or `sslrootcert` holds, and nobody else.
    Own(String),
    /// The authorities of the web.
    Public,
}

impl Trust {
    /// What `url` and the CA of flag or Secret ask for.
    pub fn new(url: &Url, ca: Option<&str>) -> Result<Self, Failure> {
        let authority = authority(ca, url.ssl_root_cert.as_deref())?;
        if let Place::Socket(_) = url.place {
            return over_a_socket(url, authority.is_some());
        }
        let weak = |mode| Self { mode, authorities: String::new(), unverified: false };
        let trust = match (url.ssl_mode, authority) {
            (None, None) => Self { unverified: true, ..weak(PgSslMode::Prefer) },
            (Some(SslMode::Disable), None) => weak(PgSslMode::Disable),
            // The driver takes `allow` for `disable`.
            (Some(SslMode::Allow | SslMode::Prefer), None) => weak(PgSslMode::Prefer),
            (Some(SslMode::Require), None) => weak(PgSslMode::Require),
            (Some(SslMode::VerifyCa), Some(Authority::Own(ca))) => {
                verified(PgSslMode::VerifyCa, ca)
            }
            (None | Some(SslMode::VerifyFull), Some(Authority::Own(ca))) => {
                verified(PgSslMode::VerifyFull, ca)
            }
            // A public authority signs for anybody: without the name its word is worth nothing.
            (Some(SslMode::VerifyCa | SslMode::VerifyFull), _)
            | (None, Some(Authority::Public)) => verified(PgSslMode::VerifyFull, public()),
            (Some(_), Some(_)) => {
                return Err(wrong(
                    "a CA is given, but sslmode of the database URL is weaker than verify-ca and would not use it; write sslmode=verify-full, or leave sslmode out",
                ));
            }
        };
        if url.binds_channel && trust.authorities.is_empty() {
            return Err(wrong(
                "channel_binding=require of the database URL is not taken; sslmode=verify-full makes the server prove itself too",
            ));
        }
        if let (PgSslMode::VerifyFull, Place::NamedAddress { .. }) = (trust.mode, &url.place) {
            return Err(wrong(
                "the database URL has a host, hostaddr and verify-full together, which is not taken; leave hostaddr out",
            ));
        }
        Ok(trust)
    }
}

fn wrong(message: impl Into<String>) -> Failure {
    Failure::wrong("", message)
}

fn verified(mode: PgSslMode, authorities: String) -> Trust {
    Trust { mode, authorities, unverified: false }
}

/// A socket does not leave the machine and carries no TLS.
fn over_a_socket(url: &Url, has_authority: bool) -> Result<Trust, Failure> {
    let asked =
        !matches!(url.ssl_mode, None | Some(SslMode::Disable | SslMode::Allow | SslMode::Prefer));
    if asked || has_authority || url.binds_channel {
        return Err(wrong(
            "the database URL names a Unix socket, which carries no TLS; leave sslmode and the CA out",
        ));
    }
    Ok(Trust { mode: PgSslMode::Disable, authorities: String::new(), unverified: false })
}

/// The CA of flag or Secret goes before the one of the URL.
fn authority(ca: Option<&str>, file: Option<&str>) -> Result<Option<Authority>, Failure> {
    match (ca, file) {
        (Some(ca), _) if ca.contains("-----BEGIN") => Ok(Some(Authority::Own(checked(ca)?))),
        // Empty is not absent: an empty key of a Secret must not switch the check off.
        (Some(ca), _) if ca.trim().is_empty() => Err(wrong("the CA of the database is empty")),
        (None, Some("system")) => Ok(Some(Authority::Public)),
        (Some(file), _) | (None, Some(file)) => from_file(file).map(Some),
        (None, None) => Ok(None),
    }
}

/// The path is not repeated: it is whatever a Secret holds.
fn from_file(path: &str) -> Result<Authority, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file",
            io::ErrorKind::PermissionDenied => "permission denied",
            _ => "it is no text file",
        };
        wrong(format!(
            "the CA of the database is neither PEM (it would begin with -----BEGIN) nor a file that can be read: {why}"
        ))
    })?;
    Ok(Authority::Own(checked(&text)?))
}

/// At least one certificate, and each of them usable.
fn checked(text: &str) -> Result<String, Failure> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let added = certificate.is_ok_and(|certificate| store.add(certificate).is_ok());
        if !added {
            return Err(wrong("the CA of the database holds a certificate that cannot be read"));
        }
    }
    if store.is_empty() {
        return Err(wrong("the CA of the database holds no certificate"));
    }
    Ok(text.to_owned())
}

/// The authorities of the web, at the version that this binary was built with.
fn public() -> String {
    let certificates: Vec<Pem> = TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|certificate| Pem::new("CERTIFICATE", certificate.as_ref()))
        .collect();
    pem::encode_many_config(&certificates, EncodeConfig::new().set_line_ending(LineEnding::LF))
}

#[cfg(test)]
mod tests;
