//! Several operators and one API server, in one table: time is what the test says.

use super::*;

const CLOCK: &str = "2026-11-27T03:00:00Z";

fn clock() -> Timestamp {
    CLOCK.parse().expect("a time")
}

/// The API server's part: it takes a write of the version that it has, and no other.
#[derive(Default)]
struct Server {
    lease: Option<Lease>,
    version: u64,
}

impl Server {
    fn write(&mut self, mut lease: Lease) -> Result<Lease, ()> {
        let known = self.lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        if known != lease.metadata.resource_version {
            return Err(());
        }
        self.version += 1;
        lease.metadata.resource_version = Some(self.version.to_string());
        self.lease = Some(lease.clone());
        Ok(lease)
    }

    fn spec(&self) -> &LeaseSpec {
        self.lease.as_ref().and_then(|lease| lease.spec.as_ref()).expect("a lease")
    }
}

/// An operator, and its own clock, which may be wrong.
struct Operator {
    election: Election,
    clock: Timestamp,
}

impl Operator {
    fn new(identity: &str) -> Self {
        Self::with_clock(identity, clock())
    }

    fn with_clock(identity: &str, clock: Timestamp) -> Self {
        Self { election: Election::new("pgsweep-operator".into(), identity.into()), clock }
    }

    fn next(&self, now: Instant) -> Next {
        self.election.next(now, self.clock)
    }

    /// Looks, and writes where it should; says whether it leads.
    fn turn(&mut self, server: &mut Server, now: Instant) -> bool {
        self.election.see(server.lease.clone(), now);
        if let Next::Write(lease) = self.next(now) {
            let written = server.write(*lease).expect("nobody else wrote meanwhile");
            self.election.wrote(written, now);
        }
        self.leads(now)
    }

    fn leads(&self, now: Instant) -> bool {
        self.election.held_until().is_some_and(|until| now < until)
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn the_first_makes_the_lease_and_the_second_waits() {
    let (mut server, begin) = (Server::default(), Instant::now());
    let (mut one, mut two) = (Operator::new("one"), Operator::new("two"));
    assert!(one.turn(&mut server, begin));
    assert!(!two.turn(&mut server, begin));
    assert_eq!(two.next(begin), Next::Wait);
    let spec = server.spec();
    assert_eq!(spec.holder_identity.as_deref(), Some("one"));
    assert_eq!((spec.lease_duration_seconds, spec.lease_transitions), (Some(15), Some(0)));
    assert_eq!(spec.acquire_time, Some(MicroTime(clock())));
    assert_eq!(spec.renew_time, Some(MicroTime(clock())));
}

#[test]
fn a_holder_that_renews_keeps_it() {
    let (mut server, begin) = (Server::default(), Instant::now());
    let (mut one, mut two) = (Operator::new("one"), Operator::new("two"));
    for turn in 0..20 {
        let now = begin + seconds(turn * 2);
        one.clock = clock() + seconds(turn * 2);
        assert!(one.turn(&mut server, now), "{turn}");
        assert!(!two.turn(&mut server, now), "{turn}");
    }
    let spec = server.spec();
    assert_eq!(spec.acquire_time, Some(MicroTime(clock())));
    assert_eq!(spec.renew_time, Some(MicroTime(clock() + seconds(38))));
    assert_eq!(spec.lease_transitions, Some(0));
}

#[test]
fn a_holder_that_is_silent_has_ended_before_another_begins() {
    let (mut server, begin) = (Server::default(), Instant::now());
    let (mut one, mut two) = (Operator::new("one"), Operator::new("two"));
    one.turn(&mut server, begin);
    let (mut ended, mut took_over) = (None, None);
    for tenths in 0..200 {
        let now = begin + Duration::from_millis(tenths * 100);
        if !one.leads(now) {
            ended.get_or_insert(tenths);
        }
        if took_over.is_none() && two.turn(&mut server, now) {
            took_over = Some(tenths);
        }
    }
    assert_eq!((ended, took_over), (Some(100), Some(150)));
    assert_eq!(server.spec().lease_transitions, Some(1));
}

/// The second has looked for the last time just before a renewal: it counts from what it saw.
#[test]
fn silence_is_counted_from_the_last_change_that_was_seen() {
    let (mut server, begin) = (Server::default(), Instant::now());
    let (mut one, mut two) = (Operator::new("one"), Operator::new("two"));
    one.turn(&mut server, begin);
    assert!(!two.turn(&mut server, begin + seconds(1)));
    one.clock = clock() + seconds(14);
    one.turn(&mut server, begin + seconds(14));
    // Long after: but only now it sees that there was a renewal.
    assert!(!two.turn(&mut server, begin + seconds(40)));
    assert!(!two.turn(&mut server, begin + seconds(54)));
    assert!(two.turn(&mut server, begin + seconds(55)));
}

#[test]
fn the_clocks_of_others_mean_nothing() {
    for shift in [-40_000_000_i64, -3600, 3600, 40_000_000] {
        let (mut server, begin) = (Server::default(), Instant::now());
        let their_clock = clock() + jiff::SignedDuration::from_secs(shift);
        let (mut one, mut two) = (Operator::with_clock("one", their_clock), Operator::new("two"));
        one.turn(&mut server, begin);
        assert!(!two.turn(&mut server, begin), "{shift}");
        assert!(!two.turn(&mut server, begin + seconds(14)), "{shift}");
        assert!(two.turn(&mut server, begin + seconds(15)), "{shift}");
    }
}

/// Labels and the like are no sign of life.
#[test]
fn an_edit_beside_the_record_does_not_prolong_it() {
    let (mut server, begin) = (Server::default(), Instant::now());
    let (mut one, mut two) = (Operator::new("one"), Operator::new("two"));
    one.turn(&mut server, begin);
    two.turn(&mut server, begin);
    let mut edited = server.lease.clone().expect("a lease");
    edited.metadata.labels = Some([("team".into(), "sre".into())].into());
    server.write(edited).expect("the version is the newest");
    assert!(two.turn(&mut server, begin + seconds(15)));
    let metadata = server.lease.expect("a lease").metadata;
    assert!(metadata.labels.is_some_and(|labels| labels.contains_key("team")));
}

#[test]
fn of_two_that_take_it_at_once_one_waits() {
    let (mut server, begin) = (Server::default(), Instant::now());
    let (mut one, mut two) = (Operator::new("one"), Operator::new("two"));
    let (Next::Write(first), Next::Write(second)) = (one.next(begin), two.next(begin)) else {
        panic!("both are to write");
    };
    one.election.wrote(server.write(*first).expect("the first"), begin);
    server.write(*second).expect_err("the second");
    assert!(!two.turn(&mut server, begin));
    assert_eq!(two.next(begin), Next::Wait);
}

/// A write whose answer was lost: the lease is ours, and we learn it by looking.
#[test]
fn a_write_without_an_answer_is_found_again() {
    let (mut server, begin) = (Server::default(), Instant::now());
    let mut one = Operator::new("one");
    let Next::Write(lease) = one.next(begin) else { panic!("it is to write") };
    server.write(*lease).expect("a write");
    assert!(!one.leads(begin));
    assert!(one.turn(&mut server, begin + seconds(1)));
    assert_eq!(server.spec().lease_transitions, Some(0));
}

#[test]
fn who_was_overtaken_yields_at_once() {
    let (mut server, begin) = (Server::default(), Instant::now());
    let (mut one, mut two) = (Operator::new("one"), Operator::new("two"));
    one.turn(&mut server, begin);
    two.turn(&mut server, begin);
    assert!(two.turn(&mut server, begin + seconds(15)));
    one.election.see(server.lease.clone(), begin + seconds(15));
    assert_eq!(one.next(begin + seconds(15)), Next::Yield { holder: "two".into() });
}

#[test]
fn a_lease_that_is_given_back_is_free_at_once() {
    let (mut server, begin) = (Server::default(), Instant::now());
    let (mut one, mut two) = (Operator::new("one"), Operator::new("two"));
    one.turn(&mut server, begin);
    assert!(!two.turn(&mut server, begin));
    assert_eq!(two.election.give_back(clock()), None);
    let given_back = one.election.give_back(clock()).expect("it is held");
    server.write(given_back).expect("the version is the newest");
    assert!(!one.leads(begin));
    let spec = server.spec();
    assert_eq!(spec.holder_identity.as_deref(), Some(""));
    assert_eq!((spec.lease_duration_seconds, spec.lease_transitions), (Some(1), Some(0)));
    assert!(two.turn(&mut server, begin + seconds(1)));
    let spec = server.spec();
    assert_eq!((spec.lease_duration_seconds, spec.lease_transitions), (Some(15), Some(1)));
}

/// Somebody deletes the Lease: its holder goes on until it sees that, and nobody else begins
/// before.
#[test]
fn a_lease_that_is_deleted_is_made_anew_by_its_holder() {
    let (mut server, begin) = (Server::default(), Instant::now());
    let (mut one, mut two) = (Operator::new("one"), Operator::new("two"));
    one.turn(&mut server, begin);
    two.turn(&mut server, begin);
    server.lease = None;
    assert!(!two.turn(&mut server, begin + seconds(1)));
    one.clock = clock() + seconds(2);
    assert!(one.turn(&mut server, begin + seconds(2)));
    assert!(!two.turn(&mut server, begin + seconds(2)));
    // Its holder is dead as well.
    server.lease = None;
    assert!(!two.turn(&mut server, begin + seconds(16)));
    assert!(two.turn(&mut server, begin + seconds(17)));
}

#[test]
fn a_holder_that_asks_for_longer_is_given_longer() {
    let (mut server, begin) = (Server::default(), Instant::now());
    let mut two = Operator::new("two");
    let spec = |seconds| LeaseSpec {
        holder_identity: Some("one".into()),
        lease_duration_seconds: seconds,
        ..LeaseSpec::default()
    };
    for (asked, waits) in [(Some(60), 60), (None, 15), (Some(-5), 15)] {
        let lease = Lease { metadata: ObjectMeta::default(), spec: Some(spec(asked)) };
        server.lease = Some(lease);
        two.election.see(server.lease.clone(), begin);
        assert_eq!(two.next(begin + seconds(waits - 1)), Next::Wait, "{asked:?}");
        assert!(matches!(two.next(begin + seconds(waits)), Next::Write(_)), "{asked:?}");
    }
}
