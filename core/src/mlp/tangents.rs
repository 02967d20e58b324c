//! Euclidean norm of a network's tangent, division by it, and shares of all tangents: what a
//! Lyapunov exponent, a truncated and a discounted derivative need between steps.
//!
//! The squares are summed in `f64`, in the serial order of the parameters and then of their state,
//! through [`Sum`]: the bits do not depend on the width of a vector.

use super::layout::Slots;
use super::network::Network;
use super::shape::Shape;
use crate::backend::{Backend, Scalar};
use crate::dual::Dual;
use crate::elementary::{Elementary, Libm};
use crate::real::Real;
use crate::sum::Sum;
use crate::vector::Vector;

impl<G: Backend, E: Elementary<Scalar<G>>, const P: usize, const S: usize, const N: bool>
    Network<'_, G, P, E, S, N>
{
    /// Divides the first tangent of parameters and state by its Euclidean norm, which it returns;
    /// a zero tangent stays. Zero without tangents.
    pub fn normalise_tangent(&mut self) -> f64 {
        let shape = self.shape();
        let (parameters, state) = self.storage();
        let mut squares = Sum::default();
        add_squares::<_, _, P, 1, N>(shape, parameters, &mut squares, |block| [*block]);
        add_squares::<_, _, P, S, N>(shape, state, &mut squares, |Slots(slots)| *slots);
        let norm = Libm::sqrt(squares.total());
        let scale = Scalar::<G>::from_f64(norm);
        if scale > Scalar::<G>::ZERO {
            let scale = G::Vector::splat(scale);
            let slots = state.iter_mut().flat_map(|Slots(slots)| slots);
            for block in parameters.iter_mut().chain(slots) {
                if let Some(tangent) = block.tangents.first_mut() {
                    *tangent = *tangent / scale;
                }
            }
        }
        norm
    }

    /// Carries on the share `shares[p]` of tangent p, nothing of it with a share of zero, and adds
    /// `impulses[p]` times the value to that of the state: of parameters Z ← νZ, of the state
    /// Z ← νZ + κx.
    ///
    /// Between two steps it is what discounts or truncates a derivative by a number that all steps
    /// share; κx is the derivative of a state that is proportional to that number.
    pub fn carry_tangents(&mut self, shares: [Scalar<G>; P], impulses: [Scalar<G>; P]) {
        let carried = |tangent: G::Vector, share: Scalar<G>| {
            if share == Scalar::<G>::ZERO {
                G::Vector::default()
            } else {
                tangent * G::Vector::splat(share)
            }
        };
        let (parameters, state) = self.storage();
        for block in parameters {
            for (tangent, share) in block.tangents.iter_mut().zip(shares) {
                *tangent = carried(*tangent, share);
            }
        }
        for block in state.iter_mut().flat_map(|Slots(slots)| slots) {
            let Dual { value, tangents } = block;
            for ((tangent, share), impulse) in tangents.iter_mut().zip(shares).zip(impulses) {
                *tangent = carried(*tangent, share) + *value * G::Vector::splat(impulse);
            }
        }
    }
}

/// Adds the squares of the first tangents of all `slots` of `elements`, in serial order.
#[inline(always)]
fn add_squares<V: Vector, B, const P: usize, const S: usize, const N: bool>(
    shape: Shape<'_>,
    mut elements: &[B],
    squares: &mut Sum<f64>,
    slots: impl Fn(&B) -> [Dual<V, P>; S],
) {
    for (layer, rows) in shape.with_rows::<N>() {
        let length = rows * layer.outputs.div_ceil(V::LANES);
        let (of_layer, rest) = elements.split_at_checked(length).unwrap_or_default();
        elements = rest;
        for row in 0..rows {
            let blocks = of_layer.iter().skip(row).step_by(rows.max(1));
            for (first, block) in (0..layer.outputs).step_by(V::LANES).zip(blocks) {
                let slots = slots(block);
                for lane in 0..V::LANES.min(layer.outputs - first) {
                    for slot in &slots {
                        if let Some(tangent) = slot.tangents.first() {
                            let x = tangent.lane(lane).to_f64();
                            squares.add(x * x);
                        }
                    }
                }
            }
        }
    }
}
