//! What to do with the Lease: a function of what was seen of it, and when.
//! Pure: both clocks are parameters.
//!
//! A holder is dead when its Lease has not changed for as long as it says, by
//! the clock of the one who looks. What the Lease says of times is for people:
//! two clocks are never compared.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

/// Others leave a Lease that does not change alone for so long.
pub const LEASE: Duration = Duration::from_secs(15);
/// Who could not renew for so long is no longer the leader, well before others can know.
pub const RENEW: Duration = Duration::from_secs(10);
/// A Lease that was given back is free at once; this is for those who do not know that.
const GIVEN_BACK: i32 = 1;

/// One operator's view of the Lease.
#[derive(Debug)]
pub struct Election {
    name: String,
    /// What the Lease calls this operator: nobody else's name.
    identity: String,
    seen: Option<Seen>,
    held_until: Option<Instant>,
}

#[derive(Debug)]
struct Seen {
    spec: LeaseSpec,
    /// `None` for a Lease that was deleted.
    metadata: Option<ObjectMeta>,
    /// When this `spec` was first seen.
    since: Instant,
}

/// What to do.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Somebody else holds it.
    Wait,
    /// Write this: with a `resourceVersion` in place of that version, else anew.
    Write(Box<Lease>),
    /// Somebody else took it from us.
    Yield { holder: String },
}

impl Election {
    pub fn new(name: String, identity: String) -> Self {
        Self { name, identity, seen: None, held_until: None }
    }

    /// The Lease's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes in what the API server has: `None` where there is no such Lease.
    pub fn see(&mut self, lease: Option<Lease>, now: Instant) {
        match (lease, &mut self.seen) {
            (Some(lease), seen) => {
                let spec = lease.spec.unwrap_or_default();
                let since = seen.take().filter(|seen| seen.spec == spec).map(|seen| seen.since);
                let since = since.unwrap_or(now);
                *seen = Some(Seen { spec, metadata: Some(lease.metadata), since });
            }
            // Its holder may not know yet, and goes on for a while.
            (None, Some(seen)) => seen.metadata = None,
            (None, None) => {}
        }
    }

    /// Who holds it, as far as is known.
    pub fn holder(&self) -> Option<&str> {
        let holder = self.seen.as_ref()?.spec.holder_identity.as_deref()?;
        Some(holder).filter(|holder| !holder.is_empty())
    }

    /// Until when this operator may act as the holder.
    pub fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// What to do now. `clock` is what a person reads in the Lease.
    pub fn next(&self, now: Instant, clock: Timestamp) -> Next {
        let mine = self.holder() == Some(self.identity.as_str());
        match (self.holder(), &self.seen) {
            (Some(holder), _) if !mine && self.held_until.is_some() => {
                Next::Yield { holder: holder.to_owned() }
            }
            (Some(_), Some(seen)) if !mine && now < seen.since + seen.duration() => Next::Wait,
            _ => Next::Write(Box::new(self.lease(mine, clock))),
        }
    }

    /// The Lease with this operator as its holder.
    fn lease(&self, mine: bool, clock: Timestamp) -> Lease {
        let before = self.seen.as_ref().map(|seen| &seen.spec);
        let transitions = before.map(|spec| spec.lease_transitions.unwrap_or(0));
        let acquired = before.and_then(|spec| spec.acquire_time.clone()).filter(|_| mine);
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: acquired.or(Some(MicroTime(clock))),
            renew_time: Some(MicroTime(clock)),
            lease_transitions: transitions
                .map(|count| if mine { count } else { count.saturating_add(1) })
                .or(Some(0)),
            ..LeaseSpec::default()
        };
        self.with_metadata(spec)
    }

    fn with_metadata(&self, spec: LeaseSpec) -> Lease {
        let known = self.seen.as_ref().and_then(|seen| seen.metadata.clone());
        let metadata = known.unwrap_or_else(|| ObjectMeta {
            name: Some(self.name.clone()),
            ..ObjectMeta::default()
        });
        Lease { metadata, spec: Some(spec) }
    }

    /// The API server has taken what [`Election::next`] said; `began` is when it was asked to,
    /// which is the latest moment that no other can count from.
    pub fn wrote(&mut self, lease: Lease, began: Instant) {
        self.see(Some(lease), began);
        self.held_until = Some(began + RENEW);
    }

    /// What to write so that others need not wait; `None` where it is not ours to give.
    pub fn give_back(&mut self, clock: Timestamp) -> Option<Lease> {
        self.held_until = None;
        let seen = self.seen.as_ref().filter(|seen| seen.metadata.is_some())?;
        if self.holder() != Some(self.identity.as_str()) {
            return None;
        }
        let spec = LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(GIVEN_BACK),
            acquire_time: Some(MicroTime(clock)),
            renew_time: Some(MicroTime(clock)),
            ..seen.spec.clone()
        };
        Some(self.with_metadata(spec))
    }
}

impl Seen {
    /// For how long the holder may be silent.
    fn duration(&self) -> Duration {
        let seconds = self.spec.lease_duration_seconds.and_then(|seconds| seconds.try_into().ok());
        seconds.filter(|seconds| *seconds > 0).map_or(LEASE, Duration::from_secs)
    }
}

#[cfg(test)]
mod tests;
