//! Options of an optimiser in mean field.

use clap::Args;
use myopia_core::nqm::{MeanField, NotInMeanField};
use serde::ser::Error;
use serde::{Serialize, Serializer};

use crate::command::optimizer::{OptimizerName, OptimizerOptions};
use myopia::failure::Failure;
use myopia::precision::Precision;
use myopia::problem::InnerOptimizer;

/// What divides gradients by an average of their squares. In mean field: the average is that of
/// E\[g²\], which every step changes as it changes the state.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct MeanFieldOptions {
    /// Optimiser: sgd, or in mean field rmsprop, adam or kfac, which divide by an average of E[g²]
    /// = h²E[θ²] + h²σ² in place of g²: exact for infinitely many runs that share the average, not
    /// for one with its own [default: sgd]
    #[arg(long, value_enum, value_name = "NAME")]
    pub optimizer: Option<OptimizerName>,
    /// Decay of the mean square, in 0..1 (rmsprop) [default: 0.9]
    #[arg(long, value_name = "RHO", allow_negative_numbers = true)]
    pub rho: Option<f64>,
    /// Added to the root of the mean square (rmsprop, adam) [default: 1e-8]
    #[arg(long, value_name = "EPSILON", allow_negative_numbers = true)]
    pub epsilon: Option<f64>,
    /// Add epsilon under the root (rmsprop)
    #[arg(long)]
    pub epsilon_inside: bool,
    /// Added under the root (adam) [default: 0]
    #[arg(long, value_name = "EPSILON", allow_negative_numbers = true)]
    pub epsilon_root: Option<f64>,
    /// Decay of the mean, in 0..1 (adam) [default: 0.9]
    #[arg(long, value_name = "BETA", allow_negative_numbers = true)]
    pub beta1: Option<f64>,
    /// Decay of the mean square, in 0..1 (adam) [default: 0.999]
    #[arg(long, value_name = "BETA", allow_negative_numbers = true)]
    pub beta2: Option<f64>,
    /// Share of the measured curvature that a step keeps, in 0..1 (kfac) [default: 0.95]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub kfac_decay: Option<f64>,
    /// Measure the curvature h by labels drawn from the predictions, not h²E[θ²] + h²σ² by the
    /// batch's own (kfac)
    #[arg(long)]
    pub kfac_sampled: bool,
}

impl MeanFieldOptions {
    /// As options of any optimiser; `damping` is that of K-FAC.
    fn options(self, damping: f64) -> OptimizerOptions {
        let is_kfac = self.optimizer == Some(OptimizerName::Kfac);
        OptimizerOptions {
            optimizer: self.optimizer,
            rho: self.rho,
            epsilon: self.epsilon,
            epsilon_inside: self.epsilon_inside,
            epsilon_root: self.epsilon_root,
            beta1: self.beta1,
            beta2: self.beta2,
            damping: is_kfac.then_some(damping),
            kfac_decay: self.kfac_decay,
            kfac_sampled: self.kfac_sampled,
            refactor_every: is_kfac.then_some(1),
            ..OptimizerOptions::default()
        }
    }

    /// The optimiser, none of SGD; `power` and `damping` are those of the preconditioner.
    ///
    /// # Errors
    /// A value outside its range, an option of another optimiser, a preconditioner besides.
    pub fn optimizer(self, power: f64, damping: f64) -> Result<Option<MeanField<f64>>, Failure> {
        let found = self.options(damping).hyperparameters(Precision::F64, 0.0)?;
        let found = match found {
            None => return Ok(None),
            Some(InnerOptimizer::Elementwise(all)) => MeanField::new(all),
            Some(InnerOptimizer::Kfac { all, is_sampled }) => MeanField::kfac(all, is_sampled),
        };
        let found = found.map_err(|e: NotInMeanField| Failure::usage(e.to_string()))?;
        let name = found.name();
        if power != 0.0 {
            return Err(Failure::usage(format!(
                "--power {power:?} is a fixed preconditioner, and {name} has its own; leave one out"
            )));
        }
        if self.optimizer != Some(OptimizerName::Kfac) && damping != 0.0 {
            return Err(Failure::usage(format!(
                "--damping {damping:?} is an option of kfac and of --power; {name} has --epsilon"
            )));
        }
        Ok(Some(found))
    }

    /// Refuses an optimiser where there is none: `why` says so.
    ///
    /// # Errors
    /// One that was chosen, or an option of one.
    pub fn refuse(self, why: &str) -> Result<(), Failure> {
        match self.options(0.0).hyperparameters(Precision::F64, 0.0)? {
            None => Ok(()),
            Some(_) => Err(Failure::usage(format!("{why}; leave out --optimizer"))),
        }
    }

    /// Refuses an optimiser where `what` goes backwards through training.
    ///
    /// # Errors
    /// One that was chosen, or an option of one.
    pub fn refuse_backwards(self, what: &str) -> Result<(), Failure> {
        self.refuse(&format!(
            "{what} knows fixed preconditioners (--power) alone, not an optimiser in mean field"
        ))
    }
}

/// Saved as the options of an optimiser are, but for the damping, which the quadratic has; nothing
/// of SGD.
impl Serialize for MeanFieldOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let all = serde_json::to_value(self.options(0.0)).map_err(S::Error::custom)?;
        let mut all = all.as_object().cloned().unwrap_or_default();
        all.retain(|name, _| name != "damping" && name != "refactor_every");
        all.serialize(serializer)
    }
}
