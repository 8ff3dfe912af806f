//! A namespace with a policy, and operators that the test starts and ends.

use anyhow::Result;
use tests::Database;
use tests::cluster::Namespace;
use tests::operator::{Bed, Operator};
use tests::runs::{Runs, codes};

pub struct Scene<'a> {
    pub runs: Runs<'a>,
    bed: &'a Bed,
}

/// Runs a test on a database with so many codes, all of them due.
pub async fn scene(rows: u32, test: impl AsyncFnOnce(&Scene<'_>) -> Result<()>) -> Result<()> {
    let Some(bed) = Bed::get().await? else { return Ok(()) };
    let database = codes(rows).await?;
    bed.cluster()
        .with_namespace("runs", async |namespace| {
            let scene = Scene::new(bed, namespace, &database).await?;
            test(&scene).await
        })
        .await
}

impl<'a> Scene<'a> {
    async fn new(
        bed: &'a Bed,
        namespace: &'a Namespace<'a>,
        database: &'a Database,
    ) -> Result<Self> {
        let runs = Runs { namespace, database };
        runs.secret(&bed.url(database)).await?;
        Ok(Self { runs, bed })
    }

    /// An operator of this namespace, to which a Job is stuck soon.
    pub async fn operator(&self) -> Result<Operator> {
        let launch = self.bed.operator().watching(self.runs.namespace.name());
        launch.arguments(&["--stuck-after", "3s", "--preflight-retry", "1s"]).ready().await
    }
}
