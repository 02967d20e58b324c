//! The table of targets, `firmware/targets.toml`.

use serde::Deserialize;

/// Which experiments a target runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Set {
    /// All of them.
    Full,
    /// Those that fit 16 KiB of RAM.
    Reduced,
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
    /// The command that runs an image; none for a real board.
    pub run: Option<String>,
    /// The chip's name at probe-rs; real boards only.
    pub chip: Option<String>,
}

impl Target {
    /// Whether it is a bare microcontroller rather than a program for WebAssembly or Linux.
    pub fn is_board(&self) -> bool {
        self.triple.contains("-none-")
    }

    /// Whether its log is a `defmt` stream rather than text.
    pub fn speaks_defmt(&self) -> bool {
        self.triple.starts_with("thumb")
    }
}

/// Every target.
pub fn targets() -> Vec<Target> {
    #[derive(Deserialize)]
    struct Table {
        target: Vec<Target>,
    }
    let table: Table = toml::from_str(include_str!("../../../firmware/targets.toml"))
        .expect("the table is part of the program, and a test reads it");
    table.target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_one_row_and_either_an_emulator_or_a_chip() {
        let targets = targets();
        for target in &targets {
            assert_ne!(target.run.is_some(), target.chip.is_some(), "{}", target.name);
            assert_eq!(targets.iter().filter(|other| other.name == target.name).count(), 1);
        }
        assert!(targets.iter().filter(|target| target.run.is_some()).count() >= 16);
    }
}
