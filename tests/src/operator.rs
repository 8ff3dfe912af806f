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

pub use bed::Bed;
pub use login::Login;
pub use process::{Ended, Launch, Operator};
pub use state::EndState;
pub use tally::Tally;
