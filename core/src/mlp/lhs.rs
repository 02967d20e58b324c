//! The left operand A of a product: its rows, dense or with what is zero left out.

use super::csr::{Csr, Entry};
use super::ell::Ell;
use super::mask::{BITS, Mask, ones};
use super::matrix::{Matrix, row_of};
use crate::dual::{Dual, each};
use crate::real::Real;
use crate::vector::Vector;

/// Rows of A, MR at a time, walked along k in blocks of at most `K_BLOCK`. A sparse A has MR = 1.
pub trait Lhs<V: Vector, const P: usize>: Copy + Send {
    /// Most k of a block, if there is more than one block.
    const K_BLOCK: usize = usize::MAX;
    /// Elements that are multiplied in the first `rows` rows.
    fn nnz(&self, rows: usize) -> u64;
    /// Blocks along k.
    #[inline(always)]
    fn k_blocks(&self) -> usize {
        1
    }
    /// (k, A[row..row + MR][k]) for the k of block `n`, ascending.
    fn block<const MR: usize>(
        &self,
        row: usize,
        n: usize,
    ) -> impl Iterator<Item = (usize, [Dual<V::Scalar, P>; MR])>;
}

/// Sparse A [examples × units]: a bit mask says which units of an example are active.
#[derive(Clone, Copy)]
pub struct Masked<'a, V, const P: usize> {
    pub mask: &'a Mask<'a>,
    pub values: Matrix<'a, V, P>,
}

impl<V: Vector, const P: usize> Lhs<V, P> for Masked<'_, V, P> {
    const K_BLOCK: usize = BITS;
    fn nnz(&self, rows: usize) -> u64 {
        self.mask.count(rows)
    }
    #[inline(always)]
    fn k_blocks(&self) -> usize {
        self.mask.width()
    }
    #[inline(always)]
    fn block<const MR: usize>(
        &self,
        row: usize,
        n: usize,
    ) -> impl Iterator<Item = (usize, [Dual<V::Scalar, P>; MR])> {
        const { assert!(MR == 1) }
        let value = move |k| self.values.at(row, k).map(|value| (k, [value; MR]));
        ones(n, self.mask.word(row, n)).map_while(value)
    }
}

/// Sparse A [units × examples]: for each unit the examples in which it is active.
impl<V: Vector, const P: usize> Lhs<V, P> for &Ell<'_, Dual<V::Scalar, P>> {
    fn nnz(&self, rows: usize) -> u64 {
        (0..rows).fold(0, |sum, r| sum + self.row(r).len() as u64)
    }
    #[inline(always)]
    fn block<const MR: usize>(
        &self,
        row: usize,
        _: usize,
    ) -> impl Iterator<Item = (usize, [Dual<V::Scalar, P>; MR])> {
        const { assert!(MR == 1) }
        self.row(row).iter().map(|entry| (entry.position.into(), [entry.factor; MR]))
    }
}

/// Dense A [examples × units].
#[derive(Clone, Copy)]
pub struct Dense<'a, V, const P: usize> {
    pub columns: usize,
    pub values: Matrix<'a, V, P>,
}

impl<V: Vector, const P: usize> Lhs<V, P> for Dense<'_, V, P> {
    const K_BLOCK: usize = V::LANES;
    fn nnz(&self, rows: usize) -> u64 {
        rows as u64 * self.columns as u64
    }
    #[inline(always)]
    fn k_blocks(&self) -> usize {
        self.columns.div_ceil(V::LANES)
    }
    #[inline(always)]
    fn block<const MR: usize>(
        &self,
        row: usize,
        n: usize,
    ) -> impl Iterator<Item = (usize, [Dual<V::Scalar, P>; MR])> {
        let blocks = self.values.elements.get(n * self.values.rows + row..);
        let blocks = blocks.and_then(|blocks| blocks.first_chunk::<MR>());
        let first = n * V::LANES;
        let lanes = V::LANES.min(self.columns - first);
        blocks.into_iter().flat_map(move |blocks| {
            (0..lanes).map(move |lane| (first + lane, each(blocks.each_ref(), |b| b.lane(lane))))
        })
    }
}

/// Dense A [units × examples]: the transpose of a stored matrix [examples × units].
#[derive(Clone, Copy)]
pub struct Transposed<'a, V, const P: usize> {
    pub examples: usize,
    pub values: Matrix<'a, V, P>,
}

impl<V: Vector, const P: usize> Lhs<V, P> for Transposed<'_, V, P> {
    fn nnz(&self, rows: usize) -> u64 {
        rows as u64 * self.examples as u64
    }
    #[inline(always)]
    fn block<const MR: usize>(
        &self,
        row: usize,
        _: usize,
    ) -> impl Iterator<Item = (usize, [Dual<V::Scalar, P>; MR])> {
        let mut columns = [[].as_slice(); MR];
        for (r, column) in columns.iter_mut().enumerate() {
            let start = (row + r) / V::LANES * self.values.rows;
            *column = self.values.elements.get(start..).unwrap_or_default();
        }
        (0..self.examples).map_while(move |example| {
            let mut factors = [Dual::default(); MR];
            let blocks = row_of(&columns, example)?.into_iter().zip(row..);
            for (factor, (block, lane)) in factors.iter_mut().zip(blocks) {
                *factor = block.lane(lane);
            }
            Some((example, factors))
        })
    }
}

/// Dense A [examples × inputs]: a batch that stores every pair of inputs.
#[derive(Clone, Copy)]
pub struct Inputs<'a, T> {
    pub pairs: usize,
    pub by_example: &'a Csr<'a, [T; 2]>,
}

impl<T: Real, V: Vector<Scalar = T>, const P: usize> Lhs<V, P> for Inputs<'_, T> {
    fn nnz(&self, rows: usize) -> u64 {
        2 * rows as u64 * self.pairs as u64
    }
    #[inline(always)]
    fn block<const MR: usize>(
        &self,
        row: usize,
        _: usize,
    ) -> impl Iterator<Item = (usize, [Dual<T, P>; MR])> {
        let mut rows = [[].as_slice(); MR];
        for (r, entries) in rows.iter_mut().enumerate() {
            *entries = self.by_example.row(row + r).get(..self.pairs).unwrap_or_default();
        }
        // The last pair of an odd number of inputs has factor zero for row 2·pairs − 1 of B, the
        // biases.
        (0..2 * self.pairs).map_while(move |input| {
            let factor = |entry: &Entry<[T; 2]>| Dual::constant(entry.factor[input % 2]);
            Some((input, each(row_of(&rows, input / 2)?, factor)))
        })
    }
}
