//! The whole program on another machine: the published tour again, file by file.

use std::path::Path;
use std::time::Duration;

use super::build::command;
use super::emulate::run_command;
use super::log::{Expected, file_line};
use super::{Build, Firmware, NotRun, Target};
use crate::failure::Failure;
use crate::input::read_regular;
use crate::output::record::sha256;
use crate::published::Manifest;

/// The published result that is made again.
const TOUR: &str = "tour";
/// More bytes than any of its files has.
const LARGEST: u64 = 1 << 24;

impl Expected {
    /// What the log of the whole program must say.
    ///
    /// # Errors
    /// When the checkout of `firmware` has no published tour.
    pub fn of_tour(firmware: &Firmware) -> Result<Self, Failure> {
        Ok(Self::of_files(&manifest(firmware)?))
    }
}

fn manifest(firmware: &Firmware) -> Result<Manifest, Failure> {
    Manifest::read(&firmware.folder.join("../results"), TOUR)
}

/// Makes the tour with the program built for `target`, or with `image`; a line for each file of the
/// published one that it wrote.
///
/// # Errors
/// When it cannot be built or run here.
pub fn log(
    firmware: &Firmware,
    target: &Target,
    image: Option<&Path>,
    patience: Duration,
) -> Result<Vec<String>, NotRun> {
    let Some(run) = &target.run else {
        Build::PROGRAM.check(firmware, target)?;
        return Err(NotRun("it compiles; linking and running it takes such a machine".into()));
    };
    let image = match image {
        Some(image) => image.canonicalize().map_err(|error| NotRun(error.to_string()))?,
        None => Build::PROGRAM.image(firmware, target)?,
    };
    let manifest = manifest(firmware).map_err(|failure| NotRun(failure.to_string()))?;
    let folder = tempfile::tempdir()
        .map_err(|error| NotRun(format!("could not make a temporary folder: {error}")))?;
    let mut words = run.split_whitespace();
    let program = words.next().unwrap_or("this machine");
    let mut command = match run.is_empty() {
        true => command(&image, &firmware.folder),
        false => command(program, &firmware.folder),
    };
    command.args(words);
    if !run.is_empty() {
        command.arg(&image);
    }
    let made = folder.path().join("made");
    command.args(&manifest.command).args(["--quiet", "--out"]).arg(&made);
    let ran = run_command(command, program, patience)?;
    let mut log = vec![format!("target {}", target.label())];
    let is_own = ["myopia: ", "panicked at"].iter().any(|words| ran.complaint.contains(words));
    match ran.is_refusal() {
        true if is_own => log.push(format!("broken {}", ran.complaint)),
        true => return Err(ran.refusal(program)),
        false => {}
    }
    for name in manifest.files.keys() {
        // A file that is not there has no line.
        if let Ok(bytes) = read_regular(&made.join(name), LARGEST) {
            log.push(file_line(name, &sha256(&bytes)));
        }
    }
    log.push(ran.ending);
    Ok(log)
}
