//! The images of a release: the very files that the tests run are the ones that users get.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{File, Image, roots};
use crate::command::{cargo, run, run_watched};
use crate::progress::Step;
use crate::tools::{MUSL, require_packages};

/// Static, so that the image needs nothing else.
const TARGET: &str = "x86_64-unknown-linux-musl";
/// The version of the whole workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How a dynamic binary of that target names its loader.
const LOADER: &[u8] = b"/lib/ld-musl-";

/// A program of the release: its crate, its name, what it is.
const PROGRAMS: [(&str, &str, &str); 3] = [
    ("api", "session-api", "Serves sessions, join codes and invites over HTTP, on Postgres."),
    ("cleanup-job", "pgsweep", "Deletes and updates overdue rows of a Postgres, as a policy says."),
    ("operator", "pgsweep-operator", "Runs CleanupPolicies on Kubernetes as CronJobs."),
];

/// An image that was written.
#[derive(Debug, Clone)]
pub struct ReleaseImage {
    /// Without the tag, like `pgsweep`.
    pub name: String,
    /// The workspace's version.
    pub tag: String,
    /// Where its tar file is.
    pub tar: PathBuf,
}

/// Builds the release binaries and writes an image of each into `TARGET_DIR/images`.
pub fn build_release_images(workspace_root: &Path, target_dir: &Path) -> Result<Vec<ReleaseImage>> {
    require_packages(&MUSL)?;
    add_target(workspace_root)?;
    compile(workspace_root, target_dir)?;
    let folder = target_dir.join("images");
    fs::create_dir_all(&folder)
        .with_context(|| format!("failed to create {}", folder.display()))?;
    PROGRAMS
        .iter()
        .map(|&(_, name, description)| {
            let binary = target_dir.join(TARGET).join("release").join(name);
            let content = fs::read(&binary)
                .with_context(|| format!("cargo has built no {}", binary.display()))?;
            // An image FROM scratch has no loader: a binary that names one would not start.
            let dynamic = content.windows(LOADER.len()).any(|bytes| bytes == LOADER);
            ensure!(!dynamic, "{} is not static; is a linker set for it?", binary.display());
            let tar = folder.join(format!("{name}-{VERSION}.tar"));
            image(name, description, content).write(&tar)?;
            Ok(ReleaseImage { name: name.to_owned(), tag: VERSION.to_owned(), tar })
        })
        .collect()
}

fn image(name: &str, description: &str, binary: Vec<u8>) -> Image {
    let path = format!("/{name}");
    Image::of(name, VERSION)
        .file(File::program(&path, binary))
        .file(File::text(roots::PATH, roots::bundle()))
        .entrypoint(&path)
        .label("org.opencontainers.image.title", name)
        .label("org.opencontainers.image.description", description)
        .label("org.opencontainers.image.version", VERSION)
        .label("org.opencontainers.image.licenses", "Apache-2.0")
}

fn add_target(workspace_root: &Path) -> Result<()> {
    let rustup = |arguments: &[&str]| {
        run(Command::new("rustup").args(arguments).current_dir(workspace_root))
    };
    let installed = rustup(&["target", "list", "--installed"])
        .with_context(|| format!("cannot tell whether Rust's target {TARGET} is installed"))?;
    if !installed.lines().any(|target| target == TARGET) {
        let step = Step::begin(format!("adding Rust's target {TARGET}"), "once, a few seconds");
        rustup(&["target", "add", TARGET])?;
        step.done();
    }
    Ok(())
}

/// All in one call: cargo would build what they share anew for each otherwise.
fn compile(workspace_root: &Path, target_dir: &Path) -> Result<()> {
    let mut cargo = cargo();
    cargo.current_dir(workspace_root).args(["build", "--release", "--locked", "--target", TARGET]);
    for (package, _, _) in PROGRAMS {
        cargo.args(["--package", package]);
    }
    cargo.arg("--target-dir").arg(target_dir).env("CC_x86_64_unknown_linux_musl", "musl-gcc");
    let mut step = Step::begin("building the release binaries", "about 5 minutes when cold");
    let is_crate = |line: &str| line.trim_start().starts_with("Compiling ");
    run_watched(&mut cargo, &mut step, is_crate, |count| format!("· compiled {count} crates"))?;
    step.done();
    Ok(())
}
