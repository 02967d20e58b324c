//! Softmax cross-entropy of a batch, and its gradient.

use core::marker::PhantomData;

use crate::backend::Kernel;
use crate::dual::{Dual, each};
use crate::elementary::Elementary;
use crate::real::Real;
use crate::sum::Sum;
use crate::vector::Vector;

/// Loss and hits of a network on a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation<T, const P: usize> {
    /// Sum of the examples' losses, in nats.
    pub loss: Dual<T, P>,
    /// Number of examples whose largest logit is their label's.
    pub correct: u32,
}

/// Losses of the logits against the labels; with `errors` the gradients take the place of the
/// logits.
pub struct Softmax<'a, V, E, const P: usize> {
    pub classes: usize,
    /// Examples × classes, in column panels ([`Matrix`](super::matrix::Matrix)).
    pub logits: &'a mut [Dual<V, P>],
    pub rows: usize,
    pub labels: &'a [u16],
    /// True if dZ takes the place of the logits.
    pub errors: bool,
    pub elementary: PhantomData<E>,
}

impl<V: Vector, E: Elementary<V::Scalar>, const P: usize> Kernel for Softmax<'_, V, E, P> {
    type Output = Evaluation<V::Scalar, P>;

    fn label(&self) -> &'static str {
        "softmax"
    }

    #[inline(always)]
    fn run(mut self) -> Self::Output {
        let count = V::Scalar::from_u32(self.labels.len() as u32);
        let mut losses = Sum::default();
        let mut correct = 0;
        for (example, &label) in self.labels.iter().enumerate() {
            let label = usize::from(label);
            let total = self.score(example, label, &mut losses, &mut correct);
            if self.errors {
                self.error(example, label, total, count);
            }
        }
        Evaluation { loss: losses.total(), correct }
    }
}

impl<V: Vector, E: Elementary<V::Scalar>, const P: usize> Softmax<'_, V, E, P> {
    /// Blocks of `example`, each with its first class.
    #[inline(always)]
    fn blocks(&mut self, example: usize) -> impl Iterator<Item = (usize, &mut Dual<V, P>)> {
        let blocks = self.logits.iter_mut().skip(example).step_by(self.rows.max(1));
        (0..self.classes).step_by(V::LANES).zip(blocks)
    }

    /// Σ_j exp(z_j − m), m being the largest logit; exp(z_j − m) takes the place of z_j.
    ///
    /// m is a constant shift: the loss does not depend on it, so it needs no tangents.
    #[inline(always)]
    fn score(
        &mut self,
        example: usize,
        label: usize,
        losses: &mut Sum<Dual<V::Scalar, P>>,
        correct: &mut u32,
    ) -> Dual<V::Scalar, P> {
        let classes = self.classes;
        let mut largest = V::Scalar::ZERO;
        let mut predicted = 0;
        let mut of_label = Dual::default();
        for (first, block) in self.blocks(example) {
            for lane in 0..V::LANES.min(classes - first) {
                let z = block.value.lane(lane);
                if z > largest || first + lane == 0 {
                    largest = z;
                    predicted = first + lane;
                }
            }
            if (first..first + V::LANES).contains(&label) {
                of_label = block.lane(label);
            }
        }
        let mut total = Dual::constant(V::Scalar::ZERO);
        for (first, block) in self.blocks(example) {
            let lanes = V::LANES.min(classes - first);
            let shifted = block.value - V::splat(largest);
            let mut power = V::default();
            for lane in 0..lanes {
                power.set_lane(lane, E::exp(shifted.lane(lane)));
            }
            *block = Dual { value: power, tangents: each(block.tangents, |t| power * t) };
            for lane in 0..lanes {
                total = total + block.lane(lane);
            }
        }
        losses.add(total.ln::<E>() - (of_label - Dual::constant(largest)));
        *correct += (predicted == label) as u32;
        total
    }

    /// dZ after [`score`](Self::score): δ_j = (exp(z_j − m)/total − [j = label]) / examples.
    #[inline(always)]
    fn error(
        &mut self,
        example: usize,
        label: usize,
        total: Dual<V::Scalar, P>,
        examples: V::Scalar,
    ) {
        let (total, examples) = (Dual::splat(total), V::splat(examples));
        for (first, block) in self.blocks(example) {
            let mut share = *block / total;
            if (first..first + V::LANES).contains(&label) {
                share.value.set_lane(label, share.value.lane(label) - V::Scalar::ONE);
            }
            *block = share.divided(examples);
        }
    }
}
