//! SGD with momentum, fused into the weight gradient: v ← μ v − α g, θ ← θ + v.

use super::factor::Factor;
use super::gemm::zeros;
use super::matrix::split_mut;
use crate::dual::Dual;
use crate::real::Real;
use crate::vector::Vector;

/// α and μ, in every lane.
#[derive(Clone, Copy)]
pub struct Rates<V, M, const P: usize> {
    pub learning_rate: Dual<V, P>,
    pub momentum: M,
}

/// Parameters and velocity of one layer, updated by gradients in registers.
pub struct SgdMomentum<'a, V, M, const P: usize> {
    pub rates: Rates<V, M, P>,
    /// Rows of the parameters: inputs + 1, the biases last.
    pub rows: usize,
    pub parameters: &'a mut [Dual<V, P>],
    pub velocity: &'a mut [Dual<V, P>],
}

impl<V: Vector, M: Factor<V, P>, const P: usize> SgdMomentum<'_, V, M, P> {
    /// Float operations: for each parameter μ v − α g, θ + v and the probe; for each bias the sum
    /// over `examples`.
    pub fn flops(&self, examples: usize, panels: usize) -> u64 {
        let lanes = (panels * V::LANES) as u64;
        lanes * (self.rows as u64 * (6 + 8 * P as u64) + examples as u64 * (P as u64 + 1))
    }

    /// The first `panels` panels, and the others.
    pub fn split(self, panels: usize) -> (Self, Self) {
        let (parameters, others) = split_mut(self.parameters, self.rows, panels);
        let (velocity, rest) = split_mut(self.velocity, self.rows, panels);
        let second = Self { parameters: others, velocity: rest, ..self };
        (Self { parameters, velocity, ..self }, second)
    }

    /// Updates NR panels of one row.
    ///
    /// Adds 0·θ of all updated θ to `finite_probe`, which stays 0 while every θ is finite, else
    /// becomes NaN. It is the caller's so that it stays in a register.
    #[inline(always)]
    pub fn update<const NR: usize>(
        &mut self,
        row: usize,
        panel: usize,
        gradient: [Dual<V, P>; NR],
        finite_probe: &mut Dual<V, P>,
    ) {
        let zero = V::splat(V::Scalar::ZERO);
        for (u, g) in gradient.into_iter().enumerate() {
            let at = (panel + u) * self.rows + row;
            if let (Some(theta), Some(v)) = (self.parameters.get_mut(at), self.velocity.get_mut(at))
            {
                *v = self.rates.momentum.times(*v) - g * self.rates.learning_rate;
                *theta = *theta + *v;
                *finite_probe = *finite_probe + theta.scaled(zero);
            }
        }
    }

    /// Updates NR panels of the biases, whose gradient is the sum of the errors over the examples.
    #[inline(always)]
    pub fn update_biases<const NR: usize>(
        &mut self,
        panel: usize,
        errors: &[&[Dual<V, P>]; NR],
        examples: usize,
        finite_probe: &mut Dual<V, P>,
    ) {
        let mut sums = zeros::<V, P, NR>();
        for (sum, errors) in sums.iter_mut().zip(errors) {
            for error in errors.iter().take(examples) {
                *sum = *sum + *error;
            }
        }
        self.update(self.rows.saturating_sub(1), panel, sums, finite_probe);
    }
}
