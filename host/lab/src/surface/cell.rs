//! Points of a surface, each trained once and judged at every horizon.

use std::io::{self, Write};

use myopia_core::schedule::{InverseTime, PARAMETERS, Parameter};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::failure::Failure;
use crate::output::csv;
use crate::problem::{InitialParams, Problem, Set, Tangents};

/// One line of `surface.csv`: a schedule at a horizon. Hyperparameters of the optimiser that vary
/// have a column after β, by their names.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Row {
    /// The number of the schedule, from 0.
    pub cell: u32,
    /// α₀.
    pub alpha0: f64,
    /// K, in steps.
    pub time_constant: f64,
    /// β.
    pub beta: f64,
    /// What else varies. A row in a checkpoint, whose layout is fixed, has none; the number of the
    /// schedule tells.
    #[serde(skip)]
    pub others: Vec<(Parameter, f64)>,
    /// T, the steps that were trained.
    pub horizon: u32,
    /// The objective after them, in nats; nothing when training had diverged.
    pub loss: Option<f64>,
    /// The share of the objective's examples classified correctly.
    pub accuracy: Option<f64>,
    /// The step, from 0, at which training left the finite range; the horizon when only the
    /// objective did.
    pub diverged_at: Option<u32>,
    /// The digest of parameters and velocity.
    pub digest: Option<String>,
}

impl Row {
    /// More bytes than the table of a surface has.
    pub const LARGEST: u64 = 1 << 34;

    /// The most memory that a row takes once it is read and drawn, for each byte of its line.
    pub const EXPANSION: u128 = 8;

    /// The columns of a table of rows such as `row`.
    pub(super) fn header(row: Option<&Self>) -> Vec<&'static str> {
        let others = row.map_or(&[][..], |row| &row.others);
        let results = ["horizon", "loss", "accuracy", "diverged_at", "digest"];
        columns(others).into_iter().chain(results).collect()
    }

    /// Writes a surface as CSV.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write<'a>(
        to: &mut dyn Write,
        rows: impl IntoIterator<Item = &'a Self>,
    ) -> io::Result<()> {
        let mut rows = rows.into_iter().peekable();
        let header = Self::header(rows.peek().copied());
        csv::write(to, &header, rows)
    }

    /// The rows of a surface written as CSV.
    ///
    /// # Errors
    /// When it is not such a table.
    pub fn read(from: &[u8]) -> Result<Vec<Self>, csv::Error> {
        let mut rows: Vec<Self> = csv::read(from)?;
        for parameter in Parameter::ALL.into_iter().filter(|p| !PARAMETERS.contains(p)) {
            let Some(column) = csv::column::<f64>(from, parameter.name())? else { continue };
            for (row, value) in rows.iter_mut().zip(column) {
                row.others.push((parameter, value));
            }
        }
        Ok(rows)
    }
}

/// The first columns of a table in which `others` vary.
pub(super) fn columns(others: &[(Parameter, f64)]) -> Vec<&'static str> {
    let others = others.iter().map(|(parameter, _)| parameter.name());
    ["cell", "alpha0", "time_constant", "beta"].into_iter().chain(others).collect()
}

/// Writes the fields of [`columns`]: of a cell, with α₀, K and β and with what else varies.
pub(super) fn write_place<S: SerializeStruct>(
    row: &mut S,
    cell: u32,
    [alpha0, time_constant, beta]: [f64; 3],
    others: &[(Parameter, f64)],
) -> Result<(), S::Error> {
    row.serialize_field("cell", &cell)?;
    row.serialize_field("alpha0", &alpha0)?;
    row.serialize_field("time_constant", &time_constant)?;
    row.serialize_field("beta", &beta)?;
    others.iter().try_for_each(|(parameter, value)| row.serialize_field(parameter.name(), value))
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { cell, alpha0, time_constant, beta, ref others, .. } = *self;
        let mut row = serializer.serialize_struct("Row", 9 + others.len())?;
        write_place(&mut row, cell, [alpha0, time_constant, beta], others)?;
        row.serialize_field("horizon", &self.horizon)?;
        row.serialize_field("loss", &self.loss)?;
        row.serialize_field("accuracy", &self.accuracy)?;
        row.serialize_field("diverged_at", &self.diverged_at)?;
        row.serialize_field("digest", &self.digest)?;
        row.end()
    }
}

/// Steps between two ticks.
const STRIDE: u32 = 8;

/// Trains the schedules of `cells`, rounded to the working precision, side by side from `start` and
/// judges them at each of `horizons`, ascending; the rows of each cell. `tick` is told how many
/// steps more are done, all cells together, and may end it.
///
/// # Errors
/// What `tick` returns. A run that diverges is no error: its rows say so.
pub fn train(
    problem: &Problem<'_>,
    start: &InitialParams,
    cells: &[(u32, InverseTime<f64>)],
    horizons: &[u32],
    tick: impl Fn(u64) -> Result<(), Failure>,
) -> Result<Vec<Vec<Row>>, Failure> {
    let schedules: Vec<InverseTime<f64>> = cells.iter().map(|(_, schedule)| *schedule).collect();
    let mut runs = problem.lockstep(Tangents::None, start, &schedules);
    let objective_set = problem.objective_indices();
    let mut rows = vec![Vec::new(); cells.len()];
    let mut step = 0;
    for &horizon in horizons {
        while step < horizon {
            let next = horizon.min(step + STRIDE);
            if runs.ended().iter().any(Result::is_ok) {
                runs.train(step..next, &mut |_, _, _, _| {});
            }
            tick(u64::from(next - step) * cells.len() as u64)?;
            step = next;
        }
        for (place, ((cell, schedule), rows)) in cells.iter().zip(&mut rows).enumerate() {
            let lost = runs.ended()[place].err().and_then(|diverged| diverged.step);
            let run = runs.run(place).filter(|_| lost.is_none());
            let found = run.and_then(|run| {
                let found = run.evaluate(Set::Training, &objective_set).ok()?;
                Some((found, run.digests()[0].to_string()))
            });
            let InverseTime { alpha0, time_constant, beta } = *schedule;
            rows.push(Row {
                cell: *cell,
                alpha0,
                time_constant,
                beta,
                others: Vec::new(),
                horizon,
                loss: found.as_ref().map(|(found, _)| found.loss.value),
                accuracy: found.as_ref().map(|(found, _)| found.accuracy),
                diverged_at: found.is_none().then(|| lost.unwrap_or(horizon)),
                digest: found.map(|(_, digest)| digest),
            });
        }
    }
    Ok(rows)
}
