//! How a training run does on the sets it is, and is not, trained on.

use std::io::{self, Write};

use myopia_core::unroll::Diverged;
use serde::{Deserialize, Serialize};

use crate::problem::{ObjectiveSet, Problem, Set, TrainingRun};

/// A training run at one step: losses are means in nats, errors the shares of examples classified
/// wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// How many steps were trained.
    pub step: u32,
    /// The learning rate of the next step.
    pub learning_rate: f64,
    /// Its momentum.
    pub momentum: f64,
    /// On the first of the examples trained on.
    pub training_loss: f64,
    /// On the same.
    pub training_error: f64,
    /// On the held-out examples, if any are held out.
    pub validation_loss: Option<f64>,
    /// On the same.
    pub validation_error: Option<f64>,
    /// On the test set.
    pub test_loss: f64,
    /// On the same.
    pub test_error: f64,
}

impl Point {
    /// The columns of a curve in a CSV file.
    pub const HEADER: [&str; 9] = [
        "step",
        "learning_rate",
        "momentum",
        "training_loss",
        "training_error",
        "validation_loss",
        "validation_error",
        "test_loss",
        "test_error",
    ];

    /// Writes curves as CSV, each under its names in the columns `keys`.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write<'a>(
        to: &mut dyn Write,
        keys: &[&str],
        curves: impl IntoIterator<Item = (Vec<String>, &'a [Point])>,
    ) -> io::Result<()> {
        let header: Vec<&str> = keys.iter().copied().chain(Self::HEADER).collect();
        let rows = curves
            .into_iter()
            .flat_map(|(names, points)| points.iter().map(move |point| (names.clone(), point)));
        crate::output::csv::write(to, &header, rows)
    }

    /// The validation loss, or the training loss where nothing is held out: what a schedule is
    /// judged by.
    pub fn objective(&self) -> f64 {
        self.validation_loss.unwrap_or(self.training_loss)
    }
}

/// The sets a run is evaluated on, chosen once.
pub struct Evaluator {
    trained_on: Vec<u32>,
    held_out: Option<Vec<u32>>,
    tested_on: Vec<u32>,
}

impl Evaluator {
    /// That of a problem: as many of the examples trained on as may be held out, the held-out ones
    /// if the objective holds them out, all test examples.
    pub fn new(problem: &Problem<'_>) -> Self {
        let data = problem.data;
        let shown = problem.trained_on().min(data.held_out.max(1));
        let held_out = problem.objective == ObjectiveSet::Validation;
        Self {
            trained_on: (0..shown as u32).collect(),
            held_out: held_out.then(|| problem.objective_indices()),
            tested_on: (0..data.len(Set::Test) as u32).collect(),
        }
    }

    /// Losses and errors of `run`, whose next step has this learning rate and momentum.
    ///
    /// # Errors
    /// When a loss is not finite.
    pub fn evaluate(
        &self,
        run: &mut dyn TrainingRun,
        learning_rate: f64,
        momentum: f64,
    ) -> Result<Point, Diverged> {
        let (training_loss, training_error) = on(run, Set::Training, &self.trained_on)?;
        let (test_loss, test_error) = on(run, Set::Test, &self.tested_on)?;
        let held_out = match &self.held_out {
            Some(indices) => Some(on(run, Set::Training, indices)?),
            None => None,
        };
        Ok(Point {
            step: run.steps(),
            learning_rate,
            momentum,
            training_loss,
            training_error,
            validation_loss: held_out.map(|(loss, _)| loss),
            validation_error: held_out.map(|(_, error)| error),
            test_loss,
            test_error,
        })
    }
}

/// Loss and error on the examples of `set` numbered `indices`.
fn on(run: &mut dyn TrainingRun, set: Set, indices: &[u32]) -> Result<(f64, f64), Diverged> {
    let found = run.evaluate(set, indices)?;
    // Counted again, so that 270 errors among 10,000 are 0.027 and not a single-precision
    // neighbour.
    let count = indices.len() as f64;
    let correct = (found.accuracy * count).round();
    Ok((found.loss.value, (count - correct) / count))
}
