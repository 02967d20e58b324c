//! Hyperparameters that express a learning rate (α itself, 1/ε, 1/λ of a damping, √ξ of a weight
//! decay), each tuned alone on a grid at several horizons, and what each horizon's choice is worth.

mod choice;
mod figures;
mod study;
mod summary;
mod tuned;

pub use choice::Choice;
pub use figures::{figure, losses};
pub use study::{Grid, Rates, State};
pub use summary::{Curve, Horizon, sentences};
pub use tuned::{Tuned, tuned};

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::schedule::Parameter;

use crate::problem::{InitialParams, Problem};

/// One hyperparameter that is tuned alone.
#[derive(Clone)]
pub struct Study<'a> {
    /// The optimiser's name in results.
    pub optimizer: String,
    /// What is tuned.
    pub parameter: Parameter,
    /// The constant learning rate, where that is not what is tuned.
    pub alpha0: f64,
    /// What is trained.
    pub problem: Problem<'a>,
    /// The values of the grid, ascending, each `spacing` times the one before, rounded.
    pub values: Vec<f64>,
    /// The factor from one value to the next.
    pub spacing: f64,
}

/// From where training starts: with one seed and after so many steps of pretraining.
pub struct Start {
    /// The seed of weights and batches.
    pub seed: u64,
    /// Steps of pretraining; without any the start is cold.
    pub pretrain: u32,
    /// For each study its weights.
    pub weights: Vec<InitialParams>,
}

/// The name of a start in results.
pub fn start_name(pretrain: u32) -> &'static str {
    if pretrain == 0 { "cold" } else { "warm" }
}

/// How a hyperparameter expresses a learning rate, as the axis of a figure has it.
pub fn expression(parameter: Parameter) -> &'static str {
    match parameter {
        Parameter::Epsilon => "1/ε",
        Parameter::Damping => "1/λ",
        Parameter::WeightDecay => "√ξ",
        _ => "α",
    }
}

/// How many times the learning rate that `other` expresses `value` expresses: for ε and λ the
/// inverse of their ratio, for ξ its root, as the effective rate of a normalised network in
/// equilibrium is √(2αξ).
pub fn relative_rate(parameter: Parameter, value: f64, other: f64) -> f64 {
    match parameter {
        Parameter::Epsilon | Parameter::Damping => other / value,
        Parameter::WeightDecay => <Libm as Elementary<f64>>::sqrt(value / other),
        _ => value / other,
    }
}
