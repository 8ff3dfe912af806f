//! Where the files of this checkout are.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::settings;

/// What cargo tells whom it runs, and not only whom it compiles: two checkouts may share a folder for
/// builds, and what was built in the one is then run in the other.
static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    let member = settings::variable("CARGO_MANIFEST_DIR");
    let member = PathBuf::from(member.as_deref().unwrap_or(env!("CARGO_MANIFEST_DIR")));
    member.parent().map_or_else(|| member.clone(), Path::to_owned)
});

/// The root of the checkout.
#[must_use]
pub fn root() -> &'static Path {
    &ROOT
}
