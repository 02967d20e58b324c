//! Greedy schedules: in each step the α, or α and μ, that minimise the next expected loss.

use myopia_core::nqm::{NextLoss, Step};

use crate::error::Interrupted;
use crate::quadratic::{Quadratic, Schedule, State};
use crate::tolerances::Control;

/// The schedule that takes in each of `steps` steps what `choose` makes of the loss after it.
///
/// # Errors
/// When it is interrupted.
pub fn greedy(
    quadratic: &Quadratic,
    mut state: State,
    steps: usize,
    control: &Control<'_>,
    choose: impl Fn(&NextLoss<f64>) -> Step<f64>,
) -> Result<Schedule, Interrupted> {
    let mut schedule = Schedule::with_capacity(steps);
    for _ in 0..steps {
        control.check()?;
        let next = quadratic.advance(&mut state, schedule.last().copied());
        schedule.push(choose(&next));
    }
    Ok(schedule)
}

/// The best learning rate for the next loss, momentum being given.
pub fn best_rate(momentum: f64) -> impl Fn(&NextLoss<f64>) -> Step<f64> {
    move |next| Step { learning_rate: next.best_learning_rate(momentum), momentum }
}

/// The best learning rate for the next loss in every step, momentum being given.
///
/// # Errors
/// When it is interrupted.
pub fn greedy_rates(
    quadratic: &Quadratic,
    state: State,
    steps: usize,
    momentum: f64,
    control: &Control<'_>,
) -> Result<Schedule, Interrupted> {
    greedy(quadratic, state, steps, control, best_rate(momentum))
}

/// The best learning rate and momentum for the next loss in every step.
///
/// # Errors
/// When it is interrupted.
pub fn greedy_steps(
    quadratic: &Quadratic,
    state: State,
    steps: usize,
    control: &Control<'_>,
) -> Result<Schedule, Interrupted> {
    greedy(quadratic, state, steps, control, NextLoss::best_step)
}
