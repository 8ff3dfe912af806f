//! `session-api serve`: the server, from its start to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use runtime::database::failure::{Failure, FailureKind};
use sqlx::Connection as _;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::admin::{AdminKeys, AdminKeysProblem};
use crate::args::serve::ServeArgs;
use crate::chain;
use crate::code::{CodeKeys, KeysProblem};
use crate::db::{Database, migrations, partitions};
use crate::exit::Exit;
use crate::listen::{Door, files};
use crate::metrics::Metrics;
use crate::presence::{self, Presence};
use crate::state::{App, Blocked, Draining};
use crate::{keep, listen, router};

/// Connections of a cluster at once.
const PROBES: usize = 32;
/// How long the end waits for what is written down. Kubelet waits for five seconds after the last request.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why there is no server.
#[derive(Debug, Error)]
enum ServeError {
    #[error("failed to read the keys of codes")]
    ReadKeys(#[source] KeysProblem),
    #[error("failed to read the keys of admins")]
    ReadAdminKeys(#[source] AdminKeysProblem),
    #[error("failed to listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("failed to connect to the database")]
    Connect(#[source] Failure),
    #[error("failed to read the version of the schema")]
    ReadVersion(#[source] Failure),
    #[error("the schema is at version {found}, and this program needs {}", migrations::NEWEST)]
    Version { found: i64 },
    #[error("failed to set up the metrics")]
    Metrics(#[source] prometheus::Error),
}

impl ServeError {
    fn exit(&self) -> Exit {
        match self {
            Self::Connect(failure) | Self::ReadVersion(failure) => failure.exit(),
            Self::ReadKeys(_)
            | Self::ReadAdminKeys(_)
            | Self::Listen { .. }
            | Self::Version { .. }
            | Self::Metrics(_) => Exit::Wrong,
        }
    }
}

/// `session-api serve`.
pub async fn serve(args: ServeArgs, ended: CancellationToken) -> Exit {
    match run(args, &ended).await {
        Ok(exit) => exit,
        // Whoever ended it while it waited for the database does not ask why.
        Err(_) if ended.is_cancelled() => Exit::Terminated,
        Err(error) => {
            tracing::error!("{}", chain(&error));
            error.exit()
        }
    }
}

async fn run(args: ServeArgs, ended: &CancellationToken) -> Result<Exit, ServeError> {
    let ServeArgs {
        connect,
        listen: address,
        admin_listen,
        code_keys,
        admin_keys,
        cors_origins,
        trusted_proxies,
        pool,
        silence,
        request_timeout,
        connections,
        drain_delay,
        drain_timeout,
    } = args;
    let pool_size = usize::try_from(pool.pool_size).unwrap_or(usize::MAX);
    let most = files::room(connections, pool_size.saturating_add(PROBES));
    let code_keys = CodeKeys::read(&code_keys).map_err(ServeError::ReadKeys)?;
    let admin_keys = admin_keys.as_deref().map(AdminKeys::read).transpose();
    let admin_keys = admin_keys.map_err(ServeError::ReadAdminKeys)?.unwrap_or_default();
    let database = connect.address().map_err(ServeError::Connect)?;
    database.announce();
    let listener = bind(address).await?;
    let of_cluster = match admin_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let app = Arc::new(App {
        id: Uuid::new_v4(),
        database: Database::new(database.options().clone(), &pool.pool(request_timeout)),
        code_keys,
        admin_keys,
        blocked: Blocked::default(),
        presence: Presence::new(silence.heartbeat_interval),
        metrics: Metrics::new().map_err(ServeError::Metrics)?,
        proxies: trusted_proxies,
        heartbeat: silence.heartbeat_interval,
        invite_timeout: silence.invite_timeout,
        request_timeout,
        draining: Draining::default(),
    });
    check(&database, connect.connect_timeout, ended).await?;
    open(&app, ended).await;

    let closed = CancellationToken::new();
    let beside = Beside::start(&app, of_cluster);
    tell(&listener, "listening");
    let door = Door {
        listener,
        router: router::router(&app, &cors_origins),
        full: router::full(&app, &cors_origins),
        most,
        metrics: Some(app.metrics.clone()),
    };
    let served = listen::serve(door, closed.clone(), drain_timeout);
    let (all_answered, ()) = tokio::join!(served, leave(&app, ended, drain_delay, &closed));
    beside.end().await;
    app.database.close().await;
    Ok(end(all_answered))
}

/// Goes when it is asked to, by and by.
async fn leave(app: &App, ended: &CancellationToken, delay: Duration, closed: &CancellationToken) {
    ended.cancelled().await;
    app.draining.begin();
    tracing::info!("not ready any more; what comes is still answered for a moment");
    tokio::time::sleep(delay).await;
    closed.cancel();
}

/// The last word.
fn end(all_answered: bool) -> Exit {
    if all_answered {
        tracing::info!("every request was answered");
        Exit::Done
    } else {
        tracing::warn!("some requests took too long and were cut off");
        Exit::Terminated
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ServeError::Listen { address, source })
}

/// With port 0 the system chose one.
fn tell(listener: &TcpListener, what: &str) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "{what}");
    }
}

/// Clients that come meanwhile wait in the queue of the system.
async fn open(app: &App, ended: &CancellationToken) {
    let lacking = tokio::select! {
        lacking = app.database.open() => lacking,
        () = ended.cancelled() => 0,
    };
    if lacking > 0 {
        tracing::warn!(lacking, "some connections to the database are not open yet");
    }
}

/// Work beside the requests.
struct Beside {
    done: CancellationToken,
    tasks: [JoinHandle<()>; 2],
    /// What answers the cluster until the last moment.
    of_cluster: Option<JoinHandle<bool>>,
}

impl Beside {
    fn start(app: &Arc<App>, of_cluster: Option<TcpListener>) -> Self {
        let done = CancellationToken::new();
        let partitions = tokio::spawn(keep::keep(Arc::clone(app), done.clone()));
        let heartbeats = tokio::spawn(presence::round::keep(Arc::clone(app), done.clone()));
        let of_cluster = of_cluster.map(|listener| {
            tell(&listener, "listening for the cluster");
            let router = router::of_cluster(app);
            let full = router.clone();
            let door = Door { listener, router, full, most: PROBES, metrics: None };
            tokio::spawn(listen::serve(door, CancellationToken::new(), FAREWELL))
        });
        Self { done, tasks: [partitions, heartbeats], of_cluster }
    }

    /// After the last request: what came with it is written down.
    async fn end(self) {
        self.done.cancel();
        let end = async {
            for task in self.tasks {
                if task.await.is_err() {
                    tracing::error!("the work beside the requests broke off");
                }
            }
        };
        if tokio::time::timeout(FAREWELL, end).await.is_err() {
            tracing::warn!("the work beside the requests was not done in time");
        }
        if let Some(of_cluster) = self.of_cluster {
            of_cluster.abort();
        }
    }
}

/// Finds at the start what no retry can help: a wrong URL, login or schema. A database that is away is
/// waited for.
async fn check(
    address: &runtime::database::address::Address,
    patience: Duration,
    ended: &CancellationToken,
) -> Result<(), ServeError> {
    let connected = runtime::database::connect(address, patience, ended).await;
    let mut connection = connected.map_err(ServeError::Connect)?;
    let found = partitions::schema_version(&mut connection).await;
    let found = found.map_err(|error| {
        let failure = Failure::from(error);
        ServeError::ReadVersion(match failure.kind {
            FailureKind::Wrong => {
                failure.while_doing("is the schema there, and is the login in the API's role")
            }
            _ => failure,
        })
    })?;
    // It was read; a goodbye that is not heard loses nothing.
    let _ = connection.close().await;
    if migrations::fits(found) { Ok(()) } else { Err(ServeError::Version { found }) }
}
