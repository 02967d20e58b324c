//! `run`: expected, cooled and noiseless loss before and after each step of a schedule.

use myopia_core::nqm::{NextLoss, Step};

use crate::bands::{Band, bands, shares};
use crate::error::{Interrupted, RunError};
use crate::greedy::{greedy_rates, greedy_steps};
use crate::optimum::{Optimum, optimal};
use crate::policy::Policy;
use crate::quadratic::{Losses, Quadratic, Schedule};
use crate::receding_horizon::receding_horizon;
use crate::reparametrization::Variables;
use crate::tolerances::Control;
use crate::tuning::{Tuning, tune};

/// A schedule and what it does.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
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
    /// The expected loss that would be reached from each of these states by [`Settings::cooling`]
    /// more steps without momentum, each with the learning rate that is best for the next loss.
    pub cooled_losses: Vec<f64>,
    /// The expected loss in each of these states if all that noise has added were taken away.
    pub noiseless_losses: Vec<f64>,
    /// Directions of high, middle and low curvature.
    pub bands: Vec<Band>,
    /// Of an optimised schedule: see [`Optimum::gradient_norm`]; of a re-planned one the largest of its plans.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub gradient_norm: Option<f64>,
    /// Of an optimised schedule: evaluations of loss and gradient.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub iterations: Option<u64>,
    /// Of an optimised schedule: see [`Optimum::stationary`]; of a re-planned one whether all its
    /// plans are.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub stationary: Option<bool>,
    /// The losses above the floor ½ Σ hσ².
    #[cfg_attr(feature = "serde", serde(skip))]
    pub excess: Excess,
    /// What each direction adds to the excess loss after the last step.
    #[cfg_attr(feature = "serde", serde(skip))]
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
    /// Steps; a given schedule brings its own number.
    pub steps: usize,
    /// Momentum where the policy does not choose its own.
    pub momentum: f64,
    /// Steps of cooling for [`Run::cooled_losses`].
    pub cooling: usize,
}

/// A schedule and, if it was searched for, how that ended.
type Chosen = (Schedule, Option<Search>);

/// How a search ended.
#[derive(Clone, Copy)]
struct Search {
    gradient_norm: f64,
    evaluations: u64,
    stationary: bool,
}

/// Chooses the schedule by `policy` and runs it.
///
/// # Errors
/// When the loss leaves the finite range, or when it is interrupted.
pub fn run(
    quadratic: &Quadratic,
    policy: &Policy,
    settings: Settings,
    control: &Control<'_>,
) -> Result<Run, RunError> {
    let (schedule, search) = choose(quadratic, policy, settings, control)?;
    let numbers: Vec<_> = schedule.iter().map(|step| step.constant::<0>()).collect();
    let excess = quadratic.losses(&numbers)?;
    let floor = quadratic.floor();
    if !floor.is_finite() {
        return Err(RunError::Floor);
    }
    let mut excess =
        Excess { losses: excess.iter().map(|e| e.value).collect(), ..Excess::default() };
    let mut bands = bands(quadratic);
    let mut last_shares = Vec::new();
    let mut state = quadratic.start();
    for step in [None].into_iter().chain(schedule.iter().copied().map(Some)) {
        if (control.stop)() {
            return Err(Interrupted.into());
        }
        quadratic.advance(&mut state, step);
        last_shares = shares(quadratic, &state);
        bands.iter_mut().for_each(|band| band.record(&last_shares));
        excess.noiseless.push(quadratic.noiseless(&state));
        let mut cooling = state.clone();
        let mut next: NextLoss<f64> = quadratic.advance(&mut cooling, None);
        for _ in 0..settings.cooling {
            let learning_rate = next.best_learning_rate(0.0);
            next = quadratic.advance(&mut cooling, Some(Step { learning_rate, momentum: 0.0 }));
        }
        excess.cooled.push(next.excess);
    }
    let above = |excess: &[f64]| -> Vec<f64> { excess.iter().map(|e| e + floor).collect() };
    let column = |read: fn(&Step<f64>) -> f64| schedule.iter().map(read).collect();
    let losses = above(&excess.losses);
    Ok(Run {
        excess_loss: excess.losses.last().copied().unwrap_or(0.0),
        loss: losses.last().copied().unwrap_or(0.0),
        losses,
        learning_rates: column(|step| step.learning_rate),
        momenta: column(|step| step.momentum),
        cooled_losses: above(&excess.cooled),
        noiseless_losses: above(&excess.noiseless),
        bands,
        gradient_norm: search.map(|search| search.gradient_norm),
        iterations: search.map(|search| search.evaluations),
        stationary: search.map(|search| search.stationary),
        excess,
        shares: last_shares,
    })
}

fn choose(
    quadratic: &Quadratic,
    policy: &Policy,
    settings: Settings,
    control: &Control<'_>,
) -> Result<Chosen, RunError> {
    let Settings { steps, momentum, .. } = settings;
    if let Some(schedule) = policy.schedule(steps, momentum) {
        return Ok((schedule, None));
    }
    let start = quadratic.start();
    let rates = Variables::LearningRates { momentum };
    let both = Variables::LearningRatesAndMomenta;
    let found = match policy {
        Policy::GreedyMomentum => return Ok((greedy_steps(quadratic, start, steps), None)),
        Policy::Tuned(horizon) => {
            let tuning = Tuning { horizon: *horizon, momentum, ..Tuning::new(quadratic) };
            let chosen = tune(quadratic, tuning, control.stop, |_| {})?.best();
            return Ok((chosen.schedule(steps, momentum), None));
        }
        Policy::Optimal => optimal(quadratic, &start, steps, rates, control)?,
        Policy::OptimalMomentum => optimal(quadratic, &start, steps, both, control)?,
        Policy::Replan(horizon) => receding_horizon(quadratic, steps, *horizon, rates, control)?,
        Policy::ReplanMomentum(horizon) => {
            receding_horizon(quadratic, steps, *horizon, both, control)?
        }
        _ => return Ok((greedy_rates(quadratic, start, steps, momentum), None)),
    };
    let Optimum { schedule, gradient_norm, evaluations, stationary, .. } = found;
    Ok((schedule, Some(Search { gradient_norm, evaluations, stationary })))
}
