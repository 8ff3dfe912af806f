//! `cargo xtask image`: the images of a release, as files that any engine loads.

use anyhow::Result;
use tests::image::build_release_images;

use crate::workspace;

/// Builds them and says where they are.
pub fn run() -> Result<()> {
    let images = build_release_images(workspace::root(), &workspace::target()?)?;
    for image in &images {
        let size = image.tar.metadata()?.len() / 1024;
        println!("{}:{}  {} KiB  {}", image.name, image.tag, size, image.tar.display());
    }
    println!(
        "\nEach is an OCI layout. Load it where your cluster finds it, for example:\n\
         \x20 docker load --input FILE            then push it to your registry\n\
         \x20 kind load image-archive FILE\n\
         \x20 ctr --namespace k8s.io images import FILE\n\
         \x20 skopeo copy oci-archive:FILE docker://REGISTRY/NAME:TAG"
    );
    Ok(())
}
