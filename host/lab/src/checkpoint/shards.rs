//! Shards of a run that is a number of units: each leaves the states of its own units, and the run
//! that joins them goes on from all of them.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::file::{self, Trouble};
use super::ledger::Ledger;
use crate::failure::Failure;
use crate::input::read_regular;
use crate::output::folder::CHECKPOINT;
use crate::output::json;
use crate::output::record::sha256;
use crate::provenance;
use crate::shard::{MergeError, Shard, complete};

/// The states of a shard's units, as a checkpoint has them.
const STATES: &str = "shard.myopia";
/// What the shard says of itself.
const REPORT: &str = "shard.json";

/// The most bytes of the two.
const LARGEST: [u64; 2] = [1 << 36, 1 << 26];

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `shard.json`, and what the command prints as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShardReport {
    /// The version of the program.
    pub version: String,
    /// The command line, as a shell is given it.
    pub command: String,
    /// Which part.
    pub shard: Shard,
    /// How many of the run's units it holds.
    pub held: u32,
    /// How many units all shards hold together.
    pub units: u32,
    /// The SHA-256 of `shard.myopia`.
    sha256: String,
}

/// Whether the folder holds such a shard, and not one of a surface.
pub fn is_shard(folder: &Path) -> bool {
    folder.join(STATES).is_file()
}

/// What the shard in `folder` says of itself.
///
/// # Errors
/// When there is none, when it is unfinished or of another version, or when it is not what was
/// written.
pub fn report(folder: &Path) -> Result<ShardReport, MergeError> {
    let path = folder.join(REPORT);
    if let Err(e) = path.symlink_metadata() {
        if e.kind() != io::ErrorKind::NotFound || !folder.exists() {
            return Err(MergeError::System(Failure::io("read", folder, &e)));
        }
        return Err(match folder.join(CHECKPOINT).exists() {
            true => MergeError::Unfinished(folder.to_path_buf()),
            false => MergeError::NoShard(folder.to_path_buf()),
        });
    }
    let bytes = read_regular(&path, LARGEST[1])
        .map_err(|e| MergeError::System(Failure::io("read", &path, &e)))?;
    let report: ShardReport = serde_json::from_slice(&bytes).map_err(|e| {
        let reason = format!("it is not the report of such a shard ({e})");
        MergeError::Damaged { path, reason }
    })?;
    if report.version != VERSION {
        return Err(MergeError::Version { path: folder.into(), version: report.version });
    }
    Ok(report)
}

impl<S: Serialize + DeserializeOwned> Ledger<'_, S> {
    /// Writes into the folder what `shard` has of the first `units` units, all of which are done.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn leave_shard(&self, shard: Shard, units: u32) -> Result<ShardReport, Failure> {
        let bytes = self.encoded(|unit| unit < units && shard.holds(unit));
        let report = ShardReport {
            version: VERSION.to_owned(),
            command: provenance::command().unwrap_or_default(),
            shard,
            held: shard.units(units).count() as u32,
            units,
            sha256: sha256(&bytes),
        };
        if let Some(folder) = self.folder() {
            folder.write(STATES, |w| w.write_all(&bytes))?;
            folder.write(REPORT, |w| json::write(w, &report))?;
        }
        Ok(report)
    }

    /// Takes the states that a finished shard has left in this run's folder, when this run goes
    /// further than that one.
    ///
    /// # Errors
    /// When they cannot be read, or were changed since.
    pub fn recall_shard(&self) -> Result<(), Failure> {
        let Some(bytes) = self.results(STATES)? else { return Ok(()) };
        let contents = file::decode(&bytes, self.experiment(), self.units());
        let contents = contents.map_err(|e| Failure::run(format!("the shard's {STATES} {e}")))?;
        let states = contents.states.into_iter().enumerate();
        states.for_each(|(number, state)| self.unit(number).set(state));
        Ok(())
    }

    /// Takes the states of the first `units` units, which are called `name`, from the shards in
    /// `folders`.
    ///
    /// # Errors
    /// When a folder holds no shard of this experiment, and when a unit is in two of them or in
    /// none.
    pub fn join(
        &self,
        folders: &[PathBuf],
        units: u32,
        name: &'static str,
    ) -> Result<(), MergeError> {
        let first = folders.first().ok_or(MergeError::Nothing)?;
        let (mut shards, mut found) = (Vec::new(), Vec::new());
        for folder in folders {
            let (shard, mut states) = self.read_shard(folder, first)?;
            for unit in shard.units(units) {
                let Some(state) = states.get_mut(unit as usize).and_then(Option::take) else {
                    let reason = format!("it lacks one of its {name}");
                    return Err(MergeError::Damaged { path: folder.join(STATES), reason });
                };
                found.push((unit, state));
            }
            shards.push((shard, told(folder, shard)));
        }
        complete(&shards, units, name)?;
        for (unit, state) in found {
            self.unit(unit as usize).set(Some(state));
        }
        Ok(())
    }

    /// The shard in `folder` and its states; `first` is where the first shard is.
    fn read_shard(&self, folder: &Path, first: &Path) -> Result<States<S>, MergeError> {
        let ShardReport { shard, sha256: checksum, .. } = report(folder)?;
        let path = folder.join(STATES);
        let bytes = read_regular(&path, LARGEST[0])
            .map_err(|e| MergeError::System(Failure::io("read", &path, &e)))?;
        if sha256(&bytes) != checksum {
            let reason = "its SHA-256 is not that in the report".to_owned();
            return Err(MergeError::Damaged { path, reason });
        }
        let different = |difference: String| MergeError::Different {
            one: first.display().to_string(),
            other: told(folder, shard),
            difference,
        };
        let wanted = self.experiment().clone().with("shard", shard);
        let contents =
            file::decode(&bytes, &wanted, self.units()).map_err(|trouble| match trouble {
                Trouble::Version(version) => MergeError::Version { path: folder.into(), version },
                Trouble::Experiment(difference) => different(difference),
                other => MergeError::Damaged { path, reason: format!("it {other}") },
            })?;
        if contents.further {
            return Err(different("it has less of what may grow, such as --meta-steps".to_owned()));
        }
        Ok((shard, contents.states))
    }
}

/// A shard and the states of its units, among those of all units.
type States<S> = (Shard, Vec<Option<S>>);

fn told(folder: &Path, shard: Shard) -> String {
    format!("{} (shard {shard})", folder.display())
}
