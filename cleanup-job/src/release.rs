//! `pgsweep release`: takes policies off hold.

use tokio_util::sync::CancellationToken;

use crate::args::ReleaseArgs;
use crate::database::Database;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ledger::{begin, install};
use crate::{load, output};

/// `pgsweep release`.
pub async fn release(args: &ReleaseArgs) -> Exit {
    let sources = match load::sources(&args.policies) {
        Ok(sources) => sources,
        Err(error) => {
            tracing::error!("{error:#}");
            return Exit::Wrong;
        }
    };
    let names: Vec<String> = sources.iter().map(load::Source::name).collect();
    match release_all(args, &names).await {
        Ok(()) => Exit::Done,
        Err(failure) => {
            tracing::error!("{failure}");
            failure.exit()
        }
    }
}

async fn release_all(args: &ReleaseArgs, names: &[String]) -> Result<(), Failure> {
    let token = CancellationToken::new();
    let mut database =
        Database::connect(&args.connect.address()?, args.connect.connect_timeout, &token).await?;
    let has_ledger = install::exists(&mut database).await?;
    for name in names {
        let was_held = has_ledger && begin::release(&mut database, name).await?;
        let what = if was_held { "is released" } else { "was not on hold" };
        output::print(&format!("{name} {what}"));
    }
    database.close().await;
    Ok(())
}
