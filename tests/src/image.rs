//! Container images without a container engine: a tar file that holds an OCI layout, written byte
//! for byte the same from the same contents, which every tool loads.

mod layer;
mod layout;
mod release;
mod roots;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

pub use layer::File;
pub use release::{ReleaseImage, build_release_images};

/// Distroless's `nonroot`: known to be nobody in particular.
const NONROOT: &str = "65532:65532";

/// An image of one layer, `FROM scratch`.
#[derive(Debug, Clone)]
pub struct Image {
    name: String,
    tag: String,
    files: Vec<File>,
    entrypoint: Vec<String>,
    environment: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

impl Image {
    /// An empty image, to be called `name:tag` in a pod.
    #[must_use]
    pub fn of(name: &str, tag: &str) -> Self {
        Self {
            name: name.to_owned(),
            tag: tag.to_owned(),
            files: Vec::new(),
            entrypoint: Vec::new(),
            environment: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }

    /// Adds a file; its folders are made.
    #[must_use]
    pub fn file(mut self, file: File) -> Self {
        self.files.push(file);
        self
    }

    /// What a container runs, before its arguments.
    #[must_use]
    pub fn entrypoint(mut self, program: &str) -> Self {
        self.entrypoint = vec![program.to_owned()];
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Writes the tar file.
    pub fn write(&self, tar: &Path) -> Result<()> {
        layout::write(self, tar)
    }

    /// The name in a pod's manifest.
    #[must_use]
    pub fn short_name(&self) -> String {
        format!("{}:{}", self.name, self.tag)
    }

    /// The name as engines keep it: what has no registry is from Docker's.
    fn full_name(&self) -> String {
        let short = self.short_name();
        match self.name.split_once('/') {
            Some((registry, _)) if registry.contains(['.', ':']) => short,
            Some(_) => format!("docker.io/{short}"),
            None => format!("docker.io/library/{short}"),
        }
    }
}
