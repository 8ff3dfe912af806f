//! Images are written the same every time, and in the form that other tools expect.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

use anyhow::{Context, Result};
use serde_json::Value;
use tests::image::{File, Image};

fn files(reversed: bool) -> Image {
    let mut files = vec![
        File::program("/probe", vec![7; 100_000]),
        File::text("/etc/ssl/certs/ca-certificates.crt", "certificates"),
        File::text("/etc/probe", "note"),
    ];
    if reversed {
        files.reverse();
    }
    files
        .into_iter()
        .fold(Image::of("probe", "1"), Image::file)
        .entrypoint("/probe")
        .environment("LANG", "C")
        .label("title", "probe")
}

fn unpack(tar: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let header = entry.header();
        assert_eq!((header.uid()?, header.gid()?, header.mtime()?), (0, 0, 0));
        let path = entry.path()?.display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        found.insert(path, content);
    }
    Ok(found)
}

fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> Result<&'a [u8]> {
    let digest = descriptor["digest"].as_str().context("a descriptor has a digest")?;
    let path = format!("blobs/{}", digest.replace(':', "/"));
    Ok(files.get(&path).with_context(|| format!("the layout holds {path}"))?)
}

#[test]
fn the_same_contents_make_the_same_bytes_in_whatever_order_they_are_given() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (one, other) = (folder.path().join("one.tar"), folder.path().join("other.tar"));
    files(false).write(&one)?;
    files(true).write(&other)?;
    assert!(fs::read(one)? == fs::read(other)?, "two builds differ");
    Ok(())
}

#[test]
fn the_layout_leads_from_its_index_to_the_files() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("image.tar");
    files(false).write(&path)?;
    let layout = unpack(&fs::read(path)?)?;

    let index: Value = serde_json::from_slice(&layout["index.json"])?;
    let names = &index["manifests"][0]["annotations"];
    assert_eq!(names["io.containerd.image.name"], "docker.io/library/probe:1");
    assert_eq!(names["org.opencontainers.image.ref.name"], "docker.io/library/probe:1");
    let manifest: Value = serde_json::from_slice(blob(&layout, &index["manifests"][0])?)?;
    let configuration: Value = serde_json::from_slice(blob(&layout, &manifest["config"])?)?;
    assert_eq!(configuration["config"]["User"], "65532:65532");
    assert_eq!(configuration["config"]["Entrypoint"][0], "/probe");
    assert_eq!(configuration["config"]["Env"][0], "LANG=C");

    let mut layer = Vec::new();
    flate2::read::GzDecoder::new(blob(&layout, &manifest["layers"][0])?).read_to_end(&mut layer)?;
    let paths: Vec<String> = unpack(&layer)?.into_keys().collect();
    let expected = [
        "etc/",
        "etc/probe",
        "etc/ssl/",
        "etc/ssl/certs/",
        "etc/ssl/certs/ca-certificates.crt",
        "probe",
    ];
    assert_eq!(paths, expected);
    Ok(())
}
