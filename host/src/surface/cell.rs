//! One schedule of a surface, trained once and judged at every horizon.

use std::io::{self, Write};

use myopia_core::engine::Engine;
use myopia_core::real::Real;
use myopia_core::schedule::InverseTime;
use myopia_core::vector::Vector;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::output::csv;
use crate::problem::{Problem, Start};

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
    /// The step, from 0, at which training left the finite range; the horizon when only the objective did.
    pub diverged_at: Option<u32>,
    /// The digest of parameters and velocity.
    pub digest: Option<String>,
}

impl Row {
    const HEADER: [&str; 9] = [
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
    pub fn write(to: &mut dyn Write, rows: &[Self]) -> io::Result<()> {
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

/// Trains `schedule`, rounded to the working precision, from `start` and judges it at each of `horizons`, ascending. `tick` is
/// told how many steps more are done, and may end it.
///
/// # Errors
/// What `tick` returns. A run that diverges is no error: its rows say so.
pub fn train<T, G>(
    engine: G,
    problem: &Problem<'_, T>,
    start: &Start<T>,
    (cell, schedule): (u32, InverseTime<f64>),
    horizons: &[u32],
    tick: impl Fn(u32) -> Result<(), Failure>,
) -> Result<Vec<Row>, Failure>
where
    T: Real,
    G: Engine<Vector: Vector<Scalar = T>>,
{
    let InverseTime { alpha0, time_constant, beta } = schedule;
    let rounded = InverseTime {
        alpha0: T::from_f64(alpha0),
        time_constant: T::from_f64(time_constant),
        beta: T::from_f64(beta),
    };
    let rounded = rounded.with_tangents([]);
    let objective_set = problem.objective_indices();
    let mut run = problem.run::<G, 0>(engine, start);
    let mut lost = None;
    let mut rows = Vec::new();
    for &horizon in horizons {
        let mut row = Row {
            cell,
            alpha0,
            time_constant,
            beta,
            horizon,
            loss: None,
            accuracy: None,
            diverged_at: None,
            digest: None,
        };
        while lost.is_none() && run.steps() < horizon {
            let step = run.steps();
            lost = run.train(&rounded, step..step + 1, |_, _, _| {}).err().map(|_| step);
            tick(1)?;
        }
        let found = match lost {
            None => run.judge(&problem.data.training, &objective_set).ok(),
            Some(_) => None,
        };
        match found {
            Some(found) => {
                row.loss = Some(found.loss.value.to_f64());
                row.accuracy = Some(found.accuracy.to_f64());
                row.digest = Some(format!("{:016x}", run.digests().0));
            }
            None => row.diverged_at = Some(lost.unwrap_or(horizon)),
        }
        rows.push(row);
    }
    let longest = horizons.last().copied().unwrap_or(0);
    tick(longest - run.steps())?;
    Ok(rows)
}
