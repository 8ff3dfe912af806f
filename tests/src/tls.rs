//! Certificates, and a server that has one.
//!
//! The newest wheel of Postgres has no TLS: the server is of version 17 or 15.

use anyhow::{Context, Result};
use local_postgres::Options;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use crate::settings::Settings;
use crate::{Server, Version, server};

/// What a server does with a client that wants no TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// It is let in.
    Taken,
    /// It is refused, whatever its password is.
    Refused,
}

/// A certificate authority of the test's own.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, both as PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// A new one. Two of one name are two authorities.
    pub fn create(name: &str) -> Result<Self> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("failed to make an authority's key")?;
        let issuer =
            CertifiedIssuer::self_signed(parameters, key).context("failed to make an authority")?;
        Ok(Self { issuer })
    }

    /// Its certificate, as PEM: what a client is to trust.
    #[must_use]
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// A server of these names and addresses.
    pub fn identity(&self, names: &[&str]) -> Result<Identity> {
        self.sign(&parameters(names)?)
    }

    /// The same, but its time is over.
    pub fn expired_identity(&self, names: &[&str]) -> Result<Identity> {
        let mut parameters = parameters(names)?;
        parameters.not_before = date_time_ymd(2019, 1, 1);
        parameters.not_after = date_time_ymd(2020, 1, 1);
        self.sign(&parameters)
    }

    fn sign(&self, parameters: &CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate().context("failed to make a server's key")?;
        let certificate = parameters
            .signed_by(&key, &self.issuer)
            .context("failed to sign a server's certificate")?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn parameters(names: &[&str]) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut parameters =
        CertificateParams::new(names).context("failed to understand a server's names")?;
    parameters.distinguished_name.push(DnType::CommonName, "pgsweep test server");
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(parameters)
}

/// A server with this certificate, on 127.0.0.1, or nothing where the test is to be skipped.
pub async fn start(identity: &Identity, plain: Plain) -> Result<Option<Server>> {
    let mut options = Options::new(&Settings::get()?.cache);
    options.settings.push(("ssl".to_owned(), "on".to_owned()));
    // Where Postgres looks unless told otherwise.
    options.files.push(("server.crt".to_owned(), identity.certificate.clone()));
    options.files.push(("server.key".to_owned(), identity.key.clone()));
    if plain == Plain::Refused {
        let rules = "hostssl all all all scram-sha-256\n".to_owned();
        options.files.push(("pg_hba.conf".to_owned(), rules));
    }
    server::start_one_of(&[Version::V17, Version::V15], &options).await
}
