//! A place at which the proxy waits for the test's word.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::watch;

use super::Shared;
use super::answer::Broken;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Wait,
    Go,
    Cut,
}

/// The proxy's end.
#[derive(Debug, Clone)]
pub struct Place {
    reached: Arc<watch::Sender<bool>>,
    order: watch::Receiver<Order>,
}

impl Place {
    pub(super) fn reach(&self) {
        self.reached.send_replace(true);
    }

    /// Says that it is reached, and waits for the order.
    pub(super) async fn wait(&self) -> Result<(), Broken> {
        self.reach();
        let mut order = self.order.clone();
        // A test that is gone gives no order any more.
        let order = order.wait_for(|order| *order != Order::Wait).await.map(|order| *order);
        if matches!(order, Ok(Order::Cut)) { Err(Broken) } else { Ok(()) }
    }
}

/// The test's end. Dropping it lets go on what is held, and takes the plan back.
#[derive(Debug)]
pub struct Hold {
    what: String,
    reached: watch::Receiver<bool>,
    order: watch::Sender<Order>,
    shared: Arc<Shared>,
    stop: Option<usize>,
}

impl Hold {
    /// Both ends. With `stop` nothing else passes from the moment on at which it is reached.
    pub(super) fn new(what: String, shared: Arc<Shared>, stop: Option<usize>) -> (Self, Place) {
        let (reaching, reached) = watch::channel(false);
        let (order, ordered) = watch::channel(Order::Wait);
        let place = Place { reached: Arc::new(reaching), order: ordered };
        (Self { what, reached, order, shared, stop }, place)
    }

    /// Whether it is reached.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        *self.reached.borrow()
    }

    /// Waits until it is reached. An error when that cannot be any more, because the plan was
    /// lifted or the proxy has ended.
    pub async fn reached(&mut self) -> Result<()> {
        let reached = self.reached.wait_for(|reached| *reached).await;
        reached.with_context(|| format!("there was not: {}", self.what))?;
        Ok(())
    }

    /// Lets it go on.
    pub fn release(self) {}

    /// Cuts what is held. After a stop: cuts every connection that there is, so that nothing more
    /// of what the client has sent reaches the API server.
    pub fn cut(self) {
        if self.stop.is_some() {
            self.shared.cut();
        }
        self.order.send_replace(Order::Cut);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.order.send_if_modified(|order| {
            let waits = *order == Order::Wait;
            if waits {
                *order = Order::Go;
            }
            waits
        });
        if let Some(stop) = self.stop {
            self.shared.end_stop(stop);
        }
    }
}
