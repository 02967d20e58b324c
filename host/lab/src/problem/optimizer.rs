//! What makes a step of a gradient, chosen at run time.

use myopia_core::dual::Dual;
use myopia_core::kfac::Kfac;
use myopia_core::optimizer::{Hyperparameters, Method};
use myopia_core::schedule::Parameter;

use super::run::RunOptimizer;
use crate::precision::Float;

/// An optimiser with its hyperparameters, besides the learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InnerOptimizer {
    /// A rule for each parameter by itself.
    Elementwise(Hyperparameters<f64>),
    /// K-FAC.
    Kfac {
        /// Its hyperparameters; the stream of labels is that of the problem's seed.
        all: Kfac<f64>,
        /// Whether S is of labels drawn from the predictions.
        is_sampled: bool,
    },
}

impl From<Hyperparameters<f64>> for InnerOptimizer {
    fn from(all: Hyperparameters<f64>) -> Self {
        Self::Elementwise(all)
    }
}

impl InnerOptimizer {
    /// The value of `parameter`, if this optimiser has it.
    pub fn value(&self, parameter: Parameter) -> Option<f64> {
        match self {
            Self::Elementwise(all) => all.value(parameter),
            Self::Kfac { all, .. } => all.value(parameter),
        }
    }

    /// The same with `to` in place of the value of `parameter`, if this optimiser has it.
    pub fn with(self, parameter: Parameter, to: f64) -> Self {
        match self {
            Self::Elementwise(all) => Self::Elementwise(all.with(parameter, to)),
            Self::Kfac { all, is_sampled } => {
                Self::Kfac { all: all.with(parameter, to), is_sampled }
            }
        }
    }

    /// μ, where the step is that of SGD with momentum.
    pub fn of_sgd(&self) -> Option<f64> {
        match self {
            Self::Elementwise(Hyperparameters {
                method: Method::Sgd { momentum, is_nesterov: false },
                ..
            }) => Some(*momentum),
            Self::Elementwise(_) | Self::Kfac { .. } => None,
        }
    }
}

impl<T: Float, const P: usize> RunOptimizer<T, P> for Kfac<Dual<T, P>, T> {
    fn with_momentum(self, momentum: T) -> Self {
        Self { momentum: Dual::constant(momentum), ..self }
    }
}
