//! `session-api migrate`: the schema, the roles and the partitions ahead, or the SQL of them.

use std::io::Write as _;

use runtime::database::failure::{Failure, FailureKind};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::args::MigrateArgs;
use crate::chain;
use crate::db::migrations::{self, Done, MigrationError, NEWEST};
use crate::exit::Exit;

/// Why it was not done.
#[derive(Debug, Error)]
enum MigrateError {
    #[error("failed to connect to the database")]
    Connect(#[source] Failure),
    #[error("failed to migrate the database")]
    Migrate(#[source] MigrationError),
}

impl MigrateError {
    fn exit(&self) -> Exit {
        let failure = match self {
            Self::Connect(failure) => Some(failure),
            Self::Migrate(error) => error.failure(),
        };
        match failure {
            None => Exit::Wrong,
            // A step has no timeout: somebody cancelled it.
            Some(failure) if failure.kind == FailureKind::Slow => Exit::Unavailable,
            Some(failure) => failure.exit(),
        }
    }
}

/// `session-api migrate`.
pub async fn migrate(args: &MigrateArgs, cancelled: CancellationToken) -> Exit {
    if args.print {
        print(&migrations::script(&args.roles));
        return Exit::Done;
    }
    let run = tokio::select! {
        run = run(args, &cancelled) => run,
        // The connection ends here, and with it the step that was under way.
        () = cancelled.cancelled() => return Exit::Terminated,
    };
    match run {
        Ok(Done { version, installed, partitions }) => {
            let what = if version > NEWEST {
                format!(
                    "this program makes {NEWEST}, works on it all the same, and leaves it as it is"
                )
            } else {
                format!("{installed} migrations installed, {partitions} partitions made")
            };
            print(&format!("the schema is at version {version}: {what}"));
            Exit::Done
        }
        Err(error) => {
            tracing::error!("{}", chain(&error));
            error.exit()
        }
    }
}

async fn run(args: &MigrateArgs, cancelled: &CancellationToken) -> Result<Done, MigrateError> {
    let connect = &args.connect;
    let address = connect.address().map_err(MigrateError::Connect)?;
    address.announce();
    let patience = connect.connect_timeout;
    let connected = runtime::database::connect(&address, patience, cancelled).await;
    let mut connection = connected.map_err(MigrateError::Connect)?;
    migrations::migrate(&mut connection, &args.roles).await.map_err(MigrateError::Migrate)
}

/// To standard output, where a reader that has gone is no failure of ours.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
