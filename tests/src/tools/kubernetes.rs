//! The versions of Kubernetes that the test bed can be.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Error, Result, bail};

use super::{go, sources};

/// A minor version: a folder under `tests/kubernetes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kubernetes {
    /// The oldest that pgsweep runs on.
    V1_33,
    /// The newest.
    V1_36,
}

impl Kubernetes {
    /// All of them, the oldest first.
    pub const ALL: [Self; 2] = [Self::V1_33, Self::V1_36];
    /// The one that tests run on unless told otherwise.
    pub const NEWEST: Self = Self::V1_36;

    /// Finds it in what an API server says of itself, like `v1.36.3`.
    #[must_use]
    pub fn of(said: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| said.starts_with(&format!("v{version}.")))
    }

    /// The components in one file; the first argument is the component's name.
    pub fn build(self, cache: &Path) -> Result<PathBuf> {
        self.module()?.build(cache)
    }

    /// Whether the cache has it.
    pub fn is_built(self, cache: &Path) -> Result<bool> {
        self.module()?.is_built(cache)
    }

    fn minor(self) -> u32 {
        match self {
            Self::V1_33 => 33,
            Self::V1_36 => 36,
        }
    }

    fn module(self) -> Result<go::Module> {
        let source = sources().join(self.to_string());
        let exact = go::required_version(&source, "k8s.io/kubernetes")?;
        let stamp =
            |name: &str, value: &str| format!(" -X k8s.io/component-base/version.{name}={value}");
        let mut flags = go::LINK_SMALL.to_owned();
        flags += &stamp("gitVersion", &exact);
        flags += &stamp("gitMajor", "1");
        flags += &stamp("gitMinor", &self.minor().to_string());
        Ok(go::Module {
            program: "kubernetes",
            title: format!("building Kubernetes {exact}"),
            about: "once on this machine, about 8 minutes",
            link_flags: flags,
            source,
        })
    }
}

impl FromStr for Kubernetes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|version| version.to_string() == text) {
            Some(version) => Ok(version),
            None => bail!(
                "there is a test bed of Kubernetes {}",
                Self::ALL.map(|version| version.to_string()).join(" and ")
            ),
        }
    }
}

impl fmt::Display for Kubernetes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "1.{}", self.minor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_by_its_name_and_in_what_a_server_says() {
        for version in Kubernetes::ALL {
            assert_eq!(version.to_string().parse::<Kubernetes>().ok(), Some(version));
            assert_eq!(Kubernetes::of(&format!("v{version}.13")), Some(version));
        }
        assert_eq!(Kubernetes::of("v1.3.0"), None);
        let unknown = "1.32".parse::<Kubernetes>().unwrap_err().to_string();
        assert_eq!(unknown, "there is a test bed of Kubernetes 1.33 and 1.36");
    }
}
