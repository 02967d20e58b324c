//! Softmax cross-entropy of one example.

use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::real::Real;
use crate::vector::Vector;

/// What the logits of one example say.
pub struct Scored<T, const P: usize> {
    /// The cross-entropy, in nats.
    pub loss: Dual<T, P>,
    /// The class with the largest logit, the first of several.
    pub predicted: usize,
    /// Σ_j exp(z_j − m).
    total: Dual<T, P>,
}

/// The logits of one example among those of a batch, stored as a [`Matrix`](super::matrix::Matrix) is.
pub struct Logits<'a, V, const P: usize> {
    pub elements: &'a mut [Dual<V, P>],
    pub rows: usize,
    pub example: usize,
    pub classes: usize,
}

impl<V: Vector, const P: usize> Logits<'_, V, P> {
    fn get(&self, class: usize) -> Dual<V::Scalar, P> {
        match self.elements.get(class / V::LANES * self.rows + self.example) {
            Some(block) => block.lane(class),
            None => Dual::constant(V::Scalar::ZERO),
        }
    }

    fn set(&mut self, class: usize, x: Dual<V::Scalar, P>) {
        if let Some(block) = self.elements.get_mut(class / V::LANES * self.rows + self.example) {
            block.set_lane(class, x);
        }
    }
}

/// The cross-entropy of the logits in `row` against `label`; leaves exp(z_j − m) in their place.
///
/// m, the largest logit, is a constant shift: the loss does not depend on it, so neither do its tangents.
pub fn score<E, V, const P: usize>(row: &mut Logits<'_, V, P>, label: usize) -> Scored<V::Scalar, P>
where
    V: Vector,
    E: Elementary<V::Scalar>,
{
    let mut largest = row.get(0).value;
    let mut predicted = 0;
    for class in 1..row.classes {
        let z = row.get(class).value;
        if z > largest {
            largest = z;
            predicted = class;
        }
    }
    let shift = Dual::constant(largest);
    let of_label = row.get(label) - shift;
    let mut total = Dual::constant(V::Scalar::ZERO);
    for class in 0..row.classes {
        let e = (row.get(class) - shift).exp::<E>();
        row.set(class, e);
        total = total + e;
    }
    Scored { loss: total.ln::<E>() - of_label, predicted, total }
}

/// Turns what [`score`] left in `row` into the error δ_j = (exp(z_j − m)/total − [j = label]) / examples.
pub fn error<V: Vector, const P: usize>(
    row: &mut Logits<'_, V, P>,
    label: usize,
    scored: &Scored<V::Scalar, P>,
    examples: V::Scalar,
) {
    for class in 0..row.classes {
        let mut share = row.get(class) / scored.total;
        if class == label {
            share.value = share.value - V::Scalar::ONE;
        }
        row.set(class, share.divided(examples));
    }
}
