//! The account that a server runs as: Postgres refuses to be root.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// `nobody` on every Linux; any account without rights would do.
const NOBODY: u32 = 65534;

/// Who runs the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// The account of this process.
    Own,
    /// Not this process's, which is root.
    Nobody,
}

impl Account {
    /// The account for servers that this process starts.
    pub fn of_servers() -> Result<Self> {
        // A file belongs to the one who makes it: the user's number without a system call of ours.
        let probe = tempfile::NamedTempFile::new().context("failed to create a temporary file")?;
        let owner = probe.as_file().metadata().context("failed to read a file's owner")?.uid();
        Ok(if owner == 0 { Self::Nobody } else { Self::Own })
    }

    /// Makes a command run as this account, out of reach of the terminal's Ctrl-C.
    #[must_use]
    pub fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.process_group(0);
        if self == Self::Nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Gives a file or folder to this account.
    pub fn give(self, path: &Path) -> Result<()> {
        if self == Self::Nobody {
            chown(path, Some(NOBODY), Some(NOBODY))
                .with_context(|| format!("failed to give {} to uid {NOBODY}", path.display()))?;
        }
        Ok(())
    }

    /// An empty folder of this account's own.
    pub fn folder(self) -> Result<TempDir> {
        let usual = std::env::temp_dir();
        // Some systems give root a temporary folder that no other account can enter.
        let parent = if self.can_enter(&usual) { usual } else { PathBuf::from("/tmp") };
        let folder = tempfile::Builder::new()
            .prefix("pgsweep-postgres-")
            .tempdir_in(&parent)
            .with_context(|| format!("failed to create a folder in {}", parent.display()))?;
        self.give(folder.path())?;
        Ok(folder)
    }

    /// Whether this account can read what lies under a folder.
    #[must_use]
    pub fn can_enter(self, folder: &Path) -> bool {
        self == Self::Own
            || folder.ancestors().all(|step| {
                step.metadata().is_ok_and(|found| found.permissions().mode() & 0o005 == 0o005)
            })
    }
}
