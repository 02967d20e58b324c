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

/// The cross-entropy of the first `classes` logits in `row` against `label`; leaves exp(z_j − m) in their place.
///
/// m, the largest logit, is a constant shift: the loss does not depend on it, so neither do its tangents.
pub fn score<E, V, const P: usize>(
    row: &mut [Dual<V, P>],
    classes: usize,
    label: usize,
) -> Scored<V::Scalar, P>
where
    V: Vector,
    E: Elementary<V::Scalar>,
{
    let at = |row: &[Dual<V, P>], class: usize| match row.get(class / V::LANES) {
        Some(block) => block.lane(class),
        None => Dual::constant(V::Scalar::ZERO),
    };
    let mut largest = at(row, 0).value;
    let mut predicted = 0;
    for class in 1..classes {
        let z = at(row, class).value;
        if z > largest {
            largest = z;
            predicted = class;
        }
    }
    let shift = Dual::constant(largest);
    let of_label = at(row, label) - shift;
    let mut total = Dual::constant(V::Scalar::ZERO);
    for class in 0..classes {
        if let Some(block) = row.get_mut(class / V::LANES) {
            let e = (block.lane(class) - shift).exp::<E>();
            block.set_lane(class, e);
            total = total + e;
        }
    }
    Scored { loss: total.ln::<E>() - of_label, predicted, total }
}

/// Turns what [`score`] left in `row` into the error δ_j = (exp(z_j − m)/total − [j = label]) / examples.
pub fn error<V: Vector, const P: usize>(
    row: &mut [Dual<V, P>],
    classes: usize,
    label: usize,
    scored: &Scored<V::Scalar, P>,
    examples: V::Scalar,
) {
    for class in 0..classes {
        if let Some(block) = row.get_mut(class / V::LANES) {
            let mut share = block.lane(class) / scored.total;
            if class == label {
                share.value = share.value - V::Scalar::ONE;
            }
            block.set_lane(class, share.divided(examples));
        }
    }
}
