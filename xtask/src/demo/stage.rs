//! What act two needs before it can begin: images, a cluster with the operator's image on it, and
//! a Postgres that its pods reach.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use local_postgres::LocalPostgres;
use tests::cluster::{Cluster, Options};
use tests::image::build_release_images;
use tests::settings::Settings;

use crate::workspace;

use super::data::SampleDatabase;
use super::kubernetes::Target;
use super::{Args, start_postgres};

/// All of it.
pub struct Stage {
    /// The cluster that the demo started.
    pub own: Option<Cluster>,
    /// The address of this machine for its pods.
    pub host: IpAddr,
    pub postgres: LocalPostgres,
    pub database: SampleDatabase,
    /// The Helm for a cluster of the user's.
    helm: PathBuf,
}

impl Stage {
    /// Makes it ready.
    pub async fn set(args: Args, settings: &Settings) -> Result<Self> {
        let target = workspace::target()?;
        let build = move || build_release_images(workspace::root(), &target);
        let images = async { anyhow::Ok(tokio::task::spawn_blocking(build).await??) };
        let own = async {
            match &args.context {
                Some(_) => anyhow::Ok(None),
                None => Cluster::start(Options::from_environment()?).await.map(Some),
            }
        };
        let (images, own) = tokio::try_join!(images, own)?;
        let host = match (&own, args.host_address) {
            (Some(cluster), _) => IpAddr::V4(cluster.host_address()),
            (None, Some(address)) => address,
            (None, None) => bail!("--context needs --host-address"),
        };
        let helm = match own {
            Some(_) => PathBuf::new(),
            None => tests::tools::helm(&settings.cache)?,
        };
        let filled = async {
            let postgres = start_postgres(settings, &[host]).await?;
            let database = SampleDatabase::fill(&postgres.url("postgres")).await?;
            anyhow::Ok((postgres, database))
        };
        let loaded = async {
            let target = target_of(own.as_ref(), &helm, &args);
            for image in &images {
                target.load(image).await?;
            }
            anyhow::Ok(())
        };
        let ((postgres, database), ()) = tokio::try_join!(filled, loaded)?;
        Ok(Self { own, host, postgres, database, helm })
    }

    /// The cluster that is played on.
    pub fn target(&self, args: &Args) -> Target<'_> {
        target_of(self.own.as_ref(), &self.helm, args)
    }

    /// Takes away what the demo has started.
    pub async fn strike(self) -> Result<()> {
        self.postgres.stop()?;
        match self.own {
            Some(cluster) => cluster.stop().await,
            None => Ok(()),
        }
    }
}

fn target_of<'a>(own: Option<&'a Cluster>, helm: &Path, args: &Args) -> Target<'a> {
    match (own, &args.context) {
        (Some(cluster), _) => Target::Own(cluster),
        (None, context) => Target::Context {
            name: context.clone().unwrap_or_default(),
            load: args.load_image.clone(),
            helm: helm.to_owned(),
        },
    }
}
