//! The schedules from which a search descends.

use std::iter;

use myopia_core::nqm::Step;

use crate::greedy::{greedy_rates, greedy_steps};
use crate::lanczos::Tridiagonal;
use crate::quadratic::{Quadratic, Schedule, State};
use crate::reparametrization::Variables;
use crate::ritz::{leja_order, ritz_values};

/// Schedules of `steps` steps: greedy first, then those that are optimal without noise for the first
/// T, T/2, T/4, … steps and greedy after them, then some of the form α₀ / (1 + k/K).
pub fn starts(
    quadratic: &Quadratic,
    state: &State,
    steps: usize,
    variables: Variables,
) -> Vec<Schedule> {
    let mut starts = vec![continued(quadratic, state, steps, Schedule::new(), variables)];
    let seen = Tridiagonal::new(quadratic, state, steps);
    for first in iter::successors(Some(steps), |first| Some(first / 2)).take_while(|&n| n > 0) {
        let seen = seen.first(first);
        match variables {
            Variables::LearningRates { momentum } => {
                let step = |learning_rate| Step { learning_rate, momentum };
                // Ascending Ritz values, so descending rates: noise that large steps add, later ones
                // remove.
                let rates: Vec<f64> = ritz_values(&seen).iter().map(|value| 1.0 / value).collect();
                let leja = leja_order(&rates).into_iter().map(step).collect();
                starts.push(continued(quadratic, state, steps, leja, variables));
                if first == steps {
                    let descending = rates.into_iter().map(step).collect();
                    starts.push(continued(quadratic, state, steps, descending, variables));
                }
            }
            Variables::LearningRatesAndMomenta => {
                let optimal = seen.conjugate_gradient();
                starts.push(continued(quadratic, state, steps, optimal, variables));
            }
        }
    }
    let largest = quadratic.largest_curvature();
    if let Variables::LearningRates { momentum } = variables
        && largest > 0.0
    {
        for (share, time_constant) in
            [(1.5, f64::INFINITY), (0.1, f64::INFINITY), (1.0, 1.0), (1.0, 10.0), (0.1, 0.3)]
        {
            let alpha0 = share * (1.0 - momentum) / largest;
            let step = |k: usize| Step {
                learning_rate: alpha0 / (1.0 + k as f64 / time_constant),
                momentum,
            };
            starts.push((0..steps).map(step).collect());
        }
    }
    for step in starts.iter_mut().flatten() {
        step.momentum = variables.allowed_momentum(step.momentum);
        step.learning_rate = if step.learning_rate > 0.0 { step.learning_rate } else { 0.0 };
    }
    starts
}

/// `schedule` and after it, up to `steps` steps, what is greedy.
fn continued(
    quadratic: &Quadratic,
    state: &State,
    steps: usize,
    mut schedule: Schedule,
    variables: Variables,
) -> Schedule {
    let mut end = state.clone();
    for step in &schedule {
        quadratic.advance(&mut end, Some(*step));
    }
    let left = steps - schedule.len();
    schedule.extend(match variables {
        Variables::LearningRates { momentum } => greedy_rates(quadratic, end, left, momentum),
        Variables::LearningRatesAndMomenta => greedy_steps(quadratic, end, left),
    });
    schedule
}
