//! The Cholesky factor of a damped statistic, and solutions with it: lanes are columns.
//!
//! ```text
//! M = L Lᵀ:  L_ij = (M_ij − Σ_{k<j} L_ik L_jk) / L_jj for i > j,  L_jj = √(M_jj − Σ_{k<j} L_jk²)
//! L y = b:   y_i = (b_i − Σ_{k<i} L_ik y_k) / L_ii, k ascending
//! Lᵀ x = y:  x_i = (y_i − Σ_{k>i} L_ki x_k) / L_ii, k descending
//! ```
//!
//! Each sum begins at M_ij, b_i or y_i, and its terms are subtracted one after the other. They are
//! taken in blocks of k whose rows stay in L1; partial sums are stored in between.
//!
//! Row i of Lᵀ right of the diagonal is row i of L⁻¹ M, so that the factor is found panel by panel
//! of M by the same elimination that solves.

use core::marker::PhantomData;

use crate::backend::Kernel;
use crate::dual::{Dual, each};
use crate::elementary::Elementary;
use crate::mlp::blocking::L1_BYTES;
use crate::mlp::gemm::PanelPass;
use crate::mlp::matrix::{Matrix, panels_mut, row_of, split_mut};
use crate::mlp::rule::root;
use crate::real::Real;
use crate::vector::Vector;

/// A Cholesky factor L, row after row: row i holds L_ik up to the diagonal, and L_ki right of it.
#[derive(Clone, Copy)]
pub struct Root<'a, T, const P: usize> {
    pub elements: &'a [Dual<T, P>],
    pub size: usize,
}

impl<'a, T: Real, const P: usize> Root<'a, T, P> {
    #[inline(always)]
    fn row(self, i: usize) -> &'a [Dual<T, P>] {
        let start = i * self.size;
        self.elements.get(start..start + self.size).unwrap_or_default()
    }
}

/// Subtracts from `sums` the rows of `x` times `factors`, (row, factor) in the order of the sum.
#[inline(always)]
fn subtract<V: Vector, const P: usize, const NR: usize>(
    sums: &mut [Dual<V, P>; NR],
    x: &[&[Dual<V, P>]; NR],
    factors: impl Iterator<Item = (usize, Dual<V::Scalar, P>)>,
) {
    for (k, factor) in factors {
        let Some(row) = row_of(x, k) else { break };
        let factor = Dual::splat(factor);
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum = *sum - *x * factor;
        }
    }
}

/// Replaces the first `rows` rows of NR panels by the solution of L y = b, or with `BACK` all rows,
/// the last one first, by that of Lᵀ x = y.
#[inline(always)]
fn substitute<V: Vector, const P: usize, const NR: usize, const BACK: bool>(
    l: Root<'_, V::Scalar, P>,
    rows: usize,
    x: &mut [&mut [Dual<V, P>]; NR],
) {
    let at = |n: usize| if BACK { l.size.saturating_sub(n + 1) } else { n };
    let block = const {
        let rows = L1_BYTES / 2 / (NR * size_of::<Dual<V, P>>());
        if rows > 0 { rows } else { 1 }
    };
    for first in (0..rows).step_by(block) {
        let end = rows.min(first + block);
        for n in first..rows {
            let (i, until) = (at(n), n.min(end));
            let row = l.row(i);
            let shared = x.each_ref().map(|panel| &**panel);
            let Some(mut sums) = row_of(&shared, i).map(|row| each(row, |x| *x)) else { return };
            if BACK {
                let factors = row.get(at(until) + 1..at(first) + 1).unwrap_or_default();
                let factors = factors.iter().rev().enumerate();
                subtract(&mut sums, &shared, factors.map(|(k, l)| (at(first + k), *l)));
            } else {
                let factors = row.get(first..until).unwrap_or_default().iter().enumerate();
                subtract(&mut sums, &shared, factors.map(|(k, l)| (first + k, *l)));
            }
            if n < end
                && let Some(pivot) = row.get(i)
            {
                let pivot = Dual::splat(*pivot);
                sums = each(sums, |sum| sum / pivot);
            }
            for (panel, sum) in x.iter_mut().zip(sums) {
                if let Some(x) = panel.get_mut(i) {
                    *x = sum;
                }
            }
        }
    }
}

/// Replaces `right` by M⁻¹ `right`, M = L Lᵀ, in column panels.
pub struct Solve<'a, V: Vector, const P: usize> {
    pub root: Root<'a, V::Scalar, P>,
    pub right: &'a mut [Dual<V, P>],
}

impl<V: Vector, const P: usize> PanelPass<V, P> for Solve<'_, V, P> {
    const ACCUMULATORS: usize = P + 1;
    fn label(&self) -> &'static str {
        "triangular solutions"
    }
    fn flops(&self, panels: usize) -> u64 {
        let size = self.root.size as u64;
        size * size * (panels * V::LANES) as u64 * (2 + 4 * P as u64)
    }
    fn resident_bytes(&self) -> usize {
        // Blocks of k are as short as they must be.
        size_of::<Dual<V, P>>()
    }
    fn split(self, panels: usize) -> (Self, Self) {
        let (right, others) = split_mut(self.right, self.root.size, panels);
        (Self { right, ..self }, Self { right: others, ..self })
    }

    #[inline(always)]
    fn compute<const NR: usize>(&mut self, panel: usize) -> Dual<V, P> {
        let size = self.root.size;
        if let Some(mut x) = panels_mut::<V, P, NR>(self.right, size, panel) {
            substitute::<V, P, NR, false>(self.root, size, &mut x);
            substitute::<V, P, NR, true>(self.root, size, &mut x);
        }
        Dual::default()
    }
}

/// Finds the Cholesky factor of `statistic` + `damping` I.
pub struct Factor<'a, V: Vector, E, const P: usize, const Q: usize> {
    /// Symmetric.
    statistic: Matrix<'a, V, Q>,
    size: usize,
    damping: Dual<V::Scalar, P>,
    /// Becomes the factor.
    root: &'a mut [Dual<V::Scalar, P>],
    /// Room for a panel.
    column: &'a mut [Dual<V, P>],
    elementary: PhantomData<E>,
}

/// Room for a factor, and for a panel of it.
type FactorRoom<'a, V, const P: usize> =
    (&'a mut [Dual<<V as Vector>::Scalar, P>], &'a mut [Dual<V, P>]);

impl<'a, V: Vector, E, const P: usize, const Q: usize> Factor<'a, V, E, P, Q> {
    /// That of the first `size` rows and columns.
    pub fn new(
        statistic: Matrix<'a, V, Q>,
        size: usize,
        damping: Dual<V::Scalar, P>,
        (root, column): FactorRoom<'a, V, P>,
    ) -> Self {
        Self { statistic, size, damping, root, column, elementary: PhantomData }
    }
}

impl<V: Vector, E: Elementary<V::Scalar>, const P: usize, const Q: usize> Kernel
    for Factor<'_, V, E, P, Q>
{
    /// False where a pivot is not above `size`·ε times the diagonal entry that it came from: below,
    /// its sign is rounding.
    type Output = bool;

    fn label(&self) -> &'static str {
        "Cholesky factors"
    }

    fn flops(&self) -> u64 {
        let size = self.size as u64;
        size * size * size / 6 * (2 + 4 * P as u64)
    }

    #[inline(always)]
    fn run(mut self) -> bool {
        let noise = V::Scalar::from_u32(self.size as u32) * V::Scalar::EPSILON;
        for (panel, first) in (0..self.size).step_by(V::LANES).enumerate() {
            let end = self.size.min(first + V::LANES);
            self.load(panel, first, end);
            let l = Root { elements: &*self.root, size: self.size };
            substitute::<V, P, 1, false>(l, first, &mut [&mut *self.column]);
            for i in first..end {
                let column = &*self.column;
                let Some(mut sums) = column.get(i).map(|x| [*x]) else { return false };
                let [before] = sums;
                let factors = column.iter().take(i).map(|x| x.lane(i)).enumerate();
                subtract(&mut sums, &[column], factors);
                let [left] = sums;
                let (diagonal, pivot) = (before.value.lane(i), left.lane(i));
                // A NaN compares with nothing and is refused too.
                let positive = diagonal > V::Scalar::ZERO && pivot.value > noise * diagonal;
                if !positive {
                    return false;
                }
                let pivot = root::<_, E, P>(pivot);
                self.put(i, left / Dual::splat(pivot), pivot);
            }
        }
        true
    }
}

impl<V: Vector, E, const P: usize, const Q: usize> Factor<'_, V, E, P, Q> {
    /// Panel number `panel` of the damped statistic down to its diagonal block, which are the rows
    /// `first`..`end`.
    #[inline(always)]
    fn load(&mut self, panel: usize, first: usize, end: usize) {
        let from = self.statistic.elements.get(panel * self.statistic.rows..).unwrap_or_default();
        for (row, (to, from)) in self.column.iter_mut().zip(from).take(end).enumerate() {
            *to = Dual::constant(from.value);
            for (to, from) in to.tangents.iter_mut().zip(from.tangents) {
                *to = from;
            }
            if row >= first {
                to.set_lane(row, to.lane(row) + self.damping);
            }
        }
    }

    /// Row `i` of the panel is `solved`, and row `i` of the factor is known with its `pivot`.
    #[inline(always)]
    fn put(&mut self, i: usize, solved: Dual<V, P>, pivot: Dual<V::Scalar, P>) {
        let size = self.size;
        for (k, x) in self.column.iter().take(i).enumerate() {
            let l = x.lane(i);
            for place in [i * size + k, k * size + i] {
                if let Some(to) = self.root.get_mut(place) {
                    *to = l;
                }
            }
        }
        if let Some(to) = self.root.get_mut(i * size + i) {
            *to = pivot;
        }
        if let Some(to) = self.column.get_mut(i) {
            *to = solved;
        }
    }
}
