//! Options of the inner optimiser, and the names of what can be tuned.

use clap::{Args, ValueEnum};
use myopia_core::optimizer::{Decay, Hyperparameters, Method};
use myopia_core::schedule::Parameter;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use myopia::failure::Failure;
use myopia::precision::Precision;
use myopia::problem::Problem;

/// An optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// SGD with momentum
    Sgd,
    /// RMSprop with momentum
    Rmsprop,
    /// Adam
    Adam,
}

/// What makes a step of a gradient.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct OptimizerOptions {
    /// Optimiser of the training [default: sgd]
    #[arg(long, value_enum, value_name = "NAME")]
    optimizer: Option<OptimizerName>,
    /// Nesterov's momentum (sgd)
    #[arg(long)]
    nesterov: bool,
    /// Decay of the mean square, in 0..1 (rmsprop) [default: 0.9]
    #[arg(long, value_name = "RHO", allow_negative_numbers = true)]
    rho: Option<f64>,
    /// Added to the root of the mean square (rmsprop, adam) [default: 1e-8]
    #[arg(long, value_name = "EPSILON", allow_negative_numbers = true)]
    epsilon: Option<f64>,
    /// Add epsilon under the root (rmsprop)
    #[arg(long)]
    epsilon_inside: bool,
    /// Added under the root (adam) [default: 0]
    #[arg(long, value_name = "EPSILON", allow_negative_numbers = true)]
    epsilon_root: Option<f64>,
    /// Decay of the mean, in 0..1 (adam) [default: 0.9]
    #[arg(long, value_name = "BETA", allow_negative_numbers = true)]
    beta1: Option<f64>,
    /// Decay of the mean square, in 0..1 (adam) [default: 0.999]
    #[arg(long, value_name = "BETA", allow_negative_numbers = true)]
    beta2: Option<f64>,
    /// Weight decay, of weights and not of biases: added to the gradient [default: none]
    #[arg(long, value_name = "XI", allow_negative_numbers = true)]
    weight_decay: Option<f64>,
    /// Take the weight decay off the weights, times the learning rate, in place of adding it to the
    /// gradient
    #[arg(long)]
    decoupled: bool,
}

/// Saved with its defaults, and not at all where it is SGD with momentum.
impl Serialize for OptimizerOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Options that do not go together are refused before anything is saved.
        let all = self.complete().unwrap_or(*self);
        let mut map = serializer.serialize_map(None)?;
        if let Some(name) = all.optimizer {
            map.serialize_entry("optimizer", &name)?;
        }
        for (option, number) in [
            ("rho", all.rho),
            ("epsilon", all.epsilon),
            ("epsilon_root", all.epsilon_root),
            ("beta1", all.beta1),
            ("beta2", all.beta2),
            ("weight_decay", all.weight_decay),
        ] {
            if let Some(number) = number {
                map.serialize_entry(option, &number)?;
            }
        }
        for (option, given) in [
            ("nesterov", all.nesterov),
            ("epsilon_inside", all.epsilon_inside),
            ("decoupled", all.decoupled),
        ] {
            if given {
                map.serialize_entry(option, &true)?;
            }
        }
        map.end()
    }
}

impl OptimizerOptions {
    /// The same with every default of its optimiser, so that a default given is the same
    /// experiment.
    ///
    /// # Errors
    /// An option of another optimiser.
    fn complete(mut self) -> Result<Self, Failure> {
        use OptimizerName::{Adam, Rmsprop, Sgd};
        let name = self.optimizer.unwrap_or(Sgd);
        let of: [(&str, bool, &[OptimizerName]); 7] = [
            ("nesterov", self.nesterov, &[Sgd]),
            ("rho", self.rho.is_some(), &[Rmsprop]),
            ("epsilon", self.epsilon.is_some(), &[Rmsprop, Adam]),
            ("epsilon-inside", self.epsilon_inside, &[Rmsprop]),
            ("epsilon-root", self.epsilon_root.is_some(), &[Adam]),
            ("beta1", self.beta1.is_some(), &[Adam]),
            ("beta2", self.beta2.is_some(), &[Adam]),
        ];
        for (option, given, names) in of {
            if given && !names.contains(&name) {
                let names: Vec<String> = names.iter().map(|name| spelled(*name)).collect();
                return Err(Failure::usage(format!(
                    "--{option} is an option of {}; give --optimizer {} or leave it out",
                    names.join(" and "),
                    names[0]
                )));
            }
        }
        if self.decoupled && self.weight_decay.is_none() {
            return Err(Failure::usage(
                "--decoupled says how weights decay; give --weight-decay or leave it out",
            ));
        }
        match name {
            Sgd => {}
            Rmsprop => {
                self.rho.get_or_insert(0.9);
                self.epsilon.get_or_insert(1e-8);
            }
            Adam => {
                self.beta1.get_or_insert(0.9);
                self.beta2.get_or_insert(0.999);
                self.epsilon.get_or_insert(1e-8);
                self.epsilon_root.get_or_insert(0.0);
            }
        }
        let is_plain = name == Sgd && !self.nesterov && self.weight_decay.is_none();
        self.optimizer = (!is_plain).then_some(name);
        Ok(self)
    }

    /// The hyperparameters, rounded to the working precision; none of SGD with plain momentum.
    ///
    /// # Errors
    /// A value outside its range.
    pub fn hyperparameters(
        self,
        precision: Precision,
        momentum: f64,
    ) -> Result<Option<Hyperparameters<f64>>, Failure> {
        let all = self.complete()?;
        let below_one = |option, x: Option<f64>| within(precision, option, x, Some(1.0));
        let at_least_zero = |option, x: Option<f64>| within(precision, option, x, None);
        let method = match all.optimizer {
            None => return Ok(None),
            Some(OptimizerName::Sgd) => Method::Sgd { momentum, is_nesterov: all.nesterov },
            Some(OptimizerName::Rmsprop) => Method::Rmsprop {
                rho: below_one("rho", all.rho)?,
                momentum,
                epsilon: at_least_zero("epsilon", all.epsilon)?,
                is_inside: all.epsilon_inside,
            },
            Some(OptimizerName::Adam) => Method::Adam {
                beta1: below_one("beta1", all.beta1)?,
                beta2: below_one("beta2", all.beta2)?,
                epsilon: at_least_zero("epsilon", all.epsilon)?,
                epsilon_root: at_least_zero("epsilon-root", all.epsilon_root)?,
            },
        };
        let decay = match (all.weight_decay, all.decoupled) {
            (None, _) => Decay::None,
            (decay, false) => Decay::Coupled(at_least_zero("weight-decay", decay)?),
            (decay, true) => Decay::Decoupled(at_least_zero("weight-decay", decay)?),
        };
        Ok(Some(Hyperparameters { method, decay }))
    }
}

fn spelled(name: OptimizerName) -> String {
    name.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// `x` rounded to the working precision, if it is a number from 0 up to, but not, `end`.
fn within(
    precision: Precision,
    option: &str,
    x: Option<f64>,
    end: Option<f64>,
) -> Result<f64, Failure> {
    let x = x.unwrap_or_default();
    // Of −0 it makes +0, which is the same number with other bits.
    let rounded = precision.round(x) + 0.0;
    if rounded.is_finite() && rounded >= 0.0 && end.is_none_or(|end| rounded < end) {
        return Ok(rounded);
    }
    let range = match end {
        Some(end) => format!("from 0 up to, but not, {end}"),
        None => "from 0 on".to_owned(),
    };
    Err(Failure::usage(format!(
        "--{option} {x:?} must be a finite number {range}, also when rounded to {}",
        precision.name()
    )))
}

/// A hyperparameter that can be tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tuned {
    /// First learning rate
    Alpha0,
    /// Time constant K
    TimeConstant,
    /// Decay exponent
    Beta,
    /// Momentum (sgd, rmsprop)
    Momentum,
    /// Epsilon (rmsprop, adam)
    Epsilon,
    /// Decay of the mean square (rmsprop)
    Rho,
    /// Decay of the mean (adam)
    Beta1,
    /// Decay of the mean square (adam)
    Beta2,
    /// Weight decay
    WeightDecay,
    /// Factor of each fall (step schedule)
    Factor,
    /// Share of alpha0 that is left at the end (cosine and linear schedules)
    FinalShare,
}

impl Tuned {
    /// The same for the core.
    pub fn parameter(self) -> Parameter {
        match self {
            Self::Alpha0 => Parameter::Alpha0,
            Self::TimeConstant => Parameter::TimeConstant,
            Self::Beta => Parameter::Beta,
            Self::Momentum => Parameter::Momentum,
            Self::Epsilon => Parameter::Epsilon,
            Self::Rho => Parameter::Rho,
            Self::Beta1 => Parameter::Beta1,
            Self::Beta2 => Parameter::Beta2,
            Self::WeightDecay => Parameter::WeightDecay,
            Self::Factor => Parameter::Factor,
            Self::FinalShare => Parameter::FinalShare,
        }
    }

    /// Its name on the command line and in results.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What is tuned: what `names` says, in that order, or all that the schedule has but a final
    /// share of zero.
    ///
    /// # Errors
    /// When it names nothing, more than [`MOST_TUNED`], one twice, or one that `problem` does not
    /// have.
    pub fn named(names: Option<&[Self]>, problem: &Problem<'_>) -> Result<Vec<Self>, Failure> {
        let of_schedule = problem.family.parameters();
        let schedules: Vec<Self> = Self::value_variants()
            .iter()
            .copied()
            .filter(|tuned| of_schedule.contains(&tuned.parameter()))
            .filter(|tuned| problem.family.value(tuned.parameter()) != Some(0.0))
            .collect();
        let all = names.unwrap_or(&schedules);
        if all.is_empty() || all.len() > MOST_TUNED {
            return Err(Failure::usage(format!("--tune takes one to {MOST_TUNED} names")));
        }
        for (place, tuned) in all.iter().enumerate() {
            let name = tuned.name();
            if all[..place].contains(tuned) {
                return Err(Failure::usage(format!("--tune names {name} twice; name it once")));
            }
            let in_schedule = of_schedule.contains(&tuned.parameter());
            if !in_schedule && problem.value(tuned.parameter()).is_none() {
                return Err(Failure::usage(format!(
                    "--tune {name}: this training has no {name}; choose an optimiser that has it with --optimizer or a \
                     schedule with --schedule, or give --{name}"
                )));
            }
        }
        Ok(all.to_vec())
    }
}

/// Refuses `--tune` of a command that knows the schedule's three alone.
pub fn schedule_alone(command: &str, tune: Option<&str>) -> Result<(), Failure> {
    match tune {
        None => Ok(()),
        Some(names) => Err(Failure::usage(format!(
            "{command} --tune {names}: {command} varies the schedule alone, alpha0, time-constant and beta; tune other \
             hyperparameters with `myopia meta --tune`, at one horizon after the other"
        ))),
    }
}

/// Most hyperparameters by which one command differentiates.
const MOST_TUNED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut OptimizerOptions)) -> OptimizerOptions {
        let mut options = OptimizerOptions::default();
        change(&mut options);
        options
    }

    fn found(options: OptimizerOptions) -> Result<Option<Hyperparameters<f64>>, String> {
        options.hyperparameters(Precision::F32, 0.9).map_err(|failure| failure.to_string())
    }

    #[test]
    fn what_is_no_more_than_momentum_is_saved_as_before() {
        for options in [with(|_| ()), with(|o| o.optimizer = Some(OptimizerName::Sgd))] {
            assert_eq!(found(options), Ok(None));
            let saved = serde_json::to_value(options).unwrap();
            assert_eq!(saved, serde_json::json!({}));
        }
    }

    #[test]
    fn sgd_with_an_extra_need_not_be_named() {
        for (options, is_nesterov, decay) in [
            (with(|o| o.nesterov = true), true, Decay::None),
            (with(|o| o.weight_decay = Some(0.5)), false, Decay::Coupled(0.5)),
        ] {
            let momentum = f64::from(0.9_f32);
            let method = Method::Sgd { momentum, is_nesterov };
            let named = OptimizerOptions { optimizer: Some(OptimizerName::Sgd), ..options };
            let all = Hyperparameters { method, decay };
            let found = |o: OptimizerOptions| o.hyperparameters(Precision::F32, momentum).ok();
            assert_eq!([found(options), found(named)], [Some(Some(all)); 2]);
            let saved = |o: OptimizerOptions| serde_json::to_value(o).unwrap();
            assert_eq!(saved(options), saved(named));
        }
    }

    #[test]
    fn a_default_given_is_the_same_experiment() {
        let adam = with(|o| o.optimizer = Some(OptimizerName::Adam));
        let given = OptimizerOptions { beta2: Some(0.999), ..adam };
        let saved = |o: OptimizerOptions| serde_json::to_value(o).unwrap();
        assert_eq!(saved(adam), saved(given));
        assert_eq!(saved(adam)["epsilon"], 1e-8);
    }

    #[test]
    fn values_outside_their_range_are_named() {
        let adam = with(|o| o.optimizer = Some(OptimizerName::Adam));
        for (options, name) in [
            (OptimizerOptions { beta2: Some(1.0), ..adam }, "--beta2 1.0"),
            (OptimizerOptions { beta1: Some(0.999_999_99), ..adam }, "--beta1 0.99999999"),
            (OptimizerOptions { epsilon: Some(-1e-8), ..adam }, "--epsilon -1e-8"),
            (OptimizerOptions { weight_decay: Some(f64::NAN), ..adam }, "--weight-decay NaN"),
            (with(|o| o.rho = Some(0.5)), "--rho is an option of rmsprop"),
            (with(|o| o.decoupled = true), "--decoupled says"),
        ] {
            let sentence = found(options).unwrap_err();
            assert!(sentence.contains(name), "{sentence}");
        }
    }
}
