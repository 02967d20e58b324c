//! Where the search for an optimal schedule begins.

use std::iter;

use myopia_core::nqm::Step;

use super::chart::Freedom;
use super::greedy::{greedy_rates, greedy_steps};
use super::quadratic::{Quadratic, Schedule, State};
use super::ritz::{Tridiagonal, leja};

/// Schedules of `steps` steps that lie in different parts of the landscape; the first is greedy.
pub fn starts(
    quadratic: &Quadratic,
    state: &State,
    steps: usize,
    freedom: Freedom,
) -> Vec<Schedule> {
    let (greedy, momenta): (_, &[f64]) = match freedom {
        Freedom::LearningRate(momentum) => {
            (greedy_rates(quadratic, state.clone(), steps, momentum), &[momentum])
        }
        Freedom::Both | Freedom::Within(_) => {
            (greedy_steps(quadratic, state.clone(), steps), &[0.0, 0.5, 0.9])
        }
    };
    let mut starts = vec![greedy];
    // What is best without noise, with momentum and without it, for all steps and for the first of them.
    let seen = Tridiagonal::new(quadratic, state, steps);
    for first in iter::successors(Some(steps), |first| Some(first / 2)).take_while(|&n| n > 0) {
        let seen = seen.first(first);
        if let Freedom::Both | Freedom::Within(_) = freedom {
            starts.push(continued(quadratic, state, steps, seen.schedule(), freedom));
        }
        let mut roots: Vec<f64> = seen.ritz_values().iter().map(|h| 1.0 / h).collect();
        let given = |rates: &[f64]| -> Schedule {
            let step = |&learning_rate| Step { learning_rate, momentum: momenta[0] };
            continued(quadratic, state, steps, rates.iter().map(step).collect(), freedom)
        };
        starts.push(given(&leja(&roots)));
        if first == steps {
            roots.sort_by(|a, b| b.total_cmp(a));
            starts.push(given(&roots));
        }
    }
    let sharpest = quadratic.largest_gain();
    if sharpest > 0.0 {
        for &momentum in momenta {
            for (share, time_constant) in
                [(1.5, f64::INFINITY), (0.1, f64::INFINITY), (1.0, 1.0), (1.0, 10.0), (0.1, 0.3)]
            {
                let step = |k: usize| Step {
                    learning_rate: share * (1.0 - momentum)
                        / sharpest
                        / (1.0 + k as f64 / time_constant),
                    momentum,
                };
                starts.push((0..steps).map(step).collect());
            }
        }
    }
    starts
}

/// `schedule` and after it, up to `steps` steps, what is greedy.
fn continued(
    quadratic: &Quadratic,
    state: &State,
    steps: usize,
    mut schedule: Schedule,
    freedom: Freedom,
) -> Schedule {
    let mut end = state.clone();
    for step in &schedule {
        quadratic.advance(&mut end, Some(*step));
    }
    let left = steps - schedule.len();
    schedule.extend(match freedom {
        Freedom::LearningRate(momentum) => greedy_rates(quadratic, end, left, momentum),
        Freedom::Both | Freedom::Within(_) => greedy_steps(quadratic, end, left),
    });
    schedule
}
