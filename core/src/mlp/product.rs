//! The one kernel: sums of factor × matrix row, in registers, for whatever matrix product the network needs.

use core::marker::PhantomData;

use super::matrix::Matrix;
use super::target::Target;
use super::terms::{Factor, Terms};
use crate::engine::{Engine, Task};
use crate::vector::Vector;

/// For each of `rows` rows: `target` = start + Σ factor × row of `matrix`, in the order of `terms`.
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
    T: Terms<V, P>,
    G: Target<V, P>,
{
    /// Does it on `engine`.
    pub fn on<E: Engine<Vector = V>>(self, engine: E) {
        engine.run(Panels::<V, T, G, E, P> { product: self, engine: PhantomData });
    }

    /// `U` columns from number `column` on.
    #[inline(always)]
    fn panel<const U: usize>(&mut self, column: usize) {
        let matrix = self.matrix;
        let Some(columns) = matrix.columns::<U>(column) else { return };
        for row in 0..self.rows {
            let mut sums = self.target.start::<U>(row, column);
            for (at, factor) in self.terms.terms(row) {
                if let Some(blocks) = across(&columns, at) {
                    for (sum, block) in sums.iter_mut().zip(blocks) {
                        *sum = *sum + factor.times(*block);
                    }
                }
            }
            self.target.finish(row, column, sums);
        }
    }
}

/// Element `at` of every column.
#[inline(always)]
fn across<'a, B, const U: usize>(columns: &[&'a [B]; U], at: usize) -> Option<[&'a B; U]> {
    let mut row = [columns.first()?.get(at)?; U];
    for (element, column) in row.iter_mut().zip(columns) {
        *element = column.get(at)?;
    }
    Some(row)
}

struct Panels<'a, 'm, V, T, G, E, const P: usize> {
    product: Product<'a, 'm, V, T, G, P>,
    engine: PhantomData<E>,
}

impl<V, T, G, E, const P: usize> Panels<'_, '_, V, T, G, E, P>
where
    V: Vector,
    T: Terms<V, P>,
    E: Engine<Vector = V>,
{
    /// How many columns at a time.
    const WIDTH: usize = E::SUMS / (P + 1);
}

impl<V, T, G, E, const P: usize> Task for Panels<'_, '_, V, T, G, E, P>
where
    V: Vector,
    T: Terms<V, P>,
    G: Target<V, P>,
    E: Engine<Vector = V>,
{
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let mut column = 0;
        let blocks = self.product.blocks;
        while column < blocks {
            let left = blocks - column;
            let width = if left < Self::WIDTH { left } else { Self::WIDTH };
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
