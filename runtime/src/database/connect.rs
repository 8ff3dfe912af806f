//! Connecting, with patience for a database that is away and none for one that is wrong.

use std::time::{Duration, Instant};

use rand::Rng as _;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnection;
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::failure::{Failure, FailureKind};

/// The longest that one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Connects, and tries again with jitter until `patience` has passed: a new pod is sometimes let
/// through to the database late.
pub async fn connect(
    address: &Address,
    patience: Duration,
    cancelled: &CancellationToken,
) -> Result<PgConnection, Failure> {
    let begin = Instant::now();
    let mut pause = Duration::from_millis(250);
    loop {
        let attempt = tokio::time::timeout(
            ATTEMPT.min(patience.max(Duration::from_secs(1))),
            address.options().connect(),
        );
        let failure = tokio::select! {
            attempt = attempt => match attempt {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => Failure::from(error),
                Err(_) => Failure::unavailable("the database cannot be reached: timed out"),
            },
            () = cancelled.cancelled() => {
                return Err(Failure::unavailable("asked to end while connecting"));
            }
        };
        let failure = failure.while_doing("connecting");
        if failure.kind != FailureKind::Unavailable || begin.elapsed() + pause > patience {
            return Err(failure);
        }
        tracing::warn!(error = %failure, "database not reached yet, trying again");
        let jitter = rand::rng().random_range(0.5..1.5);
        tokio::select! {
            () = tokio::time::sleep(pause.mul_f64(jitter)) => {}
            () = cancelled.cancelled() => return Err(failure),
        }
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}
