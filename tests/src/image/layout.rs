//! The OCI layout around a layer, and beside it the list that older Dockers read instead.

use std::env::consts::ARCH;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::layer::{Archive, Layer};
use super::{Image, NONROOT};
use crate::hash::sha256;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// The same for every build.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Something that is named by its own hash.
struct Blob {
    content: Vec<u8>,
    hash: String,
}

impl Blob {
    fn new(content: Vec<u8>) -> Self {
        let hash = sha256(&content);
        Self { content, hash }
    }

    fn json(value: &Value) -> Self {
        Self::new(value.to_string().into_bytes())
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.hash)
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({
            "mediaType": media_type,
            "digest": format!("sha256:{}", self.hash),
            "size": self.content.len(),
        })
    }
}

/// Writes the image as a tar file.
pub fn write(image: &Image, tar: &Path) -> Result<()> {
    let content = assemble(image)
        .with_context(|| format!("failed to assemble the image {}", image.short_name()))?;
    fs::write(tar, content).with_context(|| format!("failed to write {}", tar.display()))
}

fn assemble(image: &Image) -> Result<Vec<u8>> {
    let layer = Layer::of(&image.files)?;
    let configuration = Blob::json(&configuration(image, &sha256(&layer.plain)));
    let layer = Blob::new(layer.compressed);
    let manifest = Blob::json(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": configuration.descriptor(CONFIGURATION),
        "layers": [layer.descriptor(LAYER)],
    }));
    let index = index(image, &manifest);
    let for_older_dockers = json!([{
        "Config": configuration.path(),
        "RepoTags": [image.short_name()],
        "Layers": [layer.path()],
    }]);

    let mut blobs = [configuration, layer, manifest];
    blobs.sort_by(|one, other| one.hash.cmp(&other.hash));
    let mut archive = Archive::new();
    archive.folder("blobs")?;
    archive.folder("blobs/sha256")?;
    for blob in &blobs {
        archive.file(&blob.path(), &blob.content, 0o644)?;
    }
    archive.file("index.json", index.to_string().as_bytes(), 0o644)?;
    archive.file("manifest.json", for_older_dockers.to_string().as_bytes(), 0o644)?;
    let version = json!({ "imageLayoutVersion": "1.0.0" });
    archive.file("oci-layout", version.to_string().as_bytes(), 0o644)?;
    archive.finish()
}

fn configuration(image: &Image, layer: &str) -> Value {
    let environment: Vec<String> =
        image.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    json!({
        "created": CREATED,
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "User": NONROOT,
            "Entrypoint": image.entrypoint,
            "Env": environment,
            "Labels": image.labels,
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
    })
}

/// containerd, Docker and kind read one of the names, podman and skopeo the other.
fn index(image: &Image, manifest: &Blob) -> Value {
    let mut descriptor = manifest.descriptor(MANIFEST);
    descriptor["platform"] = json!({ "architecture": architecture(), "os": "linux" });
    descriptor["annotations"] = json!({
        "io.containerd.image.name": image.full_name(),
        "org.opencontainers.image.ref.name": image.full_name(),
    });
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor] })
}

/// Images have Go's names for processors.
fn architecture() -> &'static str {
    match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
