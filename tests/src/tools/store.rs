//! A folder of things that are made once: each is made by one process, and is there whole or not.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::progress::say;

/// Returns the folder `name` in the cache, after `make` has filled it where it does not exist.
pub fn once(cache: &Path, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let tools = tools(cache);
    let kept = tools.join(name);
    if kept.is_dir() {
        return Ok(kept);
    }
    fs::create_dir_all(&tools).with_context(|| format!("failed to create {}", tools.display()))?;
    let _lock = lock(&tools.join(format!("{name}.lock")), name)?;
    if kept.is_dir() {
        return Ok(kept);
    }
    let work = tempfile::Builder::new()
        .prefix(".work-")
        .tempdir_in(&tools)
        .with_context(|| format!("failed to create a folder in {}", tools.display()))?;
    let unfinished = work.path().join(name);
    fs::create_dir(&unfinished)
        .with_context(|| format!("failed to create {}", unfinished.display()))?;
    make(&unfinished)?;
    fs::rename(&unfinished, &kept)
        .with_context(|| format!("failed to move {name} into {}", tools.display()))?;
    Ok(kept)
}

/// Whether the folder `name` was made.
pub fn has(cache: &Path, name: &str) -> bool {
    tools(cache).join(name).is_dir()
}

fn tools(cache: &Path) -> PathBuf {
    cache.join("tools")
}

/// Held until it is dropped; the kernel lets go of it when its owner dies.
fn lock(path: &Path, name: &str) -> Result<File> {
    let file =
        File::create(path).with_context(|| format!("failed to create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            say(&format!("another process makes {name}; waiting for it …"));
            file.lock().with_context(|| format!("failed to wait for {}", path.display()))?;
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("failed to lock {}", path.display()));
        }
    }
    Ok(file)
}
