//! The work: descents and training runs, spread over the threads, each leaving its state in a ledger.

use myopia_core::backend::Backend;
use myopia_core::meta::MetaDescent;
use myopia_core::schedule::InverseTime;
use myopia_core::unroll::Diverged;
use myopia_core::vector::Vector;
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Path, Training, chosen};
use crate::checkpoint::{Keeper, Ledger, Unit};
use crate::curve::{Judges, Point};
use crate::descent::{Descent, Ended, Progress, Record};
use crate::engine::{Isa, Precision, Work};
use crate::failure::Failure;
use crate::problem::{Problem, Snapshot, Start};

/// Meta-descents at several horizons from several starts, and training with what each horizon chose.
pub struct Horizons<'a, T> {
    /// What is trained.
    pub problem: &'a Problem<'a, T>,
    /// The weights from which it starts.
    pub weights: Start<T>,
    /// The horizons, ascending, and the meta-steps at each.
    pub horizons: Vec<(u32, u32)>,
    /// The schedules that the descents start from.
    pub starts: Vec<InverseTime<T>>,
    /// The outer optimizer, fresh.
    pub outer: MetaDescent<T>,
    /// The steps of training with each horizon's schedule.
    pub steps: u32,
    /// The steps between two points of its curve.
    pub every: u32,
    /// The instructions to use.
    pub isa: Isa,
}

/// How far one unit has come.
#[derive(Clone, Serialize, Deserialize)]
pub enum State<T> {
    /// A descent, and the sentence with which it diverged.
    Path(Progress<T>, Option<String>),
    /// A training run under way.
    Training(Vec<Point>, Snapshot<T>),
    /// A training run that ended: its curve, its digest, and the sentence with which it diverged.
    Trained(Vec<Point>, Option<u64>, Option<String>),
}

/// The keeper of a descent inside a unit of a study.
struct PathKeeper<'a, T>(Unit<'a, State<T>>);

impl<T: Serialize + DeserializeOwned> Keeper<Progress<T>> for PathKeeper<'_, T> {
    fn pause(&self, state: impl FnOnce() -> Progress<T>) -> Result<(), Failure> {
        self.0.pause(|| State::Path(state(), None))
    }
}

impl<T: Precision + DeserializeOwned> Horizons<'_, T> {
    /// How many units of a ledger it takes: a descent for each horizon and start, a training run for each horizon.
    pub fn units(&self) -> usize {
        self.horizons.len() * (self.starts.len() + 1)
    }

    /// How many steps of training that is, and how many of them the units of `ledger` have behind them.
    pub fn steps(&self, ledger: &Ledger<'_, State<T>>) -> (u64, u64) {
        let (mut total, mut done) = (0, 0);
        for number in 0..self.units() {
            let (whole, horizon) = match self.descent(number) {
                Some((horizon, meta_steps, _)) => {
                    (u64::from(horizon) * (u64::from(meta_steps) + 1), horizon)
                }
                None => (u64::from(self.steps), 0),
            };
            total += whole;
            done += match ledger.unit(number).state() {
                None => 0,
                Some(State::Path(_, Some(_)) | State::Trained(..)) => whole,
                Some(State::Path(progress, None)) => progress.steps(horizon),
                Some(State::Training(_, run)) => u64::from(run.steps),
            };
        }
        (total, done)
    }

    /// The descent that unit `number` is: its horizon, its meta-steps, the number of its start.
    fn descent(&self, number: usize) -> Option<(u32, u32, usize)> {
        let (horizon, meta_steps) = *self.horizons.get(number / self.starts.len())?;
        Some((horizon, meta_steps, number % self.starts.len()))
    }

    /// Runs all descents; `tick` is called with steps of training as they are done or turn out not to be needed.
    ///
    /// # Errors
    /// When it was interrupted, and whatever writing a checkpoint meets. A descent that diverges is no failure.
    pub fn descend(
        &self,
        ledger: &Ledger<'_, State<T>>,
        tick: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Failure> {
        // The longest first, so that it is not the one everything waits for.
        let numbers: Vec<usize> = (0..self.horizons.len() * self.starts.len()).rev().collect();
        numbers.into_par_iter().with_max_len(1).try_for_each(|number| {
            let Some((horizon, meta_steps, start)) = self.descent(number) else { return Ok(()) };
            let outer = self.outer;
            let descent = Descent { schedule: self.starts[start], outer, horizon, meta_steps };
            T::run(self.isa, Descend { study: self, descent, unit: ledger.unit(number), tick })
        })
    }

    /// The paths as far as they have come.
    pub fn paths(&self, ledger: &Ledger<'_, State<T>>) -> Vec<Path> {
        (0..self.units())
            .filter_map(|number| {
                let (horizon, _, start) = self.descent(number)?;
                let (records, diverged) = match ledger.unit(number).state() {
                    Some(State::Path(progress, diverged)) => (progress.records, diverged),
                    _ => (Vec::new(), None),
                };
                Some(Path { horizon, start: start + 1, records, diverged })
            })
            .collect()
    }

    /// Trains with the best schedule of each horizon's `paths`; `None` where no schedule survived its look-ahead.
    ///
    /// # Errors
    /// When it was interrupted, and whatever writing a checkpoint meets.
    pub fn train(
        &self,
        paths: &[Path],
        ledger: &Ledger<'_, State<T>>,
        tick: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<Option<Training>>, Failure> {
        let first = self.horizons.len() * self.starts.len();
        let horizons: Vec<u32> = self.horizons.iter().map(|&(horizon, _)| horizon).collect();
        horizons
            .into_par_iter()
            .enumerate()
            .with_max_len(1)
            .map(|(number, horizon)| {
                let Some((_, record)) = chosen(paths, horizon) else { return Ok(None) };
                let unit = ledger.unit(first + number);
                T::run(self.isa, Train { study: self, record, unit, tick }).map(Some)
            })
            .collect()
    }
}

struct Descend<'a, T> {
    study: &'a Horizons<'a, T>,
    descent: Descent<T>,
    unit: Unit<'a, State<T>>,
    tick: &'a (dyn Fn(u64) + Sync),
}

impl<T: Precision + DeserializeOwned> Work<T> for Descend<'_, T> {
    type Output = Result<(), Failure>;

    fn on<G: Backend<Vector: Vector<Scalar = T>>>(self, engine: G) -> Self::Output {
        let Self { study, descent, unit, tick } = self;
        let mut progress = match unit.state() {
            Some(State::Path(_, Some(_))) => return Ok(()),
            Some(State::Path(progress, None)) => progress,
            _ => Progress::default(),
        };
        let horizon = descent.horizon;
        let whole = u64::from(horizon) * (u64::from(descent.meta_steps) + 1);
        let keeper = PathKeeper(unit);
        let (problem, weights) = (study.problem, &study.weights);
        let ended =
            descent.go_on(engine, problem, weights, &mut progress, &keeper, || tick(1), |_| {});
        let diverged = match ended {
            Ok(()) => None,
            Err(Ended::Diverged(diverged)) => Some(diverged.to_string()),
            Err(Ended::Failed(failure)) => return Err(failure),
        };
        if diverged.is_some() {
            tick(whole.saturating_sub(progress.steps(horizon)));
        }
        let PathKeeper(unit) = keeper;
        unit.leave(State::Path(progress, diverged))
    }
}

struct Train<'a, T> {
    study: &'a Horizons<'a, T>,
    record: Record,
    unit: Unit<'a, State<T>>,
    tick: &'a (dyn Fn(u64) + Sync),
}

impl<T: Precision + DeserializeOwned> Work<T> for Train<'_, T> {
    type Output = Result<Training, Failure>;

    fn on<G: Backend<Vector: Vector<Scalar = T>>>(self, engine: G) -> Self::Output {
        let Self { study, record, unit, tick } = self;
        let problem = study.problem;
        let schedule = record.schedule::<T>().with_tangents([]);
        let judges = Judges::new(problem);
        let (mut curve, mut run) = match unit.state() {
            Some(State::Trained(curve, digest, diverged)) => {
                return Ok(Training { curve, digest, diverged });
            }
            Some(State::Training(curve, snapshot)) => {
                (curve, problem.restore::<G, 0>(engine, &snapshot))
            }
            _ => (Vec::new(), problem.run::<G, 0>(engine, &study.weights)),
        };
        let mut trained = || -> Result<Result<u64, Diverged>, Failure> {
            loop {
                let k = run.steps();
                let due = k.is_multiple_of(study.every) || k == study.steps;
                // A run that is taken up again at a point has that point already.
                if due && curve.last().is_none_or(|last: &Point| last.step < k) {
                    let rate = schedule.learning_rate::<G::Elementary>(k).value;
                    match judges.point(&mut run, rate, problem.momentum) {
                        Ok(point) => curve.push(point),
                        Err(diverged) => return Ok(Err(diverged)),
                    }
                }
                if k >= study.steps {
                    return Ok(Ok(run.digests().0));
                }
                if let Err(diverged) = run.train(&schedule, k..k + 1, |_, _, _| tick(1)) {
                    return Ok(Err(diverged));
                }
                unit.pause(|| State::Training(curve.clone(), run.snapshot()))?;
            }
        };
        let (digest, diverged) = match trained()? {
            Ok(digest) => (Some(digest), None),
            Err(diverged) => (None, Some(diverged.to_string())),
        };
        unit.leave(State::Trained(curve.clone(), digest, diverged.clone()))?;
        Ok(Training { curve, digest, diverged })
    }
}
