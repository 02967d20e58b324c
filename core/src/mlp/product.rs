//! The one kernel: sums of coefficient × matrix row, in registers, for whatever matrix product the network needs.

use super::matrix::Matrix;
use super::target::Target;
use super::terms::{Coefficient, Terms};
use crate::engine::{Engine, Task};
use crate::vector::Vector;

/// For each of `rows` rows: `target` = start + Σ coefficient × row of `matrix`, in the order of `terms`.
///
/// A few columns of blocks are taken at a time, so that they stay in the nearest cache while every row passes over them
/// and their running sums stay in registers. Neither changes the order of any sum.
pub struct Product<'a, 'm, V, T, G, const P: usize> {
    pub rows: usize,
    pub blocks: usize,
    pub matrix: Matrix<'m, V, P>,
    pub terms: T,
    pub target: &'a mut G,
}

impl<V, T, G, const P: usize> Product<'_, '_, V, T, G, P>
where
    V: Vector,
    T: Terms<Coefficient: Coefficient<V, P>>,
    G: Target<V, P>,
{
    /// Does it on `engine`.
    pub fn on<E: Engine<Vector = V>>(self, engine: E) {
        // Besides the sums, the factor, a product and one more operand must find room.
        let sums = (E::REGISTERS - 2 - T::Coefficient::REGISTERS) / (P + 1);
        engine.run(Panels { product: self, sums });
    }

    /// `U` columns from number `column` on.
    #[inline(always)]
    fn panel<const U: usize>(&mut self, column: usize) {
        let Some(columns) = self.matrix.columns::<U>(column) else { return };
        for row in 0..self.rows {
            let mut sums = self.target.start::<U>(row, column);
            for (at, coefficient) in self.terms.terms(row) {
                for (sum, column) in sums.iter_mut().zip(&columns) {
                    if let Some(block) = column.get(at) {
                        *sum = *sum + coefficient.times(*block);
                    }
                }
            }
            self.target.finish(row, column, sums);
        }
    }
}

struct Panels<'a, 'm, V, T, G, const P: usize> {
    product: Product<'a, 'm, V, T, G, P>,
    sums: usize,
}

impl<V, T, G, const P: usize> Task for Panels<'_, '_, V, T, G, P>
where
    V: Vector,
    T: Terms<Coefficient: Coefficient<V, P>>,
    G: Target<V, P>,
{
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let mut column = 0;
        let blocks = self.product.blocks;
        while column < blocks {
            let left = blocks - column;
            let width = if left < self.sums { left } else { self.sums };
            column += match width {
                8.. => {
                    self.product.panel::<8>(column);
                    8
                }
                4.. => {
                    self.product.panel::<4>(column);
                    4
                }
                3 => {
                    self.product.panel::<3>(column);
                    3
                }
                2 => {
                    self.product.panel::<2>(column);
                    2
                }
                _ => {
                    self.product.panel::<1>(column);
                    1
                }
            };
        }
    }
}
