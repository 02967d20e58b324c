//! How a training run does on the sets it is, and is not, trained on.

use std::io::{self, Write};

use myopia_core::backend::{Backend, Scalar};
use myopia_core::real::Real;
use myopia_core::unroll::Diverged;
use myopia_core::vector::Vector;
use serde::{Deserialize, Serialize};

use crate::problem::{ExampleSet, ObjectiveSet, Problem, Run};

/// A training run at one step: losses are means in nats, errors the shares of examples classified wrongly.
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

    /// Writes curves as CSV, each under its name in the column `key`.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write<'a>(
        to: &mut dyn Write,
        key: &str,
        curves: impl IntoIterator<Item = (String, &'a [Point])>,
    ) -> io::Result<()> {
        let header: Vec<&str> = [key].into_iter().chain(Self::HEADER).collect();
        let rows = curves
            .into_iter()
            .flat_map(|(name, points)| points.iter().map(move |point| (name.clone(), point)));
        crate::output::csv::write(to, &header, rows)
    }

    /// The validation loss, or the training loss where nothing is held out: what a schedule is judged by.
    pub fn objective(&self) -> f64 {
        self.validation_loss.unwrap_or(self.training_loss)
    }
}

/// The sets a run is judged on, chosen once.
pub struct Judges<'a, T> {
    training: &'a ExampleSet<T>,
    test: &'a ExampleSet<T>,
    trained_on: Vec<u32>,
    held_out: Option<Vec<u32>>,
    tested_on: Vec<u32>,
}

impl<'a, T: Real> Judges<'a, T> {
    /// The judges of a problem: as many of the examples trained on as may be held out, the held-out ones if the objective
    /// holds them out, all test examples.
    pub fn new(problem: &Problem<'a, T>) -> Self {
        let data = problem.data;
        let shown = problem.trained_on().min(data.held_out.max(1));
        let held_out = problem.objective == ObjectiveSet::Validation;
        Self {
            training: &data.training,
            test: &data.test,
            trained_on: (0..shown as u32).collect(),
            held_out: held_out.then(|| problem.objective_indices()),
            tested_on: (0..data.test.len() as u32).collect(),
        }
    }

    /// What they say of `run`, whose next step has this learning rate and momentum.
    ///
    /// # Errors
    /// When a loss is not finite.
    pub fn point<G, const P: usize>(
        &self,
        run: &mut Run<'_, G, P>,
        learning_rate: T,
        momentum: T,
    ) -> Result<Point, Diverged>
    where
        G: Backend<Vector: Vector<Scalar = T>>,
    {
        let (training_loss, training_error) = judged(run, self.training, &self.trained_on)?;
        let (test_loss, test_error) = judged(run, self.test, &self.tested_on)?;
        let held_out = match &self.held_out {
            Some(indices) => Some(judged(run, self.training, indices)?),
            None => None,
        };
        Ok(Point {
            step: run.steps(),
            learning_rate: learning_rate.to_f64(),
            momentum: momentum.to_f64(),
            training_loss,
            training_error,
            validation_loss: held_out.map(|(loss, _)| loss),
            validation_error: held_out.map(|(_, error)| error),
            test_loss,
            test_error,
        })
    }
}

/// Loss and error on the examples numbered `indices`.
fn judged<G: Backend, const P: usize>(
    run: &mut Run<'_, G, P>,
    examples: &ExampleSet<Scalar<G>>,
    indices: &[u32],
) -> Result<(f64, f64), Diverged> {
    let found = run.judge(examples, indices)?;
    // Counted again, so that 270 errors among 10,000 are 0.027 and not a single-precision neighbour.
    let count = indices.len() as f64;
    let correct = (found.accuracy.to_f64() * count).round();
    Ok((found.loss.value.to_f64(), (count - correct) / count))
}
