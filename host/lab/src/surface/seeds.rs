//! A surface with several seeds: its runs, and their median and range in each cell.

use std::collections::BTreeMap;
use std::io::{self, Write};

use myopia_core::schedule::Parameter;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::cell::{Row, columns, write_place};
use crate::output::csv;
use crate::spread::Spread;

/// A schedule at a horizon, from one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The seed of weights and batches.
    pub seed: u64,
    /// What it gave.
    pub row: Row,
}

impl Run {
    /// Writes `seeds.csv`: the table of a surface with the seed before each row.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write(to: &mut dyn Write, runs: &[Self]) -> io::Result<()> {
        let columns = Row::header(runs.first().map(|run| &run.row));
        let header = [&["seed"], &columns[..]].concat();
        csv::write(to, &header, runs.iter().map(|run| (run.seed, &run.row)))
    }

    /// The runs of a table with that column; of one without it, of `seed`.
    ///
    /// # Errors
    /// When it is not such a table.
    pub fn read(from: &[u8], seed: u64) -> Result<Vec<Self>, csv::Error> {
        #[derive(Deserialize)]
        struct Of {
            seed: Option<u64>,
        }
        let seeds: Vec<Of> = csv::read(from)?;
        let runs = seeds.into_iter().zip(Row::read(from)?);
        Ok(runs.map(|(of, row)| Self { seed: of.seed.unwrap_or(seed), row }).collect())
    }
}

/// One line of the `surface.csv` of several seeds: a schedule at a horizon. A run that diverged
/// counts as infinitely bad; what is infinite is absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The number of the schedule, from 0.
    pub cell: u32,
    /// α₀.
    pub alpha0: f64,
    /// K, in steps.
    pub time_constant: f64,
    /// β.
    pub beta: f64,
    /// What else varies.
    pub others: Vec<(Parameter, f64)>,
    /// T, the steps that were trained.
    pub horizon: u32,
    /// From how many seeds.
    pub seeds: usize,
    /// From how many of them training had diverged.
    pub diverged: usize,
    /// The median of the objective over the seeds, in nats.
    pub loss: Option<f64>,
    /// The least.
    pub loss_least: Option<f64>,
    /// The greatest.
    pub loss_greatest: Option<f64>,
    /// The median of the share of the objective's examples classified correctly.
    pub accuracy: Option<f64>,
    /// The least.
    pub accuracy_least: Option<f64>,
    /// The greatest.
    pub accuracy_greatest: Option<f64>,
}

impl Cell {
    /// The cells of `runs`, in order.
    pub fn all(runs: &[Run]) -> Vec<Self> {
        let mut cells: BTreeMap<(u32, u32), Vec<&Row>> = BTreeMap::new();
        for Run { row, .. } in runs {
            cells.entry((row.cell, row.horizon)).or_default().push(row);
        }
        cells.into_values().filter_map(|rows| Self::of(&rows)).collect()
    }

    fn of(rows: &[&Row]) -> Option<Self> {
        let finite = |spread: Spread| {
            let finite = |number: f64| number.is_finite().then_some(number);
            [spread.median, spread.least, spread.greatest].map(finite)
        };
        let of = |numbers: &mut dyn Iterator<Item = f64>| Spread::of(numbers).map(finite);
        let losses = &mut rows.iter().map(|row| row.loss.unwrap_or(f64::INFINITY));
        let shares = &mut rows.iter().map(|row| row.accuracy.unwrap_or(f64::NEG_INFINITY));
        let [loss, loss_least, loss_greatest] = of(losses)?;
        let [accuracy, accuracy_least, accuracy_greatest] = of(shares)?;
        let first = rows.first()?;
        let Row { cell, alpha0, time_constant, beta, horizon, .. } = **first;
        Some(Self {
            cell,
            alpha0,
            time_constant,
            beta,
            others: first.others.clone(),
            horizon,
            seeds: rows.len(),
            diverged: rows.iter().filter(|row| row.loss.is_none()).count(),
            loss,
            loss_least,
            loss_greatest,
            accuracy,
            accuracy_least,
            accuracy_greatest,
        })
    }

    /// Writes them as CSV.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write(to: &mut dyn Write, cells: &[Self]) -> io::Result<()> {
        let spreads = crate::spread::header(["loss", "accuracy"]);
        let columns = columns(cells.first().map_or(&[], |cell| &cell.others));
        let columns = columns.into_iter().chain(["horizon", "seeds", "diverged"]);
        let header: Vec<String> = columns.map(str::to_owned).chain(spreads).collect();
        csv::write(to, &header, cells)
    }

    /// A row with the medians.
    pub fn median(&self) -> Row {
        self.row(self.loss, self.accuracy)
    }

    /// A row whose loss is the greatest loss over the least; none where a run diverged.
    pub fn range(&self) -> Row {
        let ratio = self.loss_least.zip(self.loss_greatest).map(|(least, most)| most / least);
        self.row(ratio.filter(|ratio| ratio.is_finite()), None)
    }

    fn row(&self, loss: Option<f64>, accuracy: Option<f64>) -> Row {
        let Self { cell, alpha0, time_constant, beta, horizon, .. } = *self;
        let (others, diverged_at, digest) = (self.others.clone(), None, None);
        Row {
            cell,
            alpha0,
            time_constant,
            beta,
            others,
            horizon,
            loss,
            accuracy,
            diverged_at,
            digest,
        }
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { cell, alpha0, time_constant, beta, ref others, .. } = *self;
        let mut row = serializer.serialize_struct("Cell", 13 + others.len())?;
        write_place(&mut row, cell, [alpha0, time_constant, beta], others)?;
        row.serialize_field("horizon", &self.horizon)?;
        row.serialize_field("seeds", &self.seeds)?;
        row.serialize_field("diverged", &self.diverged)?;
        row.serialize_field("loss", &self.loss)?;
        row.serialize_field("loss_least", &self.loss_least)?;
        row.serialize_field("loss_greatest", &self.loss_greatest)?;
        row.serialize_field("accuracy", &self.accuracy)?;
        row.serialize_field("accuracy_least", &self.accuracy_least)?;
        row.serialize_field("accuracy_greatest", &self.accuracy_greatest)?;
        row.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64, cell: u32, loss: Option<f64>) -> Run {
        let (alpha0, time_constant, beta, horizon) = (0.1, 5.0, 1.0, 10);
        let (accuracy, digest) = (loss.map(|loss| 0.5 / loss), loss.map(|_| "ab".to_owned()));
        let diverged_at = if loss.is_none() { Some(3) } else { None };
        let others = Vec::new();
        let row = Row {
            cell,
            alpha0,
            time_constant,
            beta,
            others,
            horizon,
            loss,
            accuracy,
            diverged_at,
            digest,
        };
        Run { seed, row }
    }

    #[test]
    fn runs_that_diverged_are_the_worst() {
        let runs = [
            run(1, 0, Some(2.0)),
            run(1, 1, None),
            run(2, 0, None),
            run(2, 1, None),
            run(3, 0, Some(4.0)),
            run(3, 1, Some(1.0)),
        ];
        let [good, bad] = &Cell::all(&runs)[..] else { panic!("two cells") };
        assert_eq!((good.cell, good.seeds, good.diverged), (0, 3, 1));
        assert_eq!((good.loss, good.loss_least, good.loss_greatest), (Some(4.0), Some(2.0), None));
        let accuracies = (good.accuracy, good.accuracy_least, good.accuracy_greatest);
        assert_eq!(accuracies, (Some(0.125), None, Some(0.25)));
        assert_eq!((bad.diverged, bad.loss, bad.loss_least), (2, None, Some(1.0)));
        assert_eq!((good.median().loss, good.range().loss), (Some(4.0), None));
        let sound = &Cell::all(&runs[..1])[0];
        assert_eq!(sound.range().loss, Some(1.0));
    }

    #[test]
    fn runs_are_written_and_read() {
        let runs = [run(1, 0, Some(2.0)), run(2, 0, None)];
        let mut bytes = Vec::new();
        Run::write(&mut bytes, &runs).unwrap();
        assert_eq!(Run::read(&bytes, 9).unwrap(), runs);
        let mut bytes = Vec::new();
        Row::write(&mut bytes, [&runs[0].row]).unwrap();
        assert_eq!(Run::read(&bytes, 9).unwrap(), [Run { seed: 9, ..runs[0].clone() }]);
    }
}
