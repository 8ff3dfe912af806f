//! The way from the proxy to the API server.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, HeaderValue};
use hyper::header::{HeaderMap, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Cluster;

/// An API server.
pub(super) struct Upstream {
    address: SocketAddr,
    tls: TlsConnector,
}

impl Upstream {
    pub(super) fn of(cluster: &Cluster) -> Result<Self> {
        let path = cluster.state().join("pki/ca.crt");
        let authority = fs::read(&path)
            .with_context(|| format!("failed to read {}: is the cluster up?", path.display()))?;
        let authority = pem::parse(authority).context("the cluster's authority is no PEM")?;
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(authority.into_contents()))
            .context("the cluster's authority is no certificate")?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let configuration = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("failed to set up TLS")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            address: SocketAddr::from((cluster.node_address(), super::API_PORT)),
            tls: TlsConnector::from(Arc::new(configuration)),
        })
    }

    /// Asks it, over a connection of the request's own: none can end just when it is used again.
    pub(super) async fn ask(&self, mut head: Parts, body: Bytes) -> Result<Response<Incoming>> {
        let socket = TcpStream::connect(self.address).await?;
        let name = ServerName::from(self.address.ip());
        let stream = self.tls.connect(name, socket).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the answer, or when nobody reads that any more.
        tokio::spawn(connection);
        strip(&mut head.headers);
        // News are read line by line here, so they must come as they are.
        head.headers.remove(ACCEPT_ENCODING);
        head.headers.insert(HOST, HeaderValue::from_str(&self.address.to_string())?);
        Ok(sender.send_request(Request::from_parts(head, Full::new(body))).await?)
    }
}

/// Takes away what is about one connection, and not about the message.
pub(super) fn strip(headers: &mut HeaderMap) {
    for name in [CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH] {
        headers.remove(name);
    }
}
