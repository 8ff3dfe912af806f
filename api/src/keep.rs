//! Work beside the requests: partitions of events are made ahead, since an event without a place for it
//! fails its request.

use std::sync::Arc;
use std::time::Duration;

use runtime::database::failure::Failure;
use tokio_util::sync::CancellationToken;

use crate::db::{partitions, timed_out};
use crate::state::App;

/// Partitions are made three days ahead: plenty of tries.
const PERIOD: Duration = Duration::from_hours(1);
/// How long that may take: a host that is gone without a farewell would be waited for for ever.
const LONGEST: Duration = Duration::from_mins(1);
/// After a failure.
const SOON: Duration = Duration::from_mins(1);

/// Until the end.
pub async fn keep(app: Arc<App>, ended: CancellationToken) {
    loop {
        let made = tokio::time::timeout(LONGEST, make(&app)).await;
        let pause = match made.map_err(timed_out).flatten() {
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
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = ended.cancelled() => return,
        }
    }
}

async fn make(app: &App) -> Result<i32, sqlx::Error> {
    let mut work = app.database.begin_patiently().await?;
    let made = partitions::make(work.connection()).await?;
    work.commit().await?;
    Ok(made)
}
