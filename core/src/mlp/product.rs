//! Sums of factor × matrix row, in registers: the products of hidden units.

use core::ops::Range;

use super::factor::Factor;
use super::mask::BITS;
use super::matrix::{Matrix, across};
use super::panels::{NEAR, Panel};
use super::target::Target;
use super::terms::Shared;
use crate::dual::Dual;
use crate::vector::Vector;

/// For each of `rows` rows: `target` = start + Σ factor × row of `matrix`, in the order of `terms`; `R` rows at a time.
pub struct Product<'a, V, F, G, const P: usize, const R: usize> {
    rows: usize,
    matrix: Matrix<'a, V, P>,
    terms: F,
    target: G,
}

impl<'a, V, F, G, const P: usize, const R: usize> Product<'a, V, F, G, P, R> {
    pub fn new(rows: usize, matrix: Matrix<'a, V, P>, terms: F, target: G) -> Self {
        Self { rows, matrix, terms, target }
    }
}

impl<V, F, G, const P: usize, const R: usize> Panel<V, P> for Product<'_, V, F, G, P, R>
where
    V: Vector,
    F: Shared<V, P, R> + Shared<V, P, 1>,
    G: Target<V, P>,
{
    const ACCUMULATORS: usize = (P + 1) * R;

    fn label(&self) -> &'static str {
        self.target.label()
    }

    fn flops(&self, columns: usize) -> u64 {
        let lanes = (columns * V::LANES) as u64;
        self.terms.count(self.rows) * lanes * <Dual<V, P> as Factor<V, P>>::OPERATIONS
            + self.target.flops(columns)
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
        let all = !G::PATIENT || self.matrix.rows <= near || R > 1;
        let some = if all { groups } else { (near / F::SPAN).max(1) };
        for first in (0..groups).step_by(some.max(1)) {
            let last = groups - first <= some;
            let stretch = Stretch { groups: first..if last { groups } else { first + some }, last };
            let tiled = self.rows - self.rows % R;
            for row in (0..tiled).step_by(R) {
                self.tile::<U, R>(&columns, row, column, stretch.clone(), &mut poison);
            }
            for row in tiled..self.rows {
                self.tile::<U, 1>(&columns, row, column, stretch.clone(), &mut poison);
            }
        }
        self.target.end(&columns, column, &mut poison);
        poison
    }
}

/// Groups of terms that follow one another.
#[derive(Clone)]
struct Stretch {
    groups: Range<usize>,
    /// Whether no group follows.
    last: bool,
}

impl<V: Vector, F, G: Target<V, P>, const P: usize, const R: usize> Product<'_, V, F, G, P, R> {
    /// The sums of `N` rows over a stretch of their terms.
    #[inline(always)]
    fn tile<const U: usize, const N: usize>(
        &mut self,
        columns: &[&[Dual<V, P>]; U],
        row: usize,
        column: usize,
        Stretch { groups, last }: Stretch,
        poison: &mut Dual<V, P>,
    ) where
        F: Shared<V, P, N>,
    {
        let start: [_; U] = match groups.start {
            0 => self.target.start(column),
            _ => self.target.resume(row, column),
        };
        let mut tile = [start; N];
        for n in groups {
            for (position, factors) in self.terms.group(row, n) {
                let Some(blocks) = across(columns, position) else { break };
                for (sums, factor) in tile.iter_mut().zip(factors) {
                    let factor = Dual::splat(factor);
                    for (sum, block) in sums.iter_mut().zip(blocks) {
                        *sum = *sum + *block * factor;
                    }
                }
            }
        }
        for (r, sums) in tile.iter().enumerate() {
            if last || N > 1 {
                self.target.finish(row + r, column, *sums, poison);
            } else {
                self.target.pause(row + r, column, *sums);
            }
        }
    }
}
