//! Error types of the crate; no sentence names a command-line option.

use myopia_core::nqm::{Diverged, InvalidDirection};

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
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "meta-step {meta_step}: with alpha0 = {}, K = {}, beta = {}, damping = {} {source}",
    parameters[0], parameters[1], parameters[2], parameters[3]
)]
pub struct TuningDiverged {
    /// Meta-steps before it.
    pub meta_step: u32,
    /// α₀, K, β and λ.
    pub parameters: [f64; 4],
    /// Where.
    pub source: Diverged,
}

/// A meta-descent without a result.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum TuneError {
    /// It diverged.
    #[error(transparent)]
    Diverged(#[from] TuningDiverged),
    /// It was asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// A run without a result.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The loss left the finite range.
    #[error(transparent)]
    Diverged(#[from] Diverged),
    /// The floor ½ Σ hσ² is not finite.
    #[error("the floor ½ Σ hσ² is not finite")]
    Floor,
    /// The meta-descent of [`Policy::Tuned`](crate::policy::Policy::Tuned) diverged.
    #[error(transparent)]
    Tuning(#[from] TuningDiverged),
    /// It was asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl From<TuneError> for RunError {
    fn from(error: TuneError) -> Self {
        match error {
            TuneError::Diverged(diverged) => Self::Tuning(diverged),
            TuneError::Interrupted(interrupted) => Self::Interrupted(interrupted),
        }
    }
}

/// A text that is not a spectrum, a noise or a policy: what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub(crate) String);
