//! A layer: a compressed tar of files that all belong to root and are from the same moment.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// A file of an image.
#[derive(Debug, Clone)]
pub struct File {
    path: String,
    content: Vec<u8>,
    mode: u32,
}

impl File {
    /// Something to run.
    #[must_use]
    pub fn program(path: &str, content: Vec<u8>) -> Self {
        Self { path: path.to_owned(), content, mode: 0o755 }
    }

    /// Something to read.
    #[must_use]
    pub fn text(path: &str, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.to_owned(), content: content.into(), mode: 0o644 }
    }
}

/// A layer in both of its forms: the image's configuration knows it by the hash of the first.
pub struct Layer {
    pub plain: Vec<u8>,
    pub compressed: Vec<u8>,
}

impl Layer {
    pub fn of(files: &[File]) -> Result<Self> {
        let mut archive = Archive::new();
        // The order in which files were added must not show.
        let files: BTreeMap<&str, &File> =
            files.iter().map(|file| (file.path.trim_start_matches('/'), file)).collect();
        for folder in folders(files.keys().copied()) {
            archive.folder(folder)?;
        }
        for (path, file) in files {
            archive.file(path, &file.content, file.mode)?;
        }
        let plain = archive.finish()?;
        let compressed = compress(&plain).context("failed to compress an image's layer")?;
        Ok(Self { plain, compressed })
    }
}

/// Every folder above these paths; a folder sorts before what is in it.
fn folders<'a>(paths: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    paths.flat_map(|path| path.match_indices('/').map(|(end, _)| &path[..end])).collect()
}

fn compress(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    // No name and no time in the header.
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    encoder.write_all(plain)?;
    encoder.finish()
}

/// A tar file in memory, in which nothing tells when, where or by whom it was made.
pub struct Archive(Builder<Vec<u8>>);

impl Archive {
    pub fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    pub fn folder(&mut self, path: &str) -> Result<()> {
        self.entry(&format!("{path}/"), &[], 0o755, EntryType::Directory)
    }

    pub fn file(&mut self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        self.entry(path, content, mode, EntryType::Regular)
    }

    pub fn finish(self) -> Result<Vec<u8>> {
        self.0.into_inner().context("failed to finish an image's archive")
    }

    fn entry(&mut self, path: &str, content: &[u8], mode: u32, kind: EntryType) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(content.len().try_into().context("a file's size fits a tar header")?);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        self.0
            .append_data(&mut header, path, content)
            .with_context(|| format!("failed to add {path} to an image"))
    }
}
