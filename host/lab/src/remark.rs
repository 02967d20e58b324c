//! Remarks on standard error: what is worth knowing and no failure.

use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::shown;

/// Whether nothing is to be said.
static QUIET: AtomicBool = AtomicBool::new(false);

/// From now on nothing is said.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Says one sentence on a line of its own.
pub fn say(text: impl Display) {
    if !QUIET.load(Ordering::Relaxed) {
        let text = shown::sentence(&text.to_string());
        // A closed pipe on standard error is no reason to stop.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}
