//! `session-api serve`: the server, from its start to its end.

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
use crate::metrics::Metrics;
use crate::presence::{self, Presence};
use crate::router::router;
use crate::state::{App, Blocked, Draining};
use crate::{keep, listen};

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
    Listen { address: std::net::SocketAddr, source: std::io::Error },
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
        code_keys,
        admin_keys,
        cors_origins,
        trusted_proxies,
        pool,
        request_timeout,
        connections,
        drain_delay,
        drain_timeout,
    } = args;
    let code_keys = CodeKeys::read(&code_keys).map_err(ServeError::ReadKeys)?;
    let admin_keys = admin_keys.as_deref().map(AdminKeys::read).transpose();
    let admin_keys = admin_keys.map_err(ServeError::ReadAdminKeys)?.unwrap_or_default();
    let database = connect.address().map_err(ServeError::Connect)?;
    database.announce();
    let metrics = Metrics::new().map_err(ServeError::Metrics)?;
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|source| ServeError::Listen { address, source })?;
    let address = listener.local_addr().unwrap_or(address);

    let app = Arc::new(App {
        id: Uuid::new_v4(),
        database: Database::new(database.options().clone(), &pool.pool(request_timeout)),
        code_keys,
        admin_keys,
        blocked: Blocked::default(),
        presence: Presence::default(),
        metrics: metrics.clone(),
        proxies: trusted_proxies,
        request_timeout,
        draining: Draining::default(),
    });
    check(&database, connect.connect_timeout, ended).await?;
    open(&app, ended).await;

    let closed = CancellationToken::new();
    let router = router(Arc::clone(&app), &cors_origins);
    let served =
        listen::serve(listener, router, connections, metrics, closed.clone(), drain_timeout);
    let beside = Beside::start(&app);
    tracing::info!(%address, "listening");
    let leave = async {
        ended.cancelled().await;
        app.draining.begin();
        tracing::info!("not ready any more; what comes is still answered for a moment");
        tokio::time::sleep(drain_delay).await;
        closed.cancel();
    };
    let (all_answered, ()) = tokio::join!(served, leave);
    beside.end().await;
    app.database.close().await;
    Ok(end(all_answered))
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
}

impl Beside {
    fn start(app: &Arc<App>) -> Self {
        let done = CancellationToken::new();
        let partitions = tokio::spawn(keep::keep(Arc::clone(app), done.clone()));
        let heartbeats = tokio::spawn(presence::round::keep(Arc::clone(app), done.clone()));
        Self { done, tasks: [partitions, heartbeats] }
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
