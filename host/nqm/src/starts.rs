//! Initial schedules of a search: greedy, inverse Ritz values, Chebyshev, inverse-time.

use std::iter;

use myopia_core::nqm::{NextLoss, Step};

use crate::greedy::{greedy, greedy_rates, greedy_steps};
use crate::lanczos::Tridiagonal;
use crate::quadratic::{Quadratic, Schedule, State};
use crate::reparametrization::Variables;
use crate::ritz::{leja_order, ritz_values};

/// Schedules of `steps` steps: greedy first; those that are optimal without noise for the first T,
/// T/2, T/4, … steps and greedy after them; Chebyshev's iteration; some of the form α₀ / (1 + k/K).
pub fn starts(
    quadratic: &Quadratic,
    state: &State,
    steps: usize,
    variables: Variables,
) -> Vec<Schedule> {
    let mut starts = vec![continued(quadratic, state, steps, Schedule::new(), variables)];
    let seen = Tridiagonal::new(quadratic, state, steps);
    let halved = iter::successors(Some(steps), |first| Some(first / 2));
    let mut matrices: Vec<_> = halved.take_while(|&n| n > 0).map(|n| seen.first(n)).collect();
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
                // Ascending Ritz values, so descending rates: noise that large steps add, later ones
                // remove.
                let rates: Vec<f64> = ritz_values(matrix).iter().map(|value| 1.0 / value).collect();
                let leja = leja_order(&rates).into_iter().map(step).collect();
                starts.push(continued(quadratic, state, steps, leja, variables));
                if i == 0 {
                    let descending = rates.into_iter().map(step).collect();
                    starts.push(continued(quadratic, state, steps, descending, variables));
                }
            }
            Variables::LearningRatesAndMomenta => {
                let optimal = matrix.conjugate_gradient();
                let bounded = |schedule| {
                    extended(quadratic, state, steps, schedule, |state, steps| {
                        greedy(quadratic, state, steps, best_bounded_step)
                    })
                };
                starts.push(bounded(optimal.clone()));
                starts.push(continued(quadratic, state, steps, optimal, variables));
                if i == 0 {
                    starts.push(bounded(Schedule::new()));
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
    starts
}

/// The largest momentum of a greedy start.
const LARGEST_GREEDY_MOMENTUM: f64 = 0.9;

/// The learning rate and the momentum from 0 to [`LARGEST_GREEDY_MOMENTUM`] that are best for the
/// next loss: a convex quadratic in both, so where the optimum lies beyond a bound, momentum is at it.
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

/// `schedule` and after it, up to `steps` steps, what is greedy.
fn continued(
    quadratic: &Quadratic,
    state: &State,
    steps: usize,
    schedule: Schedule,
    variables: Variables,
) -> Schedule {
    extended(quadratic, state, steps, schedule, |state, steps| match variables {
        Variables::LearningRates { momentum } => greedy_rates(quadratic, state, steps, momentum),
        Variables::LearningRatesAndMomenta => greedy_steps(quadratic, state, steps),
    })
}

/// `schedule` and after it, up to `steps` steps, what `rest` makes of the state it leads to.
fn extended(
    quadratic: &Quadratic,
    state: &State,
    steps: usize,
    mut schedule: Schedule,
    rest: impl Fn(State, usize) -> Schedule,
) -> Schedule {
    let mut end = state.clone();
    for step in &schedule {
        quadratic.advance(&mut end, Some(*step));
    }
    schedule.extend(rest(end, steps - schedule.len()));
    schedule
}
