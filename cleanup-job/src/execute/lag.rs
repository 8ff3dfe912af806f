//! How far the replicas are behind.
//!
//! The server tells how long its replicas took for what they have replayed, and nothing of what
//! they have not: a replica that stands still shows the lag that it had. So the positions of the
//! log are kept with the time at which they were seen here, and a replica is behind since the
//! first of them that it has not replayed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::database::{self, Database};
use crate::failure::Failure;

/// How often is it asked for.
const INTERVAL: Duration = Duration::from_millis(500);
/// How many positions are kept: more than an hour of them.
const KEPT: usize = 8192;

/// What was seen of the replicas.
pub struct ReplicaLag {
    limit: Duration,
    positions: VecDeque<(Instant, i64)>,
    asked: Option<Instant>,
    behind: Duration,
    told: bool,
}

/// Positions of the log, in bytes since its beginning.
#[derive(Clone, Copy, Debug)]
pub struct Positions {
    /// Where the primary writes.
    pub written: i64,
    /// What the slowest replica has replayed; `None` where there is no replica.
    pub replayed: Option<i64>,
    /// What the server says of the slowest, in seconds.
    pub lag: f64,
    /// Replicas of which this role may not know.
    pub hidden: i64,
}

impl ReplicaLag {
    /// Nothing seen yet.
    pub fn new(limit: Duration) -> Self {
        Self { limit, positions: VecDeque::new(), asked: None, behind: Duration::ZERO, told: false }
    }

    /// Whether a replica is further behind than it may be. Asks the server twice a second at the
    /// most.
    pub async fn is_too_long(&mut self, database: &mut Database) -> Result<bool, Failure> {
        let now = Instant::now();
        if self.asked.is_none_or(|asked| now.duration_since(asked) >= INTERVAL) {
            let positions = database::replica_positions(database).await?;
            self.asked = Some(now);
            self.see(now, positions);
        }
        Ok(self.behind > self.limit)
    }

    /// How far the slowest replica is behind.
    pub fn behind(&self) -> Duration {
        self.behind
    }

    fn see(&mut self, now: Instant, positions: Positions) {
        if positions.hidden > 0 && !self.told {
            self.told = true;
            tracing::info!(
                replicas = positions.hidden,
                "execution.maxReplicaLag cannot be kept: the role may not see the replicas; GRANT pg_monitor shows them"
            );
        }
        self.positions.push_back((now, positions.written));
        if self.positions.len() > KEPT {
            self.positions.pop_front();
        }
        let Some(replayed) = positions.replayed else {
            self.positions.clear();
            self.behind = Duration::ZERO;
            return;
        };
        while self.positions.front().is_some_and(|(_, position)| *position <= replayed) {
            self.positions.pop_front();
        }
        let since = self.positions.front().map_or(Duration::ZERO, |(seen, _)| now - *seen);
        let told = Duration::try_from_secs_f64(positions.lag).unwrap_or_default();
        // What the server says is of the past where all is replayed.
        self.behind = if self.positions.is_empty() { Duration::ZERO } else { since.max(told) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(written: i64, replayed: Option<i64>) -> Positions {
        Positions { written, replayed, lag: 0.0, hidden: 0 }
    }

    #[test]
    fn a_replica_that_stands_still_falls_behind_by_our_own_clock() {
        let start = Instant::now();
        let mut lag = ReplicaLag::new(Duration::from_secs(10));
        lag.see(start, at(100, Some(100)));
        assert_eq!(lag.behind(), Duration::ZERO);
        lag.see(start + Duration::from_secs(1), at(200, Some(100)));
        lag.see(start + Duration::from_secs(9), at(300, Some(100)));
        assert_eq!(lag.behind(), Duration::from_secs(8));
        lag.see(start + Duration::from_secs(20), at(400, Some(250)));
        assert_eq!(lag.behind(), Duration::from_secs(11), "it has not replayed what was at 300");
        lag.see(start + Duration::from_secs(21), at(400, Some(400)));
        assert_eq!(lag.behind(), Duration::ZERO);
    }

    #[test]
    fn a_replica_that_stands_still_for_long_takes_no_more_than_so_much_memory() {
        let start = Instant::now();
        let mut lag = ReplicaLag::new(Duration::from_secs(10));
        for second in 0..=KEPT as u64 {
            lag.see(start + Duration::from_secs(second), at(200, Some(100)));
        }
        assert_eq!(lag.positions.len(), KEPT);
        let kept = Duration::from_secs(KEPT as u64 - 1);
        assert_eq!(lag.behind(), kept, "the first of them is forgotten");
    }

    #[test]
    fn replicas_that_the_role_may_not_see_are_told_once() {
        let mut lag = ReplicaLag::new(Duration::from_secs(10));
        lag.see(Instant::now(), at(100, Some(100)));
        assert!(!lag.told, "all are seen");
        for _ in 0..2 {
            lag.see(Instant::now(), Positions { hidden: 1, ..at(100, Some(100)) });
            assert!(lag.told);
        }
    }

    #[test]
    fn without_a_replica_nothing_is_behind() {
        let start = Instant::now();
        let mut lag = ReplicaLag::new(Duration::from_secs(1));
        lag.see(start, at(100, None));
        lag.see(start + Duration::from_secs(100), at(900, None));
        assert_eq!(lag.behind(), Duration::ZERO);
    }

    #[test]
    fn a_replica_that_comes_late_is_behind_by_what_the_server_says() {
        let mut lag = ReplicaLag::new(Duration::from_secs(1));
        lag.see(Instant::now(), Positions { lag: 30.0, ..at(100, Some(5)) });
        assert_eq!(lag.behind(), Duration::from_secs(30));
    }
}
