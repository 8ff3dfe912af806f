//! Tells a human on standard error what takes so long, and that it goes on.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Logs of CI are read afterwards: there a sign of life now and then is enough.
const WITHOUT_TERMINAL: Duration = Duration::from_secs(30);
const ON_TERMINAL: Duration = Duration::from_millis(250);

/// One line. That nobody can be told is no reason to fail.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

static HELD: AtomicBool = AtomicBool::new(false);

/// Holds the progress of all work back, while something else is being shown; and lets it go on.
pub fn hold(held: bool) {
    HELD.store(held, Ordering::Relaxed);
}

fn is_held() -> bool {
    HELD.load(Ordering::Relaxed)
}

/// A piece of work that takes long enough to be watched.
#[derive(Debug)]
pub struct Step {
    what: String,
    begun: Instant,
    shown: Instant,
    terminal: bool,
}

impl Step {
    /// Announces it. `about` says how long it takes and how often, like "once, about 6 minutes".
    #[must_use]
    pub fn begin(what: impl Into<String>, about: &str) -> Self {
        let what = what.into();
        if !is_held() {
            say(&format!("{what} ({about}) …"));
        }
        let now = Instant::now();
        Self { what, begun: now, shown: now, terminal: io::stderr().is_terminal() }
    }

    /// Says how far it is; may be called as often as one likes.
    pub fn tick(&mut self, note: &str) {
        let pause = if self.terminal { ON_TERMINAL } else { WITHOUT_TERMINAL };
        if self.shown.elapsed() < pause || is_held() {
            return;
        }
        self.shown = Instant::now();
        let line = format!("  {}: {} {note}", self.what, minutes(self.begun.elapsed()));
        if self.terminal {
            // Back to the start of the line, and clear what a longer note left.
            let _ = write!(io::stderr(), "\r{line}\u{1b}[K");
        } else {
            say(&line);
        }
    }

    /// Says that it is done, and how long it took.
    pub fn done(self) {
        if is_held() {
            return;
        }
        let start = if self.terminal { "\r\u{1b}[K" } else { "" };
        say(&format!("{start}{}: done in {}", self.what, minutes(self.begun.elapsed())));
    }
}

fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f32())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}
