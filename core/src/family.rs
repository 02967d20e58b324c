//! Families of learning-rate schedules, one rate for each step k = 0, 1, …, with a linear warm-up.
//!
//! With K the time constant, γ a factor, r a share of α₀ that is left at the end, N and W steps:
//!
//! ```text
//! inverse time   α₀/(1 + k/K)^β
//! exponential    α₀ exp(−k/K)
//! step           α₀ γ^⌊k/every⌋
//! cosine         α₀ (r + (1 − r)(1 + cos πk/N)/2)       from k = N on α₀ r
//! linear         α₀ (r + (1 − r)(1 − k/N))              from k = N on α₀ r
//! warm-up        (k + 1)/W times the rate in steps k < W
//! ```
//!
//! Shares of steps are computed in `f64` and rounded once.

use crate::dual::Dual;
use crate::elementary::{Elementary, Libm};
use crate::real::Real;
use crate::schedule::{InverseTime, LearningRate, PARAMETERS, Parameter};

/// How a learning rate decays, with the numbers that it needs beside α₀, K and β.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Family<N> {
    /// With time, by α₀, K and β.
    #[default]
    InverseTime,
    /// By the same share in each step, by α₀ and K.
    Exponential,
    /// By a factor now and then.
    Step {
        /// γ, in 0..=1.
        factor: N,
        /// Steps from one fall to the next, at least 1.
        every: u32,
    },
    /// Along half a cosine.
    Cosine {
        /// r, in 0..=1.
        final_share: N,
        /// N, at least 1.
        steps: u32,
    },
    /// Along a line.
    Linear {
        /// r, in 0..=1.
        final_share: N,
        /// N, at least 1.
        steps: u32,
    },
}

impl<N: Copy> Family<N> {
    /// `f` of its number and which it is.
    pub fn map_named<M>(self, f: impl Fn(Parameter, N) -> M) -> Family<M> {
        match self {
            Self::InverseTime => Family::InverseTime,
            Self::Exponential => Family::Exponential,
            Self::Step { factor, every } => {
                Family::Step { factor: f(Parameter::Factor, factor), every }
            }
            Self::Cosine { final_share, steps } => {
                Family::Cosine { final_share: f(Parameter::FinalShare, final_share), steps }
            }
            Self::Linear { final_share, steps } => {
                Family::Linear { final_share: f(Parameter::FinalShare, final_share), steps }
            }
        }
    }

    /// The hyperparameters on which its rates depend.
    pub fn parameters(self) -> &'static [Parameter] {
        match self {
            Self::InverseTime => &PARAMETERS,
            Self::Exponential => &[Parameter::Alpha0, Parameter::TimeConstant],
            Self::Step { .. } => &[Parameter::Alpha0, Parameter::Factor],
            Self::Cosine { .. } | Self::Linear { .. } => {
                &[Parameter::Alpha0, Parameter::FinalShare]
            }
        }
    }

    /// Its own number, if `parameter` is that.
    pub fn value(self, parameter: Parameter) -> Option<N> {
        let own = match self {
            Self::InverseTime | Self::Exponential => None,
            Self::Step { factor, .. } => Some((Parameter::Factor, factor)),
            Self::Cosine { final_share, .. } | Self::Linear { final_share, .. } => {
                Some((Parameter::FinalShare, final_share))
            }
        };
        own.filter(|(name, _)| *name == parameter).map(|(_, number)| number)
    }

    /// The same with `to` in place of the value of `parameter`, if that is its own number.
    pub fn with(self, parameter: Parameter, to: N) -> Self {
        self.map_named(|name, number| if name == parameter { to } else { number })
    }
}

/// A schedule: α₀, K and β, of which a [`Family`] uses those that it has, and a warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule<N> {
    /// α₀, K and β.
    pub numbers: InverseTime<N>,
    /// How the rate decays.
    pub family: Family<N>,
    /// W, the steps of the warm-up; none if zero.
    pub warmup: u32,
}

impl<N> From<InverseTime<N>> for Schedule<N> {
    fn from(numbers: InverseTime<N>) -> Self {
        Self { numbers, family: Family::InverseTime, warmup: 0 }
    }
}

impl<T: Real> Schedule<T> {
    /// Linear from `alpha0` to zero in so many steps.
    pub fn linear(alpha0: T, steps: u32) -> Self {
        Self::to_zero(alpha0, Family::Linear { final_share: T::ZERO, steps })
    }

    /// Along half a cosine from `alpha0` to zero in so many steps.
    pub fn cosine(alpha0: T, steps: u32) -> Self {
        Self::to_zero(alpha0, Family::Cosine { final_share: T::ZERO, steps })
    }

    fn to_zero(alpha0: T, family: Family<T>) -> Self {
        let numbers = InverseTime { alpha0, time_constant: T::ONE, beta: T::ZERO };
        Self { numbers, family, warmup: 0 }
    }

    /// The learning rates of steps 0, 1, …
    pub fn rates(self) -> impl Iterator<Item = T>
    where
        Libm: Elementary<T>,
    {
        let constant = self.with_tangents([]);
        (0..=u32::MAX).map(move |k| constant.learning_rate::<Libm>(k).value)
    }

    /// The same schedule, tangent p being the derivative with respect to `directions[p]`.
    pub fn with_tangents<const P: usize>(self, directions: [Parameter; P]) -> Schedule<Dual<T, P>> {
        Schedule {
            numbers: self.numbers.with_tangents(directions),
            family: self.family.map_named(|name, value| Dual {
                value,
                tangents: directions.map(|d| if d == name { T::ONE } else { T::ZERO }),
            }),
            warmup: self.warmup,
        }
    }
}

impl<T: Real, const P: usize> LearningRate<T, P> for Schedule<Dual<T, P>> {
    fn learning_rate<E: Elementary<T>>(&self, k: u32) -> Dual<T, P> {
        let Self { numbers, family, warmup } = *self;
        let rate = match family {
            Family::InverseTime => numbers.learning_rate::<E>(k),
            Family::Exponential => {
                let elapsed = Dual::constant(T::from_u32(k)) / numbers.time_constant;
                numbers.alpha0 * (Dual::default() - elapsed).exp::<E>()
            }
            Family::Step { factor, every } => {
                numbers.alpha0 * factor.power::<E>(k.checked_div(every).unwrap_or(0))
            }
            Family::Cosine { final_share, steps } => {
                let turn = core::f64::consts::PI * elapsed_share(k, steps);
                falling(numbers.alpha0, final_share, (1.0 + libm::cos(turn)) / 2.0)
            }
            Family::Linear { final_share, steps } => {
                falling(numbers.alpha0, final_share, 1.0 - elapsed_share(k, steps))
            }
        };
        if k < warmup {
            return rate.scaled(T::from_f64((f64::from(k) + 1.0) / f64::from(warmup)));
        }
        rate
    }
}

/// k/N, from k = N on one.
fn elapsed_share(k: u32, steps: u32) -> f64 {
    if k < steps { f64::from(k) / f64::from(steps) } else { 1.0 }
}

/// α₀ (r + (1 − r) left).
fn falling<T: Real, const P: usize>(
    alpha0: Dual<T, P>,
    final_share: Dual<T, P>,
    left: f64,
) -> Dual<T, P> {
    let rest = Dual::constant(T::ONE) - final_share;
    alpha0 * (final_share + rest.scaled(T::from_f64(left)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: InverseTime<f64> = InverseTime { alpha0: 0.2, time_constant: 30.0, beta: 0.8 };

    fn families() -> [Schedule<f64>; 5] {
        let all = [
            Family::InverseTime,
            Family::Exponential,
            Family::Step { factor: 0.4, every: 7 },
            Family::Cosine { final_share: 0.1, steps: 40 },
            Family::Linear { final_share: 0.25, steps: 40 },
        ];
        all.map(|family| Schedule { numbers: NUMBERS, family, warmup: 5 })
    }

    #[test]
    fn rates_are_those_of_the_equations() {
        let rate =
            |schedule: Schedule<f64>, k| schedule.with_tangents([]).learning_rate::<Libm>(k).value;
        let [inverse_time, exponential, step, cosine, linear] = families();
        assert_eq!(rate(inverse_time, 9), NUMBERS.with_tangents([]).learning_rate::<Libm>(9).value);
        let near = |found: f64, expected: f64| {
            assert!((found - expected).abs() < 1e-15, "{found}, not {expected}");
        };
        near(rate(exponential, 60), 0.2 * libm::exp(-2.0));
        near(rate(step, 6), 0.2);
        near(rate(step, 7), 0.08);
        near(rate(step, 20), 0.032);
        near(rate(cosine, 20), 0.2 * 0.55);
        near(rate(cosine, 10), 0.2 * (0.1 + 0.45 * (1.0 + libm::sqrt(0.5))));
        near(rate(linear, 30), 0.2 * (0.25 + 0.75 * 0.25));
        for (ended, at) in [(cosine, 0.02), (linear, 0.05)] {
            near(rate(ended, 40), at);
            near(rate(ended, u32::MAX), at);
        }
        for (k, share) in [(0, 0.2), (3, 0.8), (4, 1.0), (5, 1.0)] {
            let cold = Schedule { warmup: 0, ..exponential };
            near(rate(exponential, k), share * rate(cold, k));
        }
    }

    /// By every hyperparameter that a family has, beside central differences; those that it has
    /// not change nothing.
    #[test]
    fn tangents_are_derivatives() {
        for schedule in families() {
            for parameter in Parameter::ALL {
                let moved = |by: f64| {
                    let mut moved = schedule;
                    match parameter {
                        Parameter::Alpha0 => moved.numbers.alpha0 += by,
                        Parameter::TimeConstant => moved.numbers.time_constant += by,
                        Parameter::Beta => moved.numbers.beta += by,
                        other => {
                            moved.family = moved.family.map_named(|name, number| {
                                if name == other { number + by } else { number }
                            });
                        }
                    }
                    moved
                };
                for k in [0, 3, 6, 7, 25, 39, 40, 90] {
                    let rate = |by| moved(by).with_tangents([]).learning_rate::<Libm>(k).value;
                    let difference = (rate(1e-5) - rate(-1e-5)) / 2e-5;
                    let dual = schedule.with_tangents([parameter]).learning_rate::<Libm>(k);
                    let [slope] = dual.tangents;
                    assert_eq!(dual.value, rate(0.0));
                    assert!(
                        (slope - difference).abs() < 1e-9,
                        "{schedule:?}, step {k}, {parameter:?}: {slope}, not {difference}"
                    );
                    if !schedule.family.parameters().contains(&parameter) {
                        assert_eq!(slope, 0.0);
                    }
                }
            }
        }
    }

    #[test]
    fn own_numbers_are_found_and_replaced() {
        let [_, exponential, step, cosine, _] = families().map(|schedule| schedule.family);
        assert_eq!(exponential.value(Parameter::Factor), None);
        assert_eq!(exponential.with(Parameter::Factor, 0.3), exponential);
        assert_eq!(step.value(Parameter::Factor), Some(0.4));
        assert_eq!(step.with(Parameter::Factor, 0.3).value(Parameter::Factor), Some(0.3));
        assert_eq!(cosine.value(Parameter::FinalShare), Some(0.1));
        assert_eq!(cosine.with(Parameter::Factor, 0.3), cosine);
    }

    /// With γ = 0 the rate before the first fall is α₀, whose derivative by γ is zero; 0⁰ is 1.
    #[test]
    fn a_factor_of_zero_ends_training_and_gives_no_nan() {
        let family = Family::Step { factor: 0.0, every: 7 };
        let schedule = Schedule { numbers: NUMBERS, family, warmup: 0 };
        let rates = schedule.with_tangents([Parameter::Factor]);
        for (k, value, slope) in [(6, 0.2, 0.0), (7, 0.0, 0.2), (14, 0.0, 0.0)] {
            let found = rates.learning_rate::<Libm>(k);
            assert_eq!((found.value, found.tangents), (value, [slope]), "step {k}");
        }
    }
}
