//! Training step by step with tangents by the learning rate, of which each step carries on a share.
//!
//! The recurrence of the tangents is linear: with Z ← νZ before every step, the tangent of the
//! excess loss after T steps is Σ_t ν^{T−1−t} ∂L_T/∂α_t, α_t being the rate that multiplies the
//! whole update of step t, the expectation of what a run of SGD finds that carries its tangents so.

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

    /// Carries on the share `shares[p]` of tangent p, nothing with zero. What is forgotten of the
    /// velocity v, to which the last rate α was a factor, is that of v/α: Z ← νZ + (1 − ν)v/α.
    pub fn carry_tangents(&mut self, shares: [f64; P], rate: f64) {
        // A number that goes with a power of the velocity.
        let carry = |number: &mut Dual<F64x8, P>, power: f64| {
            for (tangent, share) in number.tangents.iter_mut().zip(shares) {
                let kept =
                    if share == 0.0 { F64x8::default() } else { *tangent * F64x8::splat(share) };
                *tangent = kept + number.value * F64x8::splat(power * (1.0 - share) / rate);
            }
        };
        for response in &mut self.0 {
            let Response { position, velocity, variance, covariance, velocity_variance } = response;
            [position, variance].into_iter().for_each(|number| carry(number, 0.0));
            [velocity, covariance].into_iter().for_each(|number| carry(number, 1.0));
            carry(velocity_variance, 2.0);
        }
    }
}
