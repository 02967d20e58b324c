//! Shards of a surface joined into the whole.

use std::io;
use std::path::{Path, PathBuf};

use super::cell::Row;
use super::check;
use super::report::{About, SHARD_REPORT, SHARD_TABLE, ShardReport};
use super::seeds::Run;
use crate::failure::Failure;
use crate::input::read_regular;
use crate::memory;
use crate::output::folder::CHECKPOINT;
use crate::output::record::sha256;
use crate::shard::{MergeError, Shard, complete};

/// The most bytes of a shard's report and of its table.
const LARGEST: [u64; 2] = [1 << 26, Row::LARGEST];

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A shard as it lies in a folder, checked.
#[derive(Debug)]
pub struct Piece {
    path: PathBuf,
    shard: Shard,
    about: About,
    runs: Vec<Run>,
}

impl Piece {
    /// The shard in the folder at `path`.
    ///
    /// # Errors
    /// When there is none, when it is unfinished, or when it is not what was written.
    pub fn read(path: &Path) -> Result<Self, MergeError> {
        let report = path.join(SHARD_REPORT);
        if let Err(e) = report.symlink_metadata() {
            if e.kind() != io::ErrorKind::NotFound || !path.exists() {
                return Err(MergeError::System(Failure::io("read", path, &e)));
            }
            return Err(match path.join(CHECKPOINT).exists() {
                true => MergeError::Unfinished(path.to_path_buf()),
                false => MergeError::NoShard(path.to_path_buf()),
            });
        }
        let bytes = |name: &str, most: u64| {
            let path = path.join(name);
            read_regular(&path, most)
                .map_err(|e| MergeError::System(Failure::io("read", &path, &e)))
        };
        let [most_report, most_table] = LARGEST;
        let report = bytes(SHARD_REPORT, most_report)?;
        let table = bytes(SHARD_TABLE, most_table)?;
        Self::parse(path, &report, &table)
    }

    /// The shard whose two files hold these bytes; `path` is where they lie.
    ///
    /// # Errors
    /// When they are not what was written.
    pub fn parse(path: &Path, report: &[u8], table: &[u8]) -> Result<Self, MergeError> {
        let damaged =
            |name: &str, reason: String| MergeError::Damaged { path: path.join(name), reason };
        let report: ShardReport = serde_json::from_slice(report)
            .map_err(|e| damaged(SHARD_REPORT, format!("it is not the report of a shard ({e})")))?;
        if !report.is_sealed() {
            return Err(damaged(
                SHARD_REPORT,
                "its checksum is not that of what it says".to_owned(),
            ));
        }
        let ShardReport { about, shard, sha256: checksum, .. } = report;
        if about.version != VERSION {
            return Err(MergeError::Version { path: path.to_path_buf(), version: about.version });
        }
        if sha256(table) != checksum {
            let reason = "its SHA-256 is not that in the report".to_owned();
            return Err(damaged(SHARD_TABLE, reason));
        }
        let points = check::about(&about).map_err(|reason| damaged(SHARD_REPORT, reason))?;
        let needed = Row::EXPANSION * table.len() as u128;
        memory::afford(&path.join(SHARD_TABLE).display().to_string(), needed, "free some memory")
            .map_err(MergeError::System)?;
        let runs = Run::read(table, about.seed).map_err(|e| damaged(SHARD_TABLE, e.to_string()))?;
        check::runs(&about, shard, &points, &runs)
            .map_err(|reason| damaged(SHARD_TABLE, reason))?;
        Ok(Self { path: path.to_path_buf(), shard, about, runs })
    }

    fn told(&self) -> String {
        format!("{} (shard {})", self.path.display(), self.shard)
    }
}

/// The whole surface: what it is of, and its runs in order.
///
/// # Errors
/// When the pieces are of different surfaces, when two hold the same cell, and when a cell is in
/// none.
pub fn merge(pieces: Vec<Piece>) -> Result<(About, Vec<Run>), MergeError> {
    let first = pieces.first().ok_or(MergeError::Nothing)?;
    let places = ["in the first", "in the second"];
    let about = first.about.clone();
    for piece in &pieces {
        if let Some(difference) =
            first.about.experiment().difference(&piece.about.experiment(), places)
        {
            return Err(MergeError::Different {
                one: first.told(),
                other: piece.told(),
                difference,
            });
        }
    }
    // Checked when they were read: every piece speaks of as many cells as its settings make, and
    // these are the same.
    let shards: Vec<_> = pieces.iter().map(|piece| (piece.shard, piece.told())).collect();
    complete(&shards, about.runs(), "cells")?;
    let mut runs: Vec<Run> = pieces.into_iter().flat_map(|piece| piece.runs).collect();
    runs.sort_by_key(|Run { seed, row }| (*seed, row.cell, row.horizon));
    Ok((about, runs))
}
