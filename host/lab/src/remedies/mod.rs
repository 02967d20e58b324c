//! Remedies against short-horizon bias, side by side: schedules known beforehand, planned, tuned by
//! look-aheads that are judged in several ways, and rates that move while training runs.
//!
//! Each is charged for everything it computes, in gradients of one batch: a step counts as one,
//! with P tangents as 1 + P, a loss as a third of that.

mod carry;
mod estimators;
mod figures;
pub mod network;
pub mod quadratic;
mod study;
mod summary;
mod train;

pub use carry::{Carry, Tuner};
pub use estimators::{COLUMNS, Estimator, Estimators, Found, Line, State as Estimated};
pub use figures::figure;
pub use study::{Remedies, State};
pub use summary::{Family, Row, sentences};
pub use train::Progress;

use myopia_core::schedule::InverseTime;
use serde::{Deserialize, Serialize};

use crate::nqm::judge::Judge;

/// How learning rates are found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// The same in every step.
    Constant(f64),
    /// Linear from this to zero.
    Linear(f64),
    /// Along half a cosine from this to zero.
    Cosine(f64),
    /// Linear to zero from a share of the limit of stability at the start.
    Capped,
    /// Planned once, from the spectrum measured at the start.
    Planned,
    /// A schedule that was tuned so many steps ahead, at this cost in gradients.
    Given(InverseTime<f64>, u32, f64),
    /// α₀ and β by meta-descent on look-aheads of so many steps, those of the judge among them.
    Tuned(Judge, u32),
    /// One rate that moves while training runs, by tangents that are carried along, with this
    /// meta-learning rate.
    Carried(Carry, f64),
}

/// What is done at the end of training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Finish {
    /// Nothing.
    Plain,
    /// The rate goes to zero, linearly, in so many steps.
    Cooled(u32),
    /// The exponential average of the parameters with this γ is what was trained.
    Averaged(f64),
}

impl Way {
    /// Its name with others that differ in a setting only, and that setting.
    pub fn named(&self) -> (String, Option<f64>) {
        match *self {
            Self::Constant(rate) => ("constant".into(), Some(rate)),
            Self::Linear(rate) => ("linear".into(), Some(rate)),
            Self::Cosine(rate) => ("cosine".into(), Some(rate)),
            Self::Capped => ("linear from the measured cap".into(), None),
            Self::Planned => ("planned".into(), None),
            Self::Given(_, horizon, _) => (format!("tuned {horizon} ahead, published"), None),
            Self::Tuned(judge, ahead) => {
                let judge = match judge {
                    Judge::Plain | Judge::SameBatch | Judge::NextBatch => "plain",
                    Judge::Cooldown(_) => "cool-down",
                    Judge::Average(_) => "average",
                };
                (format!("{judge} judge, {ahead} ahead"), None)
            }
            Self::Carried(carry, rate) => (carry.to_string(), Some(rate)),
        }
    }

    /// How training by it may end.
    fn finishes(&self, cooled: u32) -> Vec<Finish> {
        match *self {
            Self::Constant(_) => vec![Finish::Plain, Finish::Cooled(cooled)],
            Self::Tuned(Judge::Average(gamma), _) => {
                vec![Finish::Plain, Finish::Cooled(cooled), Finish::Averaged(gamma)]
            }
            Self::Tuned(..) => vec![Finish::Plain, Finish::Cooled(cooled)],
            _ => vec![Finish::Plain],
        }
    }
}

impl Finish {
    /// What is added to the name of a way.
    fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Cooled(_) => ", cooled",
            Self::Averaged(_) => ", averaged",
        }
    }
}

/// What became of one training run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What finding the rates and training took, in gradients of one batch.
    pub cost: f64,
    /// α₀, K and β where they were tuned.
    pub schedule: Option<[f64; 3]>,
    /// The learning rate of the last step.
    pub last_rate: f64,
    /// Mean loss over all examples trained on, and over the test set; share of errors there.
    pub end: Option<[f64; 3]>,
    /// For each hundredth of the run the first learning rate and the mean loss of its batches.
    pub course: Vec<[f64; 2]>,
    /// The digest of the last parameters and velocity.
    pub digest: Option<u64>,
    /// Why it ended early.
    pub diverged: Option<String>,
}
