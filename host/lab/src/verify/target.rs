//! The table of targets, `targets.toml` in the project's folder `firmware`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use myopia_core::experiments::{EXPERIMENTS, Experiment};
use serde::Deserialize;

use crate::failure::Failure;

/// The project's folder of that name, and its table.
#[derive(Debug, Clone, Default)]
pub struct Firmware {
    /// Where it is.
    pub folder: PathBuf,
    /// Where images are kept.
    pub images: PathBuf,
    /// The rows of the table.
    pub targets: Vec<Target>,
}

/// Which experiments a target runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Set {
    /// All of them.
    Full,
    /// Those that fit 16 KiB of RAM.
    Reduced,
    /// None of them, but the whole program: it makes the published tour again.
    Tour,
}

impl Set {
    /// Its name in the table of targets.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Reduced => "reduced",
            Self::Tour => "tour",
        }
    }

    /// Its experiments, in the order in which they run.
    pub fn experiments(self) -> impl Iterator<Item = &'static Experiment> {
        EXPERIMENTS.iter().filter(move |experiment| match self {
            Self::Full => true,
            Self::Reduced => experiment.is_reduced(),
            Self::Tour => false,
        })
    }
}

/// One row of the table; `firmware/targets.toml` says what the fields mean.
#[derive(Debug, Clone, Deserialize)]
pub struct Target {
    /// The target's name, and of a board also its cargo feature.
    pub name: String,
    /// The processor core.
    pub core: String,
    /// The floating-point hardware.
    pub float: String,
    /// Rust's name of the target.
    pub triple: String,
    /// Further compiler flags.
    pub rustflags: Option<String>,
    /// Which experiments it runs.
    pub set: Set,
    /// The command that runs an image, empty where this machine does; none for what cannot be run
    /// without a machine of its own.
    pub run: Option<String>,
    /// The chip's name at probe-rs; real boards only.
    pub chip: Option<String>,
    /// What the image may take of flash.
    pub flash: Option<Region>,
    /// What data and stack may take of RAM.
    pub ram: Option<Region>,
}

/// A stretch of memory.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Region {
    /// Its first address.
    pub origin: u32,
    /// Its size in bytes.
    pub size: u32,
}

impl Firmware {
    /// The firmware in `folder`, or that of the checkout this program was built from.
    ///
    /// # Errors
    /// When there is none, or its table is not one.
    pub fn open(folder: Option<&Path>) -> Result<Self, Failure> {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../firmware");
        let folder = folder.unwrap_or(&checkout);
        let table = folder.join("targets.toml");
        let wrong = |what: String| {
            Failure::run(format!(
                "{}: {what}; name the folder firmware of a checkout with --firmware",
                table.display()
            ))
        };
        let text = fs::read_to_string(&table).map_err(|error| wrong(error.to_string()))?;
        #[derive(Deserialize)]
        struct Table {
            target: Vec<Target>,
        }
        let Table { target } =
            toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
        let folder = folder.canonicalize().map_err(|error| wrong(error.to_string()))?;
        Ok(Self { images: folder.join("target/images"), folder, targets: target })
    }

    /// Where cargo builds for `target`: a folder for each triple, so that builds for two of them
    /// need not wait for one another.
    pub fn builds(&self, target: &Target) -> PathBuf {
        let program = if target.is_program() { "program" } else { "firmware" };
        self.folder.join("target").join(program).join(&target.triple)
    }

    /// Waits until nobody builds in `builds`, and keeps others from building there until the file
    /// is dropped.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn lock(&self, builds: &Path) -> io::Result<File> {
        fs::create_dir_all(builds)?;
        let lock = File::create(builds.join(".images.lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    /// The target of this name.
    pub fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.name == name)
    }
}

impl Target {
    /// Whether its image is the whole program rather than the firmware.
    pub fn is_program(&self) -> bool {
        self.set == Set::Tour
    }

    /// Whether it is a bare microcontroller rather than a program for WebAssembly or Linux.
    pub fn is_board(&self) -> bool {
        self.triple.contains("-none-")
    }

    /// Whether its log is a `defmt` stream rather than text.
    pub fn speaks_defmt(&self) -> bool {
        self.triple.starts_with("thumb")
    }

    /// What its image calls itself in the first line of its log: a board's name, otherwise the
    /// triple.
    pub fn label(&self) -> &str {
        if self.is_board() { &self.name } else { &self.triple }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_one_row_and_either_an_emulator_or_a_chip() {
        let Firmware { targets, .. } = Firmware::open(None).unwrap();
        for target in &targets {
            let is_there = target.run.is_some() || target.is_program();
            assert_ne!(is_there, target.chip.is_some(), "{}", target.name);
            assert_eq!(target.is_board(), target.flash.is_some() && target.ram.is_some());
            assert_eq!(targets.iter().filter(|other| other.name == target.name).count(), 1);
        }
        let emulated = targets.iter().filter(|t| t.run.is_some() && !t.is_program());
        assert!(emulated.count() >= 16);
        assert!(targets.iter().filter(|target| target.is_program()).count() >= 5);
    }

    /// The budgets: 256 KiB of flash and 64 KiB of RAM; 16 KiB for the reduced set.
    #[test]
    fn no_budget_exceeds_what_the_smallest_boards_have() {
        for target in Firmware::open(None).unwrap().targets.iter().filter(|t| t.is_board()) {
            let ram = if target.set == Set::Reduced { 16 * 1024 } else { 64 * 1024 };
            assert!(target.flash.unwrap().size <= 256 * 1024, "{}", target.name);
            assert!(target.ram.unwrap().size <= ram, "{}", target.name);
        }
    }

    #[test]
    fn a_folder_without_a_table_is_named() {
        let Failure::Run(sentence) = Firmware::open(Some(Path::new("no/such"))).unwrap_err() else {
            panic!("a missing folder is a failure of the run");
        };
        assert!(sentence.starts_with("no/such/targets.toml: "), "{sentence}");
        assert!(sentence.contains("--firmware"), "{sentence}");
    }
}
