//! Unrolled inner loop: T steps of SGD, then the mean loss in nats and its forward-mode
//! hypergradient.
//!
//! Everything is carried forward: with P tangents the network holds (P + 1) × 2 × parameters
//! numbers, whatever the horizon is. For the network 784-100-100-10 in `f32` with three tangents
//! that is 89,610 × 4 × 2 × 4 = 2,867,520 bytes, before the padding of rows to whole vectors.

use core::ops::Range;

use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::mlp::{Batch, Dataset, Evaluate, Model, NonFinite, Quantity, finite};
use crate::optimizer::Optimizer;
use crate::real::Real;
use crate::sampler::Sampler;
use crate::schedule::LearningRate;
use crate::sum::Sum;

/// Where a look-ahead left the finite range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diverged {
    /// The step, counted from 0; `None` when training stayed finite and the objective did not.
    pub step: Option<u32>,
    /// What left it first.
    pub quantity: Quantity,
}

impl core::fmt::Display for Diverged {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", NonFinite(self.quantity))?;
        match self.step {
            Some(step) => write!(f, " at step {step}"),
            None => f.write_str(" in the objective"),
        }
    }
}

impl core::error::Error for Diverged {}

/// How training runs.
#[derive(Clone, Copy, Debug)]
pub struct InnerLoop<R, O> {
    /// The learning rate of each step, with its tangents.
    pub schedule: R,
    /// What makes a step of a gradient.
    pub optimizer: O,
    /// Examples in a batch.
    pub batch: usize,
}

impl<R, O> InnerLoop<R, O> {
    /// Runs the steps numbered `steps`: batch after batch from `sampler`, `batch` being room for
    /// one.
    ///
    /// After each step `observe` is given its number, its learning rate and the mean loss of its
    /// batch before the update. A run may be cut anywhere: `0..50` and then `50..100` is `0..100`.
    pub fn run<E: Elementary<T>, N, T: Real, const P: usize>(
        &self,
        network: &mut N,
        batch: &mut Batch<'_, T>,
        sampler: &mut Sampler<impl AsRef<[u32]> + AsMut<[u32]>>,
        examples: &impl Dataset<T>,
        steps: Range<u32>,
        mut observe: impl FnMut(u32, T, T),
    ) -> Result<(), Diverged>
    where
        R: LearningRate<T, P>,
        O: Optimizer<T, P>,
        N: Model<T, P, O::Update> + ?Sized,
    {
        for k in steps {
            batch.fill(examples, sampler.next_batch(self.batch));
            self.step::<E, N, T, P>(network, batch, k, &mut observe)?;
        }
        Ok(())
    }

    /// Step number `k`, on `batch`.
    pub fn step<E: Elementary<T>, N, T: Real, const P: usize>(
        &self,
        network: &mut N,
        batch: &Batch<'_, T>,
        k: u32,
        mut observe: impl FnMut(u32, T, T),
    ) -> Result<(), Diverged>
    where
        R: LearningRate<T, P>,
        O: Optimizer<T, P>,
        N: Model<T, P, O::Update> + ?Sized,
    {
        let rate = self.schedule.learning_rate::<E>(k);
        let loss = network
            .step(batch, self.optimizer.update::<E>(k, rate))
            .map_err(|NonFinite(quantity)| Diverged { step: Some(k), quantity })?;
        observe(k, rate.value, loss.value);
        Ok(())
    }
}

/// What a network is worth on a set of examples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective<T, const P: usize> {
    /// The mean loss, in nats; its tangents are the hypergradient.
    pub loss: Dual<T, P>,
    /// The share of examples classified correctly.
    pub accuracy: T,
}

/// The mean loss over the examples numbered `indices`, taken a full batch at a time: the examples
/// of a batch are summed by one [`Sum`], the batches by another.
pub fn objective<T: Real, N: Evaluate<T, P> + ?Sized, const P: usize>(
    network: &mut N,
    batch: &mut Batch<'_, T>,
    examples: &impl Dataset<T>,
    indices: &[u32],
) -> Result<Objective<T, P>, Diverged> {
    let mut losses = Sum::default();
    let mut correct = 0;
    for chunk in indices.chunks(batch.capacity().max(1)) {
        batch.fill(examples, chunk);
        let found = network.evaluate(batch);
        losses.add(found.loss);
        correct += found.correct;
    }
    let count = T::from_u32(indices.len() as u32);
    let loss = losses.total().divided(count);
    finite(loss).map_err(|NonFinite(quantity)| Diverged { step: None, quantity })?;
    Ok(Objective { loss, accuracy: T::from_u32(correct) / count })
}

#[cfg(test)]
mod tests {
    use crate::dual::Dual;
    use crate::mlp::Shape;

    /// The bytes that the documentation of this file states.
    #[test]
    fn the_papers_network_takes_the_stated_bytes() {
        let parameters = Shape::new(&[784, 100, 100, 10]).unwrap().parameters();
        assert_eq!(parameters, 89_610);
        assert_eq!(2 * parameters * size_of::<Dual<f32, 3>>(), 2_867_520);
    }
}
