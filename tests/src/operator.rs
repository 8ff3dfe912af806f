//! The `pgsweep-operator` binary, run on the host with exactly the permissions of the chart.
//!
//! ```no_run
//! # async fn an_operator_of_the_tests_own() -> anyhow::Result<()> {
//! use tests::api_proxy::ApiProxy;
//! use tests::operator::Bed;
//!
//! let Some(bed) = Bed::get().await? else { return Ok(()) };
//! let proxy = ApiProxy::start(bed.cluster())?;
//! bed.cluster()
//!     .with_namespace("faults", async |namespace| {
//!         let launch = bed.operator().through(&proxy).watching(namespace.name());
//!         let mut operator = launch.arguments(&["--stuck-after", "5s"]).start()?;
//!         operator.wait_ready().await?;
//!         // …
//!         operator.term().await?;
//!         Ok(())
//!     })
//!     .await
//! # }
//! ```
//!
//! A [`Bed`] is a cluster without an operator, for all tests of one binary: each test has a
//! namespace and an operator of its own. What one has said is part of every error of its methods;
//! [`Operator::explain`] adds it to those of the test.

mod bed;
mod login;
mod process;
pub mod state;
mod tally;

use serde_json::Value;

pub use bed::Bed;
pub use login::Login;
pub use process::{Ended, Launch, Operator};
pub use state::EndState;
pub use tally::Tally;

/// The policy that the Jobs of a CronJob are given, as kubelet reads it; null where there is none.
#[must_use]
pub fn carried(cron_job: &Value) -> Value {
    let container = "/spec/jobTemplate/spec/template/spec/containers/0/env";
    let mut variables = cron_job.pointer(container).and_then(Value::as_array).into_iter().flatten();
    let policy = variables.find(|variable| variable["name"] == "PGSWEEP_POLICY");
    let text = policy.and_then(|policy| policy["value"].as_str()).unwrap_or_default();
    serde_json::from_str(&text.replace("$$", "$")).unwrap_or_default()
}
