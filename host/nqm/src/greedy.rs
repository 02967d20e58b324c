//! Greedy schedules: in each step the α, or α and μ, that minimise the next expected loss.

use myopia_core::nqm::{NextLoss, Step};

use crate::quadratic::{Quadratic, Schedule, State};

/// The schedule that takes in each of `steps` steps what `choose` makes of the loss after it.
pub fn greedy(
    quadratic: &Quadratic,
    mut state: State,
    steps: usize,
    choose: impl Fn(&NextLoss<f64>) -> Step<f64>,
) -> Schedule {
    let mut last = None;
    let mut next = || {
        last = Some(choose(&quadratic.advance(&mut state, last)));
        last
    };
    (0..steps).filter_map(|_| next()).collect()
}

/// The best learning rate for the next loss in every step, momentum being given.
pub fn greedy_rates(quadratic: &Quadratic, state: State, steps: usize, momentum: f64) -> Schedule {
    greedy(quadratic, state, steps, |next| Step {
        learning_rate: next.best_learning_rate(momentum),
        momentum,
    })
}

/// The best learning rate and momentum for the next loss in every step.
pub fn greedy_steps(quadratic: &Quadratic, state: State, steps: usize) -> Schedule {
    greedy(quadratic, state, steps, NextLoss::best_step)
}
