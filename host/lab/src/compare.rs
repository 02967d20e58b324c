//! Training with several schedules side by side, each from several seeds.

use std::io::{self, Write};

use myopia_core::elementary::Libm;
use myopia_core::schedule::InverseTime;
use myopia_core::unroll::Diverged;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Keeper, Ledger, Unit};
use crate::curve::{Evaluator, Point};
use crate::failure::Failure;
use crate::figure::{Axis, Figure, Lines, Series};
use crate::output::csv;
use crate::problem::{Entries, InitialParams, Problem, Snapshot, Tangents, TrainingRun};
use crate::spread::Spread;

/// What training takes its rates from.
#[derive(Clone, Debug, PartialEq)]
pub enum Course {
    /// α₀, K and β.
    Formula(InverseTime<f64>),
    /// A rate and a momentum for each step.
    Entries(Entries),
}

impl Course {
    /// One step of `run`.
    fn step(&self, run: &mut dyn TrainingRun) -> Result<(), Diverged> {
        let k = run.steps();
        match self {
            Self::Formula(schedule) => run.train(schedule, k..k + 1, &mut |_, _, _| {}),
            Self::Entries(entries) => {
                let (rates, momentum) = entries.step(k as usize);
                run.step_by_layer(rates, momentum).map(|_| ())
            }
        }
    }

    /// The rate of step `k`, of the lowest layer where layers have their own.
    fn rate(&self, k: u32) -> f64 {
        match self {
            Self::Formula(schedule) => schedule.with_tangents([]).learning_rate::<Libm>(k).value,
            Self::Entries(entries) => entries.step(k as usize).0[0],
        }
    }
}

/// A schedule under its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// What it is.
    pub course: Course,
}

/// One problem for each seed, and where each of them starts.
pub struct Comparison<'a> {
    /// The problems.
    pub problems: Vec<Problem<'a>>,
    /// Their starts.
    pub starts: Vec<InitialParams>,
    /// Steps of training.
    pub steps: u32,
}

/// What became of one training run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Losses and errors at the end; nothing where training diverged.
    pub end: Option<Point>,
    /// The digest of the last parameters and velocity.
    pub digest: Option<u64>,
    /// Why training diverged.
    pub diverged: Option<String>,
}

/// How far one training run has come, for a checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum State {
    /// So far.
    UnderWay(Snapshot),
    /// To its end.
    Ended(Outcome),
}

impl Comparison<'_> {
    /// Units of work: each of so many schedules from each seed, schedule by schedule.
    pub fn units(&self, candidates: usize) -> usize {
        candidates * self.problems.len()
    }

    /// How many steps of training they are, and how many of them are done in `ledger`.
    pub fn progress(&self, candidates: usize, ledger: &Ledger<'_, State>) -> (u64, u64) {
        let units = self.units(candidates);
        let done = (0..units).map(|unit| match ledger.unit(unit).state() {
            None => 0,
            Some(State::UnderWay(run)) => u64::from(run.steps),
            Some(State::Ended(_)) => u64::from(self.steps),
        });
        (units as u64 * u64::from(self.steps), done.fold(0, |a, b| a + b))
    }

    /// Trains with each of `candidates` from each seed, spread over the threads, as the units of
    /// `ledger`; `tick` is called with steps as they are done or turn out not to be needed.
    ///
    /// # Errors
    /// When it was interrupted, and whatever writing a checkpoint meets. Training that diverges is
    /// no failure.
    pub fn run(
        &self,
        candidates: &[Candidate],
        ledger: &Ledger<'_, State>,
        tick: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Failure> {
        let seeds = self.problems.len();
        (0..self.units(candidates.len())).into_par_iter().with_max_len(1).try_for_each(|unit| {
            let course = &candidates[unit / seeds].course;
            self.train(course, unit % seeds, &ledger.unit(unit), tick)
        })
    }

    fn train(
        &self,
        course: &Course,
        seed: usize,
        unit: &Unit<'_, State>,
        tick: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Failure> {
        let (problem, start) = (&self.problems[seed], &self.starts[seed]);
        let restored = match unit.state() {
            Some(State::Ended(_)) => return Ok(()),
            Some(State::UnderWay(snapshot)) => problem.restore(Tangents::None, &snapshot),
            None => None,
        };
        let mut run = restored.unwrap_or_else(|| problem.run(Tangents::None, start));
        let mut went = || -> Result<Result<Outcome, Diverged>, Failure> {
            while run.steps() < self.steps {
                if let Err(diverged) = course.step(&mut *run) {
                    return Ok(Err(diverged));
                }
                tick(1);
                unit.pause(|| State::UnderWay(run.snapshot()))?;
            }
            let rate = course.rate(self.steps.saturating_sub(1));
            let end = Evaluator::new(problem).evaluate(&mut *run, rate, problem.momentum);
            Ok(end.map(|end| {
                let digest = Some(run.digests()[0].value());
                Outcome { end: Some(end), digest, diverged: None }
            }))
        };
        let outcome = went()?.unwrap_or_else(|diverged| Outcome {
            diverged: Some(diverged.to_string()),
            ..Outcome::default()
        });
        tick(u64::from(self.steps.saturating_sub(run.steps())));
        unit.leave(State::Ended(outcome))
    }
}

/// A line of `compare.csv`: one schedule from one seed. What training that diverged leaves unknown
/// is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The schedule.
    pub schedule: String,
    /// The seed of weights and batches.
    pub seed: u64,
    /// Steps of training.
    pub steps: u32,
    /// The last learning rate, of the lowest layer where layers have their own.
    pub last_learning_rate: f64,
    /// Mean loss in nats and share of errors on examples trained on.
    pub training_loss: Option<f64>,
    /// See above.
    pub training_error: Option<f64>,
    /// On held-out examples, where any are held out.
    pub validation_loss: Option<f64>,
    /// See above.
    pub validation_error: Option<f64>,
    /// On the test set.
    pub test_loss: Option<f64>,
    /// See above.
    pub test_error: Option<f64>,
    /// The digest of the last parameters and velocity.
    pub digest: Option<String>,
}

impl Row {
    const HEADER: [&str; 11] = [
        "schedule",
        "seed",
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

    /// The row of one training run for `steps` steps.
    pub fn new(candidate: &Candidate, seed: u64, steps: u32, outcome: &Outcome) -> Self {
        let end = outcome.end.as_ref();
        let read = |number: fn(&Point) -> f64| end.map(number);
        Self {
            schedule: candidate.name.clone(),
            seed,
            steps,
            last_learning_rate: candidate.course.rate(steps.saturating_sub(1)),
            training_loss: read(|end| end.training_loss),
            training_error: read(|end| end.training_error),
            validation_loss: end.and_then(|end| end.validation_loss),
            validation_error: end.and_then(|end| end.validation_error),
            test_loss: read(|end| end.test_loss),
            test_error: read(|end| end.test_error),
            digest: outcome.digest.map(|digest| format!("{digest:016x}")),
        }
    }

    /// Writes rows as CSV.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write(to: &mut dyn Write, rows: &[Self]) -> io::Result<()> {
        csv::write(to, &Self::HEADER, rows)
    }
}

/// One schedule over its seeds; spreads are written as least, median and greatest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The schedule.
    pub schedule: String,
    /// Seeds from which training did not diverge.
    pub seeds: usize,
    /// Mean loss in nats on examples trained on.
    #[serde(serialize_with = "Spread::as_ends")]
    pub training_loss: Spread,
    /// On held-out examples, where any are held out.
    #[serde(serialize_with = "Spread::as_ends_if_any")]
    pub validation_loss: Option<Spread>,
    /// Share of errors on the test set.
    #[serde(serialize_with = "Spread::as_ends")]
    pub test_error: Spread,
}

impl Summary {
    /// That of each schedule of `rows`, in their order; of none from which training always
    /// diverged.
    pub fn all(rows: &[Row]) -> Vec<Self> {
        let groups = rows.chunk_by(|a, b| a.schedule == b.schedule);
        groups.filter_map(Self::of).collect()
    }

    fn of(rows: &[Row]) -> Option<Self> {
        let over = |read: fn(&Row) -> Option<f64>| Spread::of(rows.iter().filter_map(read));
        Some(Self {
            schedule: rows.first()?.schedule.clone(),
            seeds: rows.iter().filter(|row| row.training_loss.is_some()).count(),
            training_loss: over(|row| row.training_loss)?,
            validation_loss: over(|row| row.validation_loss),
            test_error: over(|row| row.test_error)?,
        })
    }
}

/// The schedules' learning rates, each in a panel of its own on the same scale.
pub fn figure(candidates: &[Candidate], steps: u32, partial: bool) -> Figure {
    let note = if partial { ", unfinished" } else { "" };
    // More points than a figure shows tell nothing.
    let every = (steps / 1000).max(1) as usize;
    let curve = |candidate: &Candidate| -> Vec<(f64, f64)> {
        let steps = (0..steps).step_by(every);
        steps.map(|k| (f64::from(k), candidate.course.rate(k))).collect()
    };
    let curves: Vec<_> = candidates.iter().map(curve).collect();
    let rates = curves.iter().flatten().map(|(_, rate)| *rate);
    let highest = rates.fold(f64::MIN_POSITIVE, |a, b| if b > a { b } else { a });
    let figure = Figure::new(format!("Schedules side by side{note}")).columns(2);
    // A title is no wider than a panel.
    let title = |name: &str| {
        let name = name.strip_prefix("file:").unwrap_or(name);
        name.strip_suffix("/schedule.csv").unwrap_or(name).to_owned()
    };
    candidates.iter().zip(curves).fold(figure, |figure, (candidate, curve)| {
        let rate = Axis::linear("learning rate").range(0.0, 1.05 * highest);
        let panel = Lines::new(title(&candidate.name), Axis::linear("step"), rate);
        figure.panel(panel.series(Series::new("", curve).solid()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(schedule: &str, loss: Option<f64>) -> Row {
        let course = Course::Entries(Entries::new(vec![0.5], vec![0.9]));
        let candidate = Candidate { name: schedule.to_owned(), course };
        let row = Row::new(&candidate, 1, 1, &Outcome::default());
        Row { training_loss: loss, test_error: loss.map(|loss| loss / 10.0), ..row }
    }

    #[test]
    fn a_spread_has_the_median_between_its_ends() {
        let rows = [
            row("a", Some(3.0)),
            row("a", Some(1.0)),
            row("a", None),
            row("a", Some(5.0)),
            row("a", Some(2.0)),
            row("b", None),
            row("c", Some(7.0)),
        ];
        let [a, c] = &Summary::all(&rows)[..] else { panic!("two that did not diverge") };
        assert_eq!((a.seeds, a.training_loss.ends()), (4, [1.0, 2.5, 5.0]));
        assert_eq!((&*c.schedule, c.test_error.ends()), ("c", [0.7, 0.7, 0.7]));
        let written = serde_json::to_value(a).unwrap();
        assert_eq!(written["training_loss"], serde_json::json!([1.0, 2.5, 5.0]));
        assert!(written["validation_loss"].is_null());
        assert_eq!(rows[0].last_learning_rate, 0.5);
    }
}
