//! What stands in for `probe.rs` in a program built without the cargo feature `probe`.

use std::path::Path;
use std::time::Duration;

use super::{NotRun, Target};
use crate::failure::Failure;

/// A chip that could be looked for at the end of a probe.
#[derive(Debug)]
pub struct Board(());

/// The firmware's row for the chip of this name.
///
/// # Errors
/// When the firmware has none.
pub fn chip<'a>(name: &str, targets: &'a [Target]) -> Result<(&'a Target, Board), Failure> {
    let is_it =
        |target: &&Target| target.chip.as_ref().is_some_and(|c| c.eq_ignore_ascii_case(name));
    match targets.iter().find(is_it) {
        Some(target) => Ok((target, Board(()))),
        None => Err(Failure::usage(format!(
            "--chip {name}: the firmware has no memory layout for it; {}",
            super::boards(targets)
        ))),
    }
}

impl Board {
    /// That there is no way to a probe.
    ///
    /// # Errors
    /// Always.
    pub fn ready(&self) -> Result<(), NotRun> {
        Err(NotRun(
            "this program was built without support for probes; build it by \
             `cargo build --release -p myopia --features probe`"
                .into(),
        ))
    }

    /// See [`ready`](Self::ready).
    ///
    /// # Errors
    /// Always.
    pub fn fits(&self, _: &Path) -> Result<(), NotRun> {
        self.ready()
    }

    /// See [`ready`](Self::ready).
    ///
    /// # Errors
    /// Always.
    pub fn run(&self, _: &Path, _: Duration) -> Result<Vec<String>, NotRun> {
        self.ready().map(|()| Vec::new())
    }
}
