//! x ≈ H⁻¹v by Neumann series, conjugate gradient or Nyström, from products with H alone.

use super::cholesky::{self, NotPositiveDefinite};
use super::linear::{Operator, add_scaled, dot};
use crate::elementary::{Elementary, Libm};
use crate::real::Real;

/// `x` = a·Σ_{j≤K} (I − aH)^j·`v`, K + 1 terms with K products; `term` and `product` are work space
/// of d entries.
///
/// In a direction of curvature h this is (1 − (1 − ah)^{K+1})/h: its relative error is (1 −
/// ah)^{K+1}, so directions with h ≪ 1/(aK) are as good as unseen, and with ah > 2 it diverges. K =
/// 0 is a·v, the identity in place of H⁻¹.
pub fn neumann<T: Real>(
    h: &impl Operator<T>,
    v: &[T],
    step: T,
    terms: u32,
    x: &mut [T],
    [term, product]: [&mut [T]; 2],
) {
    term.copy_from_slice_checked(v);
    x.copy_from_slice_checked(v);
    for _ in 0..terms {
        h.apply(term, product);
        add_scaled(term, -step, product);
        add_scaled(x, T::ONE, term);
    }
    for x in x {
        *x = *x * step;
    }
}

/// `copy_from_slice` that copies what fits instead of panicking.
pub(super) trait CopyChecked<T> {
    /// Copies as many entries as both have.
    fn copy_from_slice_checked(&mut self, from: &[T]);
}

impl<T: Copy> CopyChecked<T> for [T] {
    fn copy_from_slice_checked(&mut self, from: &[T]) {
        for (to, from) in self.iter_mut().zip(from) {
            *to = *from;
        }
    }
}

/// What conjugate gradient ended with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Solved<T> {
    /// Products with H.
    pub products: u32,
    /// |v − Hx|/|v| by the recurrence; zero when v is.
    pub residual: T,
}

/// A direction p with pᵀHp ≤ 0: H is not positive definite, and conjugate gradient has no next
/// step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Indefinite<T> {
    /// Products with H before it was met, itself among them.
    pub products: u32,
    /// pᵀHp/pᵀp.
    pub curvature: T,
}

impl<T: Real> core::fmt::Display for Indefinite<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (curvature, products) = (self.curvature.to_f64(), self.products);
        write!(f, "direction {products} of conjugate gradient has curvature {curvature:e}")
    }
}

impl<T: Real> core::error::Error for Indefinite<T> {}

/// `x` ≈ H⁻¹`v` by at most `iterations` of conjugate gradient from zero, ended when |v − Hx| ≤
/// `tolerance`·|v|; `work` is three times d entries.
///
/// Directions are conjugate by the recurrence p ← r + (|r|²/|r_old|²)·p with the *new* residual r.
///
/// # Errors
/// A direction along which H is not positive.
pub fn conjugate_gradient<T: Real>(
    h: &impl Operator<T>,
    v: &[T],
    iterations: u32,
    tolerance: T,
    x: &mut [T],
    [r, p, q]: [&mut [T]; 3],
) -> Result<Solved<T>, Indefinite<T>>
where
    Libm: Elementary<T>,
{
    x.fill(T::ZERO);
    r.copy_from_slice_checked(v);
    p.copy_from_slice_checked(v);
    let start = dot(v, v);
    let mut square = start;
    let mut products = 0;
    while products < iterations && square > tolerance * tolerance * start {
        h.apply(p, q);
        products += 1;
        let curvature = dot(p, q);
        let positive = curvature > T::ZERO;
        if !positive {
            return Err(Indefinite { products, curvature: curvature / dot(p, p) });
        }
        let step = square / curvature;
        add_scaled(x, step, p);
        add_scaled(r, -step, q);
        let next = dot(r, r);
        let turn = next / square;
        square = next;
        for (p, r) in p.iter_mut().zip(&*r) {
            *p = *r + turn * *p;
        }
    }
    let residual = if start > T::ZERO { Libm::sqrt(square / start) } else { T::ZERO };
    Ok(Solved { products, residual })
}

/// `x` = (Ĥ + ρI)⁻¹`v` with Ĥ = C·W⁻¹·Cᵀ the Nyström approximation of H by k of its columns: C
/// those columns, W the k·k block of H where they meet. By Woodbury's identity x = v/ρ − C·(W +
/// CᵀC/ρ)⁻¹·Cᵀv/ρ².
///
/// `columns` holds C transposed: k rows of d entries, filled by the caller with k products;
/// `places` says which columns they are. `block` is work space of k·k entries, `small` of k.
///
/// # Errors
/// When W + CᵀC/ρ is not positive definite, which it is for a positive definite H.
pub fn nystrom<T: Real>(
    columns: &[T],
    places: &[u32],
    v: &[T],
    rho: T,
    x: &mut [T],
    block: &mut [T],
    small: &mut [T],
) -> Result<(), NotPositiveDefinite<T>>
where
    Libm: Elementary<T>,
{
    let (rank, dimension) = (places.len(), v.len());
    for (x, v) in x.iter_mut().zip(v) {
        *x = *v / rho;
    }
    if rank == 0 || dimension == 0 {
        return Ok(());
    }
    let rows = || columns.chunks_exact(dimension).take(rank);
    for (entries, row) in block.chunks_exact_mut(rank).zip(rows()) {
        for ((entry, place), other) in entries.iter_mut().zip(places).zip(rows()) {
            let meeting = row.get(*place as usize).copied().unwrap_or(T::ZERO);
            *entry = meeting + dot(row, other) / rho;
        }
    }
    cholesky::factor(block, rank)?;
    for (small, row) in small.iter_mut().zip(rows()) {
        *small = dot(row, v);
    }
    cholesky::solve(block, small);
    let square = rho * rho;
    for (small, row) in small.iter().zip(rows()) {
        add_scaled(x, -(*small / square), row);
    }
    Ok(())
}
