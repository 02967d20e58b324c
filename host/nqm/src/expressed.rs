//! The constant value of one hyperparameter that is best for the loss after T steps: of α of SGD, λ
//! of K-FAC, ε of RMSprop and of Adam, each of which expresses a learning rate.
//!
//! A pass over a grid of values gives the loss and its derivative after every number of steps at
//! once; between the neighbours of the lowest value the derivative's zero is found by the Illinois
//! method (regula falsi), along the logarithm.

use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::{Direction, MeanField, Step};
use myopia_core::rng::Pcg32;
use myopia_core::schedule::Parameter;

use crate::error::Interrupted;
use crate::parallel;
use crate::quadratic::{Losses, Quadratic, State};

/// What is tuned: α itself, or a hyperparameter of an optimiser at a constant α.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Family {
    /// The optimiser; none for SGD, of which α is tuned.
    pub optimizer: Option<MeanField<f64>>,
    /// What is tuned.
    pub parameter: Parameter,
    /// α where it is not tuned.
    pub rate: f64,
    /// The least and the greatest value.
    pub bounds: [f64; 2],
}

impl Family {
    /// The learning rate that a value expresses where it outweighs all else: α, α/λ or α/ε.
    pub fn expressed(&self, value: f64) -> f64 {
        if self.optimizer.is_some() { self.rate / value } else { value }
    }

    /// The excess losses after each of `steps` steps from `start` on with this value, and their
    /// derivatives by its logarithm; none where a loss is not finite. With `decayed` rates fall
    /// linearly to zero: that of step k is (1 − k/steps) times the first.
    ///
    /// # Errors
    /// When it is interrupted.
    pub fn losses(
        &self,
        quadratic: &Quadratic,
        start: &State,
        value: f64,
        (steps, decayed): (usize, bool),
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Vec<Dual<f64, 1>>>, Interrupted> {
        let along = |value| Dual { value, tangents: [1.0] };
        let first = match self.optimizer {
            Some(_) => Dual::constant(self.rate),
            None => along(value),
        };
        let share = |k: usize| if decayed { 1.0 - k as f64 / steps as f64 } else { 1.0 };
        let schedule: Vec<Step<Dual<f64, 1>>> = (0..steps)
            .map(|k| Step { learning_rate: first.scaled(share(k)), momentum: Dual::constant(0.0) })
            .collect();
        let found = match self.optimizer {
            Some(optimizer) => {
                let optimizer = optimizer.with(self.parameter, value);
                let optimizer = optimizer.with_tangents([self.parameter]);
                quadratic.losses_in_mean_field(&optimizer, start, &schedule, stop)
            }
            None => quadratic.losses_from(start, &schedule, stop),
        };
        match found {
            Ok(None) => Err(Interrupted),
            Err(_) => Ok(None),
            Ok(Some(losses)) => {
                let by_logarithm =
                    |loss: Dual<f64, 1>| Dual { tangents: [loss.tangents[0] * value], ..loss };
                Ok(Some(losses.into_iter().map(by_logarithm).collect()))
            }
        }
    }
}

/// The best value for a number of steps, and the excess loss after them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// The value.
    pub value: f64,
    /// The excess loss.
    pub excess: f64,
}

/// How the best value is searched for.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// The problem.
    pub quadratic: &'a Quadratic,
    /// Where training starts.
    pub start: &'a State,
    /// What is tuned.
    pub family: Family,
    /// Values of the grid, at least two.
    pub grid: usize,
    /// Whether rates fall linearly to zero at the longest horizon.
    pub decayed: bool,
}

/// Evaluations between two values of the grid, at most.
const REFINEMENTS: usize = 12;
/// A derivative of the logarithm of the loss by that of the value that counts as zero.
const STATIONARY: f64 = 1e-9;

impl Search<'_> {
    /// The best value for each of `horizons`, ascending.
    ///
    /// # Errors
    /// When it is interrupted.
    pub fn best(
        &self,
        horizons: &[usize],
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Best>, Interrupted> {
        let longest = horizons.last().copied().unwrap_or_default();
        let [least, greatest] = self.family.bounds.map(<Libm as Elementary<f64>>::ln);
        let last = (self.grid - 1) as f64;
        let places: Vec<f64> =
            (0..self.grid).map(|i| least + (greatest - least) * (i as f64 / last)).collect();
        let passes = parallel::map(places.clone(), |place| self.at(place, longest, stop));
        let passes: Vec<_> = passes.into_iter().collect::<Result<_, _>>()?;
        let refined = parallel::map(horizons.to_vec(), |horizon| {
            let at = |i: usize| passes[i].as_ref().map_or(WORST, |losses| losses[horizon]);
            let lowest = (0..self.grid)
                .fold(0, |best: usize, i| if at(i).value < at(best).value { i } else { best });
            // The neighbour on the side to which the loss falls; none at an end of the grid.
            let slope = at(lowest).tangents[0];
            let other = if slope > 0.0 { lowest.checked_sub(1) } else { Some(lowest + 1) };
            match other.filter(|&other| other < self.grid && at(other).value.is_finite()) {
                Some(other) => {
                    let ends = [(places[lowest], at(lowest)), (places[other], at(other))];
                    self.between(ends, horizon, stop)
                }
                None => Ok(Best { value: Libm::exp(places[lowest]), excess: at(lowest).value }),
            }
        });
        refined.into_iter().collect()
    }

    /// Losses with the value e^`place`.
    fn at(
        &self,
        place: f64,
        steps: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Vec<Dual<f64, 1>>>, Interrupted> {
        let value = Libm::exp(place);
        self.family.losses(self.quadratic, self.start, value, (steps, self.decayed), stop)
    }

    /// The zero of the derivative between two places, of which the first has the lower loss.
    fn between(
        &self,
        [low, high]: [(f64, Dual<f64, 1>); 2],
        horizon: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Best, Interrupted> {
        let mut best = low;
        let (mut a, mut b) = (low.0, high.0);
        let slope = |loss: Dual<f64, 1>| loss.tangents[0] / loss.value;
        let (mut at_a, mut at_b) = (slope(low.1), slope(high.1));
        for _ in 0..REFINEMENTS {
            // With one sign the loss is not convex there, and the grid's value stays.
            if (at_a < 0.0) == (at_b < 0.0) || slope(best.1).abs() < STATIONARY {
                break;
            }
            let place = a - at_a * (b - a) / (at_b - at_a);
            let Some(losses) = self.at(place, horizon, stop)? else { break };
            let found = losses[horizon];
            if found.value <= best.1.value {
                best = (place, found);
            }
            let at = slope(found);
            if (at < 0.0) == (at_b < 0.0) {
                // The other end has stayed: half its slope draws the next place towards it.
                at_a *= 0.5;
            } else {
                (a, at_a) = (b, at_b);
            }
            (b, at_b) = (place, at);
        }
        Ok(Best { value: Libm::exp(best.0), excess: best.1.value })
    }
}

/// A loss that is not finite.
const WORST: Dual<f64, 1> = Dual { value: f64::INFINITY, tangents: [0.0] };

/// Multiplies curvature, noise variance and initial second moment of each direction by e^(`jitter`
/// ξ), ξ standard normal from stream 0 of `seed`.
pub fn jittered(directions: &mut [Direction<f64>], jitter: f64, seed: u64) {
    let mut rng = Pcg32::new(seed, 0);
    let mut factor = || Libm::exp(jitter * rng.normal::<f64>());
    for direction in directions {
        direction.curvature *= factor();
        direction.noise_variance *= factor();
        let moment = factor();
        direction.initial_variance *= moment;
        direction.initial_mean *= <Libm as Elementary<f64>>::sqrt(moment);
    }
}
