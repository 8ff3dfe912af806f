//! What a Service does for several servers: it knows those that take requests, and each request goes to the
//! next of them.

use std::sync::{Mutex, PoisonError};

/// The servers that it knows.
#[derive(Debug)]
pub struct Service<T>(Mutex<Vec<T>>);

impl<T: Clone> Service<T> {
    /// One that knows these.
    #[must_use]
    pub fn of(servers: Vec<T>) -> Self {
        Self(Mutex::new(servers))
    }

    /// The server of the request of this number; nothing where there is no server.
    #[must_use]
    pub fn pick(&self, number: usize) -> Option<T> {
        self.with(|servers| {
            number.checked_rem(servers.len()).and_then(|place| servers.get(place).cloned())
        })
    }

    /// A server is ready.
    pub fn add(&self, server: T) {
        self.with(|servers| servers.push(server));
    }

    /// A server takes no more.
    pub fn remove(&self, leaves: impl Fn(&T) -> bool) {
        self.with(|servers| servers.retain(|server| !leaves(server)));
    }

    fn with<R>(&self, act: impl FnOnce(&mut Vec<T>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_goes_to_the_next_of_those_that_are_there() {
        let service = Service::of(vec!["a", "b"]);
        service.add("c");
        assert_eq!(
            [0, 1, 2, 3].map(|number| service.pick(number)),
            [Some("a"), Some("b"), Some("c"), Some("a")]
        );
        service.remove(|server| *server == "b");
        assert_eq!([0, 1].map(|number| service.pick(number)), [Some("a"), Some("c")]);
        service.remove(|_| true);
        assert_eq!(service.pick(7), None);
    }
}
