//! Training step by step with tangents by the learning rate, of which each step carries on a share.
//!
//! The recurrence of the tangents is linear: with Z ← νZ before every step, the tangent of the
//! excess loss after T steps is Σ_t ν^{T−1−t} ∂L_T/∂α_t, the expectation of what a run of SGD finds
//! that scales the tangents of its parameters so.

use myopia_core::dual::Dual;
use myopia_core::nqm::{Response, Step, losses};
use myopia_core::vector::{F64x8, Vector};

use crate::native::Native;
use crate::quadratic::Quadratic;

/// Where training has got to, with P tangents of every direction's response.
#[derive(Clone, Debug)]
pub struct Carried<const P: usize>(Vec<Response<Dual<F64x8, P>>>);

impl<const P: usize> Carried<P> {
    /// The state before the first step.
    pub fn start(quadratic: &Quadratic) -> Self {
        Self(vec![Response::initial(); quadratic.blocks.len()])
    }

    /// Takes `steps`, one at least, and returns the excess loss after them.
    pub fn advance(&mut self, quadratic: &Quadratic, steps: &[Step<Dual<f64, P>>]) -> Dual<f64, P> {
        let mut partial = vec![Dual::default(); steps.len() + 1];
        let mut out = vec![Dual::default(); steps.len() + 1];
        losses(Native, &quadratic.blocks, steps, &mut self.0, &mut partial, &mut out);
        out[steps.len()]
    }

    /// Multiplies tangent p by `shares[p]`; with zero it is forgotten.
    pub fn scale_tangents(&mut self, shares: [f64; P]) {
        let scale = |number: &mut Dual<F64x8, P>| {
            for (tangent, share) in number.tangents.iter_mut().zip(shares) {
                let forgotten = share == 0.0;
                *tangent =
                    if forgotten { F64x8::default() } else { *tangent * F64x8::splat(share) };
            }
        };
        for response in &mut self.0 {
            let Response { position, velocity, variance, covariance, velocity_variance } = response;
            [position, velocity, variance, covariance, velocity_variance]
                .into_iter()
                .for_each(scale);
        }
    }
}
