//! Waiting for what nothing announces: look, pause briefly, look again, give up with a reason.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Short against everything that is waited for, long against one look.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until `look` finds something. When the time is up, the error says `what` was waited for
/// and why the last look failed.
pub async fn until<T>(
    what: &str,
    timeout: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        let seen = look().await;
        if let Some(result) = verdict(what, begun, timeout, seen) {
            return result;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The same for code that may block.
pub fn until_blocking<T>(
    what: &str,
    timeout: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        let seen = look();
        if let Some(result) = verdict(what, begun, timeout, seen) {
            return result;
        }
        thread::sleep(PAUSE);
    }
}

/// Nothing while there is reason to go on.
fn verdict<T>(
    what: &str,
    begun: Instant,
    timeout: Duration,
    seen: Result<Option<T>>,
) -> Option<Result<T>> {
    let late = begun.elapsed() > timeout;
    let gave_up = || format!("waited {} s for {what}", timeout.as_secs());
    match seen {
        Ok(Some(found)) => Some(Ok(found)),
        Ok(None) if late => Some((|| bail!("{}", gave_up()))()),
        Err(error) if late => Some(Err(error).with_context(gave_up)),
        // What is not there yet is often an error to ask for.
        Ok(None) | Err(_) => None,
    }
}
