//! Keeps every policy, its CronJob and its status in step: one straight line of
//! five named steps, and what calls it again.
//!
//! ```text
//! CleanupPolicy ─observe→ Observed ─validate→ ValidPolicy ─build→ Resources<Built>
//!               ─apply→ Resources<Applied> ─publish→ status, events
//! ```

mod apply;
mod build;
#[cfg(test)]
pub mod examples;
mod gate;
mod index;
mod observe;
mod publish;
pub mod refusal;
mod replaced;
mod stored;
mod triggers;
mod validate;
mod watch;

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use kube::runtime::applier;
use kube::runtime::controller::{Action, Config, Error as ControllerError};
use kube::runtime::reflector::{Lookup, ObjectRef};
use kube::{Client, Resource as _};
use policy::PolicyName;
use runtime::admin::Readiness;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::args::Scope;
use crate::backoff::Backoff;
use crate::leader::Gate;
use crate::metrics::Metrics;
use apply::{ApplyError, Places, Refusal};
use observe::{ObserveError, Source};
use publish::PublishError;
use replaced::Replaced;
use triggers::{Turns, pass_over, triggers};
use watch::Caches;

pub use build::JobSettings;
pub use publish::FinishedRun;
pub use stored::StoredPolicy;

/// A reconcile that takes longer is given up and tried again.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(30);
/// One change of a user moves several objects: they are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// So long reconciles may take to their end when the operator is to stop: with the lease to give back
/// after it, less than the 30 s that Kubernetes leaves.
const DRAIN: Duration = Duration::from_secs(15);
/// So long a version that we have replaced is waited to go.
const NEWS_PATIENCE: Duration = Duration::from_secs(10);

/// What every reconcile shares.
pub struct Context {
    /// Writes only while the gate is open.
    pub client: Client,
    pub gate: Gate,
    /// Cancelled when everything has been read once: who knows nothing must not lead.
    pub known: CancellationToken,
    pub scope: Scope,
    pub settings: JobSettings,
    pub limits: Limits,
    pub metrics: Metrics,
}

/// How much at a time, and how long things may take, from the operator's flags.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Policies that are worked on at a time.
    pub concurrency: u16,
    /// Preflight Jobs under way at a time.
    pub preflight_concurrency: u16,
    /// The first wait after a preflight that failed; each is twice the one before it.
    pub preflight_retry: Duration,
    /// A Job whose pod has not started after this is stuck.
    pub stuck_after: Duration,
}

struct Shared {
    context: Context,
    caches: Arc<Caches>,
    backoff: Arc<Backoff>,
    places: Places,
    replaced: Replaced,
    turns: Turns,
}

impl Shared {
    /// Nothing about a policy that is gone is worth keeping.
    fn forget<K: Lookup>(&self, gone: &ObjectRef<K>) {
        let namespace = gone.namespace.clone().unwrap_or_default();
        let gone = PolicyName { namespace, name: gone.name.clone() };
        self.backoff.forget(&gone);
        self.replaced.forget(&gone);
    }
}

/// Why a reconcile did not come to its end.
#[derive(Debug, Error)]
enum ReconcileError {
    #[error("failed to observe the policy")]
    Observe(#[from] ObserveError),
    #[error("failed to apply the objects of the policy")]
    Apply(#[from] ApplyError),
    #[error("failed to publish the state of the policy")]
    Publish(#[from] PublishError),
    #[error("cannot make the objects of the policy as they should be: {}", .0.message)]
    Refused(Refusal),
    #[error("gave up after {} s", RECONCILE_TIMEOUT.as_secs())]
    TakeTooLong,
}

impl ReconcileError {
    fn kind(&self) -> &'static str {
        match self {
            ReconcileError::Observe(error) => error.kind(),
            ReconcileError::Apply(error) => error.kind(),
            ReconcileError::Publish(error) => error.kind(),
            ReconcileError::Refused(refusal) => refusal.reason,
            ReconcileError::TakeTooLong => "TakeTooLong",
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            ReconcileError::Observe(error) => error.is_retryable(),
            ReconcileError::Apply(error) => error.is_retryable(),
            ReconcileError::Publish(error) => error.is_retryable(),
            ReconcileError::Refused(_) => false,
            ReconcileError::TakeTooLong => true,
        }
    }

    /// What we know was old, or is about to change: nothing is wrong, and nobody needs to know.
    fn is_expected(&self) -> bool {
        match self {
            ReconcileError::Observe(ObserveError::IsGone { .. })
            | ReconcileError::Apply(ApplyError::AwaitCronJob)
            | ReconcileError::Publish(PublishError::StatusConflict) => true,
            _ => refusal::answer(self).is_some_and(refusal::is_stale),
        }
    }
}

/// Brings one policy up to date.
async fn reconcile(stored: &StoredPolicy, shared: &Shared) -> Result<Action, ReconcileError> {
    let Context { client, settings, limits, metrics, .. } = &shared.context;
    let name = stored.name();
    let lasting = shared.backoff.lasting(&name);
    let source =
        Source { caches: &shared.caches, client, is_doubted: shared.backoff.is_doubted(&name) };

    let observed = observe::observe(stored, &source, limits.stuck_after, now()).await?;
    let validated = validate::validate(&observed.policy);
    let built = build::build(&observed, &validated, limits.preflight_retry, settings);
    let gate = built.gate.clone();
    let applied = apply::apply(built, &observed, lasting, &shared.places, metrics, client);
    let applied = Box::pin(applied).await;
    let applied = applied.or_else(|error| refusal::tell(error, lasting, gate))?;
    let publication = publish::publication(&observed, &validated, &applied);
    if publish::publish(&observed, &publication, lasting, metrics, client).await? {
        shared.replaced.note(&observed.policy.name, &observed.policy.resource_version);
    }

    match applied.refusal() {
        Some(refusal) => Err(ReconcileError::Refused(refusal.clone())),
        None => Ok(Action::requeue(publication.look_again)),
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the operator reads the clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// [`reconcile`], within its time, counted.
async fn reconcile_in_time(
    policy: Arc<StoredPolicy>,
    shared: Arc<Shared>,
) -> Result<Action, ReconcileError> {
    let name = policy.name();
    // Its CronJob goes with it: made anew, it would only be in the way.
    if policy.meta().deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    if let Some(rest) = shared.backoff.rest_of_end(&name, policy.uid()) {
        return Ok(Action::requeue(rest));
    }
    let version = policy.meta().resource_version.as_deref().unwrap_or_default();
    if shared.replaced.is(&name, version) {
        return Ok(Action::requeue(NEWS_PATIENCE));
    }
    let began = Instant::now();
    let all_steps = Box::pin(reconcile(&policy, &shared));
    let result = tokio::time::timeout(RECONCILE_TIMEOUT, all_steps).await;
    let result = result.unwrap_or(Err(ReconcileError::TakeTooLong));
    let word = result.as_ref().map_or_else(ReconcileError::kind, |_| "ok");
    shared.context.metrics.count_reconcile(word, began.elapsed());
    if result.is_ok() {
        shared.backoff.forget(&name);
    }
    result
}

/// Says what went wrong, and when to try again: always, sooner or later.
fn error_policy(stored: &StoredPolicy, error: &ReconcileError, shared: &Shared) -> Action {
    let policy = stored.name();
    let (namespace, name, kind) = (&policy.namespace, &policy.name, error.kind());
    let chain = chain(error);
    if refusal::answer(error).is_some_and(refusal::is_namespace_ending) {
        tracing::debug!(policy.namespace = namespace, policy.name = name, kind, "{chain}");
        return Action::requeue(shared.backoff.ends(&policy, stored.uid()));
    }
    // A refusal may be how a failure that lasts is told.
    let own_kind = (!matches!(error, ReconcileError::Refused(_))).then_some(kind);
    let failure = shared.backoff.failed(&policy, own_kind, refusal::retry_after(error));
    if error.is_expected() {
        shared.backoff.doubt(&policy);
    }
    // Of a refusal the condition goes on to tell; of what goes on, a line now and then is enough.
    let is_told = if error.is_retryable() {
        failure.in_a_row.is_power_of_two() && (failure.is_lasting() || !error.is_expected())
    } else {
        failure.in_a_row == 1
    };
    if !is_told {
        tracing::debug!(policy.namespace = namespace, policy.name = name, kind, "{chain}");
    } else if error.is_retryable() {
        tracing::warn!(policy.namespace = namespace, policy.name = name, kind, "{chain}");
    } else {
        tracing::error!(policy.namespace = namespace, policy.name = name, kind, "{chain}");
    }
    Action::requeue(failure.delay)
}

/// An error and all its causes, on one line. The client's errors repeat their causes, and show
/// answers of the API server as Rust would write them: here each thing is said once.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    match refusal::as_answer(error) {
        Some(answer @ kube::Error::Api(_)) => return refusal::words(answer),
        // It only says that there is a cause.
        Some(kube::Error::Service(cause)) => return chain(&**cause),
        _ => {}
    }
    let text = error.to_string();
    let Some(cause) = error.source() else { return text };
    let own = text.strip_suffix(&cause.to_string()).unwrap_or(&text);
    let own = own.trim_end_matches([':', ' ']);
    let cause = chain(cause);
    if own.is_empty() { cause } else { format!("{own}: {cause}") }
}

/// Why the controller ended.
#[derive(Debug, Error)]
pub enum ControllerEnd {
    #[error("a watch ended by itself")]
    LoseWatch,
}

/// Works until the token is cancelled, and lets the reconciles that run come to their end, within
/// limits: doing the rest again does nothing, and a lease that is kept holds the next one up. While
/// the gate is shut it only watches.
pub async fn run(
    context: Context,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), ControllerEnd> {
    let backoff = Arc::new(Backoff::default());
    let mut watches = watch::start(&context.client, &context.scope, &backoff);
    let policies = watches.caches.policies.clone();
    let stand_by = async {
        watches.caches.wait_until_known().await;
        readiness.set(true);
        context.known.cancel();
        tracing::info!(policies = policies.len(), "ready: everything has been read once");
        context.gate.wait_until_open().await;
    };
    tokio::select! {
        () = stand_by => {}
        () = pass_over(&mut watches.triggers) => return Err(ControllerEnd::LoseWatch),
        _ = watches.tasks.join_next() => return Err(ControllerEnd::LoseWatch),
        () = shutdown.cancelled() => return Ok(()),
    }
    context.metrics.lead(policies.clone());
    tracing::info!(policies = policies.len(), "every policy is being looked at");

    let config = Config::default().concurrency(context.limits.concurrency).debounce(DEBOUNCE);
    let places = Places::new(context.limits.preflight_concurrency);
    let shared = Arc::new(Shared {
        context,
        caches: Arc::clone(&watches.caches),
        backoff,
        places,
        replaced: Replaced::default(),
        turns: Turns::default(),
    });
    let triggers = triggers(&policies, watches.triggers, &shared.turns);
    let triggers = triggers.take_until(shutdown.clone().cancelled_owned());
    let outcomes = applier(
        |policy, shared| reconcile_in_time(policy, shared).boxed(),
        |policy, error, shared| error_policy(&policy, error, &shared),
        Arc::clone(&shared),
        policies,
        triggers.map(Ok::<_, std::convert::Infallible>),
        config,
    );
    let work = outcomes.for_each(|outcome| {
        shared.turns.give_back();
        if let Err(ControllerError::ObjectNotFound(gone)) = outcome {
            shared.forget(&gone);
        }
        std::future::ready(())
    });
    tokio::select! {
        () = work => {
            readiness.set(false);
            Ok(())
        }
        () = shutdown.cancelled().then(|()| tokio::time::sleep(DRAIN)) => {
            readiness.set(false);
            tracing::warn!("a reconcile did not end within {} s: it is cut off", DRAIN.as_secs());
            Ok(())
        }
        _ = watches.tasks.join_next() => Err(ControllerEnd::LoseWatch),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;
    use crate::client::RequestError;

    #[test]
    fn an_error_says_each_thing_once() {
        let answer = || {
            let status = Status::failure("it is full", "TooManyRequests").with_code(429);
            kube::Error::Api(Box::new(status))
        };
        let write = ReconcileError::Apply(ApplyError::WriteCronJob(Box::new(answer())));
        assert_eq!(
            chain(&write),
            "failed to apply the objects of the policy: failed to write the CronJob: \
             it is full (429 TooManyRequests)"
        );
        let list = kube::runtime::watcher::Error::InitialListFailed(answer());
        assert_eq!(
            chain(&list),
            "failed to perform initial object list: it is full (429 TooManyRequests)"
        );
        let late = RequestError::TakeTooLong(Duration::from_secs(10));
        let late = ReconcileError::Publish(PublishError::WriteStatus(Box::new(
            kube::Error::Service(Box::new(late)),
        )));
        assert_eq!(
            chain(&late),
            "failed to publish the state of the policy: failed to write the status: \
             no answer within 10 s"
        );
    }
}
