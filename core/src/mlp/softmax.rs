//! Softmax cross-entropy of a batch.

use core::marker::PhantomData;

use crate::backend::Kernel;
use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::real::Real;
use crate::sum::Sum;
use crate::vector::Vector;

/// What a network says of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation<T, const P: usize> {
    /// The sum of the examples' losses, in nats.
    pub loss: Dual<T, P>,
    /// How many examples have their largest logit at their label.
    pub correct: u32,
}

/// Scores the logits of each example against its label, and may turn them into errors.
pub struct Softmax<'a, V, E, const P: usize> {
    pub classes: usize,
    /// As a [`Matrix`](super::matrix::Matrix) is stored.
    pub logits: &'a mut [Dual<V, P>],
    pub rows: usize,
    pub labels: &'a [u16],
    /// Whether errors shall take the place of the logits.
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
    /// The blocks of `example`, each with the number of its first class.
    #[inline(always)]
    fn blocks(&mut self, example: usize) -> impl Iterator<Item = (usize, &mut Dual<V, P>)> {
        let blocks = self.logits.iter_mut().skip(example).step_by(self.rows.max(1));
        (0..self.classes).step_by(V::LANES).zip(blocks)
    }

    /// Leaves exp(z_j − m) in the place of the logits, and returns Σ_j exp(z_j − m).
    ///
    /// m, the largest logit, is a constant shift: the loss does not depend on it, so neither do its tangents.
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
            *block = Dual { value: power, tangents: block.tangents.map(|t| power * t) };
            for lane in 0..lanes {
                total = total + block.lane(lane);
            }
        }
        losses.add(total.ln::<E>() - (of_label - Dual::constant(largest)));
        *correct += (predicted == label) as u32;
        total
    }

    /// Turns what [`score`](Self::score) left into the error δ_j = (exp(z_j − m)/total − [j = label]) / examples.
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
