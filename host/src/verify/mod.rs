//! Cross-target verification: builds the firmware for a target, runs it in its emulator and compares every line with
//! what this machine computes.

mod log;
mod run;
mod target;

pub use log::{Difference, expected, first_difference};
pub use run::{NotRun, run};
pub use target::{Set, Target, targets};

use std::path::Path;

/// How a target's run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every record and every report is the host's, bit for bit.
    Equal,
    /// The first line that is not.
    Different(Difference),
    /// There is nothing to judge: a toolchain or an emulator is missing, or the firmware does not build.
    NotRun(NotRun),
}

/// Builds, runs and judges one target; `firmware` is the project's folder of that name.
pub fn verify(target: &Target, firmware: &Path) -> Verdict {
    match run(target, firmware) {
        Err(not_run) => Verdict::NotRun(not_run),
        Ok(log) => match first_difference(&expected(target.set), &log) {
            None => Verdict::Equal,
            Some(difference) => Verdict::Different(difference),
        },
    }
}
