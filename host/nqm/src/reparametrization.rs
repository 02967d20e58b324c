//! Unconstrained coordinates of schedules with learning rates α ≥ 0 and momenta 0 ≤ μ < 1.
//!
//! ```text
//! α = s sinh²(x/2),  s = 0.01 / (largest preconditioned curvature)      μ = sin² y
//! ```
//!
//! Far above s a step in x is a relative change of α; both bounds are reached at finite
//! coordinates. There dα/dx and dμ/dy vanish whatever the loss says, so convergence is judged by
//! the gradient with respect to α and μ, see [`Reparametrization::projected_gradient`].

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::Step;
use myopia_core::real::Real;
use myopia_core::sum::sum;

use crate::quadratic::Schedule;

/// What is optimised in each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Variables {
    /// The learning rate; momentum is this constant.
    LearningRates {
        /// μ of every step.
        momentum: f64,
    },
    /// The learning rate and the momentum.
    LearningRatesAndMomenta,
}

impl Variables {
    /// Coordinates of a schedule of `steps` steps.
    pub fn coordinates(self, steps: usize) -> usize {
        match self {
            Self::LearningRates { .. } => steps,
            Self::LearningRatesAndMomenta => 2 * steps,
        }
    }

    /// The momentum nearest to `momentum` that is allowed.
    pub fn allowed_momentum(self, momentum: f64) -> f64 {
        match self {
            Self::LearningRates { momentum } => momentum,
            Self::LearningRatesAndMomenta if momentum >= 1.0 => LARGEST_MOMENTUM,
            Self::LearningRatesAndMomenta => momentum.larger(0.0),
        }
    }
}

/// The largest number below one.
const LARGEST_MOMENTUM: f64 = 1.0 - f64::EPSILON / 2.0;
/// The distance in x and y that a descent's first point keeps from the bounds, where it would not
/// see a slope.
const FIRST_DISTANCE_FROM_BOUND: f64 = 0.1;

/// The map between schedules and coordinates: the x of every step, then the y of every step if
/// momenta are variables.
#[derive(Clone, Copy, Debug)]
pub struct Reparametrization {
    variables: Variables,
    /// s.
    scale: f64,
}

impl Reparametrization {
    /// The coordinates of `variables` for this largest preconditioned curvature.
    pub fn new(variables: Variables, largest_curvature: f64) -> Self {
        let scale = if largest_curvature > 0.0 { 0.01 / largest_curvature } else { 1.0 };
        Self { variables, scale }
    }

    /// What is optimised.
    pub fn variables(&self) -> Variables {
        self.variables
    }

    /// Coordinates near `schedule`, not closer to the bounds than a descent may begin.
    pub fn first_point(&self, schedule: &[Step<f64>]) -> Vec<f64> {
        let x = |step: &Step<f64>| {
            let share = step.learning_rate.larger(0.0) / self.scale;
            (2.0 * libm::asinh(Libm::sqrt(share))).larger(FIRST_DISTANCE_FROM_BOUND)
        };
        let y = |step: &Step<f64>| {
            let most = core::f64::consts::FRAC_PI_2 - FIRST_DISTANCE_FROM_BOUND;
            let momentum = self.variables.allowed_momentum(step.momentum);
            let y = libm::asin(Libm::sqrt(momentum)).larger(FIRST_DISTANCE_FROM_BOUND);
            if y > most { most } else { y }
        };
        let rates = schedule.iter().map(x);
        match self.variables {
            Variables::LearningRates { .. } => rates.collect(),
            Variables::LearningRatesAndMomenta => rates.chain(schedule.iter().map(y)).collect(),
        }
    }

    /// The schedule at `point`.
    pub fn schedule(&self, point: &[f64]) -> Schedule {
        let (rates, momenta) = self.parted(point);
        let step = |(k, x): (usize, &f64)| {
            let root = libm::sinh(x / 2.0);
            let momentum = match self.variables {
                Variables::LearningRates { momentum } => momentum,
                Variables::LearningRatesAndMomenta => {
                    let root = libm::sin(momenta[k]);
                    self.variables.allowed_momentum(root * root)
                }
            };
            Step { learning_rate: self.scale * (root * root), momentum }
        };
        rates.iter().enumerate().map(step).collect()
    }

    /// dα/dx = ½ s sinh x of every step, then dμ/dy = sin 2y if momenta are variables.
    pub fn slopes(&self, point: &[f64]) -> Vec<f64> {
        let (rates, momenta) = self.parted(point);
        let rates = rates.iter().map(|x| self.scale * libm::sinh(*x) / 2.0);
        rates.chain(momenta.iter().map(|y| libm::sin(2.0 * y))).collect()
    }

    /// d²α/dx² = ½ s cosh x and d²μ/dy² = 2 cos 2y, times the derivatives `by_schedule`.
    pub fn second_derivatives(&self, point: &[f64], by_schedule: &[Step<f64>]) -> Vec<f64> {
        let (rates, momenta) = self.parted(point);
        let rates = rates.iter().zip(by_schedule);
        let rates = rates.map(|(x, d)| d.learning_rate * self.scale * libm::cosh(*x) / 2.0);
        let momenta = momenta.iter().zip(by_schedule);
        rates.chain(momenta.map(|(y, d)| d.momentum * 2.0 * libm::cos(2.0 * y))).collect()
    }

    /// The gradient by the coordinates of what has the derivatives `by_schedule`: the chain rule.
    pub fn chain(&self, point: &[f64], by_schedule: &[Step<f64>]) -> Vec<f64> {
        let entries = by_schedule.iter().map(|d| d.learning_rate);
        let entries = entries.chain(by_schedule.iter().map(|d| d.momentum));
        self.slopes(point).iter().zip(entries).map(|(slope, d)| slope * d).collect()
    }

    /// The x of every step, and the y of every step or nothing.
    fn parted<'a>(&self, point: &'a [f64]) -> (&'a [f64], &'a [f64]) {
        point.split_at(match self.variables {
            Variables::LearningRates { .. } => point.len(),
            Variables::LearningRatesAndMomenta => point.len() / 2,
        })
    }

    /// The gradient `by_schedule`, each entry times the distance to the bound towards which descent
    /// moves it (Coleman and Li 1996): for a rate α, or α + s where descent raises it; for a
    /// momentum μ, or 1 − μ. Zero exactly where the Karush-Kuhn-Tucker conditions hold.
    pub fn projected_gradient(
        &self,
        schedule: &[Step<f64>],
        by_schedule: &[Step<f64>],
    ) -> Vec<f64> {
        let both = || schedule.iter().zip(by_schedule);
        let rates = both().map(|(step, d)| {
            let raised = if d.learning_rate < 0.0 { self.scale } else { 0.0 };
            d.learning_rate * (step.learning_rate + raised)
        });
        let momenta = both().map(|(step, d)| {
            let raised = d.momentum < 0.0;
            d.momentum * if raised { 1.0 - step.momentum } else { step.momentum }
        });
        rates.chain(momenta).take(self.variables.coordinates(schedule.len())).collect()
    }
}

/// Σ x² of a vector, rooted.
pub fn euclidean_norm(vector: &[f64]) -> f64 {
    Libm::sqrt(sum(vector.iter().map(|x| x * x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_comes_back_from_its_coordinates() {
        let map = Reparametrization::new(Variables::LearningRatesAndMomenta, 2.0);
        let schedule: Schedule = [(0.3, 0.5), (1e-2, 0.99), (40.0, 0.1)]
            .map(|(learning_rate, momentum)| Step { learning_rate, momentum })
            .to_vec();
        let point = map.first_point(&schedule);
        for (back, step) in map.schedule(&point).iter().zip(&schedule) {
            assert!((back.learning_rate / step.learning_rate - 1.0).abs() < 1e-12, "{back:?}");
            assert!((back.momentum - step.momentum).abs() < 1e-12, "{back:?}");
        }
    }

    #[test]
    fn every_point_is_a_schedule_within_the_bounds() {
        let map = Reparametrization::new(Variables::LearningRatesAndMomenta, 1.0);
        for place in [-7.0, -1.0, 0.0, 0.3, core::f64::consts::FRAC_PI_2, 4.0, 20.0] {
            let [step] = map.schedule(&[place, place])[..] else { panic!("one step") };
            assert!(step.learning_rate >= 0.0, "{place}: {step:?}");
            assert!((0.0..1.0).contains(&step.momentum), "{place}: {step:?}");
        }
    }

    #[test]
    fn at_a_bound_only_a_gradient_that_leads_away_from_it_counts() {
        let map = Reparametrization::new(Variables::LearningRatesAndMomenta, 0.01);
        let norm = |momentum, by_momentum| {
            let by = Step { learning_rate: 0.0, momentum: by_momentum };
            euclidean_norm(&map.projected_gradient(&[Step { learning_rate: 1.0, momentum }], &[by]))
        };
        assert_eq!([norm(0.0, 3.0), norm(0.0, -3.0), norm(0.25, 2.0)], [0.0, 3.0, 0.5]);
        let rate = |learning_rate, by_rate| {
            let by = Step { learning_rate: by_rate, momentum: 0.0 };
            let at = Step { learning_rate, momentum: 0.0 };
            euclidean_norm(&map.projected_gradient(&[at], &[by]))
        };
        assert_eq!([rate(0.0, 3.0), rate(0.0, -3.0), rate(2.0, 3.0)], [0.0, 3.0, 6.0]);
    }
}
