//! A watch that goes on: whatever ends or refuses it, it begins anew after a
//! pause that grows.
//!
//! kube's own back-off begins from the start at each new list, also when every
//! list fails; and its watch asks for ever for a version that the API server
//! no longer has.

use std::fmt::Debug;
use std::mem;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use kube::runtime::watcher::{Config, Error, Event, Result, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::backoff;
use crate::controller::chain;
use crate::controller::refusal::retry_after;

/// What a watch has to say.
pub enum News<K> {
    Event(Event<K>),
    /// The operator may not look. Of a single namespace also: it does not exist (yet), and so has
    /// no Role.
    Refused,
}

/// A watch of one kind, in one namespace or in all.
pub struct Watch<K> {
    api: Api<K>,
    config: Config,
    /// For logs.
    kind: String,
    namespace: Option<String>,
    events: BoxStream<'static, Result<Event<K>>>,
    /// Since there were last news.
    failures: u32,
    /// It must list anew, since its version was too old: only when the watch goes on after that
    /// is all well again, so that a list that never leads to one is not asked for all the time.
    is_outdated: bool,
    /// Before it goes on.
    pause: Option<Duration>,
}

impl<K> Watch<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    pub fn new(api: Api<K>, config: Config, kind: String, namespace: Option<String>) -> Self {
        let events = watcher(api.clone(), config.clone()).boxed();
        Self { api, config, kind, namespace, events, failures: 0, is_outdated: false, pause: None }
    }

    /// Waits for what it says next. There is always more.
    pub async fn next(&mut self) -> News<K> {
        loop {
            if let Some(pause) = self.pause.take() {
                tokio::time::sleep(pause).await;
            }
            match self.events.next().await {
                Some(Ok(event)) => {
                    self.succeed(&event);
                    return News::Event(event);
                }
                Some(Err(error)) => {
                    if self.fail(&error) {
                        return News::Refused;
                    }
                }
                None => self.begin_anew(),
            }
        }
    }

    fn succeed(&mut self, event: &Event<K>) {
        let is_well = match event {
            // Only says that it is about to ask for a list.
            Event::Init => false,
            Event::InitApply(_) | Event::InitDone => !self.is_outdated,
            Event::Apply(_) | Event::Delete(_) => true,
        };
        if is_well && mem::take(&mut self.failures) > 0 {
            self.is_outdated = false;
            tracing::debug!(kind = self.kind, namespace = self.namespace, "the watch goes on");
        }
    }

    /// Says whether the operator may not look.
    fn fail(&mut self, error: &Error) -> bool {
        self.failures = self.failures.saturating_add(1);
        let refused = is_code(error, 403);
        let pause = backoff::of_watch(self.failures, refused, retry_after(error));
        self.pause = Some(pause);
        let (kind, namespace) = (&self.kind, &self.namespace);
        let chain = chain(error);
        // A watch that is down for long is told now and then, and not at each try.
        if !self.failures.is_power_of_two() {
            tracing::debug!(kind, namespace, "the watch was interrupted: {chain}");
        } else if refused && namespace.is_some() {
            tracing::warn!(
                kind,
                namespace,
                "this namespace does not exist, or has no Role for the operator: {chain}"
            );
        } else {
            tracing::warn!(kind, namespace, "the watch was interrupted: {chain}");
        }
        let is_gone = is_code(error, 410);
        self.is_outdated |= is_gone;
        if is_gone && matches!(error, Error::WatchStartFailed(_)) {
            self.begin_anew();
        }
        refused
    }

    fn begin_anew(&mut self) {
        self.events = watcher(self.api.clone(), self.config.clone()).boxed();
    }
}

fn is_code(error: &Error, code: u16) -> bool {
    match error {
        Error::InitialListFailed(error)
        | Error::WatchStartFailed(error)
        | Error::WatchFailed(error) => {
            matches!(error, kube::Error::Api(status) if status.code == code)
        }
        Error::WatchError(status) => status.code == code,
        Error::NoResourceVersion => false,
    }
}
