//! A few columns of blocks at a time.

use core::marker::PhantomData;

use crate::backend::{Backend, Kernel};
use crate::dual::Dual;

/// Work on columns of blocks, of which a few are taken at a time, so that they stay in the nearest cache while every row
/// passes over them and their running sums stay in registers. Neither changes the order of any sum.
pub trait Panel<V, const P: usize>: Send + Sized {
    /// How many running sums a column takes.
    const ACCUMULATORS: usize;
    /// See [`Kernel::label`].
    fn label(&self) -> &'static str;
    /// See [`Kernel::flops`]: for `columns` columns.
    fn flops(&self, columns: usize) -> u64;
    /// How many bytes of a column are passed over again and again.
    fn bytes(&self) -> usize;
    /// The work on the first `column` columns, and that on the others, which are counted from zero again.
    fn split(self, column: usize) -> (Self, Self);
    /// Works on `U` columns from number `column` on; returns 0·(sum of every parameter it updated).
    fn panel<const U: usize>(&mut self, column: usize) -> Dual<V, P>;
}

/// What the nearest cache holds.
pub const NEAR: usize = 48 << 10;

/// Does `work` for `columns` columns on `backend`, over at most `threads` threads; returns 0·(sum of every parameter it
/// updated), NaN when one of them is not finite.
pub fn panels<E: Backend, W: Panel<E::Vector, P>, const P: usize>(
    backend: E,
    threads: usize,
    columns: usize,
    work: W,
) -> Dual<E::Vector, P> {
    if threads < 2 || columns < 2 {
        return backend.run(Panels::<W, E, P> { columns, work, backend: PhantomData });
    }
    let (here, there) = (threads.div_ceil(2), threads / 2);
    let before = columns.div_ceil(2);
    let (first, second) = work.split(before);
    let (a, b) = backend.join(
        || panels(backend, here, before, first),
        || panels(backend, there, columns - before, second),
    );
    a + b
}

/// Does `a` and `b` on `backend`, at the same time if there is more than one of the `threads`.
pub fn both<E: Backend, A: Send, B: Send>(
    backend: E,
    threads: usize,
    a: impl FnOnce() -> A + Send,
    b: impl FnOnce() -> B + Send,
) -> (A, B) {
    if threads < 2 { (a(), b()) } else { backend.join(a, b) }
}

struct Panels<W, E, const P: usize> {
    columns: usize,
    work: W,
    backend: PhantomData<E>,
}

impl<W: Panel<E::Vector, P>, E: Backend, const P: usize> Panels<W, E, P> {
    /// As many columns as there is room for running sums; what takes more is not compiled.
    const WIDEST: usize = E::ACCUMULATORS / W::ACCUMULATORS;
}

impl<W: Panel<E::Vector, P>, E: Backend, const P: usize> Kernel for Panels<W, E, P> {
    type Output = Dual<E::Vector, P>;

    fn label(&self) -> &'static str {
        self.work.label()
    }

    fn flops(&self) -> u64 {
        self.work.flops(self.columns)
    }

    #[inline(always)]
    fn run(mut self) -> Self::Output {
        let near = NEAR / self.work.bytes().max(1);
        let widest = if near < Self::WIDEST { near } else { Self::WIDEST };
        let mut poison = Dual::default();
        let mut column = 0;
        while column < self.columns {
            let left = self.columns - column;
            let (width, found) = match if left < widest { left } else { widest } {
                8.. if const { Self::WIDEST >= 8 } => (8, self.work.panel::<8>(column)),
                7 if const { Self::WIDEST >= 7 } => (7, self.work.panel::<7>(column)),
                4.. if const { Self::WIDEST >= 4 } => (4, self.work.panel::<4>(column)),
                3 if const { Self::WIDEST >= 3 } => (3, self.work.panel::<3>(column)),
                2.. if const { Self::WIDEST >= 2 } => (2, self.work.panel::<2>(column)),
                _ => (1, self.work.panel::<1>(column)),
            };
            poison = poison + found;
            column += width;
        }
        poison
    }
}
