//! The inverse-time learning-rate schedule α_k = α₀ / (1 + k/K)^β, k = 0, 1, … (Wu et al. 2018,
//! section 4).

use crate::dual::Dual;
use crate::elementary::{Elementary, Libm};
use crate::real::Real;

/// The three parameters of the schedule, each a number with `P` tangents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InverseTime<N> {
    /// α₀, the first learning rate.
    pub alpha0: N,
    /// K, the time constant, in steps.
    pub time_constant: N,
    /// β, the decay exponent.
    pub beta: N,
}

/// A hyperparameter by which training can be differentiated: one of the schedule's three, or one of
/// the optimiser's ([`crate::optimizer`], [`crate::kfac`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parameter {
    /// α₀.
    Alpha0,
    /// K.
    TimeConstant,
    /// β.
    Beta,
    /// μ.
    Momentum,
    /// ε.
    Epsilon,
    /// ρ of RMSprop.
    Rho,
    /// β₁ of Adam.
    Beta1,
    /// β₂ of Adam.
    Beta2,
    /// ξ.
    WeightDecay,
    /// γ of a schedule in steps ([`crate::family`]).
    Factor,
    /// r, the share of α₀ that is left at a schedule's end ([`crate::family`]).
    FinalShare,
    /// λ of K-FAC.
    Damping,
}

impl Parameter {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 12] = [
        Self::Alpha0,
        Self::TimeConstant,
        Self::Beta,
        Self::Momentum,
        Self::Epsilon,
        Self::Rho,
        Self::Beta1,
        Self::Beta2,
        Self::WeightDecay,
        Self::Factor,
        Self::FinalShare,
        Self::Damping,
    ];

    /// What stands above a column of its values on a screen.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::TimeConstant => "K",
            other => other.name(),
        }
    }

    /// Its name in a table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alpha0 => "alpha0",
            Self::TimeConstant => "time_constant",
            Self::Beta => "beta",
            Self::Momentum => "momentum",
            Self::Epsilon => "epsilon",
            Self::Rho => "rho",
            Self::Beta1 => "beta1",
            Self::Beta2 => "beta2",
            Self::WeightDecay => "weight_decay",
            Self::Factor => "factor",
            Self::FinalShare => "final_share",
            Self::Damping => "damping",
        }
    }
}

/// The three parameters of the schedule, in order.
pub const PARAMETERS: [Parameter; 3] =
    [Parameter::Alpha0, Parameter::TimeConstant, Parameter::Beta];

/// A learning rate for each step, with P tangents.
pub trait LearningRate<T: Real, const P: usize> {
    /// The learning rate of step `k` with its tangents.
    fn learning_rate<E: Elementary<T>>(&self, k: u32) -> Dual<T, P>;
}

impl<T: Real, const P: usize> LearningRate<T, P> for InverseTime<Dual<T, P>> {
    fn learning_rate<E: Elementary<T>>(&self, k: u32) -> Dual<T, P> {
        InverseTime::learning_rate::<E>(self, k)
    }
}

/// What is wrong with a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidSchedule {
    /// α₀ is not a positive finite number.
    Alpha0,
    /// K is not a positive finite number, or so small that 2³²/K is not finite.
    TimeConstant,
    /// β is negative or not finite.
    Beta,
}

impl core::fmt::Display for InvalidSchedule {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Alpha0 => "the learning rate alpha0 must be a positive finite number",
            Self::TimeConstant => {
                "the time constant K must be a positive finite number of steps, at least 1e-28 (1e-298 in f64)"
            }
            Self::Beta => "the decay exponent beta must be zero or a positive finite number",
        })
    }
}

impl core::error::Error for InvalidSchedule {}

impl<T: Real> InverseTime<T> {
    /// The schedule with these parameters: α₀ > 0, K > 0 in steps, β ≥ 0, all finite, as is 2³²/K.
    pub fn new(alpha0: T, time_constant: T, beta: T) -> Result<Self, InvalidSchedule> {
        let positive = |x: T| x.finite() && x > T::ZERO;
        if !positive(alpha0) {
            return Err(InvalidSchedule::Alpha0);
        }
        // The elapsed time k/K of every step must be a number.
        if !(positive(time_constant) && (T::from_u32(u32::MAX) / time_constant).finite()) {
            return Err(InvalidSchedule::TimeConstant);
        }
        if !(beta.finite() && beta >= T::ZERO) {
            return Err(InvalidSchedule::Beta);
        }
        Ok(Self { alpha0, time_constant, beta })
    }

    /// The parameters in order: α₀, K, β.
    pub fn parameters(self) -> [T; 3] {
        [self.alpha0, self.time_constant, self.beta]
    }

    /// The same schedule, tangent p being the derivative with respect to `directions[p]`.
    pub fn with_tangents<const P: usize>(
        self,
        directions: [Parameter; P],
    ) -> InverseTime<Dual<T, P>> {
        let number = |value: T, parameter: Parameter| Dual {
            value,
            tangents: directions.map(|d| if d == parameter { T::ONE } else { T::ZERO }),
        };
        InverseTime {
            alpha0: number(self.alpha0, Parameter::Alpha0),
            time_constant: number(self.time_constant, Parameter::TimeConstant),
            beta: number(self.beta, Parameter::Beta),
        }
    }
}

impl<T: Real, const P: usize> InverseTime<Dual<T, P>> {
    /// The schedule that keeps `learning_rate`.
    pub fn constant(learning_rate: Dual<T, P>) -> Self {
        let (one, zero) = (Dual::constant(T::ONE), Dual::constant(T::ZERO));
        Self { alpha0: learning_rate, time_constant: one, beta: zero }
    }

    /// The learning rate of step `k` with its tangents.
    pub fn learning_rate<E: Elementary<T>>(&self, k: u32) -> Dual<T, P> {
        let elapsed = Dual::constant(T::from_u32(k)) / self.time_constant;
        let base = Dual::constant(T::ONE) + elapsed;
        if k > 0 && (elapsed.value < T::from_f64(SHORT) || self.beta.value > T::from_f64(STEEP)) {
            let ln = ln_1p::<E, T>(elapsed.value);
            let divisor = E::exp(self.beta.value * ln);
            return self.by_logarithms::<E>(k, ln, self.alpha0.value / divisor);
        }
        let divisor = base.pow::<E>(self.beta);
        let rate = self.alpha0 / divisor;
        if divisor.finite() {
            return rate;
        }
        self.by_logarithms::<E>(k, E::ln(base.value), rate.value)
    }

    /// The tangents of a rate that is `value`, where k/K² or (1 + k/K)^β leaves the float's range
    /// or loses its digits: with l = ln(1 + k/K) and k > 0,
    /// α̇ = α̇₀·exp(−βl) + α₀·(K̇·β/(1 + K/k)·exp(−βl − ln K) − β̇·l·exp(−βl)).
    #[cold]
    fn by_logarithms<E: Elementary<T>>(&self, k: u32, ln: T, value: T) -> Dual<T, P> {
        let Self { alpha0, time_constant, beta } = *self;
        if P == 0 {
            return Dual::constant(value);
        }
        let exponent = T::ZERO - beta.value * ln;
        let decay = E::exp(exponent);
        let share = beta.value / (T::ONE + time_constant.value / T::from_u32(k));
        let slopes = [
            decay,
            alpha0.value * share * E::exp(exponent - E::ln(time_constant.value)),
            T::ZERO - alpha0.value * decay * ln,
        ];
        // A number that is held fixed adds nothing, whatever it is multiplied by.
        let along =
            |tangent: T, slope: T| if tangent == T::ZERO { T::ZERO } else { slope * tangent };
        let mut tangents = alpha0.tangents.map(|tangent| along(tangent, slopes[0]));
        let others = time_constant.tangents.iter().zip(&beta.tangents);
        for (sum, (&by_k, &by_b)) in tangents.iter_mut().zip(others) {
            *sum = *sum + along(by_k, slopes[1]) + along(by_b, slopes[2]);
        }
        Dual { value, tangents }
    }
}

/// k/K below which 1 + k/K keeps too few digits of it in `f32`.
const SHORT: f64 = 1.0 / 131_072.0;

/// β above which the rounding of 1 + k/K shows in its power.
const STEEP: f64 = 1_024.0;

/// ln(1 + x) for x ≥ 0 to a few units in the last place: ln(s) + (x − (s − 1))/s with s = 1 + x
/// rounded.
fn ln_1p<E: Elementary<T>, T: Real>(x: T) -> T {
    let sum = T::ONE + x;
    E::ln(sum) + (x - (sum - T::ONE)) / sum
}

/// The number a share `place`, in 0..=1, of the way from `low` up to `high` on a logarithmic scale,
/// both positive; its ends are met exactly.
pub fn geometric(low: f64, high: f64, place: f64) -> f64 {
    let ratio = Libm::ln(high / low);
    if place == 1.0 { high } else { low * Libm::exp(place * ratio) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_decays_below_the_floats_range_is_zero_with_its_tangents() {
        let schedule = InverseTime::<f32>::new(0.02, 5000.0, 100.0).unwrap();
        let (with, without) = (schedule.with_tangents(PARAMETERS), schedule.with_tangents([]));
        let mut last = f32::INFINITY;
        for k in (0..20_000).step_by(10) {
            let rate = with.learning_rate::<Libm>(k);
            assert!(rate.finite(), "step {k}: {rate:?}");
            let plain = without.learning_rate::<Libm>(k);
            assert_eq!(rate.value.to_bits(), plain.value.to_bits(), "step {k}");
            assert!(rate.value <= last);
            last = rate.value;
        }
        assert_eq!(with.learning_rate::<Libm>(19_999), Dual::constant(0.0));
    }

    /// The same in double precision, where nothing overflows.
    fn wide(schedule: InverseTime<f32>, k: u32) -> Dual<f64, 3> {
        let [alpha0, time_constant, beta] = schedule.parameters().map(f64::from);
        let wide = InverseTime { alpha0, time_constant, beta };
        wide.with_tangents(PARAMETERS).learning_rate::<Libm>(k)
    }

    #[test]
    fn every_parameters_extremes_have_the_derivatives_of_double_precision() {
        let extremes =
            [1e-28, 1e-25, 1e-20, 1e-19, 1e-18, 1e-9, 1.0, 1e3, 2e5, 1e7, 1e9, 1e12, 1e20, 1e30];
        for time_constant in extremes {
            for alpha0 in [1e-12, 1e-3, 1.0, 10.0] {
                for beta in [0.0, 1e-12, 0.25, 1.0, 1.5, 2.0, 50.0, 2e3, 1e7, 1e10, 1e20] {
                    let schedule = InverseTime::<f32>::new(alpha0, time_constant, beta).unwrap();
                    for k in [0, 1, 2, 5, 100, 20_000, 4_000_000] {
                        let found = schedule.with_tangents(PARAMETERS).learning_rate::<Libm>(k);
                        let exact = wide(schedule, k);
                        let ratio = f64::from(k) / f64::from(time_constant);
                        let near = |found: f32, exact: f64, at_most: f64, what: &str| {
                            // What the float holds with its digits.
                            if exact == 0.0 || (1e-37..3e38).contains(&exact.abs()) {
                                let off = (f64::from(found) - exact).abs();
                                assert!(
                                    off <= at_most * exact.abs(),
                                    "{schedule:?}, step {k}, {what}: {found:e}, not {exact:e}"
                                );
                            }
                        };
                        let [by_alpha0, by_time_constant, by_beta] = found.tangents;
                        near(by_time_constant, exact.tangents[1], 1e-3, "by K");
                        near(by_alpha0, exact.tangents[0], 1e-3, "by alpha0");
                        if exact.tangents[0] < 1e-37 {
                            // 1/(1 + k/K)^β is below the float's range; such a rate counts as zero.
                            continue;
                        }
                        near(found.value, exact.value, 1e-3, "rate");
                        // What 1 + k/K keeps of k/K.
                        let kept = if ratio > 1e-4 { 1e-3 } else { 1e-2 };
                        near(by_beta, exact.tangents[2], kept, "by beta");
                    }
                }
            }
        }
    }

    /// K, β, the rate, and its derivatives by K and β.
    const TABLE: [(f64, f64, f64, f64, f64); 11] = [
        (1e-160, 1.0, 3.3333333333333334e-162, 0.03333333333333333, -1.2317074238923848e-159),
        (1e-160, 2.0, 1.1e-322, 2.2222222222222223e-162, -4.1057e-320),
        (1e-298, 0.5, 5.773502691896258e-151, 2.886751345948129e147, -3.9679492483569286e-148),
        (1e-09, 3.0, 3.703703700000001e-30, 1.1111111096296298e-20, -8.082177075602215e-29),
        (5000.0, 1.0, 0.09994003597841296, 1.1985612949639772e-08, -5.9946039573017746e-05),
        (1000000000.0, 1.0, 0.09999999970000001, 2.999999982e-19, -2.9999999865000003e-10),
        (1e20, 1e20, 0.004978706836786395, 1.4936120510359184e-22, -1.4936120510359184e-22),
        (
            10000000000.0,
            10000000000.0,
            0.004978706839026813,
            1.4936120512599602e-12,
            -1.493612051484002e-12,
        ),
        (
            200000.0,
            1000000.0,
            3.0593673610456805e-08,
            2.294491103417709e-12,
            -4.589016624029884e-13,
        ),
        (1e150, 1e150, 0.004978706836786395, 1.4936120510359184e-152, -1.4936120510359184e-152),
        (1e-20, 2.0, 1.111111111111111e-42, 2.222222222222222e-22, -5.238923794283225e-41),
    ];

    /// Rates and derivatives in `f64` beside digits computed with fifty: α₀ = 0.1, step 3.
    #[test]
    fn extremes_in_double_precision_are_those_of_arbitrary_precision() {
        for (time_constant, beta, rate, by_time_constant, by_beta) in TABLE {
            let schedule = InverseTime::<f64>::new(0.1, time_constant, beta).unwrap();
            let found = schedule.with_tangents(PARAMETERS).learning_rate::<Libm>(3);
            let exact = [rate, rate / 0.1, by_time_constant, by_beta];
            let found = [&[found.value], &found.tangents[..]].concat();
            // What the float holds with its digits.
            let held = found.into_iter().zip(exact).filter(|(_, exact)| exact.abs() > 1e-300);
            for (found, exact) in held {
                let off = (found - exact).abs();
                assert!(off <= 1e-11 * exact.abs(), "{schedule:?}: {found:e}, not {exact:e}");
            }
        }
    }

    #[test]
    fn a_time_constant_is_refused_where_the_elapsed_time_overflows() {
        assert!(InverseTime::<f32>::new(0.1, 1e-28, 1.0).is_ok());
        assert_eq!(InverseTime::<f32>::new(0.1, 1e-29, 1.0), Err(InvalidSchedule::TimeConstant));
        assert!(InverseTime::<f64>::new(0.1, 1e-298, 1.0).is_ok());
        assert_eq!(InverseTime::<f64>::new(0.1, 1e-300, 1.0), Err(InvalidSchedule::TimeConstant));
    }
}
