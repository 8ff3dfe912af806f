//! What every request can use.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::admin::AdminKeys;
use crate::code::CodeKeys;
use crate::db::Database;
use crate::metrics::Metrics;
use crate::presence::Presence;

/// How long a replica believes that a client is blocked without asking: a flood reaches the database once
/// in that time, and a try that was given back elsewhere is seen soon.
const BELIEVED: Duration = Duration::from_secs(1);
/// That a client is blocked is told once in that time: whoever goes on fills no table with it.
const TOLD: Duration = Duration::from_mins(1);
/// More than that, and what is over is thrown out.
const MOST_BLOCKED: usize = 10_000;

/// The server's own.
pub struct App {
    /// By what the other replicas know this one.
    pub id: Uuid,
    /// The database.
    pub database: Database,
    /// The keys of codes.
    pub code_keys: CodeKeys,
    /// The keys of those who run it.
    pub admin_keys: AdminKeys,
    /// Who was just told to wait.
    pub blocked: Blocked,
    /// Who is there.
    pub presence: Presence,
    /// Figures.
    pub metrics: Metrics,
    /// How many proxies of ours stand before it.
    pub proxies: usize,
    /// How often phones are asked to say that they are there.
    pub heartbeat: Duration,
    /// A link leads to no session in which nobody was heard of for longer.
    pub invite_timeout: Duration,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// Whether it is about to end.
    pub draining: Draining,
}

/// Whether the server takes its leave: it still answers, and wants no new client.
#[derive(Default)]
pub struct Draining(AtomicBool);

impl Draining {
    /// From now on.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Who has no try left, by key.
#[derive(Default)]
pub struct Blocked(Mutex<HashMap<String, Block>>);

#[derive(Clone, Copy)]
struct Block {
    believed_until: Instant,
    over_at: Instant,
    told_until: Instant,
}

impl Blocked {
    /// How many more seconds a key has to wait, as far as is known here.
    pub fn seconds_left(&self, key: &str, now: Instant) -> Option<f64> {
        let blocked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let block = blocked.get(key).filter(|block| now < block.believed_until)?;
        Some(block.over_at.saturating_duration_since(now).as_secs_f64())
    }

    /// The database said that a key has to wait so many seconds. Whether that is to be told of.
    pub fn block(&self, key: String, seconds: f64, now: Instant) -> bool {
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let (believed_until, over_at) = (now + wait.min(BELIEVED), now + wait);
        let mut blocked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = blocked.get_mut(&key).filter(|block| now < block.told_until) {
            *block = Block { believed_until, over_at, ..*block };
            return false;
        }
        if blocked.len() >= MOST_BLOCKED {
            blocked.retain(|_, block| now < block.told_until);
        }
        let is_kept = blocked.len() < MOST_BLOCKED;
        if is_kept {
            blocked.insert(key, Block { believed_until, over_at, told_until: now + TOLD });
        }
        is_kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_believed_for_a_moment_and_never_longer_than_it_lasts() {
        let (blocked, now) = (Blocked::default(), Instant::now());
        let after = |millis| now + Duration::from_millis(millis);
        assert!(blocked.block("a".to_owned(), 37.0, now));
        assert!(blocked.block("b".to_owned(), 0.5, now));
        assert!(blocked.seconds_left("a", after(900)).is_some_and(|left| left > 36.0));
        assert_eq!(blocked.seconds_left("a", after(1000)), None);
        assert_eq!(blocked.seconds_left("b", after(500)), None);
        assert_eq!(blocked.seconds_left("c", now), None);
        assert!(!blocked.block("b".to_owned(), 0.5, after(59_999)), "it was told of");
        assert!(blocked.seconds_left("b", after(60_100)).is_some());
        assert!(blocked.block("b".to_owned(), 0.5, after(60_000)), "a minute ago");
    }

    #[test]
    fn a_crowd_of_blocked_clients_does_not_fill_the_memory() {
        let (blocked, now) = (Blocked::default(), Instant::now());
        for client in 0..MOST_BLOCKED + 5 {
            blocked.block(client.to_string(), 60.0, now);
        }
        let count = || blocked.0.lock().expect("unbroken").len();
        assert_eq!(count(), MOST_BLOCKED);
        assert!(!blocked.block("late".to_owned(), 60.0, now + BELIEVED), "nothing grows by it");
        assert!(blocked.block("later".to_owned(), 60.0, now + TOLD));
        assert_eq!(count(), 1);
    }
}
