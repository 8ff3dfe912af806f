//! What this machine can do.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::tools;

/// Why no cluster can be started here, with the way to enable it; nothing when one can.
#[must_use]
pub fn cluster_obstacle() -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        return Some("a cluster of its own needs Linux; use a Linux machine or VM");
    }
    if !is_root() {
        return Some("a cluster of its own needs root; run it with sudo");
    }
    if !Path::new("/sys/fs/cgroup").is_dir() {
        return Some("a cluster of its own needs cgroups; mount them at /sys/fs/cgroup");
    }
    if !tools::can_build() {
        return Some("a cluster of its own is built with Go; install Go 1.26 or newer");
    }
    None
}

/// Whether this process may do everything.
#[must_use]
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
