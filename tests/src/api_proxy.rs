//! A proxy between one client and the API server, that knows each request and can let go wrong
//! whatever can go wrong between them.
//!
//! ```no_run
//! # async fn each_write(bed: &tests::operator::Bed) -> anyhow::Result<()> {
//! use tests::api_proxy::{ApiProxy, Fault, Pick, Refusal, Verb, When};
//!
//! let proxy = ApiProxy::start(bed.cluster())?;
//! let mut operator = bed.operator().through(&proxy).start()?;
//! let conflict = Fault::refuse(Pick::of(Verb::Patch, "cronjobs"), Refusal::Conflict);
//! let strikes = proxy.fault(conflict.nth(2));
//! // …
//! assert_eq!(strikes.count(), 1);
//!
//! let stop = proxy.stop(Pick::writes(), 3, When::Committed);
//! operator.killed_at(stop).await?;
//! # Ok(()) }
//! ```
//!
//! The client speaks plain HTTP to it and logs in by its own token, which is passed on. Requests
//! are numbered in the order in which they come, over all connections. It is for one client: a
//! [`ApiProxy::stop`] holds back all that comes after it, and cuts everything. It works in a thread
//! of its own, so that a test may block.

mod answer;
mod fault;
mod hold;
mod pick;
mod request;
mod serve;
mod upstream;
mod watch;

use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch as channel};

pub use fault::{Fault, NewsFault, Refusal, Strikes, When};
pub use hold::Hold;
pub use pick::Pick;
pub use request::{Request, Verb};
pub use watch::News;

use crate::Cluster;
use fault::{Deed, NewsDeed, due};
use serve::Recorded;
use upstream::Upstream;

/// Where an API server of the test bed listens.
const API_PORT: u16 = 6443;

/// The proxy. Dropping it cuts every connection.
#[derive(Debug)]
pub struct ApiProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Dropping it ends the thread.
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How the network is.
#[derive(Debug, Clone, Default)]
struct Network {
    unplugged: bool,
    /// Connections that came before the last of so many cuts are cut.
    cuts: usize,
    /// Stops that are reached and not ended.
    stops: Vec<usize>,
}

/// What the thread and the test both see.
struct Shared {
    upstream: Upstream,
    log: Mutex<Log>,
    network: channel::Sender<Network>,
    stops: AtomicUsize,
}

#[derive(Default)]
struct Log {
    /// All that there ever were, each at its number.
    requests: Vec<Request>,
    /// How many of them came before the last reset.
    forgotten: usize,
    plans: Vec<Fault>,
    news_plans: Vec<NewsFault>,
    /// The first answer to each list, by path and query.
    lists: HashMap<String, Recorded>,
}

impl ApiProxy {
    /// A proxy before the API server of this cluster, on loopback.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("failed to listen for the proxy")?;
        listener.set_nonblocking(true).context("failed to prepare the proxy's socket")?;
        let address = listener.local_addr().context("failed to read the proxy's port")?;
        let shared = Arc::new(Shared {
            upstream: Upstream::of(cluster)?,
            log: Mutex::default(),
            network: channel::Sender::new(Network::default()),
            stops: AtomicUsize::new(0),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("failed to make the proxy's runtime")?;
        let (end, ended) = oneshot::channel();
        let work = accept(listener, Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("api-proxy".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = work => {}
                        _ = ended => {}
                    }
                });
            })
            .context("failed to start the proxy's thread")?;
        Ok(Self { address, shared, end: Some(end), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The `server` of a kubeconfig.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets something go wrong with requests. Of several faults for the same one the first strikes.
    #[must_use = "a fault that did not strike proves nothing"]
    pub fn fault(&self, fault: Fault) -> Strikes {
        let strikes = fault.strikes.clone();
        self.shared.log().plans.push(fault);
        strikes
    }

    /// Lets something go wrong with the news of watches.
    #[must_use = "a fault that did not strike proves nothing"]
    pub fn news_fault(&self, fault: NewsFault) -> Strikes {
        let strikes = fault.strikes.clone();
        self.shared.log().news_plans.push(fault);
        strikes
    }

    /// Waits for the test's word at the request of this number among those of `pick`, counted from
    /// 1. Nothing that comes after it passes until then: the moment to kill the client.
    #[must_use]
    pub fn stop(&self, pick: Pick<Request>, number: usize, when: When) -> Hold {
        let stop = self.shared.stops.fetch_add(1, Ordering::Relaxed);
        self.hold(pick, number, when, Some(stop))
    }

    /// The same for that one request: all others pass.
    #[must_use]
    pub fn hang(&self, pick: Pick<Request>, number: usize, when: When) -> Hold {
        self.hold(pick, number, when, None)
    }

    fn hold(&self, pick: Pick<Request>, number: usize, when: When, stop: Option<usize>) -> Hold {
        let what = format!("{pick:?}, number {number}");
        let (hold, place) = Hold::new(what, Arc::clone(&self.shared), stop);
        let fault = Fault::new(pick, Deed::Hold { when, stop, place });
        self.shared.log().plans.push(fault.nth(number));
        hold
    }

    /// Holds a stream's news back from the one of this number on, until the test's word.
    #[must_use]
    pub fn hold_news(&self, pick: Pick<News>, number: usize) -> Hold {
        let what = format!("{pick:?}, number {number}");
        let (hold, place) = Hold::new(what, Arc::clone(&self.shared), None);
        let fault = NewsFault::new(pick, NewsDeed::Hold(place));
        self.shared.log().news_plans.push(fault.nth(number));
        hold
    }

    /// Nothing is to go wrong any more.
    pub fn lift(&self) {
        let mut log = self.shared.log();
        log.plans.clear();
        log.news_plans.clear();
    }

    /// Cuts all connections that there are.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Cuts all connections and refuses new ones.
    pub fn unplug(&self) {
        self.shared.network.send_modify(|network| {
            network.unplugged = true;
            network.cuts += 1;
        });
    }

    /// Takes connections again.
    pub fn plug_in(&self) {
        self.shared.network.send_modify(|network| network.unplugged = false);
    }

    /// All requests, in their order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        let log = self.shared.log();
        log.requests.get(log.forgotten..).unwrap_or_default().to_vec()
    }

    /// Those of a choice, in their order.
    #[must_use]
    pub fn requests_of(&self, pick: &Pick<Request>) -> Vec<Request> {
        let all = self.requests().into_iter();
        all.filter(|request| pick.takes(request)).collect()
    }

    /// The writes of [`Pick::writes`], in their order.
    #[must_use]
    pub fn writes(&self) -> Vec<Request> {
        self.requests_of(&Pick::writes())
    }

    /// Forgets all requests, plans and old lists.
    pub fn reset(&self) {
        let mut log = self.shared.log();
        let requests = std::mem::take(&mut log.requests);
        // Some of them are under way: their numbers stay theirs.
        *log = Log { forgotten: requests.len(), requests, ..Log::default() };
    }
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed.
            let _ = thread.join();
        }
    }
}

impl Debug for Shared {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("what the proxy knows")
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self) {
        self.network.send_modify(|network| network.cuts += 1);
    }

    fn end_stop(&self, stop: usize) {
        let of_this =
            |plan: &Fault| matches!(&plan.deed, Deed::Hold { stop: own, .. } if *own == Some(stop));
        self.log().plans.retain(|plan| !of_this(plan));
        self.network.send_modify(|network| network.stops.retain(|own| *own != stop));
    }

    /// Gives a request its number, and says what is to be done to it; waits while there is a stop.
    async fn admit(&self, mut request: Request) -> (Request, Option<Deed>) {
        let mut network = self.network.subscribe();
        loop {
            // The sender is in `self`, so that waiting cannot fail.
            let _ = network.wait_for(|network| network.stops.is_empty()).await;
            let mut log = self.log();
            if !self.network.borrow().stops.is_empty() {
                continue;
            }
            request.number = log.requests.len() + 1;
            let deed = due(&mut log.plans, &request);
            if let Some(Deed::Hold { stop: Some(stop), .. }) = &deed {
                self.network.send_modify(|network| network.stops.push(*stop));
            }
            log.requests.push(request.clone());
            return (request, deed);
        }
    }

    fn deed_at(&self, news: &News) -> Option<NewsDeed> {
        due(&mut self.log().news_plans, news)
    }

    /// Adds to what is known of a request.
    fn note(&self, number: usize, add: impl FnOnce(&mut Request)) {
        let mut log = self.log();
        if let Some(request) = number.checked_sub(1).and_then(|at| log.requests.get_mut(at)) {
            add(request);
        }
    }

    fn oldest(&self, uri: &str) -> Option<Recorded> {
        self.log().lists.get(uri).cloned()
    }

    fn remember(&self, uri: &str, list: Recorded) {
        self.log().lists.entry(uri.to_owned()).or_insert(list);
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((client, _)) = listener.accept().await {
        let (unplugged, cuts) = {
            let network = shared.network.borrow();
            (network.unplugged, network.cuts)
        };
        if !unplugged {
            tokio::spawn(serve::connection(client, cuts, Arc::clone(&shared)));
        }
    }
}
