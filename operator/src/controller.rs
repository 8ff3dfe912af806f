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
mod index;
mod observe;
mod publish;
mod refusal;
mod validate;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use jiff::Timestamp;
use kube::Client;
use kube::api::DynamicObject;
use kube::runtime::applier;
use kube::runtime::controller::{Action, Config, Error as ControllerError};
use policy::PolicyName;
use runtime::admin::Readiness;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::backoff::{Backoff, Failure};
use crate::metrics::Metrics;
use apply::{AppliedCronJob, ApplyError, Refusal};
use observe::ObserveError;
use publish::PublishError;
use watch::Caches;

pub use build::JobSettings;
pub use publish::FinishedRun;

/// A reconcile that takes longer is given up and tried again.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(30);
/// One change of a user moves several objects: they are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// What every reconcile shares.
pub struct Context {
    pub client: Client,
    pub settings: JobSettings,
    pub metrics: Metrics,
    pub concurrency: u16,
}

struct Shared {
    context: Context,
    caches: Arc<Caches>,
    backoff: Arc<Backoff>,
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
        matches!(
            self,
            ReconcileError::Apply(ApplyError::AwaitCronJob)
                | ReconcileError::Publish(PublishError::StatusConflict)
        )
    }
}

/// Brings one policy up to date.
async fn reconcile(object: &DynamicObject, shared: &Shared) -> Result<Action, ReconcileError> {
    // Its CronJob goes with it: made anew, it would only be in the way.
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let Context { client, settings, metrics, .. } = &shared.context;

    let observed = observe::observe(object, &shared.caches, client, now()).await?;
    let validated = validate::validate(&observed.policy);
    let built = build::build(&observed, &validated, settings);
    let applied = apply::apply(built, &observed, metrics, client).await?;
    let publication = publish::publication(&observed, &validated, &applied);
    publish::publish(&observed, &publication, metrics, client).await?;

    match applied.cron_job {
        AppliedCronJob::Refused(refusal) => Err(ReconcileError::Refused(refusal)),
        AppliedCronJob::Current { .. } | AppliedCronJob::Suspended(_) => {
            Ok(Action::requeue(publication.look_again))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the operator reads the clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// [`reconcile`], within its time, counted.
async fn reconcile_in_time(
    object: Arc<DynamicObject>,
    shared: Arc<Shared>,
) -> Result<Action, ReconcileError> {
    let began = Instant::now();
    let all_steps = Box::pin(reconcile(&object, &shared));
    let result = tokio::time::timeout(RECONCILE_TIMEOUT, all_steps).await;
    let result = result.unwrap_or(Err(ReconcileError::TakeTooLong));
    let word = result.as_ref().map_or_else(ReconcileError::kind, |_| "ok");
    shared.context.metrics.count_reconcile(word, began.elapsed());
    if result.is_ok() {
        shared.backoff.forget(&name(&object));
    }
    result
}

/// Says what went wrong, and when to try again: always, sooner or later.
fn error_policy(object: &DynamicObject, error: &ReconcileError, shared: &Shared) -> Action {
    let name = name(object);
    let Failure { in_a_row, delay } = shared.backoff.failed(&name);
    let chain = chain(error);
    let (namespace, name, kind) = (&name.namespace, &name.name, error.kind());
    // Of a refusal the condition goes on to tell; to log it at each try would only repeat it.
    if error.is_expected() || (!error.is_retryable() && in_a_row > 1) {
        tracing::debug!(policy.namespace = namespace, policy.name = name, kind, "{chain}");
    } else if error.is_retryable() {
        tracing::warn!(policy.namespace = namespace, policy.name = name, kind, "{chain}");
    } else {
        tracing::error!(policy.namespace = namespace, policy.name = name, kind, "{chain}");
    }
    Action::requeue(delay)
}

/// An error and all its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn name(object: &DynamicObject) -> PolicyName {
    PolicyName {
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}

/// Why the controller ended.
#[derive(Debug, Error)]
pub enum ControllerEnd {
    #[error("a watch ended by itself")]
    LoseWatch,
}

/// Works until the token is cancelled, and lets the reconciles that run come to their end.
pub async fn run(
    context: Context,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), ControllerEnd> {
    let backoff = Arc::new(Backoff::default());
    let mut watches = watch::start(&context.client, &backoff);
    context.metrics.show_policies(watches.caches.policies.clone());
    tokio::select! {
        synced = watches.caches.wait_until_synced() => if !synced { return Err(ControllerEnd::LoseWatch) },
        () = shutdown.cancelled() => return Ok(()),
    }
    readiness.set(true);
    tracing::info!(
        policies = watches.caches.policies.len(),
        "ready: every policy is being looked at"
    );

    let config = Config::default().concurrency(context.concurrency).debounce(DEBOUNCE);
    let policies = watches.caches.policies.clone();
    let shared = Arc::new(Shared { context, caches: Arc::clone(&watches.caches), backoff });
    let triggers = triggers(watches.triggers).take_until(shutdown.clone().cancelled_owned());
    let outcomes = applier(
        |object, shared| reconcile_in_time(object, shared).boxed(),
        |object, error, shared| error_policy(&object, error, &shared),
        Arc::clone(&shared),
        policies,
        triggers.map(Ok::<_, std::convert::Infallible>),
        config,
    );
    let work = outcomes.for_each(|outcome| {
        if let Err(ControllerError::ObjectNotFound(gone)) = outcome {
            let namespace = gone.namespace.clone().unwrap_or_default();
            shared.backoff.forget(&PolicyName { namespace, name: gone.name.clone() });
        }
        std::future::ready(())
    });
    tokio::select! {
        () = work => {
            readiness.set(false);
            Ok(())
        }
        _ = watches.tasks.join_next() => Err(ControllerEnd::LoseWatch),
    }
}

fn triggers<T: Send>(receiver: tokio::sync::mpsc::Receiver<T>) -> impl Stream<Item = T> {
    stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|trigger| (trigger, receiver))
    })
}
