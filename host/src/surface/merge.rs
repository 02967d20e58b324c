//! Shards of a surface joined into the whole.

use std::fs;
use std::path::{Path, PathBuf};

use super::cell::Row;
use super::report::{About, SHARD_REPORT, SHARD_TABLE, ShardReport, sha256};
use super::shard::Shard;
use crate::checkpoint::Experiment;
use crate::failure::Failure;
use crate::output::folder::CHECKPOINT;

/// A shard as it lies in a folder.
#[derive(Debug)]
pub struct Piece {
    path: PathBuf,
    shard: Shard,
    about: About,
    rows: Vec<Row>,
}

impl Piece {
    /// The shard in the folder at `path`.
    ///
    /// # Errors
    /// One sentence when there is none, when it is unfinished, or when it is not what was written.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let folder = path.display();
        let report = path.join(SHARD_REPORT);
        if !report.exists() {
            return Err(Failure::run(if path.join(CHECKPOINT).exists() {
                format!(
                    "{folder} holds an unfinished run; finish it with --resume before it is merged"
                )
            } else {
                format!("{folder} holds no shard; name folders that `myopia surface --shard` wrote")
            }));
        }
        let bytes = |path: &Path| fs::read(path).map_err(|e| Failure::io("read", path, &e));
        let damaged = |name: &str| {
            Failure::run(format!("{} is damaged; run that shard again", path.join(name).display()))
        };
        let ShardReport { about, shard, sha256: checksum } =
            serde_json::from_slice(&bytes(&report)?).map_err(|_| damaged(SHARD_REPORT))?;
        let table = bytes(&path.join(SHARD_TABLE))?;
        let rows = Row::read(&table).ok().filter(|_| sha256(&table) == checksum);
        let rows = rows.ok_or_else(|| damaged(SHARD_TABLE))?;
        Ok(Self { path: path.to_path_buf(), shard, about, rows })
    }

    fn told(&self) -> String {
        format!("{} (shard {})", self.path.display(), self.shard)
    }
}

/// The whole surface: what it is of, and its rows in order.
///
/// # Errors
/// One sentence when the pieces are of different surfaces, when two hold the same cell, and when a cell is in none.
pub fn merge(pieces: Vec<Piece>) -> Result<(About, Vec<Row>), Failure> {
    let Some(first) = pieces.first() else {
        return Err(Failure::usage("there is nothing to merge; name the folders of all shards"));
    };
    let experiment = |Piece { about, .. }: &Piece| {
        Experiment::new("surface", &about.settings)
            .with("version", &about.version)
            .with("seed", about.seed)
            .with("data_digest", &about.data_digest)
    };
    let places = ["in the first", "in the second"];
    let about = first.about.clone();
    for piece in &pieces {
        if let Some(difference) = experiment(first).difference(&experiment(piece), places) {
            return Err(Failure::run(format!(
                "{} and {} are shards of different surfaces: {difference}; leave one of them out",
                first.told(),
                piece.told()
            )));
        }
    }
    let mut holders: Vec<Option<&Piece>> = vec![None; about.cells as usize];
    for piece in &pieces {
        for cell in (0..about.cells).filter(|&cell| piece.shard.holds(cell)) {
            if let Some(other) = holders[cell as usize].replace(piece) {
                return Err(Failure::run(format!(
                    "{} and {} hold the same cells; leave one of them out",
                    other.told(),
                    piece.told()
                )));
            }
        }
    }
    let missing = holders.iter().filter(|holder| holder.is_none()).count();
    if missing > 0 {
        let shards: Vec<String> = pieces.iter().map(|piece| piece.shard.to_string()).collect();
        return Err(Failure::run(format!(
            "{missing} of {} cells are in none of the shards {}; name the folders of all shards",
            about.cells,
            shards.join(", ")
        )));
    }
    let mut rows: Vec<Row> = pieces.into_iter().flat_map(|piece| piece.rows).collect();
    rows.sort_by_key(|row| (row.cell, row.horizon));
    Ok((about, rows))
}
