//! Estimators of the derivative of a network's objective by a constant rate, side by side: their
//! biases, variances and costs, and what training comes to with a rate that they move.

use myopia_core::rng::Pcg32;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Carry;
use super::network::Course;
use super::quadratic::{Biases, Estimate, Particles};
use super::train::LOSS;
use crate::checkpoint::Ledger;
use crate::failure::Failure;
use crate::interrupt;
use crate::outer::OuterOptimizer;
use crate::problem::{Ended, Problem, Seeded};
use crate::spread::Spread;

/// What is estimated by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Estimator {
    /// The exact derivative of the loss after all steps, run by run.
    Full,
    /// Tangents that are carried along while the rate moves.
    Carried(Carry),
    /// Particles, so many of them in pairs.
    Particles(Particles, u32),
}

impl Estimator {
    /// Its name.
    pub fn name(&self) -> String {
        match self {
            Self::Full => "full".to_owned(),
            Self::Carried(carry) => carry.to_string(),
            Self::Particles(how, particles) => {
                format!("{} {particles}", if how.persistent { "pes" } else { "es" })
            }
        }
    }

    /// The standard deviation of perturbations, where there are some.
    pub fn sigma(&self) -> Option<f64> {
        if let Self::Particles(how, _) = self { Some(how.sigma) } else { None }
    }
}

/// What is compared.
pub struct Estimators<'a> {
    /// What is trained, by seed.
    pub seeds: Vec<Seeded<'a>>,
    /// The estimators.
    pub estimators: Vec<Estimator>,
    /// Meta-learning rates to choose from.
    pub meta_rates: Vec<f64>,
    /// N.
    pub steps: u32,
    /// The rate at first.
    pub rate: f64,
    /// t, after which derivatives are compared.
    pub at: u32,
    /// Meta-steps of the tuning that sees all steps each time.
    pub meta_steps: u32,
    /// Pairs of particles that say what the mean and the variance of one is.
    pub pairs: u32,
    /// The outer optimizer of a rate with a meta-learning rate.
    pub mover: fn(&Problem<'_>, f64) -> OuterOptimizer<1>,
}

/// What an estimator has come to with one seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The rate at which derivatives are compared.
    pub rate: f64,
    /// G: the derivative of the objective after all steps by the logarithm of a constant rate.
    pub exact: f64,
    /// The biases; of particles what the last window alone does not see.
    pub hysteresis: f64,
    /// See above.
    pub truncation: f64,
    /// See above.
    pub horizon: f64,
    /// The sum of these; of particles the mean over many less G, smoothing and chance among it.
    pub bias: f64,
    /// Of one estimate: of tangents, that by the choice of the batch that is read.
    pub standard_deviation: f64,
    /// Of the bias, by chance.
    pub error_of_bias: f64,
    /// Steps for one estimate, one with a tangent counting as two.
    pub cost_of_estimate: f64,
    /// Steps for training with a rate that it moves.
    pub cost: f64,
    /// The objective then.
    pub final_loss: f64,
}

/// What is read of each [`Found`], by the names of its columns.
pub const COLUMNS: [&str; 9] = [
    "rate",
    "exact",
    "hysteresis",
    "truncation",
    "horizon",
    "bias",
    "standard_deviation",
    "error_of_bias",
    "final_loss",
];

impl Found {
    fn columns(&self) -> [f64; 9] {
        [
            self.rate,
            self.exact,
            self.hysteresis,
            self.truncation,
            self.horizon,
            self.bias,
            self.standard_deviation,
            self.error_of_bias,
            self.final_loss,
        ]
    }
}

/// What one unit has come to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum State {
    /// With each meta-learning rate; nothing where training diverged.
    Ended(Vec<Option<Found>>),
}

/// A line of `biases.csv`: an estimator at its best meta-learning rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its name.
    pub estimator: String,
    /// The standard deviation of perturbations, where there are some.
    pub sigma: Option<f64>,
    /// The meta-learning rate with the lowest median of the final loss.
    pub meta_rate: f64,
    /// The seeds with which it did not diverge, in order, and what it came to.
    pub found: Vec<(u64, Found)>,
}

impl Line {
    /// The spreads of [`COLUMNS`] over the seeds; nothing where all diverged.
    pub fn spreads(&self) -> Option<[Spread; 9]> {
        let spread =
            |column: usize| Spread::of(self.found.iter().map(|(_, found)| found.columns()[column]));
        let spreads: Vec<Spread> = (0..COLUMNS.len()).map_while(spread).collect();
        spreads.try_into().ok()
    }
}

impl Estimators<'_> {
    /// How many units there are: seed by seed, estimator by estimator.
    pub fn units(&self) -> usize {
        self.seeds.len() * self.estimators.len()
    }

    /// Does all units, spread over the threads; `tick` is called after each.
    ///
    /// # Errors
    /// When it was interrupted, and whatever writing a checkpoint meets. What diverges is an
    /// outcome.
    pub fn run(&self, ledger: &Ledger<'_, State>, tick: &(dyn Fn() + Sync)) -> Result<(), Failure> {
        (0..self.units()).into_par_iter().with_max_len(1).try_for_each(|number| {
            let unit = ledger.unit(number);
            if unit.state().is_none() {
                let seeded = &self.seeds[number / self.estimators.len()];
                let estimator = self.estimators[number % self.estimators.len()];
                match self.one(seeded, estimator) {
                    Ok(found) => unit.leave(State::Ended(found))?,
                    Err(failure) => return ledger.resumable(Err(failure)),
                }
            }
            tick();
            Ok(())
        })
    }

    /// Each estimator that has ended with a seed, at its best meta-learning rate.
    pub fn lines(&self, ledger: &Ledger<'_, State>) -> Vec<Line> {
        let line = |number: usize| {
            let estimator = self.estimators[number];
            let ended = self.seeds.iter().enumerate().filter_map(|(seed, seeded)| {
                let state = ledger.unit(seed * self.estimators.len() + number).state();
                state.map(|State::Ended(found)| (seeded.problem.seed, found))
            });
            let ended: Vec<(u64, Vec<Option<Found>>)> = ended.collect();
            // One that was not run has not diverged.
            ended.first()?;
            let of = |place: usize| -> Vec<(u64, Found)> {
                ended.iter().filter_map(|(seed, found)| Some((*seed, found[place]?))).collect()
            };
            // One that diverged with a seed is worse than any that did not.
            let worth = |place: usize| {
                let found = of(place);
                let median = Spread::of(found.iter().map(|(_, found)| found.final_loss));
                (ended.len() - found.len(), median.map_or(f64::INFINITY, |loss| loss.median))
            };
            let places = 0..self.meta_rates.len();
            let best = places.reduce(|a, b| if worth(b) < worth(a) { b } else { a })?;
            Some(Line {
                estimator: estimator.name(),
                sigma: estimator.sigma(),
                meta_rate: self.meta_rates[best],
                found: of(best),
            })
        };
        (0..self.estimators.len()).filter_map(line).collect()
    }

    fn one(
        &self,
        Seeded { problem, weights }: &Seeded<'_>,
        estimator: Estimator,
    ) -> Result<Vec<Option<Found>>, Failure> {
        let stop: &(dyn Fn() -> bool + Sync) = &interrupt::is_asked;
        let course =
            Course { problem, weights, steps: self.steps, rate: self.rate, at: self.at, stop };
        // What is estimated at the first rate does not depend on how the rate moves.
        let first = match estimator {
            Estimator::Carried(_) => Ok(None),
            Estimator::Full => self.in_full(&course).map(Some),
            Estimator::Particles(how, particles) => {
                self.perturbed(&course, how, particles).map(Some)
            }
        };
        let Some(first) = survived(first)? else { return Ok(vec![None; self.meta_rates.len()]) };
        let with = |&rate: &f64| {
            let outer = (self.mover)(problem, rate);
            survived(match (estimator, first) {
                (Estimator::Carried(carry), _) => self.carried(&course, carry, outer),
                (Estimator::Particles(how, particles), Some(first)) => {
                    let rng = &mut Pcg32::new(problem.seed, stream(how) + 1);
                    let moved = course.moved(how, particles / 2, outer, rng);
                    moved.map(|final_loss| Found { final_loss, ..first })
                }
                (_, first) => {
                    let first = first.expect("it was found above");
                    let tuned = course.tuned(outer, self.meta_steps);
                    tuned.map(|final_loss| Found { final_loss, ..first })
                }
            })
        };
        self.meta_rates.iter().map(with).collect()
    }

    /// A look at the objective, in steps.
    fn look(&self, course: &Course<'_>) -> f64 {
        let problem = course.problem;
        LOSS * problem.objective_indices().len().div_ceil(problem.batch) as f64
    }

    fn in_full(&self, course: &Course<'_>) -> Result<Found, Ended> {
        let exact = course.constant(self.rate, self.steps, &|_| 1.0)?;
        let each = 2.0 * (f64::from(self.steps) + self.look(course));
        Ok(Found {
            rate: self.rate,
            exact,
            hysteresis: 0.0,
            truncation: 0.0,
            horizon: 0.0,
            bias: 0.0,
            standard_deviation: 0.0,
            error_of_bias: 0.0,
            cost_of_estimate: each,
            cost: f64::from(self.meta_steps + 1) * each,
            final_loss: f64::INFINITY,
        })
    }

    fn carried(
        &self,
        course: &Course<'_>,
        carry: Carry,
        outer: OuterOptimizer<1>,
    ) -> Result<Found, Ended> {
        let (found, variance) = course.biases(carry, outer)?;
        let Biases { excess, rate, exact, hysteresis, truncation, horizon, cost } = found;
        Ok(Found {
            rate,
            exact,
            hysteresis,
            truncation,
            horizon,
            bias: hysteresis + truncation + horizon,
            standard_deviation: libm::sqrt(variance),
            error_of_bias: 0.0,
            cost_of_estimate: cost / f64::from(self.steps) * f64::from(carry.every()),
            cost,
            final_loss: excess,
        })
    }

    fn perturbed(
        &self,
        course: &Course<'_>,
        how: Particles,
        particles: u32,
    ) -> Result<Found, Ended> {
        let exact = course.constant(self.rate, self.steps, &|_| 1.0)?;
        // What the last window sees without perturbation.
        let last = course.last(how.window);
        let seen = match how.persistent {
            true => exact,
            false => {
                course.constant(self.rate, self.steps, &|k| if k == last { 0.0 } else { 1.0 })?
            }
        };
        let rng = &mut Pcg32::new(course.problem.seed, stream(how));
        let Estimate { mean, variance } = course.estimate(how, self.pairs, rng)?;
        let windows = f64::from(self.steps.div_ceil(how.window));
        let (steps, looks) = match how.persistent {
            true => (self.steps, windows),
            false => (self.steps - last, 1.0),
        };
        let look = self.look(course);
        let particles = f64::from(particles);
        let all = f64::from(self.steps);
        Ok(Found {
            rate: self.rate,
            exact,
            hysteresis: 0.0,
            truncation: seen - exact,
            horizon: 0.0,
            bias: mean - exact,
            standard_deviation: libm::sqrt(variance / (particles / 2.0)),
            error_of_bias: libm::sqrt(variance / f64::from(self.pairs)),
            cost_of_estimate: particles * (f64::from(steps) + looks * look),
            cost: (particles + 1.0) * all + particles * windows * look,
            final_loss: f64::INFINITY,
        })
    }
}

/// The stream of random numbers of particles: another one, the next, moves the rate.
fn stream(how: Particles) -> u64 {
    if how.persistent { 3 } else { 1 }
}

/// What was found, nothing where training diverged.
fn survived<T>(found: Result<T, Ended>) -> Result<Option<T>, Failure> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Ended::Diverged(_)) => Ok(None),
        Err(Ended::Stopped) => Err(Failure::Interrupted("interrupted".into())),
    }
}
