//! The command `myopia nqm`.

use clap::Args;
use myopia_core::nqm::Step;
use serde::Serialize;

use super::chart::Freedom;
use super::greedy::{greedy_rates, greedy_steps};
#[cfg(doc)]
use super::optimum::Optimum;
use super::optimum::{STATIONARY, optimal};
use super::policy::{DEFAULT_STEPS, Policy};
use super::quadratic::Schedule;
use super::replan::{Plan, replan};
use super::spectrum::{Noise, Setting, Spectrum};
use crate::failure::Failure;

/// Which quadratic.
#[derive(Args, Clone, Debug)]
pub struct QuadraticOptions {
    /// Directions [default: 1000, or as many as the spectrum's file has]
    #[arg(long, value_name = "N")]
    pub dim: Option<usize>,
    /// Curvatures: inverse (h_i = 1/i), geometric:LO,HI, uniform:LO,HI, or file:PATH with the columns
    /// curvature,noise_variance,initial_mean,initial_variance, the last two of which may be missing
    #[arg(long, default_value = "inverse")]
    pub spectrum: Spectrum,
    /// Noise variances: inverse (1/h), none or constant:VARIANCE; a spectrum's file brings its own
    #[arg(long, default_value = "inverse")]
    pub noise: Noise,
    /// Mean of every parameter before the first step; a column of the spectrum's file takes precedence
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_name = "MEAN")]
    pub mean0: f64,
    /// Variance of every parameter before the first step; a column of the spectrum's file takes precedence
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_name = "VARIANCE")]
    pub var0: f64,
}

impl QuadraticOptions {
    /// What they describe.
    pub fn setting(&self) -> Setting {
        Setting {
            spectrum: self.spectrum.clone(),
            dim: self.dim,
            noise: self.noise,
            mean: self.mean0,
            variance: self.var0,
        }
    }
}

/// Evaluate a schedule on the noisy quadratic, or find the one that is best for it
#[derive(Args, Clone, Debug)]
pub struct NqmArgs {
    /// Which quadratic.
    #[command(flatten)]
    pub quadratic: QuadraticOptions,
    /// Training steps [default: 250, or as many as the schedule's file has]
    #[arg(long, value_name = "T")]
    pub steps: Option<usize>,
    /// greedy, greedy-momentum, optimal, optimal-momentum, replan:H, replan-momentum:H, constant:RATE,
    /// decay:RATE,STEPS,EXPONENT, or file:PATH with the columns learning_rate,momentum
    #[arg(long)]
    pub schedule: Policy,
    /// Momentum, where the schedule does not choose its own
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_name = "MU")]
    pub momentum: f64,
}

/// What `myopia nqm` says of a schedule.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
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
    /// Of an optimised schedule: the norm of the gradient of ln(excess loss), see [`Optimum::gradient_norm`]; of a
    /// re-planned one the largest of its plans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_norm: Option<f64>,
    /// Of an optimised schedule: evaluations of loss and gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u64>,
}

/// Evaluates the schedule.
///
/// # Errors
/// When an option or a file is wrong, or when the loss leaves the finite range.
pub fn run(args: &NqmArgs) -> Result<Report, Failure> {
    let momentum = args.momentum;
    if !momentum.is_finite() {
        return Err(Failure::usage(format!("--momentum is {momentum}; give a finite number")));
    }
    if args.steps == Some(0) {
        return Err(Failure::usage("--steps is 0; give at least one step"));
    }
    let given = args.schedule.given(args.steps, momentum)?;
    let quadratic = args.quadratic.setting().quadratic()?;
    let steps = args.steps.unwrap_or(DEFAULT_STEPS);
    let freedom = Freedom::LearningRate(momentum);
    let start = quadratic.start();
    let mut search = None;
    let schedule: Schedule = match (&args.schedule, given) {
        (_, Some(schedule)) => schedule,
        (Policy::Greedy, _) => greedy_rates(&quadratic, start, steps, momentum),
        (Policy::GreedyMomentum, _) => greedy_steps(&quadratic, start, steps),
        (policy, _) => {
            let plan = match policy {
                Policy::OptimalMomentum => {
                    Plan::from(optimal(&quadratic, &start, steps, Freedom::Both))
                }
                Policy::Replan(horizon) => replan(&quadratic, steps, *horizon, freedom),
                Policy::ReplanMomentum(horizon) => {
                    replan(&quadratic, steps, *horizon, Freedom::Both)
                }
                _ => Plan::from(optimal(&quadratic, &start, steps, freedom)),
            };
            if !plan.stationary {
                return Err(Failure::run(format!(
                    "the search for the best schedule ended at a gradient norm of {:.1e}, above {STATIONARY:e}, which is \
                     not an optimum; give fewer --steps",
                    plan.gradient_norm
                )));
            }
            search = Some((plan.gradient_norm, plan.iterations));
            plan.schedule
        }
    };
    let numbers: Vec<_> = schedule.iter().map(|step| step.constant::<0>()).collect();
    let excess = quadratic
        .losses(&numbers)
        .map_err(|e| Failure::run(format!("{e}; lower the learning rate")))?;
    let losses: Vec<f64> = excess.iter().map(|e| e.value + quadratic.floor()).collect();
    let column = |read: fn(&Step<f64>) -> f64| schedule.iter().map(read).collect();
    Ok(Report {
        excess_loss: excess.last().map_or(0.0, |e| e.value),
        loss: losses.last().copied().unwrap_or(0.0),
        losses,
        learning_rates: column(|step| step.learning_rate),
        momenta: column(|step| step.momentum),
        gradient_norm: search.map(|(norm, _)| norm),
        iterations: search.map(|(_, iterations)| iterations),
    })
}
