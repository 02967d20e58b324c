//! The tables of a study of horizons.

use std::collections::BTreeMap;
use std::io::{self, Write};

use myopia_core::schedule::Parameter;
use serde::{Serialize, Serializer};
use serde_json::Value;

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
    /// The hyperparameters that have a column, by name; K is in steps.
    #[serde(flatten)]
    pub values: Values,
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

/// The columns of `horizons.csv` before those of the hyperparameters, and after them.
const HEADER: [&[&str]; 2] = [
    &["seed", "horizon", "start", "meta_step"],
    &[
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
    ],
];

/// Hyperparameters in the order of their columns, `None` where nothing was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Values(Vec<(Parameter, Option<f64>)>);

impl Values {
    /// A hyperparameter that has a column and was chosen.
    pub fn get(&self, parameter: Parameter) -> Option<f64> {
        self.0.iter().find(|(name, _)| *name == parameter).and_then(|(_, value)| *value)
    }

    /// Those that have a column.
    pub fn parameters(&self) -> impl Iterator<Item = Parameter> + Clone {
        self.0.iter().map(|(name, _)| *name)
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name.name(), value)))
    }
}

impl Choice {
    /// What `horizon` chose among the paths of `seed`, and what `training` made of it.
    pub fn new(
        (paths, columns): (&[Path], &Columns<'_>),
        seed: u64,
        horizon: u32,
        training: Option<&Training>,
    ) -> Self {
        let found = chosen(paths, seed, horizon);
        let record = found.map(|(_, record)| record);
        let end: Option<&Point> = training.and_then(|training| training.curve.last());
        let digest = training.and_then(|training| training.digest);
        Self {
            seed: several_seeds(paths).then_some(seed),
            horizon,
            start: found.map(|(start, _)| start),
            meta_step: record.map(|r| r.meta_step),
            values: Values(columns.values().map(|p| (p, record.map(|r| r.value(p)))).collect()),
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
    let [before, after] = HEADER;
    let values = choices.iter().take(1).flat_map(|choice| choice.values.parameters());
    let header: Vec<&str> = before[usize::from(!several)..]
        .iter()
        .copied()
        .chain(values.map(Parameter::name))
        .chain(after.iter().copied())
        .collect();
    let rows = choices.iter().map(|choice| -> io::Result<Vec<Value>> {
        let fields = serde_json::to_value(choice)?;
        Ok(header.iter().map(|name| fields.get(name).cloned().unwrap_or_default()).collect())
    });
    csv::write(to, &header, rows.collect::<io::Result<Vec<_>>>()?)
}

/// Writes `trajectories.csv`, a line for each meta-step of each path.
///
/// # Errors
/// When the writer fails.
pub fn write_trajectories(
    to: &mut dyn Write,
    paths: &[Path],
    columns: &Columns<'_>,
) -> io::Result<()> {
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
pub(super) fn read_trajectories(
    table: &[u8],
    columns: &Columns<'_>,
) -> Result<BTreeMap<Key, Vec<Record>>, Failure> {
    const FILE: &str = "trajectories.csv";
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
