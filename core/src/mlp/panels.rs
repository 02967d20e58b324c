//! A few columns of blocks at a time.

use core::marker::PhantomData;

use crate::engine::{Engine, Task};

/// Work on columns of blocks, of which a few are taken at a time, so that they stay in the nearest cache while every row
/// passes over them and their running sums stay in registers. Neither changes the order of any sum.
pub trait Panel {
    /// How many running sums a column takes.
    const SUMS: usize;
    /// How many bytes of a column are passed over again and again.
    fn bytes(&self) -> usize;
    /// Works on `U` columns from number `column` on.
    fn panel<const U: usize>(&mut self, column: usize);
}

/// What the nearest cache holds.
const NEAR: usize = 48 << 10;

/// Does `work` for `columns` columns on `engine`.
pub fn panels<E: Engine, W: Panel>(engine: E, columns: usize, work: &mut W) {
    engine.run(Panels { columns, work, engine: PhantomData::<E> });
}

struct Panels<'a, W, E> {
    columns: usize,
    work: &'a mut W,
    engine: PhantomData<E>,
}

impl<W: Panel, E: Engine> Task for Panels<'_, W, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let near = NEAR / self.work.bytes().max(1);
        let widest = const { E::SUMS / W::SUMS };
        let widest = if near < widest { near } else { widest };
        let mut column = 0;
        while column < self.columns {
            let left = self.columns - column;
            column += match if left < widest { left } else { widest } {
                8.. => {
                    self.work.panel::<8>(column);
                    8
                }
                7 => {
                    self.work.panel::<7>(column);
                    7
                }
                4.. => {
                    self.work.panel::<4>(column);
                    4
                }
                3 => {
                    self.work.panel::<3>(column);
                    3
                }
                2 => {
                    self.work.panel::<2>(column);
                    2
                }
                _ => {
                    self.work.panel::<1>(column);
                    1
                }
            };
        }
    }
}
