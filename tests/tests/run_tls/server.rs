//! Certificates, servers that show them, and a server that cheats.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use local_postgres::{LocalPostgres, Options, ServerUrl};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tempfile::{NamedTempFile, TempDir};
use tests::settings::Settings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// `nobody`, as whom root starts a server.
const NOBODY: u32 = 65534;

/// An authority.
pub struct Pki {
    authority: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
pub struct Identity {
    certificate: String,
    key: String,
}

impl Pki {
    pub fn new(name: &str) -> Result<Self> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("failed to make the authority's key")?;
        let authority = CertifiedIssuer::self_signed(parameters, key)
            .context("failed to make the authority")?;
        Ok(Self { authority })
    }

    /// The CA, as PEM.
    pub fn authority(&self) -> String {
        self.authority.pem()
    }

    /// The CA in a file.
    pub fn file(&self) -> Result<NamedTempFile> {
        let file = NamedTempFile::new().context("failed to make a file")?;
        fs::write(file.path(), self.authority()).context("failed to write the CA")?;
        Ok(file)
    }

    /// A server's certificate for these names and numbers.
    pub fn server(&self, names: &[&str]) -> Result<Identity> {
        self.issue(names, |_| {})
    }

    pub fn expired(&self, names: &[&str]) -> Result<Identity> {
        self.issue(names, |parameters| parameters.not_after = date_time_ymd(2020, 1, 1))
    }

    pub fn not_yet_valid(&self, names: &[&str]) -> Result<Identity> {
        self.issue(names, |parameters| parameters.not_before = date_time_ymd(4000, 1, 1))
    }

    pub fn for_clients(&self, names: &[&str]) -> Result<Identity> {
        let clients = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(names, |parameters| parameters.extended_key_usages = clients)
    }

    /// The authority's own certificate, as some set a server up.
    pub fn itself(&self) -> Identity {
        Identity { certificate: self.authority(), key: self.authority.key().serialize_pem() }
    }

    fn issue(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Result<Identity> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut parameters = CertificateParams::new(names).context("failed to read a name")?;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut parameters);
        let key = KeyPair::generate().context("failed to make a server's key")?;
        let certificate = parameters
            .signed_by(&key, &self.authority)
            .context("failed to make a server's certificate")?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// A server that shows one certificate and logs who comes, and how.
pub struct TlsServer {
    postgres: LocalPostgres,
    _files: TempDir,
}

impl TlsServer {
    /// Nothing where this machine's Postgres was built without TLS: the test has then said so.
    pub async fn start(identity: &Identity) -> Result<Option<Self>> {
        let files = tempfile::Builder::new().prefix("pgsweep-tls-").tempdir_in("/tmp")?;
        let (certificate, key) = (files.path().join("server.crt"), files.path().join("server.key"));
        fs::write(&certificate, &identity.certificate)?;
        fs::write(&key, &identity.key)?;
        fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        if files.path().metadata()?.uid() == 0 {
            for path in [files.path(), &certificate, &key] {
                chown(path, Some(NOBODY), Some(NOBODY))?;
            }
        }
        let setting =
            |name: &str, value: &std::path::Path| (name.to_owned(), value.display().to_string());
        let mut options = Options::new(&Settings::get()?.cache);
        options.settings = vec![
            ("ssl".to_owned(), "on".to_owned()),
            ("log_connections".to_owned(), "on".to_owned()),
            setting("ssl_cert_file", &certificate),
            setting("ssl_key_file", &key),
        ];
        let started = tokio::task::spawn_blocking(move || LocalPostgres::start(&options)).await?;
        match started {
            Ok(postgres) => Ok(Some(Self { postgres, _files: files })),
            Err(error) if format!("{error:#}").contains("SSL is not supported by this build") => {
                tests::skip("the Postgres of this machine has no TLS; install Debian's or another")
            }
            Err(error) => Err(error),
        }
    }

    pub fn address(&self) -> &ServerUrl {
        self.postgres.address()
    }

    /// How many runs logged in over TLS so far.
    pub fn encrypted_runs(&self) -> Result<usize> {
        self.runs(true)
    }

    /// How many runs logged in without.
    pub fn plain_runs(&self) -> Result<usize> {
        self.runs(false)
    }

    fn runs(&self, encrypted: bool) -> Result<usize> {
        let log = self.postgres.log().context("a server of the test's own has a log")?;
        let log = fs::read_to_string(log).context("failed to read the server's log")?;
        let runs = log.lines().filter(|line| {
            line.contains("connection authorized") && line.contains("application_name=pgsweep")
        });
        Ok(runs.filter(|line| line.contains("SSL enabled") == encrypted).count())
    }
}

/// Answers the wish for TLS with some bytes, and hangs up when the other side has said what it
/// says then.
pub struct Cheat {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Cheat {
    pub async fn answering(answer: &'static [u8]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("failed to listen")?;
        let port = listener.local_addr().context("failed to read a port's number")?.port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 8];
                if stream.read_exact(&mut request).await.is_err() {
                    continue;
                }
                let _ = stream.write_all(answer).await;
                let mut said = vec![0; 4096];
                // One message is enough: a client that gives in sends its name first.
                if !answer.is_empty()
                    && let Ok(length) = stream.read(&mut said).await
                {
                    said.truncate(length);
                    log.lock().unwrap_or_else(PoisonError::into_inner).extend(said);
                }
            }
        });
        Ok(Self { port, heard })
    }

    pub fn url(&self, password: &str) -> String {
        format!("postgres://canary-user:{password}@127.0.0.1:{}/x", self.port)
    }

    /// What was said to it after its answer; what is no text is shown as such.
    pub fn heard_after_the_answer(&self) -> String {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&heard).into_owned()
    }
}
