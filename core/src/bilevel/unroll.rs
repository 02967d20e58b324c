//! T steps of inner descent on ½(w − c)ᵀH(w − c), and their adjoint.

use super::linear::{Operator, add_scaled};
use crate::real::Real;

/// `w` after `steps` steps w ← w − a·H(w − c); `difference` and `product` are work space of d
/// entries.
pub fn descend<T: Real>(
    h: &impl Operator<T>,
    centre: &[T],
    step: T,
    steps: u32,
    w: &mut [T],
    [difference, product]: [&mut [T]; 2],
) {
    for _ in 0..steps {
        for ((difference, w), centre) in difference.iter_mut().zip(&*w).zip(centre) {
            *difference = *w - *centre;
        }
        h.apply(difference, product);
        add_scaled(w, -step, product);
    }
}

/// `pulled` = Σ_{t<T} (I − aH)^{T−1−t}·`v`·a: what of the gradient `v` at w_T reaches the T steps,
/// each of which saw c through a·H·c. Then (∂w_T/∂c)ᵀv = H·pulled.
///
/// `adjoint` and `product` are work space of d entries. T − 1 products: the step at w_0, which
/// depends on nothing, is not gone through.
pub fn adjoint<T: Real>(
    h: &impl Operator<T>,
    v: &[T],
    step: T,
    steps: u32,
    pulled: &mut [T],
    [adjoint, product]: [&mut [T]; 2],
) {
    pulled.fill(T::ZERO);
    for (adjoint, v) in adjoint.iter_mut().zip(v) {
        *adjoint = *v;
    }
    for left in (0..steps).rev() {
        add_scaled(pulled, step, adjoint);
        if left > 0 {
            h.apply(adjoint, product);
            add_scaled(adjoint, -step, product);
        }
    }
}
