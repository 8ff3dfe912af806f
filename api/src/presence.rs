//! Who is there, as far as this replica knows without asking the database: heartbeats are many, and most of
//! them say nothing new.
//!
//! A token whose session is live is believed for a moment after the database was asked, and all of them are
//! asked for at once by `round`, which also writes down who was heard of. So an end that another replica was
//! told of is known here within [`BELIEVED`]; one that came here is known at once.

pub mod round;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// How long the database's word is good. `round` asks sooner, so that it hardly ever runs out.
pub const BELIEVED: Duration = Duration::from_secs(5);
/// How long it is good at the most, while there is too much to do to ask again.
const PROLONGED: Duration = Duration::from_secs(20);
/// About 20 MB. Beyond that a heartbeat is written by itself.
const MOST: usize = 100_000;

/// The hash of a token.
pub type Hash = [u8; 32];

/// Tokens of participants who were heard of here.
pub struct Presence {
    known: Mutex<HashMap<Hash, Known>>,
    /// Two heartbeats and a half: whoever is silent for longer has to be asked for anew.
    remembered: Duration,
}

/// What the database said, and when its holder was last heard of.
#[derive(Clone, Copy)]
struct Known {
    session: Uuid,
    participant: Uuid,
    asked_at: Instant,
    believed_until: Instant,
    over_at: Instant,
    heard_at: Instant,
    /// The newest sign of life that is written down.
    written: Option<Instant>,
}

/// A sign of life that is not written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// By what it is known here.
    hash: Hash,
    /// Of whom.
    pub participant: Uuid,
    /// When.
    pub at: Instant,
}

/// What the database says of somebody whose session lives and who has not left it.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// For how long the session lives.
    pub left: Duration,
    /// Since when they are marked as gone, if they are.
    pub gone_for: Option<Duration>,
}

impl Presence {
    /// Nobody so far; each is to be heard of so often.
    pub fn new(interval: Duration) -> Self {
        Self { known: Mutex::default(), remembered: interval * 5 / 2 }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Hash, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody was heard of. Whether that was all: otherwise the database has to be asked.
    pub fn beat(&self, hash: &Hash, session: Uuid, now: Instant) -> bool {
        let mut known = self.known();
        let found = known.get_mut(hash).filter(|known| {
            known.session == session && now < known.believed_until && now < known.over_at
        });
        found.map(|known| known.heard_at = now).is_some()
    }

    /// The database said at `asked` that a token is good for so long. Whether there was room to remember it.
    pub fn learn(
        &self,
        hash: Hash,
        (session, participant): (Uuid, Uuid),
        left: Duration,
        asked: Instant,
    ) -> bool {
        let mut known = self.known();
        if known.len() >= MOST && !known.contains_key(&hash) {
            return false;
        }
        let written = known.get(&hash).and_then(|known| known.written);
        let asked_at = asked;
        let (believed_until, over_at) = (asked + BELIEVED, asked + left);
        let heard_at = asked;
        known.insert(
            hash,
            Known { session, participant, asked_at, believed_until, over_at, heard_at, written },
        );
        true
    }

    /// A session is over.
    pub fn forget_session(&self, session: Uuid) {
        self.known().retain(|_, known| known.session != session);
    }

    /// Somebody has left.
    pub fn forget(&self, participant: Uuid) {
        self.known().retain(|_, known| known.participant != participant);
    }

    /// What is to be written down.
    pub fn beats(&self) -> Vec<Beat> {
        self.beats_where(|_| true)
    }

    /// What is to be written down of one session.
    pub fn beats_in(&self, session: Uuid) -> Vec<Beat> {
        self.beats_where(|known| known.session == session)
    }

    fn beats_where(&self, of: impl Fn(&Known) -> bool) -> Vec<Beat> {
        let known = self.known();
        let is_new = |known: &Known| known.written != Some(known.heard_at) && of(known);
        let new = known.iter().filter(|(_, known)| is_new(known));
        new.map(|(hash, known)| Beat {
            hash: *hash,
            participant: known.participant,
            at: known.heard_at,
        })
        .collect()
    }

    /// These are written down. Whoever was heard of since is to be written again.
    pub fn written<'a>(&self, beats: impl Iterator<Item = &'a Beat>) {
        let mut known = self.known();
        for beat in beats {
            if let Some(known) = known.get_mut(&beat.hash) {
                known.written = Some(beat.at);
            }
        }
    }

    /// Those to ask the database for; the silent are forgotten.
    pub fn remembered(&self, now: Instant) -> Vec<Uuid> {
        let mut known = self.known();
        known.retain(|_, known| now.duration_since(known.heard_at) < self.remembered);
        known.values().map(|known| known.participant).collect()
    }

    /// The database said at `asked` how each of these stands; of the others that were asked for, that their token is
    /// not good. Who is marked as gone is asked for with the next heartbeat; of those who had one since it gives the tokens.
    pub fn refresh(
        &self,
        asked_for: &[Uuid],
        standings: &HashMap<Uuid, Standing>,
        asked: Instant,
    ) -> Vec<Hash> {
        let asked_for: HashSet<_> = asked_for.iter().collect();
        let mut returned = Vec::new();
        self.known().retain(|hash, known| {
            if !asked_for.contains(&known.participant) {
                return true;
            }
            let Some(standing) = standings.get(&known.participant) else { return false };
            if let Some(gone_for) = standing.gone_for {
                if asked.duration_since(known.heard_at) < gone_for {
                    returned.push(*hash);
                }
                return false;
            }
            known.asked_at = asked;
            known.believed_until = asked + BELIEVED;
            known.over_at = asked + standing.left;
            true
        });
        returned
    }

    /// There is too much to do to ask again in time: if each heartbeat asked by itself then, it would never be less.
    pub fn prolong(&self, now: Instant) {
        for known in self.known().values_mut() {
            let until = (now + BELIEVED).min(known.asked_at + PROLONGED);
            known.believed_until = known.believed_until.max(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: Hash = [7; 32];
    const SESSION: Uuid = Uuid::from_u128(1);
    const SOMEBODY: Uuid = Uuid::from_u128(2);
    const HOUR: Duration = Duration::from_hours(1);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn presence() -> Presence {
        Presence::new(seconds(30))
    }

    fn good(left: Duration) -> HashMap<Uuid, Standing> {
        HashMap::from([(SOMEBODY, Standing { left, gone_for: None })])
    }

    #[test]
    fn a_token_is_believed_for_a_moment_for_its_own_session_and_while_that_lives() {
        let (presence, now) = (presence(), Instant::now());
        assert!(!presence.beat(&HASH, SESSION, now), "nobody was asked");
        assert!(presence.learn(HASH, (SESSION, SOMEBODY), HOUR, now));
        assert!(presence.beat(&HASH, SESSION, now + seconds(4)));
        assert!(!presence.beat(&HASH, Uuid::from_u128(9), now));
        assert!(!presence.beat(&HASH, SESSION, now + BELIEVED));

        presence.refresh(&[SOMEBODY], &good(HOUR), now + seconds(4));
        assert!(presence.beat(&HASH, SESSION, now + seconds(8)));
        presence.refresh(&[SOMEBODY], &good(seconds(1)), now + seconds(8));
        assert!(!presence.beat(&HASH, SESSION, now + seconds(9)), "it is over at that very moment");
        presence.refresh(&[], &HashMap::new(), now);
        assert_eq!(presence.remembered(now).len(), 1, "nobody asked for it");
        presence.refresh(&[SOMEBODY], &HashMap::new(), now);
        assert!(presence.remembered(now).is_empty());
    }

    #[test]
    fn in_a_crowd_a_token_is_believed_for_longer_and_not_for_ever() {
        let (presence, now) = (presence(), Instant::now());
        presence.learn(HASH, (SESSION, SOMEBODY), HOUR, now);
        presence.prolong(now + seconds(4));
        assert!(presence.beat(&HASH, SESSION, now + seconds(8)));
        assert!(!presence.beat(&HASH, SESSION, now + seconds(9)));
        presence.prolong(now + seconds(17));
        presence.prolong(now + seconds(19));
        assert!(presence.beat(&HASH, SESSION, now + seconds(19)));
        assert!(!presence.beat(&HASH, SESSION, now + PROLONGED));
        presence.learn(HASH, (SESSION, SOMEBODY), seconds(1), now);
        presence.prolong(now);
        assert!(!presence.beat(&HASH, SESSION, now + seconds(1)), "its session is over");
    }

    #[test]
    fn whoever_ends_or_leaves_here_is_forgotten_at_once_and_the_silent_later() {
        let (presence, now) = (presence(), Instant::now());
        let learn = || presence.learn(HASH, (SESSION, SOMEBODY), HOUR, now);
        for forget in [|p: &Presence| p.forget(SOMEBODY), |p: &Presence| p.forget_session(SESSION)]
        {
            learn();
            forget(&presence);
            assert!(!presence.beat(&HASH, SESSION, now));
        }
        learn();
        assert_eq!(presence.remembered(now + seconds(74)), [SOMEBODY]);
        assert!(presence.remembered(now + seconds(75)).is_empty());
    }

    #[test]
    fn who_is_marked_as_gone_has_come_back_where_a_heartbeat_came_after_the_mark() {
        let (presence, now) = (presence(), Instant::now());
        let gone = |seconds| {
            let gone_for = Some(Duration::from_secs(seconds));
            HashMap::from([(SOMEBODY, Standing { left: HOUR, gone_for })])
        };
        for (marked_before, returned) in [(2, 0), (3, 0), (4, 1)] {
            presence.learn(HASH, (SESSION, SOMEBODY), HOUR, now);
            let told = presence.refresh(&[SOMEBODY], &gone(marked_before), now + seconds(3));
            assert_eq!(told.len(), returned, "{marked_before}");
            assert!(!presence.beat(&HASH, SESSION, now + seconds(3)), "it is asked for");
        }
    }

    #[test]
    fn a_beat_is_to_be_written_until_it_is() {
        let (presence, now) = (presence(), Instant::now());
        presence.learn(HASH, (SESSION, SOMEBODY), HOUR, now);
        let first = presence.beats();
        assert_eq!(first.len(), 1);
        presence.beat(&HASH, SESSION, now + seconds(1));
        presence.written(first.iter());
        let second = presence.beats();
        assert_eq!(second[0].at, now + seconds(1), "it came while the first was written");
        presence.written(second.iter());
        assert!(presence.beats().is_empty());
    }
}
