//! Online adaptation beside training at fixed rates: the same weights, the same batches, another
//! learning rate and momentum.

mod figures;
mod trial;

pub use figures::figure;
pub use trial::{State, Trial, Trials};

use serde::{Deserialize, Serialize};

use crate::curve::Point;

/// One update of learning rate and momentum: what was found by looking ahead before the step
/// numbered `step`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// How many steps were trained.
    pub step: u32,
    /// α, before the update.
    pub learning_rate: f64,
    /// μ.
    pub momentum: f64,
    /// η = α/(1 − μ).
    pub effective_rate: f64,
    /// The loss after looking ahead, in nats.
    pub loss: f64,
    /// ∂loss/∂η.
    pub d_effective_rate: f64,
    /// ∂loss/∂(1 − μ).
    pub d_damping: f64,
}

impl Update {
    /// The columns of updates in a CSV file.
    pub const HEADER: [&str; 7] = [
        "step",
        "learning_rate",
        "momentum",
        "effective_rate",
        "loss",
        "d_effective_rate",
        "d_damping",
    ];
}

/// How a trial went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The run at regular steps.
    pub curve: Vec<Point>,
    /// Every update of an adapted run.
    pub updates: Vec<Update>,
    /// The digest of its last parameters and velocity.
    pub digest: Option<u64>,
    /// Why the curve ends early, if training or a look-ahead diverged.
    pub diverged: Option<String>,
}

impl Outcome {
    /// What it is judged by; nothing when it diverged.
    pub fn objective(&self) -> Option<f64> {
        self.digest.and_then(|_| self.curve.last()).map(Point::objective)
    }
}
