//! The outer optimizer of a meta-descent, in the float of its runs.

use myopia_core::elementary::Libm;
use myopia_core::meta::{Coordinate, Limits, MetaDescent, Rule};
use myopia_core::real::Real;
use myopia_core::schedule::Parameter;

use crate::precision::Precision;

/// How a gradient becomes a step, with its authors' constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OuterRule {
    /// Adam.
    Adam,
    /// SGD with momentum 0.9.
    Momentum,
}

/// How many hyperparameters a meta-descent can tune: those of [`Parameter::ALL`].
pub const TUNABLE: usize = Parameter::ALL.len();

/// The limits of [`Parameter::ALL`], in their order, with those of `tuned` learned: of the
/// schedule's those of the core, momentum and the decays of means along their logits, the others
/// along their logarithms.
pub fn limits(tuned: &[Parameter]) -> [Limits<f64>; TUNABLE] {
    let [alpha0, time_constant, beta] = MetaDescent::<f64>::default_limits();
    let logarithm = |least, greatest| Limits { least, greatest, ..alpha0 };
    let logit =
        |greatest| Limits { coordinate: Coordinate::Logit, least: 1e-4, greatest, ..alpha0 };
    let limits = |parameter| match parameter {
        Parameter::Alpha0 => alpha0,
        Parameter::TimeConstant => time_constant,
        Parameter::Beta => beta,
        Parameter::Epsilon => logarithm(1e-12, 1e3),
        Parameter::WeightDecay => logarithm(1e-8, 10.0),
        Parameter::Momentum
        | Parameter::Rho
        | Parameter::Beta1
        | Parameter::Factor
        | Parameter::FinalShare => logit(0.9999),
        Parameter::Damping => logarithm(1e-10, 1e3),
        Parameter::Beta2 => logit(0.99999),
    };
    Parameter::ALL
        .map(|parameter| Limits { learned: tuned.contains(&parameter), ..limits(parameter) })
}

/// The coordinate along which `parameter` is tuned.
pub fn coordinate(parameter: Parameter) -> Coordinate {
    limits(&[])[parameter as usize].coordinate
}

/// The outer optimizer of N positive hyperparameters and its state. Numbers are widened to `f64`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OuterOptimizer<const N: usize = TUNABLE> {
    /// In single precision.
    F32(MetaDescent<f32, N>),
    /// In double precision.
    F64(MetaDescent<f64, N>),
}

/// The optimizer in the float `T`.
fn narrow<T: Real, const N: usize>(
    rule: OuterRule,
    learning_rate: f64,
    limits: [Limits<f64>; N],
) -> MetaDescent<T, N> {
    let rule = match rule {
        OuterRule::Adam => Rule::adam(),
        OuterRule::Momentum => Rule::momentum(),
    };
    let limits = limits.map(|limits| Limits {
        learned: limits.learned,
        coordinate: limits.coordinate,
        clip: T::from_f64(limits.clip),
        least: T::from_f64(limits.least),
        greatest: T::from_f64(limits.greatest),
    });
    MetaDescent::new(rule, T::from_f64(learning_rate), limits)
}

impl<const N: usize> OuterOptimizer<N> {
    /// A fresh optimizer in `precision`, with meta-learning rate `learning_rate`.
    pub fn new(
        precision: Precision,
        rule: OuterRule,
        learning_rate: f64,
        limits: [Limits<f64>; N],
    ) -> Self {
        match precision {
            Precision::F32 => Self::F32(narrow(rule, learning_rate, limits)),
            Precision::F64 => Self::F64(narrow(rule, learning_rate, limits)),
        }
    }

    /// The parameters after one meta-step along `gradient`, the derivatives by each of them, all
    /// finite.
    pub fn update(&mut self, parameters: [f64; N], gradient: [f64; N]) -> [f64; N] {
        match self {
            Self::F32(outer) => {
                let [parameters, gradient] = [parameters, gradient].map(|x| x.map(f32::from_f64));
                outer.update::<Libm>(parameters, gradient).map(f64::from)
            }
            Self::F64(outer) => outer.update::<Libm>(parameters, gradient),
        }
    }
}
