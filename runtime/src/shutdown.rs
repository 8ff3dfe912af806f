//! The end of the process: one token that every task listens to.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled at SIGTERM or SIGINT. Call it once, inside the tokio runtime.
///
/// A second SIGINT ends the process at once, for the person at the terminal; a
/// second SIGTERM does not, since a kubelet that retries sends it twice.
///
/// Where the signals cannot be listened to, they keep their default, which
/// ends the process; that is logged.
#[must_use]
pub fn token() -> CancellationToken {
    let token = CancellationToken::new();
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => {
            tokio::spawn(cancel_at_signal(terminate, interrupt, token.clone()));
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(%error, "cannot listen to signals: this process ends at once when asked to");
        }
    }
    token
}

async fn cancel_at_signal(mut terminate: Signal, mut interrupt: Signal, token: CancellationToken) {
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = name, "asked to end");
    token.cancel();
    if interrupt.recv().await.is_some() {
        std::process::exit(130);
    }
}
