//! Initial schedules of a search: greedy, inverse Ritz values, Chebyshev, inverse-time.

use std::iter;

use myopia_core::nqm::{NextLoss, Step};

use crate::error::Interrupted;
use crate::greedy::{greedy, greedy_rates, greedy_steps};
use crate::lanczos::Tridiagonal;
use crate::quadratic::{Quadratic, Schedule, State};
use crate::reparametrization::Variables;
use crate::ritz::{leja_order, ritz_values};
use crate::tolerances::Control;

/// Schedules of `steps` steps: greedy first; those that are optimal without noise for the first n
/// steps and greedy after them, n being T, T − 1, T − 2, T − 4, … and T/2, T/4, …; Chebyshev's
/// iteration; some of the form α₀ / (1 + k/K).
///
/// Without noise the last few steps make good what the rounding of the others leaves of steep
/// directions.
///
/// # Errors
/// When it is interrupted.
pub fn starts(
    quadratic: &Quadratic,
    state: &State,
    steps: usize,
    variables: Variables,
    control: &Control<'_>,
) -> Result<Vec<Schedule>, Interrupted> {
    // Schedules that are greedy after their last step.
    let continued = |schedule| {
        extended(quadratic, state, steps, schedule, control, |state, steps| match variables {
            Variables::LearningRates { momentum } => {
                greedy_rates(quadratic, state, steps, momentum, control)
            }
            Variables::LearningRatesAndMomenta => greedy_steps(quadratic, state, steps, control),
        })
    };
    let mut starts = vec![continued(Schedule::new())?];
    let seen = Tridiagonal::new(quadratic, state, steps, control)?;
    let powers = iter::successors(Some(1), |n: &usize| n.checked_mul(2));
    let nearly_all = powers.take_while(|n| 2 * n < steps).map(|n| steps - n);
    let halved = iter::successors(Some(steps / 2), |n| Some(n / 2)).take_while(|n| *n > 0);
    let lengths = [steps].into_iter().chain(nearly_all).chain(halved);
    let mut matrices: Vec<_> = lengths.map(|n| seen.first(n)).collect();
    matrices.dedup();
    let largest = quadratic.largest_curvature();
    let positive = quadratic.preconditioned_curvatures().filter(|h| *h > 0.0);
    let least = positive.fold(largest, |least, h| if h < least { h } else { least });
    if least > 0.0 {
        matrices.push(Tridiagonal::chebyshev(least, largest, steps));
    }
    for (i, matrix) in matrices.iter().enumerate() {
        match variables {
            Variables::LearningRates { momentum } => {
                let step = |learning_rate| Step { learning_rate, momentum };
                // Ascending Ritz values, so descending rates: noise that large steps add, later
                // ones remove.
                let values = ritz_values(matrix, control)?;
                let rates: Vec<f64> = values.iter().map(|value| 1.0 / value).collect();
                let leja = leja_order(&rates, control)?.into_iter().map(step).collect();
                starts.push(continued(leja)?);
                if i == 0 {
                    let descending = rates.into_iter().map(step).collect();
                    starts.push(continued(descending)?);
                }
            }
            Variables::LearningRatesAndMomenta => {
                let optimal = matrix.conjugate_gradient();
                let bounded = |schedule| {
                    extended(quadratic, state, steps, schedule, control, |state, steps| {
                        greedy(quadratic, state, steps, control, best_bounded_step)
                    })
                };
                starts.push(bounded(optimal.clone())?);
                starts.push(continued(optimal)?);
                if i == 0 {
                    starts.push(bounded(Schedule::new())?);
                }
            }
        }
    }
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
    Ok(starts)
}

/// The largest momentum of a greedy start.
const LARGEST_GREEDY_MOMENTUM: f64 = 0.9;

/// The learning rate and the momentum from 0 to [`LARGEST_GREEDY_MOMENTUM`] that are best for the
/// next loss: a convex quadratic in both, so where the optimum lies beyond a bound, momentum is at
/// it.
fn best_bounded_step(next: &NextLoss<f64>) -> Step<f64> {
    let free = next.best_step();
    let momentum = if free.momentum > 0.0 { free.momentum } else { 0.0 };
    let momentum =
        if momentum > LARGEST_GREEDY_MOMENTUM { LARGEST_GREEDY_MOMENTUM } else { momentum };
    if momentum == free.momentum {
        return free;
    }
    Step { learning_rate: next.best_learning_rate(momentum), momentum }
}

/// `schedule` and after it, up to `steps` steps, what `rest` makes of the state it leads to.
fn extended(
    quadratic: &Quadratic,
    state: &State,
    steps: usize,
    mut schedule: Schedule,
    control: &Control<'_>,
    rest: impl Fn(State, usize) -> Result<Schedule, Interrupted>,
) -> Result<Schedule, Interrupted> {
    let mut end = state.clone();
    for step in &schedule {
        control.check()?;
        quadratic.advance(&mut end, Some(*step));
    }
    schedule.extend(rest(end, steps - schedule.len())?);
    Ok(schedule)
}
