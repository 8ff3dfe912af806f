//! A cluster of the tests' own in which no operator runs.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use tokio::sync::OnceCell;

use super::login::Login;
use super::process::Launch;
use crate::job::binary;
use crate::{Cluster, Database};

/// The version of the whole workspace, which is the tag of its images.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The cluster, with the CRD, the image of the Jobs, and a login for operators.
#[derive(Debug)]
pub struct Bed {
    cluster: Cluster,
    login: Login,
    /// Where the tests' Postgres listens for pods: that of the shared cluster, which these reach
    /// just as well.
    postgres: Ipv4Addr,
}

impl Bed {
    /// The one of this test binary, or nothing where the test is to be skipped. It ends with the
    /// binary's process.
    pub async fn get() -> Result<Option<&'static Self>> {
        static BED: OnceCell<Option<Bed>> = OnceCell::const_new();
        // Each test says for itself that it is skipped.
        let Some(shared) = crate::cluster().await? else { return Ok(None) };
        let bed = BED.get_or_try_init(async || match crate::own_cluster().await? {
            Some(cluster) => Self::furnish(cluster, shared.host_address()).await.map(Some),
            None => anyhow::Ok(None),
        });
        Ok(bed.await?.as_ref())
    }

    async fn furnish(cluster: Cluster, postgres: Ipv4Addr) -> Result<Self> {
        let image = job_image()?;
        let (login, loaded) =
            tokio::join!(Login::of_chart(&cluster, &[]), cluster.load_image(&image));
        loaded?;
        Ok(Self { login: login?, cluster, postgres })
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The account whose permissions are the chart's.
    #[must_use]
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// The URL of a test's database, as pods of this cluster reach it.
    #[must_use]
    pub fn url(&self, database: &Database) -> String {
        database.address().host(&self.postgres.to_string()).to_string()
    }

    /// An operator with that login, straight to the API server.
    #[must_use]
    pub fn operator(&self) -> Launch {
        Launch::new(&self.login)
    }
}

/// Where `cargo xtask test` has written the image of the Jobs: beside the folder of the binaries.
fn job_image() -> Result<PathBuf> {
    let operator = binary("pgsweep-operator")?;
    let target = operator.ancestors().nth(2).context("a binary has a folder")?;
    let tar = target.join(format!("images/pgsweep-{VERSION}.tar"));
    ensure!(tar.exists(), "there is no {}: run `cargo xtask test` or `image`", tar.display());
    Ok(tar)
}
