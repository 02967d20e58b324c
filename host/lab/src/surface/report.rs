//! The files of a surface.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::cell::Row;
use super::picture;
use crate::checkpoint::Experiment;
use crate::failure::Failure;
use crate::output::record::sha256;
use crate::output::{OutputFolder, json};
use crate::shard::Shard;
use crate::shown::number;

/// What a surface is of; the same in each of its shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The version of the program.
    pub version: String,
    /// The seed of weights, batches and random schedules.
    pub seed: u64,
    /// The digest of the data.
    pub data_digest: String,
    /// How many schedules the whole surface has.
    pub cells: u32,
    /// What its losses are, for labels.
    pub loss: String,
    /// The parameters that vary.
    pub axes: [String; 2],
    /// The horizons, ascending.
    pub horizons: Vec<u32>,
    /// Every option of the command.
    pub settings: Map<String, Value>,
}

impl About {
    /// The experiment whose result the whole surface is.
    pub fn experiment(&self) -> Experiment {
        Experiment::new("surface", &self.settings)
            .with("seed", self.seed)
            .with("data_digest", &self.data_digest)
    }
}

/// `surface.json`, and what the command prints as JSON.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    #[serde(flatten)]
    about: &'a About,
    /// How many schedules were trained, when the run was interrupted before the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<usize>,
    /// The SHA-256 of `surface.csv`.
    sha256: String,
    /// What was found at each horizon.
    found: Vec<Found<'a>>,
    /// Every schedule at every horizon.
    rows: &'a [Row],
}

/// What was found at one horizon.
#[derive(Debug, Serialize)]
pub struct Found<'a> {
    /// The horizon.
    pub horizon: u32,
    /// The schedule with the lowest loss, the first of several.
    pub best: Option<&'a Row>,
    /// How many runs had diverged.
    pub diverged: usize,
}

/// `shard.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShardReport {
    /// What it is a part of.
    pub about: About,
    /// Which part.
    pub shard: Shard,
    /// The SHA-256 of `shard.csv`.
    pub sha256: String,
    /// The SHA-256 of the rest as compact JSON.
    seal: String,
}

impl ShardReport {
    fn new(about: About, shard: Shard, sha256: String) -> Self {
        Self { about, shard, sha256, seal: String::new() }.sealed()
    }

    /// The same with the checksum of what it says now.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.seal = self.seal();
        self
    }

    /// Whether it says what was written.
    pub fn is_sealed(&self) -> bool {
        self.seal == self.seal()
    }

    fn seal(&self) -> String {
        let rest = (&self.about, self.shard, &self.sha256);
        sha256(&serde_json::to_vec(&rest).expect("a report is plain data"))
    }
}

/// The names of a shard's files. They are not a surface's, which they must not be taken for.
pub const SHARD_TABLE: &str = "shard.csv";
pub const SHARD_REPORT: &str = "shard.json";

impl<'a> Report<'a> {
    /// The report of `rows`, the table that is written as `table`.
    fn new(about: &'a About, rows: &'a [Row], table: &[u8], partial: bool) -> Self {
        let trained = rows.len().checked_div(about.horizons.len()).unwrap_or(0);
        Self {
            about,
            partial: partial.then_some(trained),
            sha256: sha256(table),
            found: found(about, rows),
            rows,
        }
    }

    /// Prints what each horizon prefers.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let cells = self.about.cells;
        match self.partial {
            None => writeln!(out, "{cells} schedules; the best at each horizon:"),
            Some(trained) => {
                writeln!(out, "{trained} of {cells} schedules (partial); the best so far:")
            }
        }?;
        writeln!(
            out,
            "{:>8}  {:>9}  {:>9}  {:>9}  {:>15}  {:>9}  {:>8}",
            "horizon", "alpha0", "K", "beta", self.about.loss, "correct", "diverged"
        )?;
        for Found { horizon, best, diverged } in &self.found {
            match best {
                Some(Row { alpha0, time_constant, beta, loss, accuracy, .. }) => writeln!(
                    out,
                    "{horizon:>8}  {:>9}  {:>9}  {:>9}  {:>15}  {:>7.2} %  {diverged:>8}",
                    number(*alpha0, 5),
                    number(*time_constant, 1),
                    number(*beta, 4),
                    number(loss.unwrap_or(f64::NAN), 6),
                    100.0 * accuracy.unwrap_or(f64::NAN)
                ),
                None => writeln!(out, "{horizon:>8}  every run diverged ({diverged})"),
            }?;
        }
        writeln!(out, "SHA-256 of surface.csv  {}", self.sha256)
    }
}

/// What `rows` say of each horizon.
fn found<'a>(about: &About, rows: &'a [Row]) -> Vec<Found<'a>> {
    let groups = by_horizon(rows);
    let found = |&horizon: &u32| {
        let at = || groups.get(&horizon).into_iter().flatten().copied();
        let finite = at().filter(|row| row.loss.is_some());
        let best = finite.reduce(|best, row| if row.loss < best.loss { row } else { best });
        Found { horizon, best, diverged: at().filter(|row| row.loss.is_none()).count() }
    };
    about.horizons.iter().map(found).collect()
}

/// The rows of each horizon, in order.
pub(super) fn by_horizon(rows: &[Row]) -> BTreeMap<u32, Vec<&Row>> {
    let mut groups: BTreeMap<u32, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        groups.entry(row.horizon).or_default().push(row);
    }
    groups
}

/// Writes a surface into `folder`, if there is one: table, report, one picture for each horizon and
/// one of all.
pub fn write<'a>(
    folder: Option<&OutputFolder>,
    about: &'a About,
    rows: &'a [Row],
    partial: bool,
) -> Result<Report<'a>, Failure> {
    let table = table(rows);
    let report = Report::new(about, rows, &table, partial);
    if let Some(folder) = folder {
        folder.write_as(partial, "surface.csv", |w| w.write_all(&table))?;
        folder.write_as(partial, "surface.json", |w| json::write(w, &report))?;
        // One after the other: there may be thousands.
        for (name, figure) in picture::figures(about, &by_horizon(rows), partial) {
            figure.write(folder, partial, &name)?;
        }
    }
    Ok(report)
}

/// Writes a shard of a surface.
pub fn write_shard(
    folder: &OutputFolder,
    about: About,
    shard: Shard,
    rows: &[Row],
) -> Result<ShardReport, Failure> {
    let table = table(rows);
    folder.write(SHARD_TABLE, |w| w.write_all(&table))?;
    let report = ShardReport::new(about, shard, sha256(&table));
    folder.write(SHARD_REPORT, |w| json::write(w, &report))?;
    Ok(report)
}

fn table(rows: &[Row]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Row::write(&mut bytes, rows).expect("memory takes everything");
    bytes
}
