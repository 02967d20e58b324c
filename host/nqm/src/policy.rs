//! Schedule rules and their parser: constant, decay, greedy, optimal, receding horizon, tuned.

use std::fmt;
use std::str::FromStr;

use myopia_core::dual::Dual;
use myopia_core::elementary::Libm;
use myopia_core::nqm::Step;
use myopia_core::schedule::InverseTime;

use crate::error::ParseError;
use crate::number::whole;
use crate::quadratic::Schedule;
use crate::reparametrization::Variables;
use crate::spectrum::numbers;

/// A way to a schedule.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy {
    /// This learning rate in every step.
    Constant(f64),
    /// α_k = α₀ / (1 + k/K)^β.
    Decay(InverseTime<f64>),
    /// These learning rates and momenta.
    Given(Schedule),
    /// In every step the learning rate that is best for the next loss.
    Greedy,
    /// In every step the learning rate and momentum that are best for the next loss.
    GreedyMomentum,
    /// The learning rates that are best for the loss at the end.
    Optimal,
    /// The learning rates and momenta in \[0, 1) that are best for the loss at the end.
    OptimalMomentum,
    /// In every step the first of the learning rates that are best for the loss so many steps
    /// ahead.
    Replan(usize),
    /// The same with momenta.
    ReplanMomentum(usize),
    /// α_k = α₀ / (1 + k/K)^β as meta-descent chooses it for the loss so many steps ahead.
    Tuned(usize),
}

impl fmt::Display for Policy {
    /// In the form from which it is parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(rate) => write!(f, "constant:{rate}"),
            Self::Decay(InverseTime { alpha0, time_constant, beta }) => {
                write!(f, "decay:{alpha0},{time_constant},{beta}")
            }
            Self::Given(schedule) => write!(f, "{} given steps", schedule.len()),
            Self::Greedy => f.write_str("greedy"),
            Self::GreedyMomentum => f.write_str("greedy-momentum"),
            Self::Optimal => f.write_str("optimal"),
            Self::OptimalMomentum => f.write_str("optimal-momentum"),
            Self::Replan(horizon) => write!(f, "replan:{horizon}"),
            Self::ReplanMomentum(horizon) => write!(f, "replan-momentum:{horizon}"),
            Self::Tuned(horizon) => write!(f, "tuned:{horizon}"),
        }
    }
}

pub(crate) const FORMS: &str = "a schedule is greedy, greedy-momentum, optimal, optimal-momentum, replan:H, \
                     replan-momentum:H, tuned:H, constant:RATE, decay:RATE,STEPS,EXPONENT";

impl FromStr for Policy {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text).map_err(ParseError)
    }
}

impl Policy {
    fn parse(text: &str) -> Result<Self, String> {
        let horizon = |text: &str| match whole(text) {
            Ok(horizon) if (1..=MOST_STEPS).contains(&horizon) => Ok(horizon),
            _ => Err(format!(
                "the horizon is {text:?}; give a number of steps, at least 1 and at most {MOST_STEPS}"
            )),
        };
        match text.split_once(':') {
            None => match text {
                "greedy" => Ok(Self::Greedy),
                "greedy-momentum" => Ok(Self::GreedyMomentum),
                "optimal" => Ok(Self::Optimal),
                "optimal-momentum" => Ok(Self::OptimalMomentum),
                _ => Err(FORMS.into()),
            },
            Some(("replan", steps)) => horizon(steps).map(Self::Replan),
            Some(("replan-momentum", steps)) => horizon(steps).map(Self::ReplanMomentum),
            Some(("tuned", steps)) => horizon(steps).map(Self::Tuned),
            Some(("constant", rate)) => match numbers(rate)?.as_slice() {
                &[rate] if rate > 0.0 => Ok(Self::Constant(rate)),
                _ => Err("give one positive learning rate".into()),
            },
            Some(("decay", parameters)) => match numbers(parameters)?.as_slice() {
                &[alpha0, time_constant, beta] => InverseTime::new(alpha0, time_constant, beta)
                    .map(Self::Decay)
                    .map_err(|e| e.to_string()),
                _ => Err("give three numbers: learning rate, time constant, exponent".into()),
            },
            _ => Err(FORMS.into()),
        }
    }
}

/// The longest schedule: far beyond what can be waited for, and a number that 32 bits and memory
/// hold.
pub const MOST_STEPS: usize = 10_000_000;

/// Steps when neither an option nor a file says how many.
pub const DEFAULT_STEPS: usize = 250;

impl Policy {
    /// The schedule, if it does not depend on the quadratic; `steps` and `momentum` are not used by
    /// one that is given.
    pub fn schedule(&self, steps: usize, momentum: f64) -> Option<Schedule> {
        match self {
            Self::Given(schedule) => Some(schedule.clone()),
            Self::Constant(rate) => Some(vec![Step { learning_rate: *rate, momentum }; steps]),
            Self::Decay(parameters) => {
                let parameters = parameters.with_tangents([]);
                let step = |k| {
                    let rate: Dual<f64, 0> = parameters.learning_rate::<Libm>(k);
                    Step { learning_rate: rate.value, momentum }
                };
                Some((0..steps as u32).map(step).collect())
            }
            _ => None,
        }
    }

    /// Whether it judges look-aheads that end before training does, or may.
    pub fn looks_ahead(&self) -> bool {
        matches!(self, Self::Replan(_) | Self::ReplanMomentum(_) | Self::Tuned(_))
    }

    /// How many steps ahead it searches, and for what; none where it does not.
    pub fn search(&self, steps: usize, momentum: f64) -> Option<(usize, Variables)> {
        let rates = Variables::LearningRates { momentum };
        match self {
            Self::Optimal => Some((steps, rates)),
            Self::OptimalMomentum => Some((steps, Variables::LearningRatesAndMomenta)),
            Self::Replan(horizon) => Some((steps.min(*horizon), rates)),
            Self::ReplanMomentum(horizon) => {
                Some((steps.min(*horizon), Variables::LearningRatesAndMomenta))
            }
            _ => None,
        }
    }
}
