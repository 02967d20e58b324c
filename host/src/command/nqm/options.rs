//! Options that say which quadratic.

use clap::Args;
use myopia_core::nqm::Preconditioner;

use myopia::failure::Failure;
use myopia::nqm::Quadratic;
use myopia::nqm::policy::MOST_STEPS;
use myopia::nqm::spectrum::{Noise, Setting, Spectrum};

/// Which quadratic, and what its gradients are multiplied by.
#[derive(Args, Clone, Debug)]
pub struct QuadraticOptions {
    /// Directions [default: 1000, or as many as the spectrum's file has]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
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
    /// Multiply gradients by 1/(h^P + LAMBDA): 1 is natural gradient, 0.5 RMSprop and Adam, 0 plain SGD
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_name = "P")]
    pub power: f64,
    /// The LAMBDA of that factor: K-FAC's damping, RMSprop's and Adam's epsilon
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_name = "LAMBDA")]
    pub damping: f64,
}

impl QuadraticOptions {
    /// The quadratic they describe.
    pub fn quadratic(&self) -> Result<Quadratic, Failure> {
        let Self { power, damping, .. } = *self;
        at_most("dim", self.dim.unwrap_or(0), MOST_DIRECTIONS)?;
        let preconditioner = Preconditioner::new(power, damping)
            .map_err(|e| Failure::usage(format!("--power {power:?} --damping {damping:?}: {e}")))?;
        let setting = Setting {
            spectrum: self.spectrum.clone(),
            dim: self.dim,
            noise: self.noise,
            mean: self.mean0,
            variance: self.var0,
            preconditioner,
        };
        setting.quadratic()
    }
}

/// The most directions: some ten gigabytes of them.
const MOST_DIRECTIONS: usize = 100_000_000;

/// Refuses a number that could only end in a failed allocation.
pub fn at_most(option: &str, number: usize, most: usize) -> Result<(), Failure> {
    match number <= most {
        true => Ok(()),
        false => {
            Err(Failure::usage(format!("--{option} {number} is too many; give at most {most}")))
        }
    }
}

/// Refuses a constant momentum with which velocities grow or gradients are followed backwards.
pub fn check_momentum(momentum: f64) -> Result<(), Failure> {
    match (0.0..1.0).contains(&momentum) {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "--momentum is {momentum}; give a number from 0 up to but not including 1 (a schedule's file may have any)"
        ))),
    }
}

/// How long a run is, and what it is told besides its schedule.
#[derive(Args, Clone, Debug)]
pub struct RunOptions {
    /// Training steps [default: 250, or as many as the schedule's file has]
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub steps: Option<usize>,
    /// Momentum, where the schedule does not choose its own: from 0 up to but not including 1
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_name = "MU")]
    pub momentum: f64,
    /// Steps of cooling: the cooled loss is what as many more steps at the best learning rates would reach
    #[arg(long, default_value_t = 10, value_name = "STEPS", allow_negative_numbers = true)]
    pub cool: usize,
}

impl RunOptions {
    /// What a run is told.
    pub fn settings(&self) -> Result<myopia::nqm::run::Settings, Failure> {
        let Self { steps, momentum, cool } = *self;
        check_momentum(momentum)?;
        if steps == Some(0) {
            return Err(Failure::usage("--steps is 0; give at least one step"));
        }
        at_most("steps", steps.unwrap_or(0), MOST_STEPS)?;
        at_most("cool", cool, MOST_STEPS)?;
        Ok(myopia::nqm::run::Settings { steps, momentum, cooling: cool })
    }
}
