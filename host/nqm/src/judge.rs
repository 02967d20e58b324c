//! `Judge`: what a look-ahead is judged by, its text form, and the steps that it adds.
//!
//! With H steps of a look-ahead, k from 0, and α the last of their learning rates:
//!
//! ```text
//! plain         E[L(θ_H)]
//! cooldown:C    E[L(θ_{H+C})],  α_{H+j} = α (1 − j/C) for j = 0, …, C − 1, then discarded
//! average:γ     E[L(x̄_H)],  x̄ ← γ x̄ + (1 − γ) θ from x̄ = θ_0 on
//! next-batch    E of the loss on a batch that no step has seen: E[L(θ_H)]
//! same-batch    E of the loss on the batch of the last step: E[L(θ_H)] − Σ h α g σ²
//! ```
//!
//! A batch of the noisy quadratic is a shift of its minimum by ξ, whose gradient is h(θ + ξ); the
//! last step moves θ by −αg ξ, towards the minimum that its own batch shows.

use std::fmt;
use std::str::FromStr;

use myopia_core::nqm::Step;

use crate::error::ParseError;
use crate::number::whole;
use crate::policy::MOST_STEPS;
use crate::quadratic::Schedule;

/// What the end of a look-ahead is judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Judge {
    /// The expected loss after the last step.
    #[default]
    Plain,
    /// The same after so many further steps with learning rates that fall linearly to zero.
    Cooldown(usize),
    /// The expected loss of the exponential moving average with this γ in 0..1.
    Average(f64),
    /// The expected loss on the batch of the last step.
    SameBatch,
    /// The expected loss on the batch after it.
    NextBatch,
}

/// What a judge can be.
pub(crate) const FORMS: &str =
    "a judge is plain, cooldown:STEPS, average:GAMMA, same-batch or next-batch";

impl fmt::Display for Judge {
    /// In the form from which it is parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("plain"),
            Self::Cooldown(steps) => write!(f, "cooldown:{steps}"),
            Self::Average(gamma) => write!(f, "average:{gamma}"),
            Self::SameBatch => f.write_str("same-batch"),
            Self::NextBatch => f.write_str("next-batch"),
        }
    }
}

impl FromStr for Judge {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = |reason: String| Err(ParseError(reason));
        match text.split_once(':') {
            None => match text {
                "plain" => Ok(Self::Plain),
                "same-batch" => Ok(Self::SameBatch),
                "next-batch" => Ok(Self::NextBatch),
                _ => error(FORMS.into()),
            },
            Some(("cooldown", steps)) => match whole(steps) {
                Ok(steps) if steps <= MOST_STEPS => Ok(Self::Cooldown(steps)),
                _ => error(format!("give a number of steps from 0 to {MOST_STEPS}")),
            },
            Some(("average", gamma)) => match gamma.parse() {
                Ok(gamma) if (0.0..1.0).contains(&gamma) => Ok(Self::Average(gamma)),
                _ => error("give a number from 0 up to but not including 1".into()),
            },
            Some(_) => error(FORMS.into()),
        }
    }
}

impl Judge {
    /// Steps that it adds to a look-ahead.
    pub fn cooldown(self) -> usize {
        if let Self::Cooldown(steps) = self { steps } else { 0 }
    }

    /// Whether it prefers what the expected loss after the last step prefers.
    pub fn is_plain(self) -> bool {
        matches!(self, Self::Plain | Self::NextBatch | Self::Cooldown(0))
    }

    /// The steps at the end of which it reads the loss.
    pub(crate) fn extended(self, schedule: &[Step<f64>]) -> impl Iterator<Item = Step<f64>> {
        let cooling = schedule.last().into_iter().flat_map(move |last| {
            self.factors().map(|factor| Step {
                learning_rate: last.learning_rate * factor,
                momentum: last.momentum,
            })
        });
        schedule.iter().copied().chain(cooling)
    }

    /// Derivatives by the `steps` steps of a look-ahead, made of those by all that it was extended
    /// to: the learning rates of a cool-down are multiples of the last one, its momenta that
    /// one's.
    pub(crate) fn collapsed(self, steps: usize, derivatives: &mut Schedule) {
        let added = derivatives.split_off(steps.min(derivatives.len()));
        let Some(last) = derivatives.last_mut() else { return };
        for (step, factor) in added.iter().zip(self.factors()) {
            last.learning_rate += step.learning_rate * factor;
            last.momentum += step.momentum;
        }
    }

    /// Learning rates of a cool-down, as multiples of the last one before it.
    fn factors(self) -> impl Iterator<Item = f64> {
        (0..self.cooldown()).map(move |j| self.factor(j))
    }

    /// The rate of step `j` of its cool-down, as a multiple of the last one before it.
    pub fn factor(self, j: usize) -> f64 {
        1.0 - j as f64 / self.cooldown() as f64
    }
}
