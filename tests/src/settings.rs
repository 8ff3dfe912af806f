//! What the environment says to the harness: the only place in it that reads variables.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use local_postgres::Version;

use crate::tools::Kubernetes;

/// Where built tools and fetched servers are kept; `~/.cache/pgsweep` unless set.
pub const CACHE: &str = "PGSWEEP_CACHE";
/// The version of Kubernetes of the clusters that are started; the newest unless set.
pub const KUBERNETES: &str = "PGSWEEP_KUBERNETES";
/// The state folder of the cluster that the tests share; `cargo xtask test` sets it.
pub const CLUSTER: &str = "PGSWEEP_TEST_CLUSTER";
/// The superuser's URL of the server that the tests share; `cargo xtask test` sets it.
pub const POSTGRES: &str = "PGSWEEP_TEST_POSTGRES";
/// A file to which each skipped test adds a line; `cargo xtask test` sets it.
pub const SKIPS: &str = "PGSWEEP_TEST_SKIPS";
/// A folder in which each cluster that ends leaves what its API server wrote down of operators;
/// `cargo xtask test` sets it.
pub const AUDIT: &str = "PGSWEEP_TEST_AUDIT";
/// How many random policies each test of `run_witness` tries.
pub const WITNESS_CASES: &str = "PGSWEEP_TEST_WITNESS_CASES";
/// The one random policy that they try again.
pub const WITNESS_SEED: &str = "PGSWEEP_TEST_WITNESS_SEED";
/// `true` to interrupt runs at each of their messages, and not only at some.
pub const EVERY_MESSAGE: &str = "PGSWEEP_TEST_EVERY_MESSAGE";
/// `true` to kill operators at each of their writes, and not only at some.
pub const EVERY_WRITE: &str = "PGSWEEP_TEST_EVERY_WRITE";
/// Chooses at which writes operators are killed where that is not at each.
pub const WRITES_SEED: &str = "PGSWEEP_TEST_WRITES_SEED";
/// Over how many rows the run goes whose memory is measured.
pub const WITNESS_ROWS: &str = "PGSWEEP_TEST_WITNESS_ROWS";
/// How many sessions the database has that is migrated beside traffic.
pub const SESSIONS: &str = "PGSWEEP_TEST_SESSIONS";
/// How many random requests of each operation schemathesis makes; `cargo xtask fuzz` sets it.
pub const FUZZ_EXAMPLES: &str = "PGSWEEP_TEST_FUZZ_EXAMPLES";
/// What it makes them from.
pub const FUZZ_SEED: &str = "PGSWEEP_TEST_FUZZ_SEED";
/// `true` where a test that cannot run is a failure.
pub const CI: &str = "CI";

/// The same for one version: `PGSWEEP_TEST_POSTGRES_15` and so on.
#[must_use]
pub fn postgres_of(version: Version) -> String {
    format!("{POSTGRES}_{}", version.number())
}

/// The variables, read once.
#[derive(Debug, Clone)]
pub struct Settings {
    /// See [`CACHE`].
    pub cache: PathBuf,
    /// See [`KUBERNETES`].
    pub kubernetes: Kubernetes,
    /// See [`CLUSTER`].
    pub cluster: Option<PathBuf>,
    /// See [`POSTGRES`].
    pub postgres: Option<String>,
    /// See [`postgres_of`].
    pub postgres_of: Vec<(Version, String)>,
    /// See [`SKIPS`].
    pub skips: Option<PathBuf>,
    /// See [`AUDIT`].
    pub audit: Option<PathBuf>,
    /// See [`WITNESS_CASES`].
    pub witness_cases: Option<u64>,
    /// See [`WITNESS_SEED`].
    pub witness_seed: Option<u64>,
    /// See [`EVERY_MESSAGE`].
    pub every_message: bool,
    /// See [`EVERY_WRITE`].
    pub every_write: bool,
    /// See [`WRITES_SEED`].
    pub writes_seed: Option<u64>,
    /// See [`WITNESS_ROWS`].
    pub witness_rows: Option<u64>,
    /// See [`SESSIONS`].
    pub sessions: Option<u64>,
    /// See [`FUZZ_EXAMPLES`].
    pub fuzz_examples: Option<u64>,
    /// See [`FUZZ_SEED`].
    pub fuzz_seed: Option<u64>,
    /// See [`CI`].
    pub ci: bool,
}

impl Settings {
    /// The settings of this process.
    pub fn get() -> Result<&'static Self> {
        static SETTINGS: OnceLock<Settings> = OnceLock::new();
        if let Some(settings) = SETTINGS.get() {
            return Ok(settings);
        }
        let settings = Self::read()?;
        Ok(SETTINGS.get_or_init(|| settings))
    }

    fn read() -> Result<Self> {
        let cache = match variable(CACHE) {
            Some(cache) => PathBuf::from(cache),
            None => PathBuf::from(variable("HOME").with_context(|| {
                format!("neither {CACHE} nor HOME is set; name a folder for built tools by {CACHE}")
            })?)
            .join(".cache/pgsweep"),
        };
        // Child processes run in other folders.
        let cache = std::path::absolute(&cache)
            .with_context(|| format!("{CACHE}={} is no path", cache.display()))?;
        let kubernetes = variable(KUBERNETES).map(|version| version.parse::<Kubernetes>());
        let kubernetes =
            kubernetes.transpose().with_context(|| format!("{KUBERNETES} names none"))?;
        Ok(Self {
            cache,
            kubernetes: kubernetes.unwrap_or(Kubernetes::NEWEST),
            cluster: variable(CLUSTER).map(PathBuf::from),
            postgres: variable(POSTGRES),
            postgres_of: Version::ALL
                .into_iter()
                .filter_map(|version| Some((version, variable(&postgres_of(version))?)))
                .collect(),
            skips: variable(SKIPS).map(PathBuf::from),
            audit: variable(AUDIT).map(PathBuf::from),
            witness_cases: number(WITNESS_CASES)?,
            witness_seed: number(WITNESS_SEED)?,
            every_message: variable(EVERY_MESSAGE).is_some_and(|value| value == "true"),
            every_write: variable(EVERY_WRITE).is_some_and(|value| value == "true"),
            writes_seed: number(WRITES_SEED)?,
            witness_rows: number(WITNESS_ROWS)?,
            sessions: number(SESSIONS)?,
            fuzz_examples: number(FUZZ_EXAMPLES)?,
            fuzz_seed: number(FUZZ_SEED)?,
            ci: variable(CI).is_some_and(|value| value == "true"),
        })
    }
}

fn number(name: &str) -> Result<Option<u64>> {
    let parse = |value: String| value.parse().with_context(|| format!("{name} is no number"));
    variable(name).map(parse).transpose()
}

/// A variable that is set to nothing counts as not set.
#[expect(clippy::disallowed_methods, reason = "a test has no `main` of ours to parse them in")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
