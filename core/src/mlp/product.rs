//! Sums of factor × matrix row, in registers: the products of hidden units.

use super::factor::Factor;
use super::mask::{BITS, Mask, ones};
use super::matrix::{Matrix, across};
use super::panels::{NEAR, Panel};
use super::sparse::Lists;
use super::target::Target;
use crate::dual::Dual;
use crate::vector::Vector;

/// Which rows of a matrix a row of a product is made of, and what they are multiplied by.
pub trait Terms<V: Vector, const P: usize>: Copy + Send {
    /// How many terms the first `rows` rows have.
    fn count(&self, rows: usize) -> u64;
    /// How many groups the terms of a row are in; those of a group lie within `BITS` positions if there is more than one.
    fn groups(&self) -> usize;
    /// The position and the factor of each term in group `n` of row `row`, in ascending order of positions.
    fn group(&self, row: usize, n: usize) -> impl Iterator<Item = (usize, Dual<V::Scalar, P>)>;
}

/// For each example its active units.
#[derive(Clone, Copy)]
pub struct Active<'a, V, const P: usize> {
    pub mask: &'a Mask<'a>,
    /// Activations or errors.
    pub values: Matrix<'a, V, P>,
}

impl<V: Vector, const P: usize> Terms<V, P> for Active<'_, V, P> {
    fn count(&self, rows: usize) -> u64 {
        self.mask.count(rows)
    }
    #[inline(always)]
    fn groups(&self) -> usize {
        self.mask.width()
    }
    #[inline(always)]
    fn group(&self, example: usize, n: usize) -> impl Iterator<Item = (usize, Dual<V::Scalar, P>)> {
        let value = move |unit| self.values.at(example, unit).map(|value| (unit, value));
        ones(n, self.mask.word(example, n)).map_while(value)
    }
}

impl<V: Vector, const P: usize> Terms<V, P> for &Lists<'_, Dual<V::Scalar, P>> {
    fn count(&self, rows: usize) -> u64 {
        (0..rows).fold(0, |sum, r| sum + self.list(r).len() as u64)
    }
    #[inline(always)]
    fn groups(&self) -> usize {
        1
    }
    #[inline(always)]
    fn group(&self, row: usize, _: usize) -> impl Iterator<Item = (usize, Dual<V::Scalar, P>)> {
        self.list(row).iter().map(|entry| (entry.position.into(), entry.factor))
    }
}

/// For each of `rows` rows: `target` = start + Σ factor × row of `matrix`, in the order of `terms`.
pub struct Product<'a, V, F, G, const P: usize> {
    pub rows: usize,
    pub matrix: Matrix<'a, V, P>,
    pub terms: F,
    pub target: G,
}

impl<V, F, G, const P: usize> Panel<V, P> for Product<'_, V, F, G, P>
where
    V: Vector,
    F: Terms<V, P>,
    G: Target<V, P>,
{
    const SUMS: usize = P + 1;
    const NAME: &'static str = G::NAME;

    fn operations(&self, columns: usize) -> u64 {
        let lanes = (columns * V::LANES) as u64;
        self.terms.count(self.rows) * lanes * <Dual<V, P> as Factor<V, P>>::OPERATIONS
            + self.target.operations(columns)
    }

    fn split(self, column: usize) -> (Self, Self) {
        let (matrix, others) = self.matrix.split(column);
        let (first, second) = self.target.split(column);
        (Self { matrix, target: first, ..self }, Self { matrix: others, target: second, ..self })
    }

    #[inline(always)]
    fn bytes(&self) -> usize {
        let rows = self.matrix.rows;
        // Not all rows are met before the first is met again; with those of a group the factors pass through the cache.
        let met = if G::PATIENT && rows > BITS { BITS / 4 * 5 } else { rows / 4 * 3 };
        met * size_of::<Dual<V, P>>()
    }

    /// All rows pass over as many groups as stay in the nearest cache, then over the next; sums that are not finished wait in
    /// the target.
    #[inline(always)]
    fn panel<const U: usize>(&mut self, column: usize) -> Dual<V, P> {
        let mut poison = Dual::default();
        let Some(columns) = self.matrix.columns::<U>(column) else { return poison };
        let groups = self.terms.groups();
        let near = NEAR / (U * size_of::<Dual<V, P>>());
        let all = !G::PATIENT || self.matrix.rows <= near;
        let some = if all { groups } else { (near / BITS).max(1) };
        for first in (0..groups).step_by(some.max(1)) {
            let last = groups - first <= some;
            let end = if last { groups } else { first + some };
            for row in 0..self.rows {
                let mut sums = match first {
                    0 => self.target.start::<U>(row, column),
                    _ => self.target.resume::<U>(row, column),
                };
                for n in first..end {
                    for (position, factor) in self.terms.group(row, n) {
                        let Some(blocks) = across(&columns, position) else { break };
                        let factor = Dual::splat(factor);
                        for (sum, block) in sums.iter_mut().zip(blocks) {
                            *sum = *sum + *block * factor;
                        }
                    }
                }
                if last {
                    self.target.finish(row, column, sums, &mut poison);
                } else {
                    self.target.pause(row, column, sums);
                }
            }
        }
        self.target.end(&columns, column, &mut poison);
        poison
    }
}
