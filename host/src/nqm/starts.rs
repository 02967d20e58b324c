//! Where the search for an optimal schedule begins.

use myopia_core::nqm::Step;

use super::greedy::{greedy_rates, greedy_steps};
use super::optimum::Freedom;
use super::quadratic::{Quadratic, Schedule, State};
use super::ritz::{leja, ritz_values};

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
        Freedom::Both => (greedy_steps(quadratic, state.clone(), steps), &[0.0, 0.5, 0.9]),
    };
    let mut starts = vec![greedy];
    let rates = |rates: &[f64]| -> Schedule {
        let step = |&learning_rate| Step { learning_rate, momentum: momenta[0] };
        rates.iter().cycle().take(steps).map(step).collect()
    };
    // Without noise, and with no momentum, this is the best there is (see `ritz_values`).
    let mut roots: Vec<f64> = ritz_values(quadratic, steps).iter().map(|h| 1.0 / h).collect();
    if !roots.is_empty() {
        starts.push(rates(&leja(&roots)));
        roots.sort_by(|a, b| b.total_cmp(a));
        starts.push(rates(&roots));
    }
    let sharpest = quadratic.largest_curvature();
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
