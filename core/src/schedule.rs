//! The inverse-time learning-rate schedule α_k = α₀ / (1 + k/K)^β, k = 0, 1, … (Wu et al. 2018, section 4).

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
    /// K is not a positive finite number.
    TimeConstant,
    /// β is negative or not finite.
    Beta,
}

impl core::fmt::Display for InvalidSchedule {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Alpha0 => "the learning rate alpha0 must be a positive finite number",
            Self::TimeConstant => "the time constant K must be a positive finite number of steps",
            Self::Beta => "the decay exponent beta must be zero or a positive finite number",
        })
    }
}

impl core::error::Error for InvalidSchedule {}

impl<T: Real> InverseTime<T> {
    /// The schedule with these parameters: α₀ > 0, K > 0 in steps, β ≥ 0, all finite.
    pub fn new(alpha0: T, time_constant: T, beta: T) -> Result<Self, InvalidSchedule> {
        let positive = |x: T| x.finite() && x > T::ZERO;
        if !positive(alpha0) {
            return Err(InvalidSchedule::Alpha0);
        }
        if !positive(time_constant) {
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
        let mut divisor = base.pow::<E>(self.beta);
        // A rate that has decayed below the float's range no longer moves: its tangents are zero, not 0·∞.
        let overflown = !divisor.value.finite();
        for tangent in divisor.tangents.iter_mut() {
            if overflown || !tangent.finite() {
                *tangent = T::ZERO;
            }
        }
        self.alpha0 / divisor
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
}
