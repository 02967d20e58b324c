//! Error types of the crate; no sentence names a command-line option.

use myopia_core::nqm::{Diverged, InvalidDirection};
use myopia_core::schedule::Parameter;

use crate::judge::Judge;
use crate::request::PARTS;
use crate::{judge, policy, spectrum};

/// The search was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the search was interrupted")]
pub struct Interrupted;

/// A quadratic that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidQuadratic {
    /// There are no directions.
    #[error("there are no directions")]
    Empty,
    /// A direction has an impossible entry.
    #[error("direction {}: {reason}", direction + 1)]
    Direction {
        /// Which, from 0.
        direction: usize,
        /// What is wrong with it.
        reason: InvalidDirection,
    },
    /// The preconditioned curvature of a direction is not finite.
    #[error("direction {}: the preconditioner 1/(h^{power} + {damping}) overflows", direction + 1)]
    Preconditioner {
        /// Which direction, from 0.
        direction: usize,
        /// p.
        power: f64,
        /// λ.
        damping: f64,
    },
    /// Σ g²h(E\[θ²\] + σ²), the cost of the first step, is not finite.
    #[error(
        "curvatures of up to {largest:e} are too large for this noise: \
         the loss after a step overflows"
    )]
    Overflow {
        /// The largest preconditioned curvature.
        largest: f64,
    },
}

/// A meta-descent whose loss is not finite.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("meta-step {meta_step}: with {} {source}", in_words(parameters))]
pub struct TuningDiverged {
    /// Meta-steps before it.
    pub meta_step: u32,
    /// Those of [`crate::tuning::ALL`] that the training has.
    pub parameters: Vec<(Parameter, f64)>,
    /// Where.
    pub source: Diverged,
}

fn in_words(parameters: &[(Parameter, f64)]) -> String {
    let words = parameters.iter().map(|(name, value)| format!("{} = {value}", name.heading()));
    words.collect::<Vec<_>>().join(", ")
}

/// A start that the first meta-step would move into the bounds, whatever its gradient.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{parameter:?} starts at {start}, outside of {least} to {greatest}")]
pub struct StartOutOfBounds {
    /// Which parameter.
    pub parameter: Parameter,
    /// Where it starts.
    pub start: f64,
    /// Its least value.
    pub least: f64,
    /// Its greatest value.
    pub greatest: f64,
}

/// A meta-descent without a result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TuneError {
    /// It cannot begin.
    #[error(transparent)]
    StartOutOfBounds(#[from] StartOutOfBounds),
    /// A parameter is to be learned by what a judge reads, which is not differentiated by it.
    #[error("{} is learned by the plain loss alone", .0.heading())]
    Judged(Parameter),
    /// An optimiser in mean field is to be judged otherwise than by the plain loss.
    #[error("look-aheads of {0} are judged by the plain loss alone")]
    JudgedMeanField(&'static str),
    /// This training has no such parameter.
    #[error("this training has no {}", .0.heading())]
    NotThere(Parameter),
    /// It diverged.
    #[error(transparent)]
    Diverged(#[from] TuningDiverged),
    /// It was asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// A run without a result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The loss left the finite range.
    #[error(transparent)]
    Diverged(#[from] Diverged),
    /// The floor ½ Σ hσ² is not finite.
    #[error("the floor ½ Σ hσ² is not finite")]
    Floor,
    /// The meta-descent of [`Policy::Tuned`](crate::policy::Policy::Tuned) has no result.
    #[error(transparent)]
    Tuning(TuneError),
    /// A schedule that there is not for an optimiser in mean field.
    #[error(transparent)]
    MeanField(#[from] MeanFieldError),
    /// It was asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// What an optimiser in mean field does not go with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeanFieldError {
    /// A search, which differentiates backwards.
    #[error(
        "it is searched for by steps back, which the second moment of {0} does not take; name \
         tuned:H, or a fixed preconditioner"
    )]
    Search(&'static str),
    /// A greedy step of an optimiser whose step is no sum of velocity and gradient.
    #[error("there is no greedy step of {0} in closed form; name tuned:H, or another optimiser")]
    Greedy(&'static str),
    /// A judge.
    #[error("look-aheads of {0} are judged by the plain loss alone")]
    Judge(&'static str),
    /// Momentum for an optimiser that has its own.
    #[error("{0} has its own momentum; leave out that of the schedule, and give beta1")]
    Momentum(&'static str),
    /// A rate of zero, after which the velocity of Adam is unknown.
    #[error("{0} takes no step with a learning rate of zero; give positive rates")]
    NoRate(&'static str),
}

impl From<TuneError> for RunError {
    fn from(error: TuneError) -> Self {
        match error {
            TuneError::Interrupted(interrupted) => Self::Interrupted(interrupted),
            error => Self::Tuning(error),
        }
    }
}

/// A text that is not a spectrum, a noise or a policy: what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub(crate) String);

/// A number of a run that makes no sense, or is out of reach.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OutOfRange {
    /// No directions.
    #[error("a quadratic needs at least one direction")]
    NoDirections,
    /// No steps.
    #[error("give at least one step")]
    NoSteps,
    /// More than can be waited for or held.
    #[error("{number} is too many; give at most {most}")]
    TooMany {
        /// How many.
        number: usize,
        /// The most that are accepted.
        most: usize,
    },
    /// A constant momentum with which velocities grow or gradients are followed backwards.
    #[error("{0}; give a number from 0 up to but not including 1")]
    Momentum(f64),
}

/// A run in words that is none.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// A word that names nothing of a run.
    #[error("{0:?} is not a part of a run; its parts are {parts}", parts = PARTS)]
    Unknown(String),
    /// A text that is not what its name says.
    #[error("{name} is {text:?}: {reason}")]
    Text {
        /// The part.
        name: String,
        /// What it was given as.
        text: String,
        /// What it should be.
        reason: String,
    },
    /// No schedule is named.
    #[error("name a schedule")]
    NoSchedule,
    /// A number out of range.
    #[error("{name}: {source}")]
    Range {
        /// The part.
        name: &'static str,
        /// What is wrong with it.
        source: OutOfRange,
    },
    /// A judge of look-aheads for a schedule without any.
    #[error("judge is {judge}, but {policy} does not look ahead; name replan:H or tuned:H")]
    Judge {
        /// The judge.
        judge: Judge,
        /// The schedule.
        policy: String,
    },
    /// An impossible preconditioner.
    #[error("power and damping: {0}")]
    Preconditioner(String),
    /// A schedule that there is not for an optimiser in mean field.
    #[error("{policy}: {source}")]
    MeanField {
        /// The schedule.
        policy: String,
        /// Why.
        source: MeanFieldError,
    },
}

impl ParseError {
    /// Whether it lists all forms that there are: the text has none of them.
    pub fn forms(&self) -> bool {
        [policy::FORMS, spectrum::FORMS, judge::FORMS].contains(&self.0.as_str())
    }
}
