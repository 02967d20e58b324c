//! The files of a surface.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use myopia_core::schedule::Parameter;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::cell::Row;
use super::seeds::{Cell, Run};
use super::{check, picture};
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

    /// The parameters that vary; β for a name that is none, which is refused where a surface is
    /// read.
    pub(super) fn parameters(&self) -> [Parameter; 2] {
        self.axes.each_ref().map(|name| check::axis_parameter(name).unwrap_or(Parameter::Beta))
    }

    /// The training runs in order: the number of each, its seed and its schedule's number.
    ///
    /// # Errors
    /// When the settings make no sense.
    pub(super) fn units(&self) -> Result<impl Iterator<Item = (u32, u64, u32)>, String> {
        let cells = self.cells;
        let runs = check::seeds(self)?.flat_map(move |seed| (0..cells).map(move |c| (seed, c)));
        Ok((0..).zip(runs).map(|(unit, (seed, cell))| (unit, seed, cell)))
    }

    /// How many seeds each schedule is trained with.
    fn seeds(&self) -> u32 {
        check::seeds(self).map_or(1, |seeds| (seeds.end() - seeds.start()) as u32 + 1)
    }

    /// How many training runs the whole surface is.
    pub fn runs(&self) -> u32 {
        self.cells * self.seeds()
    }
}

/// `surface.json`, and what the command prints as JSON.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    #[serde(flatten)]
    about: &'a About,
    /// How many schedules were trained, each from each seed, when the run was interrupted before
    /// the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<usize>,
    /// The SHA-256 of `surface.csv`.
    sha256: String,
    /// What was found at each horizon.
    found: Vec<Found<'a>>,
    /// Every schedule at every horizon.
    rows: Vec<Line<'a>>,
}

/// What was found at one horizon.
#[derive(Debug, Serialize)]
struct Found<'a> {
    /// The horizon.
    horizon: u32,
    /// The schedule with the lowest loss, the first of several.
    best: Option<Line<'a>>,
    /// How many runs had diverged.
    diverged: usize,
}

/// A schedule at a horizon: with one seed, or with several.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Row(&'a Row),
    Cell(Box<Cell>),
}

impl Line<'_> {
    /// With medians, where there are several seeds.
    fn row(&self) -> Cow<'_, Row> {
        match self {
            Self::Row(row) => Cow::Borrowed(row),
            Self::Cell(cell) => Cow::Owned(cell.median()),
        }
    }

    fn diverged(&self) -> usize {
        match self {
            Self::Row(row) => usize::from(row.loss.is_none()),
            Self::Cell(cell) => cell.diverged,
        }
    }
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
    /// The report of `rows`, the table that is written as `table`; `partial` says how many runs
    /// there are where not all are done.
    fn new(about: &'a About, rows: Vec<Line<'a>>, table: &[u8], partial: Option<usize>) -> Self {
        let found = found(about, &rows);
        Self { about, partial, sha256: sha256(table), found, rows }
    }

    /// Prints what each horizon prefers.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let (cells, seeds) = (self.about.cells, self.about.seeds());
        match (self.partial, seeds) {
            (None, 1) => writeln!(out, "{cells} schedules; the best at each horizon:"),
            (None, _) => {
                writeln!(out, "{cells} schedules, {seeds} seeds; the best median at each horizon:")
            }
            (Some(trained), 1) => {
                writeln!(out, "{trained} of {cells} schedules (partial); the best so far:")
            }
            (Some(trained), _) => writeln!(
                out,
                "{trained} of {} runs (partial); the best median so far:",
                self.about.runs()
            ),
        }?;
        let others = self.rows.first().map(|line| line.row().others.clone()).unwrap_or_default();
        let headings: String =
            others.iter().map(|(parameter, _)| format!("  {:>12}", parameter.heading())).collect();
        writeln!(
            out,
            "{:>8}  {:>9}  {:>9}  {:>9}{headings}  {:>15}  {:>9}  {:>8}",
            "horizon", "alpha0", "K", "beta", self.about.loss, "correct", "diverged"
        )?;
        for Found { horizon, best, diverged } in &self.found {
            match best.as_ref().map(|best| best.row().into_owned()) {
                Some(Row { alpha0, time_constant, beta, others, loss, accuracy, .. }) => writeln!(
                    out,
                    "{horizon:>8}  {:>9}  {:>9}  {:>9}{}  {:>15}  {:>7.2} %  {diverged:>8}",
                    number(alpha0, 5),
                    number(time_constant, 1),
                    number(beta, 4),
                    others
                        .iter()
                        .map(|(_, x)| format!("  {:>12}", number(*x, 6)))
                        .collect::<String>(),
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
fn found<'a>(about: &About, rows: &[Line<'a>]) -> Vec<Found<'a>> {
    let mut groups: BTreeMap<u32, Vec<&Line<'a>>> = BTreeMap::new();
    for line in rows {
        groups.entry(line.row().horizon).or_default().push(line);
    }
    let found = |&horizon: &u32| {
        let at = || groups.get(&horizon).into_iter().flatten().copied();
        let finite = at().filter_map(|line| Some((line, line.row().loss?)));
        let best = finite.reduce(|best, next| if next.1 < best.1 { next } else { best });
        let diverged = at().fold(0, |count, line| count + line.diverged());
        Found { horizon, best: best.map(|(line, _)| line.clone()), diverged }
    };
    about.horizons.iter().map(found).collect()
}

/// The rows of each horizon, in order.
pub(super) fn by_horizon<'a>(
    rows: impl IntoIterator<Item = &'a Row>,
) -> BTreeMap<u32, Vec<&'a Row>> {
    let mut groups: BTreeMap<u32, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        groups.entry(row.horizon).or_default().push(row);
    }
    groups
}

/// Writes a surface into `folder`, if there is one: table, report, one picture for each horizon and
/// one of all. With several seeds these show medians; then there are the runs' own table and a
/// picture of how far they are apart, too.
pub fn write<'a>(
    folder: Option<&OutputFolder>,
    about: &'a About,
    runs: &'a [Run],
    partial: bool,
) -> Result<Report<'a>, Failure> {
    let trained = runs.len().checked_div(about.horizons.len()).unwrap_or(0);
    let trained = partial.then_some(trained);
    let figures = |rows: &[&Row], seeds: Option<u32>| -> Result<(), Failure> {
        let Some(folder) = folder else { return Ok(()) };
        // One after the other: there may be thousands.
        let groups = by_horizon(rows.iter().copied());
        picture::figures(about, &groups, seeds, partial)
            .try_for_each(|(name, figure)| figure.write(folder, partial, &name))
    };
    let save = |report: &Report<'_>, table: &[u8]| -> Result<(), Failure> {
        let Some(folder) = folder else { return Ok(()) };
        folder.write_as(partial, "surface.csv", |w| w.write_all(table))?;
        folder.write_as(partial, "surface.json", |w| json::write(w, report))
    };
    if about.seeds() == 1 {
        let table = table(runs, false);
        let rows: Vec<&Row> = runs.iter().map(|run| &run.row).collect();
        let lines = rows.iter().map(|&row| Line::Row(row)).collect();
        let report = Report::new(about, lines, &table, trained);
        save(&report, &table)?;
        figures(&rows, None)?;
        return Ok(report);
    }
    let seeds = about.seeds();
    let cells = Cell::all(runs);
    let mut table = Vec::new();
    Cell::write(&mut table, &cells).expect("memory takes everything");
    let medians: Vec<Row> = cells.iter().map(Cell::median).collect();
    let ranges: Vec<Row> = cells.iter().map(Cell::range).collect();
    let lines = cells.into_iter().map(|cell| Line::Cell(Box::new(cell))).collect();
    let report = Report::new(about, lines, &table, trained);
    save(&report, &table)?;
    figures(&medians.iter().collect::<Vec<_>>(), Some(seeds))?;
    if let Some(folder) = folder {
        folder.write_as(partial, "seeds.csv", |w| Run::write(w, runs))?;
        picture::range(about, &by_horizon(&ranges), seeds, partial).write(
            folder,
            partial,
            "surface-range",
        )?;
    }
    Ok(report)
}

/// Writes a shard of a surface.
pub fn write_shard(
    folder: &OutputFolder,
    about: About,
    shard: Shard,
    runs: &[Run],
) -> Result<ShardReport, Failure> {
    let table = table(runs, about.seeds() > 1);
    folder.write(SHARD_TABLE, |w| w.write_all(&table))?;
    let report = ShardReport::new(about, shard, sha256(&table));
    folder.write(SHARD_REPORT, |w| json::write(w, &report))?;
    Ok(report)
}

/// The table of the runs, with their seeds where there are several.
fn table(runs: &[Run], with_seeds: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    match with_seeds {
        true => Run::write(&mut bytes, runs),
        false => Row::write(&mut bytes, runs.iter().map(|run| &run.row)),
    }
    .expect("memory takes everything");
    bytes
}
