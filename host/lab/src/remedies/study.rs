//! The work: for each seed and each way the search for rates and the training by them, spread over
//! the threads, each leaving its state in a ledger.

use myopia_core::family::Schedule;
use myopia_core::schedule::{InverseTime, PARAMETERS};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::train::{LOSS, Progress, Training};
use super::{Finish, Outcome, Way};
use crate::checkpoint::{Keeper, Ledger, Unit};
use crate::descent::{self, Ended, MetaDescent, best};
use crate::failure::Failure;
use crate::interrupt;
use crate::outer::OuterOptimizer;
use crate::plan::{Failed, Planning};
use crate::problem::{CurvatureMatrix, Problem, Seeded};

/// Remedies to compare.
pub struct Remedies<'a> {
    /// What is trained, by seed.
    pub seeds: Vec<Seeded<'a>>,
    /// The remedies.
    pub ways: Vec<Way>,
    /// Steps of training.
    pub steps: u32,
    /// Steps of the cool-down at the end, where there is one.
    pub cooled: u32,
    /// Where meta-descents start, and the rate at which moving rates do.
    pub start: InverseTime<f64>,
    /// Meta-steps of each descent.
    pub meta_steps: u32,
    /// The outer optimizer of α₀ and β, fresh.
    pub outer: OuterOptimizer,
    /// That of a moving rate with a meta-learning rate.
    pub mover: fn(&Problem<'_>, f64) -> OuterOptimizer<1>,
    /// How a schedule is planned, and the share of the limit of stability that is the cap.
    pub planning: Planning,
}

/// Products of Lanczos's method that measure the cap.
const PRODUCTS: usize = 20;

/// How far one unit has come.
#[derive(Clone, Serialize, Deserialize)]
pub enum State {
    /// It looks for a schedule by meta-descent.
    Descent(descent::Progress),
    /// It trains by rates that were found at a cost; what has ended, and what is under way.
    Training(Found, Vec<Outcome>, Progress),
    /// All of it has ended, in the order of the way's finishes.
    Ended(Vec<Outcome>),
}

/// What a search has found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Found {
    /// A rate for each step; none where the rate moves, or where the search diverged.
    rates: Vec<f64>,
    cost: f64,
    schedule: Option<[f64; 3]>,
    diverged: Option<String>,
}

/// The keeper of a descent inside a unit.
struct OfDescent<'a>(&'a Unit<'a, State>);

impl Keeper<descent::Progress> for OfDescent<'_> {
    fn pause(&self, state: impl FnOnce() -> descent::Progress) -> Result<(), Failure> {
        self.0.pause(|| State::Descent(state()))
    }
}

/// The keeper of a training run inside a unit.
struct OfTraining<'a>(&'a Unit<'a, State>, &'a Found, &'a [Outcome]);

impl Keeper<Progress> for OfTraining<'_> {
    fn pause(&self, state: impl FnOnce() -> Progress) -> Result<(), Failure> {
        self.0.pause(|| State::Training(self.1.clone(), self.2.to_vec(), state()))
    }
}

impl Remedies<'_> {
    /// How many units there are: seed by seed, way by way.
    pub fn units(&self) -> usize {
        self.seeds.len() * self.ways.len()
    }

    /// How training by way number `way` may end.
    pub fn finishes(&self, way: usize) -> Vec<Finish> {
        self.ways[way].finishes(self.cooled)
    }

    /// How many steps of training all units are, and how many of them are done in `ledger`.
    pub fn steps(&self, ledger: &Ledger<'_, State>) -> (u64, u64) {
        let (mut total, mut done) = (0, 0);
        for number in 0..self.units() {
            let way = number % self.ways.len();
            let descent = self.descent(self.ways[way]);
            let of = |progress: &descent::Progress| descent.as_ref().map(|d| d.steps(progress));
            let search = of(&descent::Progress::default()).map_or(0, |(all, _)| all);
            let each = u64::from(self.steps);
            let whole = search + each * self.finishes(way).len() as u64;
            total += whole;
            done += match ledger.unit(number).state() {
                None => 0,
                Some(State::Descent(progress)) => of(&progress).map_or(0, |(_, done)| done),
                Some(State::Training(_, ended, progress)) => {
                    search + each * ended.len() as u64 + u64::from(progress.steps())
                }
                Some(State::Ended(_)) => whole,
            };
        }
        (total, done)
    }

    /// Does all units, spread over the threads; `tick` is called with steps of training as they
    /// are done or turn out not to be needed.
    ///
    /// # Errors
    /// When it was interrupted, and whatever writing a checkpoint meets. What diverges is an
    /// outcome.
    pub fn run(
        &self,
        ledger: &Ledger<'_, State>,
        tick: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Failure> {
        (0..self.units()).into_par_iter().with_max_len(1).try_for_each(|number| {
            let seeded = &self.seeds[number / self.ways.len()];
            let unit = ledger.unit(number);
            ledger.resumable(self.one(seeded, number % self.ways.len(), &unit, tick))
        })
    }

    fn one(
        &self,
        seeded: &Seeded<'_>,
        number: usize,
        unit: &Unit<'_, State>,
        tick: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Failure> {
        let way = self.ways[number];
        let finishes = self.finishes(number);
        let (found, mut ended, mut progress) = match unit.state() {
            Some(State::Ended(_)) => return Ok(()),
            Some(State::Training(found, ended, progress)) => (found, ended, progress),
            state => (self.search(way, seeded, unit, state, tick)?, vec![], Progress::default()),
        };
        let Seeded { problem, weights } = seeded;
        let training = Training { problem, weights, steps: self.steps, tick };
        while ended.len() < finishes.len() {
            let now = std::mem::take(&mut progress);
            let keeper = OfTraining(unit, &found, &ended);
            let outcome = match (&found.diverged, way) {
                (Some(diverged), _) => {
                    tick(self.steps.into());
                    Outcome { diverged: Some(diverged.clone()), ..Outcome::default() }
                }
                (None, Way::Carried(carry, rate)) => {
                    let outer = (self.mover)(problem, rate);
                    training.by_tangents((carry, self.start.alpha0), outer, now, &keeper)?
                }
                (None, _) => {
                    training.by_rates(&found.rates, finishes[ended.len()], now, &keeper)?
                }
            };
            let cost = outcome.cost + found.cost;
            ended.push(Outcome { cost, schedule: found.schedule, ..outcome });
            unit.pause(|| State::Training(found.clone(), ended.clone(), Progress::default()))?;
        }
        unit.leave(State::Ended(ended))
    }

    /// The rates of a way, and what it took to find them.
    fn search(
        &self,
        way: Way,
        Seeded { problem, weights }: &Seeded<'_>,
        unit: &Unit<'_, State>,
        state: Option<State>,
        tick: &(dyn Fn(u64) + Sync),
    ) -> Result<Found, Failure> {
        let free = |rates: Vec<f64>| Found { rates, ..Found::default() };
        let all = |schedule: Schedule<f64>| schedule.rates().take(self.steps as usize).collect();
        let linear = |rate| all(Schedule::linear(rate, self.steps));
        Ok(match way {
            Way::Constant(rate) => free(vec![rate; self.steps as usize]),
            Way::Linear(rate) => free(linear(rate)),
            Way::Cosine(rate) => free(all(Schedule::cosine(rate, self.steps))),
            Way::Given(schedule, _, cost) => {
                Found { cost, ..free(self.by_formula(problem, &schedule)) }
            }
            Way::Carried(..) => Found::default(),
            Way::Capped => {
                let matrix = CurvatureMatrix::GaussNewton;
                let examples = self.planning.extent.examples;
                let mut go_on = || !interrupt::is_asked();
                let at =
                    problem.sharpness_while(&weights.0, matrix, examples, PRODUCTS, &mut go_on);
                let sharpness = match at {
                    Ok(Some(sharpness)) => sharpness,
                    Ok(None) => return Err(stopped()),
                    Err(diverged) => return Ok(lost(diverged.to_string())),
                };
                let cap = self.planning.cap * 2.0 * (1.0 + problem.momentum) / sharpness;
                let batches = examples.div_ceil(problem.batch);
                Found { cost: 2.0 * (PRODUCTS * batches) as f64, ..free(linear(cap)) }
            }
            Way::Planned => {
                let mut progress = crate::plan::Progress::default();
                let stop: &(dyn Fn() -> bool + Sync) = &interrupt::is_asked;
                match self.planning.go_on(problem, weights, &mut progress, stop) {
                    Ok(()) => {}
                    Err(Failed::Interrupted) => return Err(stopped()),
                    Err(failed) => return Ok(lost(format!("no plan: {failed:?}"))),
                }
                let segments = progress.lengths.iter().zip(&progress.rates);
                let rates = segments.flat_map(|(&steps, &rate)| vec![rate; steps]).collect();
                Found { cost: progress.cost.0, ..free(rates) }
            }
            Way::Tuned(..) => {
                let descent = self.descent(way).expect("it is tuned by a descent");
                let mut progress = match state {
                    Some(State::Descent(progress)) => progress,
                    _ => descent::Progress::default(),
                };
                let ended = descent.go_on(
                    problem,
                    weights,
                    &mut progress,
                    &OfDescent(unit),
                    &mut || tick(1),
                    &mut |_| {},
                );
                let (all, done) = descent.steps(&progress);
                match ended {
                    Ok(()) => {}
                    Err(Ended::Failed(failure)) => return Err(failure),
                    // The best of what was seen before is what a descent has found.
                    Err(Ended::Diverged(_)) => tick(all.saturating_sub(done)),
                }
                let batches = problem.objective_indices().len().div_ceil(problem.batch) as f64;
                let each = f64::from(descent.unrolled()) + LOSS * batches;
                let looks = progress.records.len() as f64 + f64::from(u8::from(done < all));
                let Some(record) = best(&progress.records) else {
                    return Ok(lost("the first look-ahead diverged".into()));
                };
                let schedule = record.schedule();
                Found {
                    cost: 4.0 * each * looks,
                    schedule: Some(schedule.parameters()),
                    ..free(self.by_formula(problem, &schedule))
                }
            }
        })
    }

    fn by_formula(&self, problem: &Problem<'_>, schedule: &InverseTime<f64>) -> Vec<f64> {
        (0..self.steps).map(|k| problem.learning_rate(schedule, k)).collect()
    }

    /// The descent by which a way is tuned.
    fn descent(&self, way: Way) -> Option<MetaDescent> {
        let Way::Tuned(judge, ahead) = way else { return None };
        Some(MetaDescent {
            schedule: self.start,
            tuned: PARAMETERS.to_vec(),
            outer: self.outer,
            horizon: ahead - judge.cooldown() as u32,
            judge,
            meta_steps: self.meta_steps,
        })
    }
}

fn stopped() -> Failure {
    Failure::Interrupted("interrupted".into())
}

fn lost(why: String) -> Found {
    Found { diverged: Some(why), ..Found::default() }
}
