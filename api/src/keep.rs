//! Work beside the requests: partitions of events are made ahead, since an event without a place for it
//! fails its request, and what was used is summed up, so that bills need not read all of it.

use std::sync::Arc;
use std::time::Duration;

use runtime::database::failure::Failure;
use tokio_util::sync::CancellationToken;

use crate::db::{billing, in_time, partitions};
use crate::state::App;

/// Partitions are made three days ahead: plenty of tries.
const PERIOD: Duration = Duration::from_hours(1);
/// How long either may take.
const LONGEST: Duration = Duration::from_mins(1);
/// Between two sums: what is in none yet is read line by line. Also after a failure.
const SOON: Duration = Duration::from_mins(1);

/// Until the end.
pub async fn keep(app: Arc<App>, ended: CancellationToken) {
    tokio::select! {
        () = keep_partitions(&app) => {}
        () = keep_sums(&app) => {}
        () = ended.cancelled() => {}
    }
}

async fn keep_partitions(app: &App) {
    loop {
        let pause = match in_time(LONGEST, make(app)).await {
            Ok(0) => PERIOD,
            Ok(made) => {
                tracing::info!(made, "partitions were made");
                PERIOD
            }
            Err(error) => {
                let error = Failure::from(error);
                tracing::error!(%error, "partitions of events could not be made, trying again");
                SOON
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn make(app: &App) -> Result<i32, sqlx::Error> {
    let mut work = app.database.begin_patiently().await?;
    let made = partitions::make(work.connection()).await?;
    work.commit().await?;
    Ok(made)
}

async fn keep_sums(app: &App) {
    loop {
        if let Err(error) = in_time(LONGEST, fold(app)).await {
            let error = Failure::from(error);
            tracing::error!(%error, "what was used could not be summed up, trying again");
        }
        tokio::time::sleep(SOON).await;
    }
}

async fn fold(app: &App) -> Result<(), sqlx::Error> {
    let mut work = app.database.begin_patiently().await?;
    billing::fold(work.connection()).await?;
    work.commit().await
}
