//! A proxy before Postgres that knows each message which a client sends, and can act at any of them.
//!
//! ```no_run
//! # async fn each_message(database: tests::Database, policy: serde_json::Value) -> anyhow::Result<()> {
//! use tests::job::Run;
//! use tests::proxy::{Proxy, When};
//!
//! let proxy = Proxy::start(&database.address())?;
//! let url = proxy.address().to_string();
//! Run::start(&policy, &url, &[])?.end().await?;
//! proxy.reset().await?;
//! let stop = proxy.stop_at(1, When::Answered);
//! let killed = Run::start(&policy, &url, &[])?.killed_at(stop).await?;
//! assert_eq!(killed.code, None);
//! # Ok(()) }
//! ```
//!
//! It counts the messages of all connections, in the order in which they arrive: those of a whole
//! run, when [`Proxy::reset`] stands before it. What is inside TLS it passes on uncounted. It works
//! in a thread of its own, so that a test may block.

mod connection;
mod message;
mod moment;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use local_postgres::ServerUrl;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

use moment::Moment;

pub use message::{Kind, Message};

/// For connections to end: a server may be at work for one whose client is gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// The moment of a message at which to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The server has not got it.
    Before,
    /// The server has got it, and may be at work on it.
    Sent,
    /// The server has answered it, and the client does not know. What has no answer of its own,
    /// such as a Parse, counts as answered when it is sent.
    Answered,
}

impl When {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Before, Self::Sent, Self::Answered];
}

/// The proxy. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Proxy {
    address: ServerUrl,
    shared: Arc<Shared>,
    /// Dropping it ends the thread.
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A message at which the proxy waits for the test's word. Dropping it lets the message go.
#[derive(Debug)]
pub struct Stop {
    at: Moment,
    reached: oneshot::Receiver<()>,
    is_reached: bool,
    order: Option<oneshot::Sender<Order>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Go,
    Cut,
}

#[derive(Debug)]
enum Deed {
    Cut,
    Wait { reached: oneshot::Sender<()>, order: oneshot::Receiver<Order> },
}

#[derive(Debug)]
struct Plan {
    at: Moment,
    when: When,
    deed: Deed,
}

/// How the network is.
#[derive(Debug, Clone, Copy, Default)]
struct Network {
    unplugged: bool,
    frozen: bool,
    /// Connections of an older number are cut.
    cuts: usize,
}

/// What the thread and the test both see.
#[derive(Debug)]
struct Shared {
    log: Mutex<Log>,
    network: watch::Sender<Network>,
    /// Connections that there are.
    open: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Log {
    messages: Vec<Message>,
    connections: usize,
    plans: Vec<Plan>,
}

impl Proxy {
    /// A proxy before the server of this URL, on loopback.
    pub fn start(server: &ServerUrl) -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("failed to listen for the proxy")?;
        listener.set_nonblocking(true).context("failed to prepare the proxy's socket")?;
        let place = listener.local_addr().context("failed to read the proxy's port")?;
        let shared = Arc::new(Shared {
            log: Mutex::default(),
            network: watch::Sender::new(Network::default()),
            open: watch::Sender::new(0),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("failed to make the proxy's runtime")?;
        let (end, ended) = oneshot::channel();
        let work = accept(listener, server.authority().to_owned(), Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = work => {}
                        _ = ended => {}
                    }
                });
            })
            .context("failed to start the proxy's thread")?;
        let address = server.at(SocketAddr::from((Ipv4Addr::LOCALHOST, place.port())));
        Ok(Self { address, shared, end: Some(end), thread: Some(thread) })
    }

    /// The server's URL by way of the proxy.
    #[must_use]
    pub fn address(&self) -> &ServerUrl {
        &self.address
    }

    /// Waits for the test's word at the message of this number, counted from 1.
    #[must_use]
    pub fn stop_at(&self, number: usize, when: When) -> Stop {
        self.stop(Moment::Number(number), when)
    }

    /// Waits for the test's word at the next `COMMIT` of a transaction that has run a statement with
    /// this in its text.
    #[must_use]
    pub fn stop_at_commit_of(&self, part: &str, when: When) -> Stop {
        self.stop(Moment::CommitOf(part.to_owned()), when)
    }

    /// The same at the next message that runs a statement with this in its text, and does not only
    /// ask how it would be run.
    #[must_use]
    pub fn stop_at_statement(&self, part: &str, when: When) -> Stop {
        self.stop(Moment::Statement(part.to_owned()), when)
    }

    fn stop(&self, at: Moment, when: When) -> Stop {
        let (reached, reaching) = oneshot::channel();
        let (order, ordered) = oneshot::channel();
        let deed = Deed::Wait { reached, order: ordered };
        self.shared.log().plans.push(Plan { at: at.clone(), when, deed });
        Stop { at, reached: reaching, is_reached: false, order: Some(order) }
    }

    /// Cuts the connection of the message of this number.
    pub fn cut_at(&self, number: usize, when: When) {
        self.cut_when(Moment::Number(number), when);
    }

    /// Cuts the connection of the next `COMMIT` of a transaction that has run a statement with this
    /// in its text.
    pub fn cut_at_commit_of(&self, part: &str, when: When) {
        self.cut_when(Moment::CommitOf(part.to_owned()), when);
    }

    fn cut_when(&self, at: Moment, when: When) {
        self.shared.log().plans.push(Plan { at, when, deed: Deed::Cut });
    }

    /// Cuts all connections that there are.
    pub fn cut(&self) {
        self.shared.network.send_modify(|network| network.cuts += 1);
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

    /// Passes nothing on any more, in either direction; connections stay, and new ones are taken.
    pub fn freeze(&self) {
        self.shared.network.send_modify(|network| network.frozen = true);
    }

    /// Passes on again, also what was held back.
    pub fn thaw(&self) {
        self.shared.network.send_modify(|network| network.frozen = false);
    }

    /// How many messages were counted. The farewell of a client that has just ended may be missing
    /// before [`Proxy::quiet`].
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.log().messages.len()
    }

    /// How many connections there have been.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.log().connections
    }

    /// The messages, in their order.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.shared.log().messages.clone()
    }

    /// The statements that were run, in their order.
    #[must_use]
    pub fn statements(&self) -> Vec<String> {
        let messages = self.messages().into_iter();
        messages.filter(Message::runs_a_statement).map(|message| message.text).collect()
    }

    /// The statements of each explicit transaction, from `BEGIN` to `COMMIT` or `ROLLBACK`.
    #[must_use]
    pub fn transactions(&self) -> Vec<Vec<String>> {
        let begins = |statement: &str, words: &[&str]| {
            let word = statement.split_whitespace().next().unwrap_or_default();
            words.iter().any(|wanted| word.trim_end_matches(';').eq_ignore_ascii_case(wanted))
        };
        let mut transactions: Vec<Vec<String>> = Vec::new();
        let mut inside = false;
        for statement in self.statements() {
            if begins(&statement, &["BEGIN", "START"]) {
                transactions.push(Vec::new());
                inside = true;
            }
            let ends = begins(&statement, &["COMMIT", "END", "ROLLBACK"])
                // A savepoint ends, and the transaction goes on.
                && !statement.to_ascii_uppercase().starts_with("ROLLBACK TO");
            if let (true, Some(transaction)) = (inside, transactions.last_mut()) {
                transaction.push(statement);
            }
            inside = inside && !ends;
        }
        transactions
    }

    /// Waits for all connections to end: a client's farewell comes after what it waits for.
    pub async fn quiet(&self) -> Result<()> {
        let mut open = self.shared.open.subscribe();
        tokio::time::timeout(PATIENCE, open.wait_for(|open| *open == 0))
            .await
            .with_context(|| format!("connections stayed open for {} s", PATIENCE.as_secs()))?
            .context("the proxy has ended")?;
        Ok(())
    }

    /// Waits for all connections to end, and begins to count anew, without a plan.
    pub async fn reset(&self) -> Result<()> {
        self.quiet().await?;
        *self.shared.log() = Log::default();
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed.
            let _ = thread.join();
        }
    }
}

impl Stop {
    /// Waits until the message has come to where it is stopped. An error when it cannot come any
    /// more, because the proxy was reset or has ended.
    pub async fn reached(&mut self) -> Result<()> {
        if !self.is_reached {
            (&mut self.reached)
                .await
                .with_context(|| format!("message {:?} was not reached", self.at))?;
            self.is_reached = true;
        }
        Ok(())
    }

    /// Lets it go on.
    pub fn release(self) {}

    /// Cuts its connection: of what the client has sent, nothing more reaches the server.
    pub fn cut(mut self) {
        if let Some(order) = self.order.take() {
            // Who is gone needs no order.
            let _ = order.send(Order::Cut);
        }
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: std::net::TcpListener, server: String, shared: Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((client, _)) = listener.accept().await {
        if shared.network.borrow().unplugged {
            continue;
        }
        // Before the next look at who is there, not when the task begins.
        shared.open.send_modify(|open| *open += 1);
        tokio::spawn(serve(client, server.clone(), Arc::clone(&shared)));
    }
}

/// One connection from its begin to its end; that it broke is what a test wants.
async fn serve(client: TcpStream, server: String, shared: Arc<Shared>) {
    let number = {
        let mut log = shared.log();
        log.connections += 1;
        log.connections
    };
    let mut network = shared.network.subscribe();
    let cuts = network.borrow().cuts;
    tokio::select! {
        _ = connection::relay(client, &server, &shared, number) => {}
        _ = network.wait_for(|network| network.cuts > cuts) => {}
    }
    shared.open.send_modify(|open| *open -= 1);
}
