//! What the sums of a layer are made of: active units, or all of them.

use super::mask::{BITS, Mask, ones};
use super::matrix::{Matrix, across};
use super::sparse::{Entry, Lists, Rows};
use crate::dual::Dual;
use crate::real::Real;
use crate::vector::Vector;

/// Which rows of a matrix the rows of a product are made of.
pub trait Terms: Copy + Send {
    /// How many terms the first `rows` rows have.
    fn count(&self, rows: usize) -> u64;
    /// How many groups the terms of a row are in.
    fn groups(&self) -> usize;
    /// The terms of a group lie within so many positions if there is more than one group.
    const SPAN: usize;
}

/// Terms that `R` rows have at the same positions.
pub trait Shared<V: Vector, const P: usize, const R: usize>: Terms {
    /// The position of each term in group `n` of the `R` rows from `row` on, in ascending order, and each row's factor.
    fn group(&self, row: usize, n: usize)
    -> impl Iterator<Item = (usize, [Dual<V::Scalar, P>; R])>;
}

/// For each example its active units.
#[derive(Clone, Copy)]
pub struct Active<'a, V, const P: usize> {
    pub mask: &'a Mask<'a>,
    /// Activations or errors.
    pub values: Matrix<'a, V, P>,
}

impl<V: Vector, const P: usize> Terms for Active<'_, V, P> {
    fn count(&self, rows: usize) -> u64 {
        self.mask.count(rows)
    }
    #[inline(always)]
    fn groups(&self) -> usize {
        self.mask.width()
    }
    const SPAN: usize = BITS;
}

impl<V: Vector, const P: usize> Shared<V, P, 1> for Active<'_, V, P> {
    #[inline(always)]
    fn group(
        &self,
        example: usize,
        n: usize,
    ) -> impl Iterator<Item = (usize, [Dual<V::Scalar, P>; 1])> {
        let value = move |unit| self.values.at(example, unit).map(|value| (unit, [value]));
        ones(n, self.mask.word(example, n)).map_while(value)
    }
}

impl<F: Copy + Send + Sync> Terms for &Lists<'_, F> {
    fn count(&self, rows: usize) -> u64 {
        (0..rows).fold(0, |sum, r| sum + self.list(r).len() as u64)
    }
    #[inline(always)]
    fn groups(&self) -> usize {
        1
    }
    const SPAN: usize = usize::MAX;
}

impl<V: Vector, const P: usize> Shared<V, P, 1> for &Lists<'_, Dual<V::Scalar, P>> {
    #[inline(always)]
    fn group(
        &self,
        row: usize,
        _: usize,
    ) -> impl Iterator<Item = (usize, [Dual<V::Scalar, P>; 1])> {
        self.list(row).iter().map(|entry| (entry.position.into(), [entry.factor]))
    }
}

/// For each example all of its units, zeros included.
#[derive(Clone, Copy)]
pub struct Units<'a, V, const P: usize> {
    pub units: usize,
    /// Rectified activations, or errors.
    pub values: Matrix<'a, V, P>,
}

impl<V: Vector, const P: usize> Terms for Units<'_, V, P> {
    fn count(&self, rows: usize) -> u64 {
        rows as u64 * self.units as u64
    }
    #[inline(always)]
    fn groups(&self) -> usize {
        self.units.div_ceil(V::LANES)
    }
    const SPAN: usize = V::LANES;
}

impl<V: Vector, const P: usize, const R: usize> Shared<V, P, R> for Units<'_, V, P> {
    #[inline(always)]
    fn group(
        &self,
        example: usize,
        n: usize,
    ) -> impl Iterator<Item = (usize, [Dual<V::Scalar, P>; R])> {
        let blocks = self.values.elements.get(n * self.values.rows + example..);
        let blocks = blocks.and_then(|blocks| blocks.first_chunk::<R>());
        let first = n * V::LANES;
        let lanes = V::LANES.min(self.units - first);
        blocks.into_iter().flat_map(move |blocks| {
            (0..lanes).map(move |lane| (first + lane, blocks.each_ref().map(|b| b.lane(lane))))
        })
    }
}

/// For each unit all examples, also those in which it is zero.
#[derive(Clone, Copy)]
pub struct Examples<'a, V, const P: usize> {
    pub examples: usize,
    /// Rectified activations.
    pub values: Matrix<'a, V, P>,
}

impl<V: Vector, const P: usize> Terms for Examples<'_, V, P> {
    fn count(&self, rows: usize) -> u64 {
        rows as u64 * self.examples as u64
    }
    #[inline(always)]
    fn groups(&self) -> usize {
        1
    }
    const SPAN: usize = usize::MAX;
}

impl<V: Vector, const P: usize, const R: usize> Shared<V, P, R> for Examples<'_, V, P> {
    #[inline(always)]
    fn group(
        &self,
        unit: usize,
        _: usize,
    ) -> impl Iterator<Item = (usize, [Dual<V::Scalar, P>; R])> {
        let mut columns = [[].as_slice(); R];
        for (r, column) in columns.iter_mut().enumerate() {
            let start = (unit + r) / V::LANES * self.values.rows;
            *column = self.values.elements.get(start..).unwrap_or_default();
        }
        (0..self.examples).map_while(move |example| {
            let mut lane = unit;
            let factors = across(&columns, example)?.map(|block| {
                lane += 1;
                block.lane(lane - 1)
            });
            Some((example, factors))
        })
    }
}

/// For each example all of its inputs, of a batch in which no pair is left out.
#[derive(Clone, Copy)]
pub struct Inputs<'a, T> {
    /// How many pairs there are.
    pub pairs: usize,
    /// All of them for each example.
    pub by_example: &'a Rows<'a, [T; 2]>,
}

impl<T: Real> Terms for Inputs<'_, T> {
    fn count(&self, rows: usize) -> u64 {
        2 * rows as u64 * self.pairs as u64
    }
    #[inline(always)]
    fn groups(&self) -> usize {
        1
    }
    const SPAN: usize = usize::MAX;
}

impl<T: Real, V: Vector<Scalar = T>, const P: usize, const R: usize> Shared<V, P, R>
    for Inputs<'_, T>
{
    #[inline(always)]
    fn group(&self, example: usize, _: usize) -> impl Iterator<Item = (usize, [Dual<T, P>; R])> {
        let mut rows = [[].as_slice(); R];
        for (r, row) in rows.iter_mut().enumerate() {
            let entries = self.by_example.row(example + r);
            *row = entries.get(..self.pairs).unwrap_or_default();
        }
        // Of an odd number of inputs the last pair's second row is the biases, and its factor zero.
        (0..2 * self.pairs).map_while(move |input| {
            let factor = |entry: &Entry<[T; 2]>| Dual::constant(entry.factor[input % 2]);
            Some((input, across(&rows, input / 2)?.map(factor)))
        })
    }
}
