//! Places for connections. One that rests between two requests gives its place to whoever finds none: so neither a
//! proxy that keeps many for later nor clients that only keep them lock anybody out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long a connection that rests may take to end.
const MOMENT: Duration = Duration::from_millis(50);
/// How often one is ended for whoever waits: a second, in which requests end and others begin to rest.
const TRIES: u32 = 20;

/// All of them.
pub struct Places {
    free: Arc<Semaphore>,
    resting: Mutex<Resting>,
}

/// Connections that rest, the one that does for longest first.
#[derive(Default)]
struct Resting {
    begun: u64,
    by_begin: BTreeMap<u64, CancellationToken>,
}

/// Whether one connection rests.
pub struct Rest {
    places: Arc<Places>,
    ended: CancellationToken,
    begun: Mutex<Option<u64>>,
}

impl Places {
    /// So many.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(most)), resting: Mutex::default() })
    }

    /// One, unless all are taken by connections that do not rest.
    pub async fn take(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(place);
        }
        for _ in 0..TRIES {
            self.end_longest();
            let place = timeout(MOMENT, Arc::clone(&self.free).acquire_owned());
            if let Ok(Ok(place)) = place.await {
                return Some(place);
            }
        }
        None
    }

    /// A connection that takes one of them; `ended` is what ends it.
    pub fn rest(self: &Arc<Self>, ended: CancellationToken) -> Arc<Rest> {
        Arc::new(Rest { places: Arc::clone(self), ended, begun: Mutex::default() })
    }

    /// Ends the connection that rests for longest, if any does.
    pub fn end_longest(&self) {
        if let Some((_, ended)) = self.resting().by_begin.pop_first() {
            ended.cancel();
        }
    }

    fn resting(&self) -> MutexGuard<'_, Resting> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rest {
    /// A request was answered.
    pub fn begin(&self) {
        let mut resting = self.places.resting();
        resting.begun += 1;
        let number = resting.begun;
        resting.by_begin.insert(number, self.ended.clone());
        drop(resting);
        *self.begun() = Some(number);
    }

    /// A request has come.
    pub fn end(&self) {
        if let Some(number) = self.begun().take() {
            self.places.resting().by_begin.remove(&number);
        }
    }

    fn begun(&self) -> MutexGuard<'_, Option<u64>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_rests_for_longest_makes_room_and_who_works_does_not() {
        let places = Places::new(2);
        let (_first, _second) = (places.take().await, places.take().await);
        assert!(places.take().await.is_none(), "nobody rests");
        let tokens = [CancellationToken::new(), CancellationToken::new()];
        let rests = tokens.each_ref().map(|token| places.rest(token.clone()));
        for rest in &rests {
            rest.begin();
        }
        rests[0].end();
        rests[0].begin();
        places.end_longest();
        assert!(tokens[1].is_cancelled() && !tokens[0].is_cancelled());
        rests[0].end();
        places.end_longest();
        assert!(!tokens[0].is_cancelled(), "it is at work again");
    }
}
