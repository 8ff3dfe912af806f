//! When which policy is looked at: each once at the start, and whenever there is news of it.

use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream};
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::{Semaphore, mpsc};

use super::stored::StoredPolicy;

/// So many first looks are due at a time: news must not wait behind all of them. Two cores take 17 s
/// for 10,000 (docs/benchmarks.md), so 0.4 s for these. They come together in a tenth of a second,
/// the controller's debounce, so much fewer would hold the first looks up.
const FIRST_LOOKS: usize = 256;

/// Policies about which there is news.
pub type News = mpsc::Receiver<ObjectRef<StoredPolicy>>;

/// Turns for first looks. Every reconcile that ends gives one back, whatever it was about: a policy
/// that is due twice is looked at once.
#[derive(Clone)]
pub struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(FIRST_LOOKS)))
    }
}

impl Turns {
    /// A reconcile has ended.
    pub fn give_back(&self) {
        self.0.add_permits(1);
    }

    async fn take(self) {
        // It is never closed.
        if let Ok(turn) = self.0.acquire().await {
            turn.forget();
        }
    }
}

/// Every policy will be looked at anyway, as soon as any is: what moves before that is in memory.
/// Ends when there are no watches any more.
pub async fn pass_over(news: &mut News) {
    while news.recv().await.is_some() {}
}

/// Every policy once, as there are turns for it, and those about which there is news at once. Ends
/// with the news.
pub fn triggers(
    policies: &Store<StoredPolicy>,
    news: News,
    turns: &Turns,
) -> impl Stream<Item = ObjectRef<StoredPolicy>> + use<> {
    let known: Vec<_> = policies.state().iter().map(|policy| policy.reference()).collect();
    let turns = turns.clone();
    let first = stream::iter(known).then(move |policy| {
        let turn = turns.clone().take();
        async move {
            turn.await;
            policy
        }
    });
    let news =
        stream::unfold(
            news,
            |mut news| async move { news.recv().await.map(|policy| (policy, news)) },
        );
    stream::select(first, news)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use kube::runtime::reflector::store::Writer;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn news_do_not_wait_behind_the_first_look_at_all_policies() {
        let mut writer = Writer::new(());
        for number in 0..5 {
            let policy = json!({"metadata": {"namespace": "shop", "name": format!("p{number}")}});
            let policy = serde_json::from_value(policy).expect("a policy");
            writer.apply_watcher_event(&Event::Apply(policy));
        }
        let (tell, news) = mpsc::channel(1);
        let turns = Turns(Arc::new(Semaphore::new(2)));
        let mut due = Box::pin(triggers(&writer.as_reader(), news, &turns));
        let mut first = due.by_ref().take(2).collect::<Vec<_>>().await;
        assert_eq!(due.next().now_or_never(), None);
        tell.send(ObjectRef::new("edited").within("shop")).await.expect("somebody who listens");
        assert_eq!(due.next().await.expect("the news").name, "edited");
        assert_eq!(due.next().now_or_never(), None);
        for _ in 0..3 {
            turns.give_back();
        }
        drop(tell);
        first.extend(due.collect::<Vec<_>>().await);
        let mut names: Vec<_> = first.iter().map(|policy| policy.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["p0", "p1", "p2", "p3", "p4"]);
    }
}
