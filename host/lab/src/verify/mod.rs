//! Cross-target verification: the shared experiments on this machine's instruction sets, in
//! emulators and on boards, each line of their logs held against what this machine computes with
//! plain loops.

mod build;
#[cfg(feature = "boards")]
pub mod cost;
#[cfg_attr(not(feature = "boards"), path = "no_decode.rs")]
mod decode;
mod emulate;
mod host;
mod log;
#[cfg_attr(not(feature = "probe"), path = "no_probe.rs")]
mod probe;
mod program;
mod target;

pub use build::Build;
pub use emulate::{Emulation, Ran};
pub use host::THREADS;
pub use log::{Difference, Expected, Judged, JudgedExperiment, Memory};
pub use probe::{Board, chip};
pub use target::{Firmware, Region, Set, Target};

use std::path::Path;
use std::time::Duration;

use myopia_backend::Isa;

/// Why there is nothing to judge: one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotRun(pub String);

/// Why boards cannot be verified by a program without the feature `boards`.
pub const WITHOUT_BOARDS: &str = "this program was built without what verifies boards and emulators; build it with \
                                  --features boards";

/// What is to be verified.
#[derive(Debug, Clone)]
pub enum Subject<'a> {
    /// This machine, with an instruction set and a number of threads.
    Host(Isa, u16),
    /// A row of the table: in its emulator, or on the board that is connected.
    Target(&'a Target),
}

impl Subject<'_> {
    /// Its name in reports.
    pub fn name(&self) -> String {
        match self {
            Self::Host(isa, 1) => format!("host-{}", isa.name()),
            Self::Host(isa, threads) => format!("host-{}-{threads}-threads", isa.name()),
            Self::Target(target) => target.name.clone(),
        }
    }

    /// Its processor core.
    pub fn core(&self) -> &str {
        match self {
            Self::Host(..) => std::env::consts::ARCH,
            Self::Target(target) => &target.core,
        }
    }

    /// Its floating-point hardware.
    pub fn float(&self) -> &str {
        match self {
            Self::Host(isa, _) => isa.name(),
            Self::Target(target) => &target.float,
        }
    }

    /// Which experiments it runs.
    pub fn set(&self) -> Set {
        match self {
            Self::Host(..) => Set::Full,
            Self::Target(target) => target.set,
        }
    }
}

/// How a target is run.
#[derive(Debug, Clone, Copy)]
pub struct Runner<'a> {
    /// An image to run instead of one built now.
    pub image: Option<&'a Path>,
    /// How long a run may take before it counts as hanging.
    pub patience: Duration,
    /// The board that may be flashed.
    pub board: Option<&'a Board>,
}

impl Runner<'_> {
    /// Runs `subject` and judges its log.
    ///
    /// # Errors
    /// Why it could not be run.
    pub fn run(
        &self,
        firmware: &Firmware,
        subject: &Subject<'_>,
        expected: &Expected,
    ) -> Result<Judged, NotRun> {
        let name = subject.name();
        match subject {
            Subject::Host(isa, _) if !isa.available() => {
                Err(NotRun(format!("this processor does not have {}", isa.name())))
            }
            Subject::Host(isa, threads) => {
                let mut judged = expected.judge(&name, &host::log(&name, *isa, *threads)?);
                judged.add(host::subnormal_training(*isa, *threads)?);
                Ok(judged)
            }
            Subject::Target(target) if target.is_program() => {
                let log = program::log(firmware, target, self.image, self.patience)?;
                Ok(expected.judge(target.label(), &log))
            }
            Subject::Target(target) => {
                self.log(firmware, target).map(|log| expected.judge(target.label(), &log))
            }
        }
    }

    fn log(&self, firmware: &Firmware, target: &Target) -> Result<Vec<String>, NotRun> {
        let board = match (&target.run, self.board) {
            (Some(_), _) => None,
            (None, Some(board)) => Some(board),
            (None, None) => {
                return Err(NotRun(format!(
                    "a real board; connect it and use --target {}",
                    target.name
                )));
            }
        };
        if let Some(board) = board {
            if let Some(image) = self.image {
                board.fits(image)?;
            }
            // Before the build: without a board there is nothing to build for.
            board.ready()?;
        }
        let image = match self.image {
            Some(image) => image.to_path_buf(),
            None => Build::EXPERIMENTS.image(firmware, target)?,
        };
        match board {
            Some(board) => board.run(&image, self.patience),
            None => {
                let patience = self.patience;
                let emulation = Emulation { drill: None, count_instructions: false, patience };
                emulation.run(firmware, target, &image)?.log(target, &image)
            }
        }
    }
}

/// The real boards and their chips, for a message.
fn boards(targets: &[Target]) -> String {
    let chips = targets.iter().filter_map(|t| Some(format!("{} ({})", t.name, t.chip.as_ref()?)));
    format!("its boards are {}", chips.collect::<Vec<_>>().join(", "))
}
