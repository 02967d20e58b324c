//! Jacobians of the joint dynamics of both players on a quadratic.
//!
//! The inner player descends ½(w − Aλ)ᵀH(w − Aλ) at rate a. The outer player descends its
//! hypergradient at rate b; on this problem that is g(w) = Aᵀ·G·(w − w*) plus a constant, taken
//!
//! - at the present w (*simultaneous*): w⁺ = w − aH(w − Aλ), λ⁺ = λ − b·g(w);
//! - at the new w (*alternating*): the same w⁺, λ⁺ = λ − b·g(w⁺);
//! - at the best response (*Stackelberg*): λ⁺ = λ − b·g(Aλ), whose Jacobian is that of λ alone.

use super::linear::{multiply, multiply_transposed};
use crate::real::Real;

/// What the Jacobians are made of: matrices in row-major order.
#[derive(Clone, Copy, Debug)]
pub struct Game<'a, T> {
    /// H, d·d.
    pub hessian: &'a [T],
    /// H·A, d·p.
    pub mixed: &'a [T],
    /// Aᵀ·G, p·d.
    pub pull: &'a [T],
    /// d.
    pub inner: usize,
    /// p.
    pub outer: usize,
}

impl<T: Real> Game<'_, T> {
    /// d + p, the rows of a joint Jacobian.
    pub fn size(&self) -> usize {
        self.inner + self.outer
    }

    /// The d upper rows of both joint dynamics: [I − aH, aHA].
    fn follower(&self, a: T, jacobian: &mut [T]) {
        if self.size() == 0 {
            return;
        }
        let rows = jacobian.chunks_exact_mut(self.size()).take(self.inner).enumerate();
        for (i, row) in rows {
            let Some((left, right)) = row.split_at_mut_checked(self.inner) else { continue };
            let hessian = self.hessian.iter().skip(i * self.inner);
            for (j, (entry, h)) in left.iter_mut().zip(hessian).enumerate() {
                let one = if i == j { T::ONE } else { T::ZERO };
                *entry = one - a * *h;
            }
            for (entry, m) in right.iter_mut().zip(self.mixed.iter().skip(i * self.outer)) {
                *entry = a * *m;
            }
        }
    }

    /// The (d + p)² Jacobian of the simultaneous dynamics.
    pub fn simultaneous(&self, a: T, b: T, jacobian: &mut [T]) {
        self.follower(a, jacobian);
        self.leader(b, jacobian, |pull, left, right| {
            for (entry, pull) in left.iter_mut().zip(pull) {
                *entry = *pull;
            }
            right.fill(T::ZERO);
        });
    }

    /// The (d + p)² Jacobian of the alternating dynamics.
    pub fn alternating(&self, a: T, b: T, jacobian: &mut [T]) {
        self.follower(a, jacobian);
        self.leader(b, jacobian, |pull, left, right| {
            // pull·(I − aH) and pull·aHA; H is symmetric.
            multiply(self.hessian, pull, left);
            for (entry, pull) in left.iter_mut().zip(pull) {
                *entry = *pull - a * *entry;
            }
            multiply_transposed(self.mixed, pull, right);
            for entry in right {
                *entry = a * *entry;
            }
        });
    }

    /// The p lower rows, I − b·(what `response` writes of ∂g/∂w and ∂g/∂λ).
    fn leader(&self, b: T, jacobian: &mut [T], response: impl Fn(&[T], &mut [T], &mut [T])) {
        if self.inner == 0 {
            return;
        }
        let rows = jacobian.chunks_exact_mut(self.size()).skip(self.inner);
        for (k, (row, pull)) in rows.zip(self.pull.chunks_exact(self.inner)).enumerate() {
            let Some((left, right)) = row.split_at_mut_checked(self.inner) else { continue };
            response(pull, left, right);
            for entry in left {
                *entry = -(b * *entry);
            }
            for (j, entry) in right.iter_mut().enumerate() {
                let one = if j == k { T::ONE } else { T::ZERO };
                *entry = one - b * *entry;
            }
        }
    }

    /// The p² Jacobian of the Stackelberg dynamics, I − b·AᵀGA; `a_matrix` is A, d·p.
    pub fn stackelberg(&self, b: T, a_matrix: &[T], jacobian: &mut [T]) {
        if self.inner == 0 || self.outer == 0 {
            return;
        }
        let rows = jacobian.chunks_exact_mut(self.outer).zip(self.pull.chunks_exact(self.inner));
        for (k, (row, pull)) in rows.enumerate() {
            multiply_transposed(a_matrix, pull, row);
            for (j, entry) in row.iter_mut().enumerate() {
                let one = if j == k { T::ONE } else { T::ZERO };
                *entry = one - b * *entry;
            }
        }
    }
}
