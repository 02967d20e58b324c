//! Schedules of a surface, each trained once and judged at every horizon.

use std::io::{self, Write};

use myopia_core::schedule::InverseTime;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::output::csv;
use crate::problem::{InitialParams, Problem, Set, Tangents};

/// One line of `surface.csv`: a schedule at a horizon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The number of the schedule, from 0.
    pub cell: u32,
    /// α₀.
    pub alpha0: f64,
    /// K, in steps.
    pub time_constant: f64,
    /// β.
    pub beta: f64,
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

    pub(super) const HEADER: [&str; 9] = [
        "cell",
        "alpha0",
        "time_constant",
        "beta",
        "horizon",
        "loss",
        "accuracy",
        "diverged_at",
        "digest",
    ];

    /// Writes a surface as CSV.
    pub fn write<'a>(
        to: &mut dyn Write,
        rows: impl IntoIterator<Item = &'a Self>,
    ) -> io::Result<()> {
        csv::write(to, &Self::HEADER, rows)
    }

    /// The rows of a surface written as CSV.
    ///
    /// # Errors
    /// When it is not such a table.
    pub fn read(from: &[u8]) -> Result<Vec<Self>, csv::Error> {
        csv::read(from)
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
