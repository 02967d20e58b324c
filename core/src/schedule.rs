//! The inverse-time learning-rate schedule α_k = α₀ / (1 + k/K)^β, k = 0, 1, … (Wu et al. 2018,
//! section 4).

use crate::dual::Dual;
use crate::elementary::Elementary;
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

/// One of the three parameters, in the order in which tangents and derivatives are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// α₀.
    Alpha0,
    /// K.
    TimeConstant,
    /// β.
    Beta,
}

/// All three parameters, in order.
pub const PARAMETERS: [Parameter; 3] =
    [Parameter::Alpha0, Parameter::TimeConstant, Parameter::Beta];

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
        let divisor = base.pow::<E>(self.beta);
        let rate = self.alpha0 / divisor;
        if !divisor.value.finite() {
            // A rate that has decayed below the float's range no longer moves: its tangents are
            // zero, not 0·∞.
            return Dual { value: rate.value, tangents: [T::ZERO; P] };
        }
        if divisor.tangents.iter().all(|tangent| tangent.finite()) {
            return rate;
        }
        self.scaled_tangents::<E>(k, base.value, divisor.value)
    }

    /// The rate where k/K² or its like has left the float's range although the derivatives of the
    /// rate have not: α̇ = α̇₀/d + α·(β·K̇/(K·(1 + K/k)) − β̇·ln(1 + k/K)) with d = (1 + k/K)^β,
    /// for k > 0.
    #[cold]
    fn scaled_tangents<E: Elementary<T>>(&self, k: u32, base: T, divisor: T) -> Dual<T, P> {
        let Self { alpha0, time_constant, beta } = *self;
        let rate = alpha0.value / divisor;
        let by_time_constant = rate
            * (beta.value / (T::ONE + time_constant.value / T::from_u32(k)))
            / time_constant.value;
        let by_beta = rate * E::ln(base);
        // A number that is held fixed adds nothing, whatever it is multiplied by.
        let along =
            |tangent: T, slope: T| if tangent == T::ZERO { T::ZERO } else { slope * tangent };
        let mut tangents = alpha0.tangents.map(|tangent| tangent / divisor);
        let fixed = time_constant.tangents.iter().zip(&beta.tangents);
        for (sum, (&by_k, &by_b)) in tangents.iter_mut().zip(fixed) {
            *sum = *sum + along(by_k, by_time_constant) - along(by_b, by_beta);
        }
        Dual { value: rate, tangents }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementary::Libm;

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
        let extremes = [1e-28, 1e-25, 1e-20, 1e-19, 1e-18, 1e-9, 1.0, 1e3, 1e9, 1e30];
        for time_constant in extremes {
            for alpha0 in [1e-12, 1e-3, 1.0, 1e12] {
                for beta in [0.0, 1e-12, 0.25, 1.0, 1.5] {
                    let schedule = InverseTime::<f32>::new(alpha0, time_constant, beta).unwrap();
                    for k in [0, 1, 2, 5, 100, 20_000, 4_000_000] {
                        let found = schedule.with_tangents(PARAMETERS).learning_rate::<Libm>(k);
                        let (found_rate, exact) = (found.value, wide(schedule, k));
                        let ratio = f64::from(k) / f64::from(time_constant);
                        for (p, (found, exact)) in
                            found.tangents.into_iter().zip(exact.tangents).enumerate()
                        {
                            // What the float holds at all, and what 1 + k/K keeps of k/K.
                            let representable =
                                exact.abs() < 3e38 && exact.abs() > 1e-37 && found_rate > 1e-37;
                            let kept = ratio > 1e-2 || p != 2;
                            if exact == 0.0 || representable && kept {
                                let off = (f64::from(found) - exact).abs();
                                assert!(
                                    off <= 1e-3 * exact.abs(),
                                    "{schedule:?}, step {k}, tangent {p}: {found:e}, not {exact:e}"
                                );
                            }
                        }
                    }
                }
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
