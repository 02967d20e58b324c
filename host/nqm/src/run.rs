//! `run`: expected, cooled and noiseless loss before and after each step of a schedule.

use myopia_core::nqm::{CHUNK, NextLoss, Step};

use crate::bands::{BANDS, Band, bands, shares};
use crate::error::{Interrupted, RunError};
use crate::greedy::{best_rate, greedy};
use crate::judge::Judge;
use crate::optimum::{Ending, Optimum, optimal};
use crate::policy::Policy;
use crate::quadratic::{Losses, Quadratic, Schedule};
use crate::receding_horizon::receding_horizon;
use crate::reparametrization::Variables;
use crate::tolerances::Control;
use crate::tuning::{Tuned, Tuning, tune};

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
    /// Of an optimised schedule: see [`Optimum::gradient_norm`]; of a re-planned one the largest of
    /// its plans.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub gradient_norm: Option<f64>,
    /// Of an optimised schedule: evaluations of loss and gradient.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub iterations: Option<u64>,
    /// Of an optimised schedule whether it is [stationary](Ending::Stationary); of a re-planned one
    /// whether all its plans are.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub stationary: Option<bool>,
    /// Likewise whether the search, or that for one of the plans, ended as it had [spent its
    /// budget](Ending::BudgetSpent).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub budget_spent: Option<bool>,
    /// The losses above the floor ½ Σ hσ².
    #[cfg_attr(feature = "serde", serde(skip))]
    pub excess: Excess,
    /// What each direction adds to the excess loss after the last step.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub shares: Vec<f64>,
    /// Of a schedule that meta-descent chose: its α₀, K and β, and the excess loss at its horizon.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub tuned: Option<Tuned>,
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Steps; a given schedule brings its own number.
    pub steps: usize,
    /// Momentum where the policy does not choose its own.
    pub momentum: f64,
    /// Steps of cooling for [`Run::cooled_losses`].
    pub cooling: usize,
    /// What look-ahead is judged by, where the policy looks ahead and not at the end.
    pub judge: Judge,
}

/// Bytes that a run on so many directions keeps, besides what its search takes.
///
/// For each step: the schedule twice, the losses of every chunk of directions and their sum, and
/// ten columns of the result, those of which the length is not known beforehand with room to grow.
pub fn bytes(directions: usize, settings: Settings) -> u128 {
    let losses = 8 * (2 + directions.div_ceil(CHUNK)) as u128;
    let columns = 8 * (5 + 2 * (2 + BANDS)) as u128;
    (settings.steps as u128 + 1) * (2 * 16 + losses + columns)
}

/// A schedule and how it was arrived at.
type Chosen = (Schedule, Option<Choice>);

/// How a schedule was arrived at.
#[derive(Clone, Copy)]
enum Choice {
    Searched(Search),
    Tuned(Tuned),
}

/// How a search ended.
#[derive(Clone, Copy)]
struct Search {
    gradient_norm: f64,
    evaluations: u64,
    ending: Ending,
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
    let (schedule, choice) = choose(quadratic, policy, settings, control)?;
    let (search, tuned) = match choice {
        Some(Choice::Searched(search)) => (Some(search), None),
        Some(Choice::Tuned(tuned)) => (None, Some(tuned)),
        None => (None, None),
    };
    let numbers: Vec<_> = schedule.iter().map(|step| step.constant::<0>()).collect();
    let excess = quadratic.losses_until(&numbers, control.stop)?.ok_or(Interrupted)?;
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
        control.check()?;
        quadratic.advance(&mut state, step);
        last_shares = shares(quadratic, &state);
        bands.iter_mut().for_each(|band| band.record(&last_shares));
        excess.noiseless.push(quadratic.noiseless(&state));
        let mut cooling = state.clone();
        let mut next: NextLoss<f64> = quadratic.advance(&mut cooling, None);
        for _ in 0..settings.cooling {
            control.check()?;
            let learning_rate = next.best_learning_rate(0.0);
            next = quadratic.cool(&mut cooling, learning_rate);
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
        stationary: search.map(|search| search.ending == Ending::Stationary),
        budget_spent: search.map(|search| search.ending == Ending::BudgetSpent),
        excess,
        shares: last_shares,
        tuned,
    })
}

fn choose(
    quadratic: &Quadratic,
    policy: &Policy,
    settings: Settings,
    control: &Control<'_>,
) -> Result<Chosen, RunError> {
    let Settings { steps, momentum, judge, .. } = settings;
    if let Some(optimizer) = quadratic.mean_field() {
        policy.check(optimizer, settings)?;
    }
    if let Some(schedule) = policy.schedule(steps, momentum) {
        return Ok((schedule, None));
    }
    let start = quadratic.start();
    let rates = Variables::LearningRates { momentum };
    let both = Variables::LearningRatesAndMomenta;
    let found = match policy {
        Policy::GreedyMomentum => {
            let best = NextLoss::best_step;
            return Ok((greedy(quadratic, start, steps, control, best)?, None));
        }
        Policy::Tuned(horizon) => {
            let tuning = Tuning { horizon: *horizon, momentum, judge, ..Tuning::new(quadratic) };
            let chosen = tune(quadratic, tuning, control.stop, |record| {
                (control.done)(record.meta_step as usize + 1);
            });
            let chosen = chosen?.best();
            return Ok((chosen.schedule(steps, momentum), Some(Choice::Tuned(chosen))));
        }
        Policy::Optimal => optimal(quadratic, &start, steps, rates, Judge::Plain, control)?,
        Policy::OptimalMomentum => optimal(quadratic, &start, steps, both, Judge::Plain, control)?,
        Policy::Replan(horizon) => {
            receding_horizon(quadratic, steps, *horizon, rates, judge, control)?
        }
        Policy::ReplanMomentum(horizon) => {
            receding_horizon(quadratic, steps, *horizon, both, judge, control)?
        }
        _ => {
            let best = best_rate(momentum);
            return Ok((greedy(quadratic, start, steps, control, best)?, None));
        }
    };
    let Optimum { schedule, gradient_norm, evaluations, ending, .. } = found;
    let search = Search { gradient_norm, evaluations, ending };
    Ok((schedule, Some(Choice::Searched(search))))
}
