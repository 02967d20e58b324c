//! The tables of a study of horizons.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::{Path, Training, chosen};
use crate::curve::Point;
use crate::descent::{Columns, Record, Row, count, earlier, in_order, without_columns};
use crate::failure::Failure;
use crate::output::csv;

/// One line of `horizons.csv`: what a horizon chose, and what came of training with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// The seed of what was trained, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// T, the steps of each look-ahead.
    pub horizon: u32,
    /// The number of the start, from 1, from which the schedule was reached; nothing when every
    /// look-ahead diverged.
    pub start: Option<usize>,
    /// After how many meta-steps.
    pub meta_step: Option<u32>,
    /// α₀.
    pub alpha0: Option<f64>,
    /// K, in steps.
    pub time_constant: Option<f64>,
    /// β.
    pub beta: Option<f64>,
    /// The objective at the horizon, which the descents lowered.
    pub loss_at_horizon: Option<f64>,
    /// How many steps were trained with it.
    pub steps: Option<u32>,
    /// The learning rate after them.
    pub last_learning_rate: Option<f64>,
    /// Mean loss in nats and share of errors after them, on examples trained on, held out, and of
    /// the test set.
    pub training_loss: Option<f64>,
    /// See above.
    pub training_error: Option<f64>,
    /// See above.
    pub validation_loss: Option<f64>,
    /// See above.
    pub validation_error: Option<f64>,
    /// See above.
    pub test_loss: Option<f64>,
    /// See above.
    pub test_error: Option<f64>,
    /// The digest of the last parameters and velocity; nothing when training diverged.
    pub digest: Option<String>,
}

impl Choice {
    const HEADER: [&str; 17] = [
        "seed",
        "horizon",
        "start",
        "meta_step",
        "alpha0",
        "time_constant",
        "beta",
        "loss_at_horizon",
        "steps",
        "last_learning_rate",
        "training_loss",
        "training_error",
        "validation_loss",
        "validation_error",
        "test_loss",
        "test_error",
        "digest",
    ];

    /// What `horizon` chose among the paths of `seed`, and what `training` made of it.
    pub fn new(paths: &[Path], seed: u64, horizon: u32, training: Option<&Training>) -> Self {
        let found = chosen(paths, seed, horizon);
        let record = found.map(|(_, record)| record);
        let end: Option<&Point> = training.and_then(|training| training.curve.last());
        let digest = training.and_then(|training| training.digest);
        Self {
            seed: several_seeds(paths).then_some(seed),
            horizon,
            start: found.map(|(start, _)| start),
            meta_step: record.map(|r| r.meta_step),
            alpha0: record.map(|r| r.schedule().alpha0),
            time_constant: record.map(|r| r.schedule().time_constant),
            beta: record.map(|r| r.schedule().beta),
            loss_at_horizon: record.map(|r| r.loss),
            steps: end.map(|p| p.step),
            last_learning_rate: end.map(|p| p.learning_rate),
            training_loss: end.map(|p| p.training_loss),
            training_error: end.map(|p| p.training_error),
            validation_loss: end.and_then(|p| p.validation_loss),
            validation_error: end.and_then(|p| p.validation_error),
            test_loss: end.map(|p| p.test_loss),
            test_error: end.map(|p| p.test_error),
            digest: digest.map(|digest| format!("{digest:016x}")),
        }
    }
}

/// Whether the paths are of more than one seed, so that tables have a column for it.
fn several_seeds(paths: &[Path]) -> bool {
    paths.iter().any(|path| path.seed != paths[0].seed)
}

/// Writes `horizons.csv`.
///
/// # Errors
/// When the writer fails.
pub fn write_choices(to: &mut dyn Write, choices: &[Choice]) -> io::Result<()> {
    let several = choices.iter().any(|choice| choice.seed.is_some());
    csv::write(to, &Choice::HEADER[usize::from(!several)..], choices)
}

/// Writes `trajectories.csv`, a line for each meta-step of each path.
///
/// # Errors
/// When the writer fails.
pub fn write_trajectories(to: &mut dyn Write, paths: &[Path]) -> io::Result<()> {
    let columns = &Columns::default();
    let several = several_seeds(paths);
    let key = &["seed", "horizon", "start"][usize::from(!several)..];
    let header: Vec<String> =
        key.iter().map(|&name| name.to_owned()).chain(columns.header()).collect();
    let rows = paths.iter().flat_map(|path| {
        let key = [path.seed, path.horizon.into(), path.start as u64];
        let key = key[usize::from(!several)..].to_vec();
        path.records.iter().map(move |record| (key.clone(), columns.row(record)))
    });
    csv::write(to, &header, rows)
}

/// A path's seed, where there are several, its horizon and the number of its start.
type Key = (Option<u64>, u32, usize);

/// The records in a `trajectories.csv`, by seed where there are several, horizon and start.
pub(super) fn read_trajectories(table: &[u8]) -> Result<BTreeMap<Key, Vec<Record>>, Failure> {
    const FILE: &str = "trajectories.csv";
    let columns = Columns::default();
    let mut paths: BTreeMap<_, Vec<Record>> = BTreeMap::new();
    for row in earlier::<Row>(FILE, table)? {
        let number = |name: &str| row.get(name).copied().and_then(count);
        let (Some(horizon), Some(start), Some(record)) =
            (number("horizon"), number("start"), columns.record(&row))
        else {
            return Err(without_columns(FILE));
        };
        let seed = row.get("seed").map(|&seed| seed as u64);
        paths.entry((seed, horizon, start as usize)).or_default().push(record);
    }
    paths.values().try_for_each(|records| in_order(FILE, records))?;
    Ok(paths)
}
