//! Options of the inner optimiser, and the names of what can be tuned.

use clap::{Args, ValueEnum};
use myopia_core::kfac::Kfac;
use myopia_core::optimizer::{Decay, Hyperparameters, Method};
use myopia_core::schedule::Parameter;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use myopia::failure::Failure;
use myopia::precision::Precision;
use myopia::problem::{InnerOptimizer, Problem};

use super::values::whole;

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
    /// K-FAC with momentum
    Kfac,
}

/// What makes a step of a gradient.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct OptimizerOptions {
    /// Optimiser of the training [default: sgd]
    #[arg(long, value_enum, value_name = "NAME")]
    pub(super) optimizer: Option<OptimizerName>,
    /// Nesterov's momentum (sgd)
    #[arg(long)]
    pub(super) nesterov: bool,
    /// Decay of the mean square, in 0..1 (rmsprop) [default: 0.9]
    #[arg(long, value_name = "RHO", allow_negative_numbers = true)]
    pub(super) rho: Option<f64>,
    /// Added to the root of the mean square (rmsprop, adam) [default: 1e-8]
    #[arg(long, value_name = "EPSILON", allow_negative_numbers = true)]
    pub(super) epsilon: Option<f64>,
    /// Add epsilon under the root (rmsprop)
    #[arg(long)]
    pub(super) epsilon_inside: bool,
    /// Added under the root (adam) [default: 0]
    #[arg(long, value_name = "EPSILON", allow_negative_numbers = true)]
    pub(super) epsilon_root: Option<f64>,
    /// Decay of the mean, in 0..1 (adam) [default: 0.9]
    #[arg(long, value_name = "BETA", allow_negative_numbers = true)]
    pub(super) beta1: Option<f64>,
    /// Decay of the mean square, in 0..1 (adam) [default: 0.999]
    #[arg(long, value_name = "BETA", allow_negative_numbers = true)]
    pub(super) beta2: Option<f64>,
    /// Damping of the Kronecker factors (kfac) [default: 0.1]
    #[arg(long, value_name = "LAMBDA", allow_negative_numbers = true)]
    pub(super) damping: Option<f64>,
    /// Share of its statistics that a step keeps, in 0..1 (kfac) [default: 0.95]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub(super) kfac_decay: Option<f64>,
    /// Steps between two factorisations of its statistics (kfac) [default: 10]
    #[arg(long, value_name = "STEPS", allow_negative_numbers = true, value_parser = whole::<u32>)]
    pub(super) refactor_every: Option<u32>,
    /// Take errors of labels drawn from the predictions, not of the batch's (kfac)
    #[arg(long)]
    pub(super) kfac_sampled: bool,
    /// Bound on a step's squared norm in the damped Fisher matrix (kfac) [default: none]
    #[arg(long, value_name = "BOUND", allow_negative_numbers = true)]
    pub(super) kfac_clip: Option<f64>,
    /// Weight decay, of weights and not of biases: added to the gradient [default: none]
    #[arg(long, value_name = "XI", allow_negative_numbers = true)]
    pub(super) weight_decay: Option<f64>,
    /// Take the weight decay off the weights, times the learning rate, in place of adding it to the
    /// gradient
    #[arg(long)]
    pub(super) decoupled: bool,
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
            ("damping", all.damping),
            ("kfac_decay", all.kfac_decay),
            ("kfac_clip", all.kfac_clip),
            ("weight_decay", all.weight_decay),
        ] {
            if let Some(number) = number {
                map.serialize_entry(option, &number)?;
            }
        }
        if let Some(steps) = all.refactor_every {
            map.serialize_entry("refactor_every", &steps)?;
        }
        for (option, given) in [
            ("kfac_sampled", all.kfac_sampled),
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
        use OptimizerName::{Adam, Kfac, Rmsprop, Sgd};
        let name = self.optimizer.unwrap_or(Sgd);
        let of: [(&str, bool, &[OptimizerName]); 12] = [
            ("nesterov", self.nesterov, &[Sgd]),
            ("rho", self.rho.is_some(), &[Rmsprop]),
            ("epsilon", self.epsilon.is_some(), &[Rmsprop, Adam]),
            ("epsilon-inside", self.epsilon_inside, &[Rmsprop]),
            ("epsilon-root", self.epsilon_root.is_some(), &[Adam]),
            ("beta1", self.beta1.is_some(), &[Adam]),
            ("beta2", self.beta2.is_some(), &[Adam]),
            ("damping", self.damping.is_some(), &[Kfac]),
            ("kfac-decay", self.kfac_decay.is_some(), &[Kfac]),
            ("refactor-every", self.refactor_every.is_some(), &[Kfac]),
            ("kfac-sampled", self.kfac_sampled, &[Kfac]),
            ("kfac-clip", self.kfac_clip.is_some(), &[Kfac]),
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
            Kfac => {
                self.damping.get_or_insert(0.1);
                self.kfac_decay.get_or_insert(0.95);
                self.refactor_every.get_or_insert(10);
            }
        }
        let is_plain = name == Sgd && !self.nesterov && self.weight_decay.is_none();
        self.optimizer = (!is_plain).then_some(name);
        Ok(self)
    }

    /// The name given, if there is one.
    pub fn name(&self) -> Option<String> {
        self.optimizer.map(spelled)
    }

    /// Those of the optimiser `name` with `value` of what is tuned: what is given of others is left
    /// out.
    pub fn of_study(self, name: OptimizerName, tuned: Tuned, value: f64) -> Self {
        use OptimizerName::{Adam, Kfac, Rmsprop, Sgd};
        let is = |of: &[OptimizerName]| of.contains(&name);
        let mut all = Self {
            optimizer: Some(name),
            nesterov: self.nesterov && is(&[Sgd]),
            rho: self.rho.filter(|_| is(&[Rmsprop])),
            epsilon: self.epsilon.filter(|_| is(&[Rmsprop, Adam])),
            epsilon_inside: self.epsilon_inside && is(&[Rmsprop]),
            epsilon_root: self.epsilon_root.filter(|_| is(&[Adam])),
            beta1: self.beta1.filter(|_| is(&[Adam])),
            beta2: self.beta2.filter(|_| is(&[Adam])),
            damping: self.damping.filter(|_| is(&[Kfac])),
            kfac_decay: self.kfac_decay.filter(|_| is(&[Kfac])),
            refactor_every: self.refactor_every.filter(|_| is(&[Kfac])),
            kfac_sampled: self.kfac_sampled && is(&[Kfac]),
            kfac_clip: self.kfac_clip.filter(|_| is(&[Kfac])),
            ..self
        };
        match tuned {
            Tuned::Epsilon => all.epsilon = Some(value),
            Tuned::Damping => all.damping = Some(value),
            Tuned::WeightDecay => all.weight_decay = Some(value),
            _ => {}
        }
        all
    }

    /// The hyperparameters, rounded to the working precision; none of SGD with plain momentum.
    ///
    /// # Errors
    /// A value outside its range.
    pub fn hyperparameters(
        self,
        precision: Precision,
        momentum: f64,
    ) -> Result<Option<InnerOptimizer>, Failure> {
        let all = self.complete()?;
        let below_one = |option, x: Option<f64>| within(precision, option, x, Some(1.0));
        let at_least_zero = |option, x: Option<f64>| within(precision, option, x, None);
        let decay = match (all.weight_decay, all.decoupled) {
            (None, _) => Decay::None,
            (decay, false) => Decay::Coupled(at_least_zero("weight-decay", decay)?),
            (decay, true) => Decay::Decoupled(at_least_zero("weight-decay", decay)?),
        };
        let method = match all.optimizer {
            None => return Ok(None),
            Some(OptimizerName::Kfac) => {
                let all = all.kfac(precision, momentum, decay)?;
                return Ok(Some(InnerOptimizer::Kfac { all, is_sampled: self.kfac_sampled }));
            }
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
        Ok(Some(Hyperparameters { method, decay }.into()))
    }

    /// Those of K-FAC, rounded to the working precision.
    fn kfac(
        self,
        precision: Precision,
        momentum: f64,
        decay: Decay<f64>,
    ) -> Result<Kfac<f64>, Failure> {
        let refactor_every = self.refactor_every.unwrap_or_default();
        if refactor_every == 0 {
            return Err(Failure::usage(
                "--refactor-every 0 would never factorise; give 1 for every step, or more",
            ));
        }
        let clip = match self.kfac_clip {
            None => None,
            given => Some(within(precision, "kfac-clip", given, None)?),
        };
        if clip == Some(0.0) {
            return Err(Failure::usage(
                "--kfac-clip 0 would stop every step; give a positive bound or leave it out",
            ));
        }
        Ok(Kfac {
            momentum,
            damping: within(precision, "damping", self.damping, None)?,
            decay,
            kept: within(precision, "kfac-decay", self.kfac_decay, Some(1.0))?,
            clip,
            refactor_every,
            labels: None,
        })
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
    /// Momentum (sgd, rmsprop, kfac)
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
    /// Damping (kfac)
    Damping,
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
            Self::Damping => Parameter::Damping,
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
        let of_schedule = problem.of_rates();
        if names.is_none() && of_schedule.is_empty() {
            return Err(Failure::usage(
                "the rates of --schedule file: have nothing that is tuned; name hyperparameters of the optimiser with --tune",
            ));
        }
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
        Self::check(all, "tune", problem)?;
        if all.contains(&Self::Damping) && problem.value(Parameter::Damping) == Some(0.0) {
            return Err(Failure::usage(
                "--tune damping at --damping 0: its root has no derivative there; give a positive --damping",
            ));
        }
        Ok(all.to_vec())
    }

    /// Refuses names that are there twice or that `problem` does not have, given with `option`.
    ///
    /// # Errors
    /// One sentence about the first of them.
    pub fn check(names: &[Self], option: &str, problem: &Problem<'_>) -> Result<(), Failure> {
        for (place, tuned) in names.iter().enumerate() {
            let name = tuned.name();
            if names[..place].contains(tuned) {
                return Err(Failure::usage(format!("--{option} names {name} twice; name it once")));
            }
            let in_schedule = problem.of_rates().contains(&tuned.parameter());
            if !in_schedule && problem.value(tuned.parameter()).is_none() {
                let remedy = match tuned {
                    Self::WeightDecay => "give --weight-decay",
                    Self::Alpha0
                    | Self::TimeConstant
                    | Self::Beta
                    | Self::Factor
                    | Self::FinalShare => "choose a schedule that has it with --schedule",
                    _ => "choose an optimiser that has it with --optimizer",
                };
                return Err(Failure::usage(format!(
                    "--{option} {name}: this training has no {name}; {remedy}"
                )));
            }
        }
        Ok(())
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

    fn found(options: OptimizerOptions) -> Result<Option<InnerOptimizer>, String> {
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
            let all = Hyperparameters { method, decay }.into();
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
