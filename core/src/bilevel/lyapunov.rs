//! Σ = J·Σ·Jᵀ + N: the stationary covariance of z ← J·z + noise of covariance N.

use super::linear::product;
use crate::real::Real;

/// The dynamics have no stationary covariance: powers of J do not vanish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unstable;

impl core::fmt::Display for Unstable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(
            "the powers of the Jacobian do not vanish, so noise has no stationary covariance",
        )
    }
}

impl core::error::Error for Unstable {}

/// Doublings after which 2^48 steps have been summed; a spectral radius of 1 − 10⁻¹³ has died out
/// by then.
const DOUBLINGS: u32 = 48;

/// Replaces the `size`·`size` matrix `sigma`, N on entry, by the solution; `jacobian` ends as a
/// high power of itself. Σ_{i<2m} J^i·N·(J^i)ᵀ is made from Σ_{i<m} by one step of doubling.
///
/// `work` is twice as large as either matrix.
///
/// # Errors
/// When the powers of J do not vanish.
pub fn stationary<T: Real>(
    jacobian: &mut [T],
    sigma: &mut [T],
    size: usize,
    work: [&mut [T]; 2],
) -> Result<(), Unstable> {
    let [half, added] = work;
    let mut converged = false;
    for _ in 0..DOUBLINGS {
        // half = J·Σ; added = half·Jᵀ, row by row: entry (i, j) is the product of two rows.
        product(jacobian, sigma, size, size, half);
        outer(half, jacobian, size, added);
        let mut moved = T::ZERO;
        let mut total = T::ZERO;
        for (sigma, added) in sigma.iter_mut().zip(&*added) {
            *sigma = *sigma + *added;
            moved = moved.larger(magnitude(*added));
            total = total.larger(magnitude(*sigma));
        }
        if !total.finite() {
            return Err(Unstable);
        }
        let small = T::EPSILON * T::EPSILON;
        if moved <= small * total {
            converged = true;
            break;
        }
        product(jacobian, jacobian, size, size, half);
        for (to, from) in jacobian.iter_mut().zip(&*half) {
            *to = *from;
        }
    }
    if converged { Ok(()) } else { Err(Unstable) }
}

/// `c` = A·Bᵀ; each entry is a sequential sum over ascending columns.
fn outer<T: Real>(a: &[T], b: &[T], size: usize, c: &mut [T]) {
    if size == 0 {
        return;
    }
    for (c, a) in c.chunks_exact_mut(size).zip(a.chunks_exact(size)) {
        for (c, b) in c.iter_mut().zip(b.chunks_exact(size)) {
            let mut sum = T::ZERO;
            for (a, b) in a.iter().zip(b) {
                sum = sum + *a * *b;
            }
            *c = sum;
        }
    }
}

fn magnitude<T: Real>(x: T) -> T {
    if x < T::ZERO { -x } else { x }
}
