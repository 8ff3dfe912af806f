//! `session-api migrate`: the schema, the roles and the partitions ahead, or the SQL of them.

use std::error::Error;
use std::io::Write as _;

use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::args::MigrateArgs;
use crate::db::connect::Address;
use crate::db::failure::Failure;
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
        match self {
            Self::Connect(failure) => failure.exit(),
            Self::Migrate(error) => error.failure().map_or(Exit::Wrong, Failure::exit),
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
        Ok(done) => {
            print(&format!(
                "the schema is at version {}: {} migrations installed, {} partitions made",
                NEWEST, done.installed, done.partitions
            ));
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
    let url = connect.database_url.as_deref().unwrap_or_default();
    let address =
        Address::parse(url, connect.database_ca.as_deref()).map_err(MigrateError::Connect)?;
    let connected = address.connect(connect.connect_timeout, cancelled).await;
    let mut connection = connected.map_err(MigrateError::Connect)?;
    migrations::migrate(&mut connection, &args.roles).await.map_err(MigrateError::Migrate)
}

/// An error with all that it came from.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

/// To standard output, where a reader that has gone is no failure of ours.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
