//! How a schedule is arrived at: given in advance, or chosen for the quadratic it will run on.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use myopia_core::dual::Dual;
use myopia_core::elementary::Libm;
use myopia_core::nqm::Step;
use myopia_core::schedule::InverseTime;

use super::quadratic::Schedule;
use super::spectrum::numbers;
use super::table;
use crate::failure::Failure;

/// The columns of a schedule file.
pub const COLUMNS: [&str; 2] = ["learning_rate", "momentum"];

/// What `--schedule` can be.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy {
    /// This learning rate in every step.
    Constant(f64),
    /// α_k = α₀ / (1 + k/K)^β.
    Decay(InverseTime<f64>),
    /// Learning rates and momenta from this file.
    File(PathBuf),
    /// In every step the learning rate that is best for the next loss.
    Greedy,
    /// In every step the learning rate and momentum that are best for the next loss.
    GreedyMomentum,
    /// The learning rates that are best for the loss at the end.
    Optimal,
    /// The learning rates and momenta that are best for the loss at the end.
    OptimalMomentum,
    /// In every step the first of the learning rates that are best for the loss so many steps ahead.
    Replan(usize),
    /// The same with momenta.
    ReplanMomentum(usize),
    /// α_k = α₀ / (1 + k/K)^β as meta-descent chooses it for the loss so many steps ahead.
    Tuned(usize),
}

impl fmt::Display for Policy {
    /// As it is written on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(rate) => write!(f, "constant:{rate}"),
            Self::Decay(InverseTime { alpha0, time_constant, beta }) => {
                write!(f, "decay:{alpha0},{time_constant},{beta}")
            }
            Self::File(path) => write!(f, "file:{}", path.display()),
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

const FORMS: &str = "a schedule is greedy, greedy-momentum, optimal, optimal-momentum, replan:H, \
                     replan-momentum:H, tuned:H, constant:RATE, decay:RATE,STEPS,EXPONENT or file:PATH";

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let horizon = |text: &str| match text.parse() {
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
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(FORMS.into()),
        }
    }
}

/// The longest schedule: far beyond what can be waited for, and a number that 32 bits and memory hold.
pub const MOST_STEPS: usize = 10_000_000;

/// Steps when neither an option nor a file says how many.
pub const DEFAULT_STEPS: usize = 250;

impl Policy {
    /// The schedule, if it does not depend on the quadratic.
    ///
    /// # Errors
    /// When a file cannot be read, or has another number of steps than `steps`.
    pub fn given(&self, steps: Option<usize>, momentum: f64) -> Result<Option<Schedule>, Failure> {
        let count = steps.unwrap_or(DEFAULT_STEPS);
        match self {
            Self::Constant(rate) => Ok(Some(vec![Step { learning_rate: *rate, momentum }; count])),
            Self::Decay(parameters) => {
                let parameters = parameters.with_tangents([]);
                let step = |k| {
                    let rate: Dual<f64, 0> = parameters.learning_rate::<Libm>(k);
                    Step { learning_rate: rate.value, momentum }
                };
                Ok(Some((0..count as u32).map(step).collect()))
            }
            Self::File(path) => {
                let table = table::read(path, &COLUMNS, 2)?;
                if table.rows.is_empty() {
                    return Err(Failure::run(format!(
                        "{} has a header and no steps; give at least one line below it",
                        path.display()
                    )));
                }
                if let Some(steps) = steps.filter(|&steps| steps != table.rows.len()) {
                    return Err(Failure::usage(format!(
                        "--steps is {steps} but {} has {} steps; leave --steps away",
                        path.display(),
                        table.rows.len()
                    )));
                }
                let step = |row: &table::Row| match row.values.as_slice() {
                    &[learning_rate, momentum] if learning_rate >= 0.0 => {
                        Ok(Step { learning_rate, momentum })
                    }
                    _ => Err(Failure::run(format!(
                        "{}, line {}: the learning rate is negative; give zero or a positive number",
                        path.display(),
                        row.line
                    ))),
                };
                table.rows.iter().map(step).collect::<Result<_, _>>().map(Some)
            }
            _ => Ok(None),
        }
    }
}
