//! The meta-step: descent on the logarithms of α₀, K and β, or on a coordinate of any N positive
//! hyperparameters each.
//!
//! For a parameter η with hypergradient ∂L/∂η, the gradient with respect to ln η is η·∂L/∂η. It is
//! clipped, an outer optimizer turns it into a step Δ, and η ← η·exp(−Δ), held inside bounds. Along
//! the logit ln(η/(1 − η)) of an η in 0…1 it is η(1 − η)·∂L/∂η, and η/(1 − η) that is multiplied.
//! The defaults are those with which the paper's authors ran their meta-descent: clip 10, α₀ in
//! 10⁻⁴…10, β in 10⁻⁴…10³; K, which they kept at 5,000, is learned here inside 1…10⁶.

use crate::elementary::Elementary;
use crate::real::Real;
use crate::schedule::InverseTime;

/// How a gradient becomes a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule<T> {
    /// m ← μ m + g, Δ = λ m.
    Momentum {
        /// μ.
        momentum: T,
    },
    /// Adam (Kingma & Ba 2015): m ← β₁ m + (1 − β₁) g, s ← β₂ s + (1 − β₂) g², both divided by
    /// their missing weight, Δ = λ m / (√s + ε).
    Adam {
        /// β₁.
        decay_mean: T,
        /// β₂.
        decay_square: T,
        /// ε.
        epsilon: T,
    },
}

impl<T: Real> Rule<T> {
    /// Momentum 0.9.
    pub fn momentum() -> Self {
        Self::Momentum { momentum: T::from_f32(0.9) }
    }

    /// Adam with its authors' constants: β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸.
    pub fn adam() -> Self {
        Self::Adam {
            decay_mean: T::from_f64(0.9),
            decay_square: T::from_f64(0.999),
            epsilon: T::from_f64(1e-8),
        }
    }
}

/// Along which coordinate a parameter is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinate {
    /// ln η, for η > 0.
    Logarithm,
    /// ln(η/(1 − η)), for 0 < η < 1.
    Logit,
}

/// What holds for one of the parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits<T> {
    /// Whether it is learned; otherwise it keeps its value.
    pub learned: bool,
    /// Along which coordinate it moves.
    pub coordinate: Coordinate,
    /// The gradient with respect to that coordinate is held inside ± this.
    pub clip: T,
    /// Its least value, above zero.
    pub least: T,
    /// Its greatest value.
    pub greatest: T,
}

/// The outer optimizer of N parameters, the three of a schedule unless said otherwise, and its
/// state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetaDescent<T, const N: usize = 3> {
    rule: Rule<T>,
    learning_rate: T,
    limits: [Limits<T>; N],
    mean: [T; N],
    square: [T; N],
    /// β₁ᵗ and β₂ᵗ after t steps.
    missing: [T; 2],
}

impl<T: Real> MetaDescent<T> {
    /// The limits of the crate's documentation, all three parameters learned.
    pub fn default_limits() -> [Limits<T>; 3] {
        let limits = |least, greatest| Limits {
            learned: true,
            coordinate: Coordinate::Logarithm,
            clip: T::from_f32(10.0),
            least: T::from_f64(least),
            greatest: T::from_f64(greatest),
        };
        [limits(1e-4, 10.0), limits(1.0, 1e6), limits(1e-4, 1e3)]
    }

    /// The schedule after one meta-step along `gradient` (∂L/∂α₀, ∂L/∂K, ∂L/∂β), all finite.
    pub fn step<E: Elementary<T>>(
        &mut self,
        schedule: InverseTime<T>,
        gradient: [T; 3],
    ) -> InverseTime<T> {
        let [alpha0, time_constant, beta] = self.update::<E>(schedule.parameters(), gradient);
        InverseTime { alpha0, time_constant, beta }
    }
}

impl<T: Real, const N: usize> MetaDescent<T, N> {
    /// A fresh optimizer with meta-learning rate λ.
    pub fn new(rule: Rule<T>, learning_rate: T, limits: [Limits<T>; N]) -> Self {
        Self {
            rule,
            learning_rate,
            limits,
            mean: [T::ZERO; N],
            square: [T::ZERO; N],
            missing: [T::ONE; 2],
        }
    }

    /// The parameters after one meta-step along `gradient`, the derivatives by each of them, all
    /// finite.
    pub fn update<E: Elementary<T>>(&mut self, parameters: [T; N], gradient: [T; N]) -> [T; N] {
        if let Rule::Adam { decay_mean, decay_square, .. } = self.rule {
            let [mean, square] = self.missing;
            self.missing = [mean * decay_mean, square * decay_square];
        }
        let [weight, weight_square] = self.missing.map(|missing| T::ONE - missing);
        let mut updated = parameters;
        let state = self.mean.iter_mut().zip(self.square.iter_mut());
        for (((value, derivative), limits), (mean, square)) in
            updated.iter_mut().zip(gradient).zip(&self.limits).zip(state)
        {
            if !limits.learned {
                continue;
            }
            let slope = match limits.coordinate {
                Coordinate::Logarithm => *value * derivative,
                Coordinate::Logit => *value * (T::ONE - *value) * derivative,
            };
            let g = slope.clamped(T::ZERO - limits.clip, limits.clip);
            let step = match self.rule {
                Rule::Momentum { momentum } => {
                    *mean = momentum * *mean + g;
                    self.learning_rate * *mean
                }
                Rule::Adam { decay_mean, decay_square, epsilon } => {
                    *mean = decay_mean * *mean + (T::ONE - decay_mean) * g;
                    *square = decay_square * *square + (T::ONE - decay_square) * (g * g);
                    let root = E::sqrt(*square / weight_square);
                    self.learning_rate * (*mean / weight) / (root + epsilon)
                }
            };
            let scaled = *value * E::exp(T::ZERO - step);
            let moved = match limits.coordinate {
                Coordinate::Logarithm => scaled,
                Coordinate::Logit => scaled / (T::ONE - *value + scaled),
            };
            *value = moved.clamped(limits.least, limits.greatest);
        }
        updated
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementary::Libm;

    fn start() -> InverseTime<f64> {
        InverseTime { alpha0: 0.1, time_constant: 50.0, beta: 1.0 }
    }

    /// The first step of Adam is the meta-learning rate along the sign, whatever the size of the
    /// gradient.
    #[test]
    fn adam_moves_each_logarithm_by_the_meta_learning_rate_at_first() {
        let mut meta = MetaDescent::new(Rule::adam(), 0.1, MetaDescent::default_limits());
        let next = meta.step::<Libm>(start(), [3.0, -0.001, 0.5]).parameters();
        let factors = [0.904_837_418, 1.105_170_918, 0.904_837_418];
        for ((now, before), factor) in next.iter().zip(start().parameters()).zip(factors) {
            assert!((now / before - factor).abs() < 1e-5, "{now} / {before}");
        }
    }

    #[test]
    fn momentum_sums_clipped_gradients_and_bounds_hold() {
        let mut meta = MetaDescent::new(Rule::momentum(), 0.01, MetaDescent::default_limits());
        let one = meta.step::<Libm>(start(), [1e9, 0.0, 0.0]);
        assert!((one.alpha0 / 0.1 - 0.904_837_418).abs() < 1e-6, "clip 10 times 0.01: {one:?}");
        assert_eq!((one.time_constant, one.beta), (50.0, 1.0));
        let mut schedule = one;
        for _ in 0..100 {
            schedule = meta.step::<Libm>(schedule, [1e9, -1e9, -1e9]);
        }
        assert_eq!(schedule.parameters(), [1e-4, 1e6, 1e3]);
    }

    #[test]
    fn along_the_logit_the_odds_are_multiplied_and_one_is_never_reached() {
        let mut limits = MetaDescent::<f64>::default_limits().map(|limits| Limits {
            coordinate: Coordinate::Logit,
            least: 1e-4,
            greatest: 0.9999,
            ..limits
        });
        limits[2].learned = false;
        let mut meta = MetaDescent::new(Rule::momentum(), 0.5, limits);
        let next = meta.update::<Libm>([0.9, 0.2, 0.5], [-2.0, 4.0, 1.0]);
        let odds = |x: f64| x / (1.0 - x);
        let expected = [9.0 * Libm::exp(0.5 * 2.0 * 0.09), 0.25 * Libm::exp(-0.5 * 4.0 * 0.16)];
        for (found, expected) in next.into_iter().zip(expected) {
            assert!((odds(found) - expected).abs() < 1e-12 * expected, "{found}");
        }
        assert_eq!(next[2], 0.5);
        let mut far = next;
        for _ in 0..100 {
            far = meta.update::<Libm>(far, [-1e9, 1e9, 0.0]);
        }
        assert_eq!(far, [0.9999, 1e-4, 0.5]);
    }

    #[test]
    fn a_parameter_that_is_not_learned_keeps_its_bits() {
        let mut limits = MetaDescent::default_limits();
        limits[1].learned = false;
        let mut meta = MetaDescent::new(Rule::adam(), 0.1, limits);
        let next = meta.step::<Libm>(start(), [1.0; 3]);
        assert_eq!(next.time_constant.to_bits(), 50.0f64.to_bits());
        assert_ne!(next.beta, 1.0);
    }
}
