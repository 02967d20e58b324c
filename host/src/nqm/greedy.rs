//! Schedules that look one step ahead.

use myopia_core::nqm::{NextLoss, Step};

use super::quadratic::{Quadratic, Schedule};

/// The schedule that takes in each of `steps` steps what `choose` makes of the loss after it.
pub fn greedy(
    quadratic: &Quadratic,
    steps: usize,
    choose: impl Fn(&NextLoss<f64>) -> Step<f64>,
) -> Schedule {
    let mut state = quadratic.start();
    let mut last = None;
    let mut next = || {
        last = Some(choose(&quadratic.advance(&mut state, last)));
        last
    };
    (0..steps).filter_map(|_| next()).collect()
}

/// The best learning rate for the next loss in every step, momentum being given.
pub fn greedy_rates(quadratic: &Quadratic, steps: usize, momentum: f64) -> Schedule {
    greedy(quadratic, steps, |next| Step {
        learning_rate: next.best_learning_rate(momentum),
        momentum,
    })
}

/// The best learning rate and momentum for the next loss in every step.
pub fn greedy_steps(quadratic: &Quadratic, steps: usize) -> Schedule {
    greedy(quadratic, steps, NextLoss::best_step)
}
