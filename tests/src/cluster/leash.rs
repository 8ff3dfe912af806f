//! Ties a cluster's life to its owner's: a shell waits on a pipe that the kernel closes however the
//! owner ends, and then runs the same script that stops a cluster on demand.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::site::{STOP, Site};

/// Held by the owner; dropping it stops the cluster.
#[derive(Debug)]
pub struct Leash {
    watchdog: Child,
    /// Taken once the watchdog has been told.
    pipe: Option<ChildStdin>,
}

impl Leash {
    /// From now on the cluster ends with this process.
    pub fn hold(site: &Site) -> Result<Self> {
        let mut watchdog = Command::new("sh")
            .args(["-c", STOP, "watchdog", "orphaned", &site.name()])
            .arg(site.folder())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A Ctrl-C in the terminal ends the owner, but must not end what cleans up after it.
            .process_group(0)
            .spawn()
            .context("failed to start the cluster's watchdog")?;
        let pipe = watchdog.stdin.take();
        Ok(Self { watchdog, pipe })
    }

    /// Stops the cluster and says whether anything is left.
    pub fn end(mut self) -> Result<()> {
        self.finish()
    }

    /// Lets the cluster go on without an owner.
    pub fn release(mut self) -> Result<()> {
        let mut pipe = self.pipe.take().context("the cluster's watchdog has no pipe")?;
        pipe.write_all(b"go on\n").context("failed to release the cluster")?;
        self.watchdog.wait().context("failed to wait for the cluster's watchdog")?;
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if self.pipe.take().is_none() {
            return Ok(());
        }
        let mut said = String::new();
        if let Some(mut pipe) = self.watchdog.stderr.take() {
            pipe.read_to_string(&mut said).context("failed to hear the cluster's watchdog")?;
        }
        let status = self.watchdog.wait().context("failed to wait for the cluster to stop")?;
        ensure!(status.success(), "the cluster did not stop cleanly: {}", said.trim());
        Ok(())
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        // Nobody is left to tell; `end` tells.
        let _ = self.finish();
    }
}
