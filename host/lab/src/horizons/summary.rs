//! What the horizons chose over several seeds: medians and ranges.

use std::collections::BTreeMap;
use std::io::{self, Write};

use myopia_core::schedule::Parameter;
use serde::Serialize;

use super::{Choice, Path};
use crate::descent::{Columns, Record};
use crate::output::csv;
use crate::spread::{self, Spread};

/// A number of a choice, where it has it.
type Read = fn(&Choice) -> Option<f64>;

/// What is summarised besides hyperparameters, by the name of its column.
const NUMBERS: [(&str, Read); 5] = [
    ("loss_at_horizon", |choice| choice.loss_at_horizon),
    ("training_loss", |choice| choice.training_loss),
    ("validation_loss", |choice| choice.validation_loss),
    ("test_loss", |choice| choice.test_loss),
    ("test_error", |choice| choice.test_error),
];

/// How far apart two records are.
type Change = fn(&Record, &Record) -> f64;

/// What moved at the end of the descents, by the name of its column.
const MOVES: [(&str, Change); 2] = [("moved", moved), ("loss_moved", loss_moved)];

/// One line of `summary.csv`: what a horizon chose with several seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// T, the steps of each look-ahead.
    pub horizon: u32,
    /// The seeds with which a schedule survived its look-ahead.
    pub seeds: usize,
    /// How many steps were trained.
    pub steps: Option<u32>,
    /// By name: the hyperparameters that have a column, the objective at the horizon and what came
    /// of training, over the seeds; `moved`, the largest relative change of a hyperparameter over
    /// the last tenth of a descent's meta-steps, and `loss_moved`, that of the objective, over
    /// seeds and starts.
    #[serde(flatten)]
    pub numbers: BTreeMap<&'static str, Spread>,
}

impl Summary {
    /// That of each horizon among `choices`, in their order; nothing where they are of one seed.
    pub fn all(choices: &[Choice], paths: &[Path]) -> Vec<Self> {
        let mut horizons: Vec<u32> = Vec::new();
        for choice in choices.iter().filter(|choice| choice.seed.is_some()) {
            if !horizons.contains(&choice.horizon) {
                horizons.push(choice.horizon);
            }
        }
        horizons.into_iter().map(|horizon| Self::of(choices, paths, horizon)).collect()
    }

    fn of(choices: &[Choice], paths: &[Path], horizon: u32) -> Self {
        let own = || choices.iter().filter(move |choice| choice.horizon == horizon);
        let paths = || paths.iter().filter(move |path| path.horizon == horizon);
        let parameters = own().take(1).flat_map(|choice| choice.values.parameters());
        let values = parameters.map(|parameter| {
            let found = own().filter_map(|choice| choice.values.get(parameter));
            (parameter.name(), Spread::of(found))
        });
        let chosen = NUMBERS.map(|(name, read)| (name, Spread::of(own().filter_map(read))));
        let moves = MOVES.map(|(name, change)| {
            (name, Spread::of(paths().filter_map(|path| path.last_tenth(change))))
        });
        let numbers = values.chain(chosen).chain(moves);
        Self {
            horizon,
            seeds: own().filter(|choice| choice.start.is_some()).count(),
            steps: own().find_map(|choice| choice.steps),
            numbers: numbers.filter_map(|(name, spread)| Some((name, spread?))).collect(),
        }
    }
}

impl Path {
    /// How far apart, by `change`, the records are between which its last tenth lies.
    fn last_tenth(&self, change: Change) -> Option<f64> {
        let last = self.records.len().checked_sub(1)?;
        let tenth = last.div_ceil(10);
        (tenth > 0).then(|| change(&self.records[last - tenth], &self.records[last]))
    }
}

fn moved(from: &Record, to: &Record) -> f64 {
    let changes = from.values.iter().zip(to.values).map(|(&from, to)| relative(from, to));
    changes.fold(0.0, |most, change| if change > most { change } else { most })
}

fn loss_moved(from: &Record, to: &Record) -> f64 {
    relative(from.loss, to.loss)
}

fn relative(from: f64, to: f64) -> f64 {
    if from == to { 0.0 } else { (to / from - 1.0).abs() }
}

/// Writes `summary.csv`: of each number the median under its own name, and its range.
///
/// # Errors
/// When the writer fails.
pub fn write_summaries(
    to: &mut dyn Write,
    summaries: &[Summary],
    columns: &Columns<'_>,
) -> io::Result<()> {
    let names = || {
        let values = columns.values().map(Parameter::name);
        let numbers = NUMBERS.iter().map(|&(name, _)| name);
        values.chain(numbers).chain(MOVES.iter().map(|&(name, _)| name))
    };
    let first = ["horizon", "seeds", "steps"].map(str::to_owned);
    let header: Vec<String> = first.into_iter().chain(spread::header(names())).collect();
    let rows = summaries.iter().map(|summary| {
        let cells = spread::cells(&summary.numbers, names());
        (summary.horizon, summary.seeds, summary.steps, cells)
    });
    csv::write(to, &header, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outer::TUNABLE;

    #[test]
    fn what_moved_is_told_of_the_last_tenth_alone() {
        let record = |meta_step: u32, alpha0: f64, loss: f64| {
            let mut values = [1.0; TUNABLE];
            values[0] = alpha0;
            Record { meta_step, values, loss, derivatives: [0.0; TUNABLE] }
        };
        let mut records: Vec<Record> = (0..=20).map(|n| record(n, 5.0, 3.0)).collect();
        records[18] = record(18, 0.5, 2.0);
        records[20] = record(20, 0.4, 1.5);
        let path = Path { seed: 1, horizon: 7, start: 1, records, diverged: None };
        assert!((path.last_tenth(moved).unwrap() - 0.2).abs() < 1e-12);
        assert!((path.last_tenth(loss_moved).unwrap() - 0.25).abs() < 1e-12);
        let short = Path { records: path.records[..1].to_vec(), ..path };
        assert_eq!(short.last_tenth(moved), None);
    }
}
