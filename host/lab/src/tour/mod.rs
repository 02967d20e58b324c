//! Short-horizon bias on problems small enough to watch: what each horizon chooses, and what that
//! is worth in the end.

mod digits;
mod quadratic;

pub use digits::Digits;
pub use quadratic::NoisyQuadratic;

use myopia_core::elementary::Libm;

use crate::descent::{Record, best};
use crate::failure::Failure;

/// A problem on which schedules are tuned at a horizon and compared over the longest one.
pub trait Study: Sync {
    /// What it is, for headings.
    const TITLE: &'static str;
    /// Its name in file names.
    const NAME: &'static str;
    /// What its losses are.
    const LOSS: &'static str;
    /// The horizons, ascending; schedules are compared over the last.
    const HORIZONS: [u32; 4];
    /// Meta-steps at each horizon.
    const META_STEPS: u32;

    /// The trajectory of a meta-descent at `horizon`; `tick` is called with steps of training as
    /// they are done.
    fn descend(&self, horizon: u32, tick: &(dyn Fn(u64) + Sync)) -> Result<Vec<Record>, Failure>;

    /// The loss in the course of `Self::HORIZONS[3]` steps under the schedule in `record`, as
    /// (step, loss).
    fn train(&self, record: &Record) -> Result<Vec<(u32, f64)>, Failure>;
}

/// What one horizon led to.
pub struct Choice {
    /// The steps of each look-ahead.
    pub horizon: u32,
    /// The meta-descent.
    pub trajectory: Vec<Record>,
    /// The schedule with the lowest objective at this horizon.
    pub chosen: Record,
    /// The loss under that schedule over the longest horizon, as (step, loss).
    pub curve: Vec<(u32, f64)>,
}

impl Choice {
    /// The loss at the end of the longest horizon.
    pub fn worth(&self) -> f64 {
        self.curve.last().map_or(f64::NAN, |(_, loss)| *loss)
    }

    /// The learning rate of step `k` of the chosen schedule.
    pub fn learning_rate(&self, k: u32) -> f64 {
        let schedule = self.chosen.schedule().with_tangents([]);
        schedule.learning_rate::<Libm>(k).value
    }
}

/// Steps of training that `study` takes in all its meta-descents.
pub fn steps<S: Study>(_: &S) -> u64 {
    S::HORIZONS.iter().map(|&h| u64::from(h)).fold(0, |a, b| a + b) * u64::from(S::META_STEPS + 1)
}

/// Every horizon's choice, the horizons spread over the threads.
pub fn choose<S: Study>(study: &S, tick: &(dyn Fn(u64) + Sync)) -> Result<Vec<Choice>, Failure> {
    use rayon::prelude::*;
    // The longest first, so that it is not the one everything waits for.
    let mut choices = S::HORIZONS
        .par_iter()
        .rev()
        .with_max_len(1)
        .map(|&horizon| {
            let trajectory = study.descend(horizon, tick)?;
            let chosen = *best(&trajectory).expect("a meta-descent has a first record");
            let curve = study.train(&chosen)?;
            Ok(Choice { horizon, trajectory, chosen, curve })
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    choices.reverse();
    Ok(choices)
}
