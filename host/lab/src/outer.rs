//! The outer optimizer of a meta-descent, in the float of its runs.

use myopia_core::elementary::Libm;
use myopia_core::meta::{Limits, MetaDescent, Rule};
use myopia_core::real::Real;
use myopia_core::schedule::InverseTime;

use crate::precision::{Precision, in_precision};

/// How a gradient becomes a step, with its authors' constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OuterRule {
    /// Adam.
    Adam,
    /// SGD with momentum 0.9.
    Momentum,
}

/// The outer optimizer of N positive hyperparameters and its state. Numbers are widened to `f64`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OuterOptimizer<const N: usize = 3> {
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

    /// The parameters after one meta-step along `gradient`, the derivatives by each of them, all finite.
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

impl OuterOptimizer {
    /// The schedule after one meta-step along `gradient` (∂L/∂α₀, ∂L/∂K, ∂L/∂β), all finite.
    pub fn step(&mut self, schedule: InverseTime<f64>, gradient: [f64; 3]) -> InverseTime<f64> {
        let [alpha0, time_constant, beta] = self.update(schedule.parameters(), gradient);
        InverseTime { alpha0, time_constant, beta }
    }
}

/// The learning rate of step `k` under `schedule`, computed in `precision`.
pub fn learning_rate(precision: Precision, schedule: &InverseTime<f64>, k: u32) -> f64 {
    in_precision!(precision, T => {
        let InverseTime { alpha0, time_constant, beta } = *schedule;
        let [alpha0, time_constant, beta] = [alpha0, time_constant, beta].map(T::from_f64);
        let schedule = InverseTime { alpha0, time_constant, beta }.with_tangents([]);
        schedule.learning_rate::<Libm>(k).value.to_f64()
    })
}
