//! The pages that a cluster asks for: `/live`, `/ready`, `/metrics`.
//!
//! Never a page that changes something, and none that needs a login: what they
//! say is safe to read for whoever reaches the port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::Registry;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics;

/// Why the pages could not be served.
#[derive(Debug, Error)]
pub enum AdminError {
    /// The address is taken, or not ours.
    #[error("failed to listen on {address}")]
    Listen {
        /// Where it should listen.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The listener broke.
    #[error("failed to serve the admin pages")]
    Serve(#[source] std::io::Error),
}

/// Whether the process can do its work; false until said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says whether the process can do its work from now on.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// What was last said.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Writes series beside those of the registry, in the text format of Prometheus: what is too much to
/// be held as objects. Called for each scrape, on a thread that may be held up.
type MoreMetrics = Arc<dyn Fn(&mut String) + Send + Sync>;

#[derive(Clone)]
struct Pages {
    readiness: Readiness,
    registry: Registry,
    more: MoreMetrics,
}

/// The pages, on an address that is already bound: a port that is taken is
/// found before any work begins.
pub struct Admin {
    listener: TcpListener,
    router: Router,
}

impl Admin {
    /// Binds the address. `more` writes series that are not in the registry, in Prometheus' text
    /// format; it is called once a scrape.
    pub async fn bind(
        address: SocketAddr,
        registry: Registry,
        more: impl Fn(&mut String) + Send + Sync + 'static,
        readiness: Readiness,
    ) -> Result<Self, AdminError> {
        let listen = |source| AdminError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        // With port 0 the kernel chose one.
        let address = listener.local_addr().map_err(listen)?;
        tracing::info!(%address, "listening");
        Ok(Self { listener, router: router(Pages { readiness, registry, more: Arc::new(more) }) })
    }

    /// Serves the pages until the token is cancelled.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), AdminError> {
        axum::serve(self.listener, self.router)
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await
            .map_err(AdminError::Serve)
    }
}

fn router(pages: Pages) -> Router {
    Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(show_metrics))
        .with_state(pages)
}

async fn live() -> &'static str {
    "live\n"
}

async fn ready(State(pages): State<Pages>) -> (StatusCode, &'static str) {
    if pages.readiness.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn show_metrics(State(pages): State<Pages>) -> Response {
    let written = tokio::task::spawn_blocking(move || {
        let mut text = metrics::encode(&pages.registry)?;
        (pages.more)(&mut text);
        Ok::<_, prometheus::Error>(text)
    });
    match written.await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Ok(Err(error)) => {
            tracing::error!(%error, "cannot write the metrics page");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the metrics page broke off");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn page(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("connect");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        answer
    }

    #[tokio::test]
    async fn ready_follows_the_process_and_metrics_are_its_own() {
        let registry = metrics::registry().expect("registry");
        let readiness = Readiness::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let admin =
            Admin::bind(address, registry, |page| page.push_str("more 1\n"), readiness.clone())
                .await
                .expect("bind");
        let address = admin.listener.local_addr().expect("address");
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(admin.serve(shutdown.clone()));

        assert!(page(address, "/live").await.starts_with("HTTP/1.1 200"));
        assert!(page(address, "/ready").await.starts_with("HTTP/1.1 503"));
        readiness.set(true);
        assert!(page(address, "/ready").await.starts_with("HTTP/1.1 200"));
        let metrics = page(address, "/metrics").await;
        assert!(metrics.contains("process_resident_memory_bytes"), "{metrics}");
        assert!(metrics.ends_with("more 1\n"), "{metrics}");
        assert!(page(address, "/secrets").await.starts_with("HTTP/1.1 404"));

        shutdown.cancel();
        served.await.expect("join").expect("serve");
    }
}
