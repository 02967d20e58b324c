//! The work: descents and training runs, spread over the threads, each leaving its state in a
//! ledger.

use myopia_core::schedule::{InverseTime, PARAMETERS};
use myopia_core::unroll::Diverged;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::tables::read_trajectories;
use super::{Path, Training, chosen};
use crate::checkpoint::{Keeper, Ledger, Unit};
use crate::curve::{Evaluator, Point};
use crate::descent::{Ended, MetaDescent, Progress, Record};
use crate::failure::Failure;
use crate::nqm::judge::Judge;
use crate::outer::OuterOptimizer;
use crate::problem::{Seeded, Snapshot, Tangents};

/// Meta-descents at several horizons from several starts, and training with what each horizon
/// chose.
pub struct Horizons<'a> {
    /// What is trained, by seed.
    pub seeds: Vec<Seeded<'a>>,
    /// The horizons, ascending, and the meta-steps at each.
    pub horizons: Vec<(u32, u32)>,
    /// The schedules that the descents start from.
    pub starts: Vec<InverseTime<f64>>,
    /// The outer optimizer, fresh.
    pub outer: OuterOptimizer,
    /// The steps of training with each horizon's schedule.
    pub steps: u32,
    /// The steps between two points of its curve.
    pub every: u32,
}

/// How far one unit has come.
#[derive(Clone, Serialize, Deserialize)]
pub enum State {
    /// A descent, and the sentence with which it diverged.
    Path(Progress, Option<String>),
    /// A training run under way.
    Training(Vec<Point>, Snapshot),
    /// A training run that ended: its curve, its digest, and the sentence with which it diverged.
    Trained(Vec<Point>, Option<u64>, Option<String>),
}

/// The keeper of a descent inside a unit of a study.
struct PathKeeper<'a>(Unit<'a, State>);

impl Keeper<Progress> for PathKeeper<'_> {
    fn pause(&self, state: impl FnOnce() -> Progress) -> Result<(), Failure> {
        self.0.pause(|| State::Path(state(), None))
    }
}

impl Horizons<'_> {
    /// How many units of a ledger so many seeds, horizons and starts take: for each seed and
    /// horizon a descent from each start, and a training run.
    pub fn count(seeds: usize, horizons: usize, starts: usize) -> usize {
        seeds * horizons * (starts + 1)
    }

    /// How many units there are.
    pub fn units(&self) -> usize {
        Self::count(self.seeds.len(), self.horizons.len(), self.starts.len())
    }

    /// How many of them are descents. They come first.
    pub fn descents(&self) -> usize {
        self.seeds.len() * self.horizons.len() * self.starts.len()
    }

    /// How many steps of training the units numbered `units` are, and how many of them they have
    /// behind them in `ledger`.
    pub fn steps(
        &self,
        units: impl IntoIterator<Item = usize>,
        ledger: &Ledger<'_, State>,
    ) -> (u64, u64) {
        let (mut total, mut done) = (0, 0);
        for number in units {
            let descent = self.descent(number);
            let descent =
                descent.map(|(_, horizon, steps, start)| self.meta_descent(horizon, steps, start));
            let of = |progress: &Progress| descent.as_ref().map(|descent| descent.steps(progress));
            let whole = of(&Progress::default()).map_or(u64::from(self.steps), |(all, _)| all);
            total += whole;
            done += match ledger.unit(number).state() {
                None => 0,
                Some(State::Path(_, Some(_)) | State::Trained(..)) => whole,
                Some(State::Path(progress, None)) => of(&progress).map_or(0, |(_, done)| done),
                Some(State::Training(_, run)) => u64::from(run.steps),
            };
        }
        (total, done)
    }

    /// Prepares `ledger` when this study has more meta-steps than the run that it goes on with:
    /// descents go on from their records, also those of a finished run, and what was trained with
    /// earlier choices is trained again.
    ///
    /// # Errors
    /// When the finished run's records cannot be read.
    pub fn extend(&self, ledger: &Ledger<'_, State>) -> Result<(), Failure> {
        if !ledger.goes_further() {
            return Ok(());
        }
        let table = ledger.results("trajectories.csv")?;
        let mut paths = table.map(|table| read_trajectories(&table)).transpose()?;
        for number in 0..self.units() {
            match (self.descent(number), &mut paths) {
                (None, _) => ledger.unit(number).set(None),
                (Some((seeded, horizon, _, start)), Some(paths)) => {
                    let seed = (self.seeds.len() > 1).then_some(seeded.problem.seed);
                    let records = paths.remove(&(seed, horizon, start + 1)).unwrap_or_default();
                    let progress = Progress { records, ..Progress::default() };
                    ledger.unit(number).set(Some(State::Path(progress, None)));
                }
                (Some(_), None) => {}
            }
        }
        Ok(())
    }

    /// The descent that unit `number` is: what is trained, its horizon, its meta-steps, the number
    /// of its start.
    fn descent(&self, number: usize) -> Option<(&Seeded<'_>, u32, u32, usize)> {
        let (of_seed, start) = (number / self.starts.len(), number % self.starts.len());
        let seeded = self.seeds.get(of_seed % self.seeds.len())?;
        let (horizon, meta_steps) = *self.horizons.get(of_seed / self.seeds.len())?;
        Some((seeded, horizon, meta_steps, start))
    }

    fn meta_descent(&self, horizon: u32, meta_steps: u32, start: usize) -> MetaDescent {
        let (schedule, outer) = (self.starts[start], self.outer);
        MetaDescent {
            schedule,
            tuned: PARAMETERS.to_vec(),
            outer,
            horizon,
            judge: Judge::Plain,
            meta_steps,
        }
    }

    /// Runs the descents numbered `own`; `tick` is called with steps of training as they are done
    /// or turn out not to be needed.
    ///
    /// # Errors
    /// When it was interrupted, and whatever writing a checkpoint meets. A descent that diverges is
    /// no failure.
    pub fn descend(
        &self,
        own: &[usize],
        ledger: &Ledger<'_, State>,
        tick: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Failure> {
        // The longest first, so that it is not the one everything waits for.
        own.par_iter().rev().with_max_len(1).try_for_each(|&number| {
            let Some((seeded, horizon, meta_steps, start)) = self.descent(number) else {
                return Ok(());
            };
            let descent = self.meta_descent(horizon, meta_steps, start);
            self.descend_one(seeded, descent, ledger.unit(number), tick)
        })
    }

    /// The paths as far as they have come.
    pub fn paths(&self, ledger: &Ledger<'_, State>) -> Vec<Path> {
        (0..self.descents())
            .filter_map(|number| {
                let (seeded, horizon, _, start) = self.descent(number)?;
                let (records, diverged) = match ledger.unit(number).state() {
                    Some(State::Path(progress, diverged)) => (progress.records, diverged),
                    _ => (Vec::new(), None),
                };
                let seed = seeded.problem.seed;
                Some(Path { seed, horizon, start: start + 1, records, diverged })
            })
            .collect()
    }

    /// Trains with the best schedule of each horizon's `paths`, seed by seed and horizon by
    /// horizon; `None` where no schedule survived its look-ahead.
    ///
    /// # Errors
    /// When it was interrupted, and whatever writing a checkpoint meets.
    pub fn train(
        &self,
        paths: &[Path],
        ledger: &Ledger<'_, State>,
        tick: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<Option<Training>>, Failure> {
        let runs: Vec<(&Seeded<'_>, u32)> = self.runs().collect();
        runs.into_par_iter()
            .enumerate()
            .with_max_len(1)
            .map(|(number, (seeded, horizon))| {
                let seed = seeded.problem.seed;
                let Some((_, record)) = chosen(paths, seed, horizon) else { return Ok(None) };
                let unit = ledger.unit(self.descents() + number);
                self.train_one(seeded, &record, unit, tick).map(Some)
            })
            .collect()
    }

    /// What is trained and for which horizon's schedule, in the order of [`train`](Self::train).
    pub fn runs(&self) -> impl Iterator<Item = (&Seeded<'_>, u32)> {
        let horizons = || self.horizons.iter().map(|&(horizon, _)| horizon);
        self.seeds.iter().flat_map(move |seeded| horizons().map(move |horizon| (seeded, horizon)))
    }

    fn descend_one(
        &self,
        Seeded { problem, weights }: &Seeded<'_>,
        descent: MetaDescent,
        unit: Unit<'_, State>,
        tick: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Failure> {
        let mut progress = match unit.state() {
            Some(State::Path(_, Some(_))) => return Ok(()),
            Some(State::Path(progress, None)) => progress,
            _ => Progress::default(),
        };
        let whole = descent.steps(&progress).0;
        let behind = |progress: &Progress| descent.steps(progress).1;
        let keeper = PathKeeper(unit);
        let (tick_one, ignore) = (&mut || tick(1), &mut |_: &Record| {});
        let ended = descent.go_on(problem, weights, &mut progress, &keeper, tick_one, ignore);
        let diverged = match ended {
            Ok(()) => None,
            Err(Ended::Diverged(diverged)) => Some(diverged.to_string()),
            Err(Ended::Failed(failure)) => return Err(failure),
        };
        if diverged.is_some() {
            tick(whole.saturating_sub(behind(&progress)));
        }
        let PathKeeper(unit) = keeper;
        unit.leave(State::Path(progress, diverged))
    }

    fn train_one(
        &self,
        Seeded { problem, weights }: &Seeded<'_>,
        record: &Record,
        unit: Unit<'_, State>,
        tick: &(dyn Fn(u64) + Sync),
    ) -> Result<Training, Failure> {
        let schedule = record.schedule();
        let evaluator = Evaluator::new(problem);
        let (mut curve, restored) = match unit.state() {
            Some(State::Trained(curve, digest, diverged)) => {
                return Ok(Training { curve, digest, diverged });
            }
            Some(State::Training(curve, snapshot)) => {
                (curve, problem.restore(Tangents::None, &snapshot))
            }
            _ => (Vec::new(), None),
        };
        let mut run = restored.unwrap_or_else(|| problem.run(Tangents::None, weights));
        let mut trained = || -> Result<Result<u64, Diverged>, Failure> {
            loop {
                let k = run.steps();
                let due = k.is_multiple_of(self.every) || k == self.steps;
                // A run that is taken up again at a point has that point already.
                if due && curve.last().is_none_or(|last: &Point| last.step < k) {
                    let rate = problem.learning_rate(&schedule, k);
                    match evaluator.evaluate(&mut *run, rate, problem.momentum) {
                        Ok(point) => curve.push(point),
                        Err(diverged) => return Ok(Err(diverged)),
                    }
                }
                if k >= self.steps {
                    return Ok(Ok(run.digests()[0].value()));
                }
                if let Err(diverged) = run.train(&schedule, k..k + 1, &mut |_, _, _| tick(1)) {
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
