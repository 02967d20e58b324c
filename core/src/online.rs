//! Online adaptation: while training runs, learning rate and momentum follow the derivatives of
//! short look-aheads from where it stands (Wu et al. 2018, on online meta-descent).
//!
//! They are adapted through two positive numbers whose effects are nearly independent: the
//! effective rate η = α/(1 − μ), by which a constant gradient moves the weights in the long run,
//! and the damping 1 − μ. A [`MetaDescent<T, 2>`] steps along their logarithms.

use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::meta::{Coordinate, Limits, MetaDescent};
use crate::mlp::{Batch, Dataset, Model, NonFinite, finite};
use crate::optimizer::Sgd;
use crate::real::Real;
use crate::sampler::Sampler;
use crate::unroll::Diverged;

/// Learning rate and momentum as effective rate and damping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateAndDamping<N> {
    /// η = α/(1 − μ).
    pub effective_rate: N,
    /// 1 − μ.
    pub damping: N,
}

impl<T: Real> RateAndDamping<T> {
    /// Effective rate and damping of a learning rate α > 0 and a momentum μ in 0..1.
    pub fn new(learning_rate: T, momentum: T) -> Self {
        let damping = T::ONE - momentum;
        Self { effective_rate: learning_rate / damping, damping }
    }

    /// α.
    pub fn learning_rate(self) -> T {
        self.effective_rate * self.damping
    }

    /// μ.
    pub fn momentum(self) -> T {
        T::ONE - self.damping
    }

    /// α and μ with the derivatives by η, tangent 0, and by 1 − μ, tangent 1; further tangents are
    /// zero.
    pub fn with_tangents<const P: usize>(self) -> (Dual<T, P>, Dual<T, P>) {
        let along = |value, direction| Dual {
            value,
            tangents: core::array::from_fn(|p| if p == direction { T::ONE } else { T::ZERO }),
        };
        let effective_rate = along(self.effective_rate, 0);
        let damping = along(self.damping, 1);
        (effective_rate * damping, Dual::constant(T::ONE) - damping)
    }

    /// Both after one meta-step along `gradient`, the derivatives by η and 1 − μ, all finite.
    pub fn adapted<E: Elementary<T>>(
        self,
        outer: &mut MetaDescent<T, 2>,
        gradient: [T; 2],
    ) -> Self {
        let [effective_rate, damping] =
            outer.update::<E>([self.effective_rate, self.damping], gradient);
        Self { effective_rate, damping }
    }

    /// η in 10⁻⁶…100 and 1 − μ in 10⁻³…1, gradients by their logarithms held inside ±10, as for
    /// schedules.
    pub fn default_limits() -> [Limits<T>; 2] {
        let limits = |least, greatest| Limits {
            learned: true,
            coordinate: Coordinate::Logarithm,
            clip: T::from_f32(10.0),
            least: T::from_f64(least),
            greatest: T::from_f64(greatest),
        };
        [limits(1e-6, 100.0), limits(1e-3, 1.0)]
    }
}

/// What a look-ahead trains on and is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batches {
    /// A new batch for each step and one more for the objective: the noise of training is seen.
    Fresh,
    /// One batch for all steps and the objective: there is no noise to be seen.
    Same,
}

/// A short look-ahead at a constant rate and damping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortLookAhead {
    /// Steps to look ahead.
    pub steps: u32,
    /// What they are taken on.
    pub batches: Batches,
    /// Examples in a batch.
    pub batch: usize,
}

impl ShortLookAhead {
    /// How many batches it draws.
    pub fn batches_drawn(&self) -> u32 {
        match self.batches {
            Batches::Fresh => self.steps.saturating_add(1),
            Batches::Same => 1,
        }
    }

    /// The mean loss of the last batch after the steps, in nats, its first two tangents the
    /// derivatives by η and 1 − μ.
    ///
    /// `network` starts as the training stands, parameters and velocity without tangents;
    /// afterwards it is the network that was looked ahead to.
    pub fn run<T: Real, N: Model<T, P, Sgd<Dual<T, P>, Dual<T, P>>> + ?Sized, const P: usize>(
        &self,
        network: &mut N,
        batch: &mut Batch<'_, T>,
        sampler: &mut Sampler<impl AsRef<[u32]> + AsMut<[u32]>>,
        examples: &impl Dataset<T>,
        at: RateAndDamping<T>,
    ) -> Result<Dual<T, P>, Diverged> {
        let (learning_rate, momentum) = at.with_tangents();
        let update = Sgd { learning_rate, momentum };
        batch.fill(examples, sampler.next_batch(self.batch));
        for k in 0..self.steps {
            network
                .step(batch, update)
                .map_err(|NonFinite(quantity)| Diverged { step: Some(k), quantity })?;
            if self.batches == Batches::Fresh {
                batch.fill(examples, sampler.next_batch(self.batch));
            }
        }
        let loss = network.evaluate(batch).loss.divided(T::from_u32(batch.len() as u32));
        finite(loss).map_err(|NonFinite(quantity)| Diverged { step: None, quantity })?;
        Ok(loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementary::Libm;
    use crate::meta::Rule;

    #[test]
    fn rate_and_damping_give_back_learning_rate_and_momentum() {
        let at = RateAndDamping::new(0.25f64, 0.75);
        assert_eq!((at.effective_rate, at.damping), (1.0, 0.25));
        assert_eq!((at.learning_rate(), at.momentum()), (0.25, 0.75));
        let (rate, momentum) = at.with_tangents::<2>();
        assert_eq!((rate.value, rate.tangents), (0.25, [0.25, 1.0]));
        assert_eq!((momentum.value, momentum.tangents), (0.75, [0.0, -1.0]));
    }

    #[test]
    fn momentum_stays_inside_0_to_1_however_long_it_is_pushed() {
        let mut outer = MetaDescent::new(Rule::adam(), 0.5, RateAndDamping::default_limits());
        let mut at = RateAndDamping::new(0.1f32, 0.9);
        for _ in 0..100 {
            at = at.adapted::<Libm>(&mut outer, [0.0, -1e9]);
        }
        assert_eq!(
            (at.effective_rate, at.momentum()),
            (RateAndDamping::new(0.1f32, 0.9).effective_rate, 0.0)
        );
        outer = MetaDescent::new(Rule::adam(), 0.5, RateAndDamping::default_limits());
        for _ in 0..100 {
            at = at.adapted::<Libm>(&mut outer, [0.0, 1e9]);
        }
        assert_eq!(at.damping, 1e-3);
    }
}
