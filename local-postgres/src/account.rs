//! The account that a server runs as: Postgres refuses to be root.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

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

    /// Whether this account can read what lies under a folder.
    #[must_use]
    pub fn can_enter(self, folder: &Path) -> bool {
        self == Self::Own
            || folder.ancestors().all(|step| {
                step.metadata().is_ok_and(|found| found.permissions().mode() & 0o005 == 0o005)
            })
    }
}
