//! `pgsweep history`: past runs, from the ledger.

use comfy_table::Cell;
use policy::RunReport;
use tokio_util::sync::CancellationToken;

use crate::args::{HistoryArgs, Output};
use crate::database::Database;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ledger::history::{Filter, PastRun, State, past_runs};
use crate::ledger::install;
use crate::output;

/// `pgsweep history`.
pub async fn history(args: &HistoryArgs) -> Exit {
    match runs(args).await {
        Ok(runs) => {
            show(&runs, args.output);
            Exit::Done
        }
        Err(failure) => {
            tracing::error!("{failure}");
            failure.exit()
        }
    }
}

async fn runs(args: &HistoryArgs) -> Result<Vec<PastRun>, Failure> {
    let HistoryArgs { connect, policy, namespace, result, since, limit, output: _ } = args;
    let token = CancellationToken::new();
    let mut database =
        Database::connect(&connect.address()?, connect.connect_timeout, &token).await?;
    if !install::exists(&mut database).await? {
        tracing::warn!("this database has no ledger: no run has changed a row in it");
        return Ok(Vec::new());
    }
    let filter = Filter {
        policy: policy.clone(),
        namespace: namespace.clone(),
        result: *result,
        since: *since,
        limit: i64::from(*limit),
    };
    let runs = past_runs(&mut database, &filter).await?;
    database.close().await;
    Ok(runs)
}

fn show(runs: &[PastRun], format: Output) {
    match format {
        Output::Table => output::print(&table(runs)),
        // A run that goes on has no report yet.
        Output::Json | Output::Yaml => {
            let reports: Vec<&RunReport> = runs.iter().filter_map(report).collect();
            output::object(format, &reports);
        }
    }
}

fn report(run: &PastRun) -> Option<&RunReport> {
    match &run.state {
        State::Ended(report) => Some(report),
        State::UnderWay | State::CutOff => None,
    }
}

fn table(runs: &[PastRun]) -> String {
    let mut table = output::table(&[
        "STARTED",
        "POLICY",
        "RESULT",
        "STOP REASON",
        "AFFECTED",
        "REMAINING",
        "SECONDS",
        "RUN",
    ]);
    for run in runs {
        let first = [Cell::new(&run.started_at), Cell::new(&run.policy)];
        let middle = match &run.state {
            State::Ended(report) => [
                Cell::new(report.result.as_str()),
                Cell::new(report.stop_reason.as_str()),
                output::number(report.rows_affected()),
                report.rows_remaining().map_or_else(|| Cell::new(""), output::number),
                Cell::new(format!("{:.1}", report.duration_seconds)),
            ],
            State::UnderWay => ["under way", "", "", "", ""].map(Cell::new),
            State::CutOff => ["cut off", "", "", "", ""].map(Cell::new),
        };
        table.add_row(first.into_iter().chain(middle).chain([Cell::new(&run.run_id)]));
    }
    table.to_string()
}
