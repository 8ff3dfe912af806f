//! The harness: a real Kubernetes, a real Postgres, real images; and beside it, in `tests/`, the
//! tests that use them. It speaks YAML, SQL and HTTP, and knows nothing of a binary's inside.
//!
//! A test asks for what it needs and gets something of its own:
//!
//! ```no_run
//! use std::time::Duration;
//! use tests::Database;
//!
//! # async fn a_job_sees_its_database() -> anyhow::Result<()> {
//! let Some(cluster) = tests::cluster().await? else { return Ok(()) };
//! let database = Database::create().await?;
//! database.execute("CREATE TABLE sessions (id bigint PRIMARY KEY)").await?;
//! let url = database.address().host(&cluster.host_address().to_string());
//! cluster
//!     .with_namespace("sessions", async |namespace| {
//!         namespace.kubectl(["create", "secret", "generic", "db", &format!("--from-literal=url={url}")]).await?;
//!         namespace.apply("{apiVersion: batch/v1, kind: Job, …}").await?;
//!         namespace.wait("job/cleanup", "condition=Complete", Duration::from_secs(60)).await
//!     })
//!     .await
//! # }
//! ```
//!
//! - `tests::cluster()` is `None` where the machine has none: the test has then said why, and
//!   passes. With `CI=true` it fails instead.
//! - A namespace refuses pods that are not `restricted`; it and the database go when the test ends.
//! - Faults are for clusters of the test's own: [`own_cluster`], then [`Cluster::pause`],
//!   [`Cluster::kill`], [`Cluster::restart`].
//! - Faults of Postgres likewise: [`Server`] is the test's own, [`proxy`] stops or cuts a client at
//!   any message, [`replica`], [`pooler`] and [`tls`] start what a server can have around it.
//! - [`decoder`] tells what was changed, from the WAL; [`job`] runs, freezes and kills `pgsweep`.
//! - [`sessions`] has the migrated database of the session API, and logins in its roles.
//! - Nothing sleeps: [`wait::until`] and [`cluster::Namespace::wait`] wait for what is to happen.
//!
//! `cargo xtask test` starts the shared cluster and servers and names them in the environment; see
//! [`settings`].

pub mod api_proxy;
pub mod audit;
pub mod chart;
pub mod checkout;
pub mod cluster;
pub mod command;
pub mod database;
pub mod days;
pub mod decoder;
mod hash;
pub mod image;
pub mod job;
pub mod machine;
pub mod operator;
pub mod pooler;
pub mod progress;
pub mod proxy;
pub mod replica;
pub mod runs;
pub mod server;
pub mod sessions;
pub mod settings;
pub mod shop;
mod skip;
pub mod sql;
pub mod tls;
pub mod tools;
pub mod tour;
pub mod wait;

pub use cluster::Cluster;
pub use database::Database;
pub use local_postgres::Version;
pub use server::Server;
pub use sessions::Sessions;
pub use skip::{cluster, own_cluster, skip};
