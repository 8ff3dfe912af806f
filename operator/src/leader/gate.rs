//! The gate that every write of the controller goes through: open while this
//! operator holds the lease, by its own clock, and shut by itself when the time
//! is over.

use std::time::Instant;

use tokio::sync::watch;

/// Until when the lease is held, if it is.
type Until = Option<Instant>;

/// Whether this operator may write.
#[derive(Clone, Debug)]
pub enum Gate {
    /// Nobody else works here.
    AlwaysOpen,
    /// As long as the lease is held.
    Leased(watch::Receiver<Until>),
}

/// Opens a gate, and shuts it; also by being dropped.
#[derive(Debug)]
pub struct Keeper(watch::Sender<Until>);

impl Keeper {
    /// A gate that is shut, and its keeper.
    pub fn new() -> (Self, Gate) {
        let (sender, receiver) = watch::channel(None);
        (Self(sender), Gate::Leased(receiver))
    }

    /// Opens the gate until then, in place of what was said before.
    pub fn open_until(&self, until: Instant) {
        self.0.send_replace(Some(until));
    }

    pub fn shut(&self) {
        self.0.send_replace(None);
    }
}

impl Gate {
    pub fn is_open(&self) -> bool {
        match self {
            Gate::AlwaysOpen => true,
            // Without a keeper nobody renews the lease.
            Gate::Leased(until) => until.has_changed().is_ok() && is_open(*until.borrow()),
        }
    }

    /// Returns when it is open; never, if nobody will open it any more.
    pub async fn wait_until_open(&self) {
        let Gate::Leased(until) = self else { return };
        let opened = until.clone().wait_for(|until| is_open(*until)).await.is_ok();
        if !opened || until.has_changed().is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns when it is shut.
    pub async fn wait_until_shut(&self) {
        let Gate::Leased(until) = self else { return std::future::pending().await };
        let mut until = until.clone();
        loop {
            let now = *until.borrow_and_update();
            let Some(end) = now.filter(|_| is_open(now)) else { return };
            tokio::select! {
                // The time may have been extended meanwhile.
                () = tokio::time::sleep_until(end.into()) => {}
                changed = until.changed() => if changed.is_err() { return },
            }
        }
    }
}

fn is_open(until: Until) -> bool {
    until.is_some_and(|until| Instant::now() < until)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn a_gate_is_open_for_its_time_and_no_longer() {
        let (keeper, gate) = Keeper::new();
        assert!(!gate.is_open());
        assert_eq!(gate.wait_until_shut().now_or_never(), Some(()));
        assert_eq!(gate.wait_until_open().now_or_never(), None);

        keeper.open_until(Instant::now() + LONG);
        assert!(gate.is_open());
        assert_eq!(gate.wait_until_open().now_or_never(), Some(()));
        assert_eq!(gate.wait_until_shut().now_or_never(), None);

        keeper.open_until(Instant::now() + Duration::from_millis(5));
        gate.wait_until_shut().await;
        assert!(!gate.is_open());
    }

    #[tokio::test]
    async fn a_gate_without_a_keeper_is_shut() {
        let (keeper, gate) = Keeper::new();
        keeper.open_until(Instant::now() + LONG);
        let shut = tokio::spawn({
            let gate = gate.clone();
            async move { gate.wait_until_shut().await }
        });
        drop(keeper);
        shut.await.expect("join");
        assert!(!gate.is_open());
        assert_eq!(gate.wait_until_open().now_or_never(), None);
    }

    #[tokio::test]
    async fn a_gate_that_is_shut_lets_those_who_wait_know() {
        let (keeper, gate) = Keeper::new();
        keeper.open_until(Instant::now() + LONG);
        keeper.shut();
        gate.wait_until_shut().await;
        assert!(!gate.is_open());
        assert_eq!(Gate::AlwaysOpen.wait_until_shut().now_or_never(), None);
        assert!(Gate::AlwaysOpen.is_open());
    }
}
