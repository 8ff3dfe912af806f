//! How many files the process may have open. Each connection is one, also those to the database and of probes: who
//! takes all of them locks out the others.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the log, the queue of the system and what a library opens for a moment.
const OTHERS: u64 = 64;

/// Raises the limit as far as the process may, which container runtimes and systemd leave at 1,024, and says how many
/// of the `wanted` connections of clients there is room for beside `reserved` others: one at the least.
pub fn room(wanted: usize, reserved: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            current
        }
    };
    let room = places(limit, wanted, reserved);
    if room < wanted {
        tracing::warn!(
            limit,
            wanted,
            room,
            "fewer connections of clients than asked for: the process may not open as many files"
        );
    }
    room
}

/// `None` is no limit.
fn places(limit: Option<u64>, wanted: usize, reserved: usize) -> usize {
    let Some(limit) = limit else { return wanted };
    let others = OTHERS.saturating_add(u64::try_from(reserved).unwrap_or(u64::MAX));
    let room = usize::try_from(limit.saturating_sub(others)).unwrap_or(usize::MAX);
    wanted.min(room).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_take_what_the_others_leave() {
        assert_eq!(places(None, 4096, 48), 4096);
        assert_eq!(places(Some(1_000_000), 4096, 48), 4096);
        assert_eq!(places(Some(1024), 4096, 48), 1024 - 64 - 48);
        assert_eq!(places(Some(1024), 100, 48), 100);
        assert_eq!(places(Some(64), 4096, 48), 1);
    }
}
