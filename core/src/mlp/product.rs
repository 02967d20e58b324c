//! Sums of factor × matrix row, in registers: the products of hidden units.

use super::factor::{Coefficient, Factor};
use super::matrix::{Matrix, across};
use super::panels::Panel;
use super::sparse::Rows;
use super::target::Target;
use crate::dual::Dual;
use crate::vector::Vector;

/// For each of `rows` rows: `target` = start + Σ factor × row of `matrix`, in the order of `terms`.
pub struct Product<'a, V, F, G, const P: usize> {
    pub rows: usize,
    pub matrix: Matrix<'a, V, P>,
    pub terms: &'a Rows<'a, F>,
    pub target: G,
}

impl<V, F, G, const P: usize> Panel<V, P> for Product<'_, V, F, G, P>
where
    V: Vector,
    F: Coefficient<V, P> + Sync,
    G: Target<V, P>,
{
    const SUMS: usize = P + 1;
    const NAME: &'static str = G::NAME;

    fn operations(&self, columns: usize) -> u64 {
        let lanes = (columns * V::LANES) as u64;
        self.terms.entries(self.rows) * lanes * F::Factor::OPERATIONS
            + self.target.operations(columns)
    }

    fn split(self, column: usize) -> (Self, Self) {
        let (matrix, others) = self.matrix.split(column);
        let (first, second) = self.target.split(column);
        (Self { matrix, target: first, ..self }, Self { matrix: others, target: second, ..self })
    }

    #[inline(always)]
    fn bytes(&self) -> usize {
        // Not all rows are met before the first is met again.
        self.matrix.rows * size_of::<Dual<V, P>>() / 4 * 3
    }

    #[inline(always)]
    fn panel<const U: usize>(&mut self, column: usize) -> Dual<V, P> {
        let mut poison = Dual::default();
        let Some(columns) = self.matrix.columns::<U>(column) else { return poison };
        for row in 0..self.rows {
            let mut sums = self.target.start::<U>(row, column);
            for entry in self.terms.row(row) {
                let factor = entry.factor.factor();
                let Some(blocks) = across(&columns, entry.position.into()) else { break };
                for (sum, block) in sums.iter_mut().zip(blocks) {
                    *sum = *sum + factor.times(*block);
                }
            }
            self.target.finish(row, column, sums, &mut poison);
        }
        self.target.end(&columns, column, &mut poison);
        poison
    }
}
