//! What a schedule does on a quadratic: losses over time, where they come from, and what would be left of them.

use myopia_core::nqm::{NextLoss, Step};
use serde::Serialize;

use super::bands::{Band, bands, shares};
use super::chart::Freedom;
use super::greedy::{greedy_rates, greedy_steps};
#[cfg(doc)]
use super::optimum::Optimum;
use super::optimum::{STATIONARY, bytes, optimal};
use super::policy::{DEFAULT_STEPS, Policy};
use super::quadratic::{Quadratic, Schedule};
use super::replan::{Plan, replan};
use super::tuning::{Tuning, tune};
use crate::failure::Failure;
use crate::memory::afford;

/// A schedule and what it does.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The expected loss after the last step, above the floor ½ Σ hσ².
    pub excess_loss: f64,
    /// The expected loss after the last step.
    pub loss: f64,
    /// The expected loss before the first step and after each.
    pub losses: Vec<f64>,
    /// α of each step.
    pub learning_rates: Vec<f64>,
    /// μ of each step.
    pub momenta: Vec<f64>,
    /// The expected loss that would be reached from each of these states by [`Settings::cooling`] more steps without momentum,
    /// each with the learning rate that is best for the next loss.
    pub cooled_losses: Vec<f64>,
    /// The expected loss in each of these states if all that noise has added were taken away.
    pub noiseless_losses: Vec<f64>,
    /// Directions of high, middle and low curvature.
    pub bands: Vec<Band>,
    /// Of an optimised schedule: see [`Optimum::gradient_norm`]; of a re-planned one the largest of its plans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_norm: Option<f64>,
    /// Of an optimised schedule: evaluations of loss and gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u64>,
    /// The losses above the floor ½ Σ hσ².
    #[serde(skip)]
    pub excess: Excess,
    /// What each direction adds to the excess loss after the last step.
    #[serde(skip)]
    pub shares: Vec<f64>,
}

/// Losses above the floor: the differences would lose them in rounding where they are small.
#[derive(Clone, Debug, Default)]
pub struct Excess {
    /// Of [`Run::losses`].
    pub losses: Vec<f64>,
    /// Of [`Run::cooled_losses`].
    pub cooled: Vec<f64>,
    /// Of [`Run::noiseless_losses`].
    pub noiseless: Vec<f64>,
}

/// What a run is told besides its quadratic and its policy.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Steps, if it is said how many.
    pub steps: Option<usize>,
    /// Momentum where the policy does not choose its own.
    pub momentum: f64,
    /// Steps of cooling for [`Run::cooled_losses`].
    pub cooling: usize,
}

/// A schedule and, if it was searched for, gradient norm and evaluations.
type Chosen = (Schedule, Option<(f64, u64)>);

/// Chooses the schedule by `policy` and runs it.
///
/// # Errors
/// When a schedule's file is wrong, when a search ends elsewhere than in an optimum, or when the loss leaves the finite range.
pub fn run(quadratic: &Quadratic, policy: &Policy, settings: Settings) -> Result<Run, Failure> {
    let (schedule, search) = choose(quadratic, policy, settings)?;
    let numbers: Vec<_> = schedule.iter().map(|step| step.constant::<0>()).collect();
    let excess = quadratic
        .losses(&numbers)
        .map_err(|e| Failure::run(format!("{policy}: {e}; lower the learning rate")))?;
    let excess = Excess { losses: excess.iter().map(|e| e.value).collect(), ..Excess::default() };
    let column = |read: fn(&Step<f64>) -> f64| schedule.iter().map(read).collect();
    let mut run = Run {
        excess_loss: excess.losses.last().copied().unwrap_or(0.0),
        loss: 0.0,
        losses: Vec::new(),
        learning_rates: column(|step| step.learning_rate),
        momenta: column(|step| step.momentum),
        cooled_losses: Vec::new(),
        noiseless_losses: Vec::new(),
        bands: bands(quadratic),
        gradient_norm: search.map(|(norm, _)| norm),
        iterations: search.map(|(_, iterations)| iterations),
        excess,
        shares: Vec::new(),
    };
    let mut state = quadratic.start();
    for step in [None].into_iter().chain(schedule.iter().copied().map(Some)) {
        quadratic.advance(&mut state, step);
        run.shares = shares(quadratic, &state);
        run.bands.iter_mut().for_each(|band| band.record(&run.shares));
        run.excess.noiseless.push(quadratic.noiseless(&state));
        let mut cooling = state.clone();
        let mut next: NextLoss<f64> = quadratic.advance(&mut cooling, None);
        for _ in 0..settings.cooling {
            let learning_rate = next.best_learning_rate(0.0);
            next = quadratic.advance(&mut cooling, Some(Step { learning_rate, momentum: 0.0 }));
        }
        run.excess.cooled.push(next.excess);
    }
    let floor = quadratic.floor();
    if !floor.is_finite() {
        return Err(Failure::run("the floor ½ Σ hσ² is not finite; lower the noise"));
    }
    let above = |excess: &[f64]| excess.iter().map(|e| e + floor).collect();
    run.losses = above(&run.excess.losses);
    run.cooled_losses = above(&run.excess.cooled);
    run.noiseless_losses = above(&run.excess.noiseless);
    run.loss = run.losses.last().copied().unwrap_or(0.0);
    Ok(run)
}

fn choose(quadratic: &Quadratic, policy: &Policy, settings: Settings) -> Result<Chosen, Failure> {
    let Settings { steps, momentum, .. } = settings;
    if let Some(schedule) = policy.given(steps, momentum)? {
        return Ok((schedule, None));
    }
    let steps = steps.unwrap_or(DEFAULT_STEPS);
    let start = quadratic.start();
    let freedom = Freedom::LearningRate(momentum);
    let searched = match policy {
        Policy::Optimal => Some((steps, freedom)),
        Policy::OptimalMomentum => Some((steps, Freedom::Both)),
        Policy::Replan(horizon) => Some((steps.min(*horizon), freedom)),
        Policy::ReplanMomentum(horizon) => Some((steps.min(*horizon), Freedom::Both)),
        _ => None,
    };
    if let Some((ahead, freedom)) = searched {
        let bytes = bytes(quadratic.directions().len(), ahead, freedom);
        let what = format!("{policy}: a search {ahead} steps ahead");
        afford(&what, bytes, "look fewer steps ahead")?;
    }
    let plan = match policy {
        Policy::GreedyMomentum => return Ok((greedy_steps(quadratic, start, steps), None)),
        Policy::Tuned(horizon) => {
            let tuning = Tuning { horizon: *horizon, momentum, ..Tuning::new(quadratic) };
            let chosen = tune(quadratic, tuning, |_| {})?.best();
            return Ok((chosen.schedule(steps, momentum), None));
        }
        Policy::Optimal => Plan::from(optimal(quadratic, &start, steps, freedom)),
        Policy::OptimalMomentum => Plan::from(optimal(quadratic, &start, steps, Freedom::Both)),
        Policy::Replan(horizon) => replan(quadratic, steps, *horizon, freedom),
        Policy::ReplanMomentum(horizon) => replan(quadratic, steps, *horizon, Freedom::Both),
        _ => return Ok((greedy_rates(quadratic, start, steps, momentum), None)),
    };
    if !plan.stationary {
        return Err(Failure::run(format!(
            "{policy}: the search ended at a gradient norm of {:.1e}, above {STATIONARY:e} and above rounding, which is not an optimum; \
             give fewer --steps, or more noise",
            plan.gradient_norm
        )));
    }
    Ok((plan.schedule, Some((plan.gradient_norm, plan.iterations))))
}
