//! A process that may belong to somebody else: known by its number and its time of birth, so that
//! a number that is used again is not mistaken for it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::command::run;
use crate::wait;

const END_TIMEOUT: Duration = Duration::from_secs(20);

/// A process of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    id: u32,
    /// In clock ticks since the machine started.
    born: u64,
}

impl Process {
    /// This process.
    pub fn own() -> Result<Self> {
        Self::find(std::process::id())
    }

    /// The process that has this number now.
    pub fn find(id: u32) -> Result<Self> {
        match read(id) {
            Some((_, born)) => Ok(Self { id, born }),
            None => bail!("process {id} does not exist"),
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether it still runs. One that has ended but was not collected by its parent does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        read(self.id).is_some_and(|(state, born)| born == self.born && !"ZX".contains(state))
    }

    /// Sends a signal, named as in `kill -KILL`; to a process that has ended it is an error.
    pub fn signal(&self, name: &str) -> Result<()> {
        if !self.is_alive() {
            bail!("process {} has ended: there is nothing to send SIG{name} to", self.id);
        }
        run(Command::new("sh").args(["-c", "kill -\"$0\" \"$1\"", name, &self.id.to_string()]))
            .with_context(|| format!("failed to send SIG{name} to process {}", self.id))?;
        Ok(())
    }

    /// Ends it at once and waits until it is gone.
    pub fn kill(&self) -> Result<()> {
        if self.is_alive() {
            self.signal("KILL")?;
        }
        let what = format!("the end of process {}", self.id);
        wait::until_blocking(&what, END_TIMEOUT, || Ok((!self.is_alive()).then_some(())))
    }
}

/// State and time of birth, from `/proc/ID/stat`.
fn read(id: u32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is the program's name in brackets, and may hold anything.
    let (_, fields) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    Some((fields.first()?.chars().next()?, fields.get(19)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_is_told_from_one_that_had_its_number() {
        let own = Process::own().unwrap();
        assert!(own.is_alive());
        assert!(!Process { born: own.born + 1, ..own }.is_alive());
    }
}
