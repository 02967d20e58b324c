//! How matrices of numbers are stored: by columns of blocks.

use crate::dual::Dual;
use crate::vector::Vector;

/// A matrix stored by columns of blocks: column c holds, row after row, lanes c·LANES.. of each row.
///
/// A kernel works on a few columns at a time, each of which is one unbroken stretch of memory: the hardware
/// prefetches it, one comparison checks a row number for all of them, and columns can be given to different threads.
#[derive(Clone, Copy)]
pub struct Matrix<'a, V, const P: usize> {
    pub elements: &'a [Dual<V, P>],
    pub rows: usize,
}

impl<'a, V: Vector, const P: usize> Matrix<'a, V, P> {
    /// The number in `row` and `column`, if there is one.
    #[inline(always)]
    pub fn at(&self, row: usize, column: usize) -> Option<Dual<V::Scalar, P>> {
        self.elements.get(column / V::LANES * self.rows + row).map(|block| block.lane(column))
    }

    /// Column `block`, or what there is of it.
    #[inline(always)]
    pub fn column(&self, block: usize) -> &'a [Dual<V, P>] {
        let rest = self.elements.get(block * self.rows..).unwrap_or_default();
        rest.get(..self.rows).unwrap_or(rest)
    }

    /// `U` columns of blocks from number `block` on, each as long as the matrix has rows.
    #[inline(always)]
    pub fn columns<const U: usize>(&self, block: usize) -> Option<[&'a [Dual<V, P>]; U]> {
        let mut rest = self.elements.get(block * self.rows..)?;
        let mut columns = [rest; U];
        for column in &mut columns {
            (*column, rest) = rest.split_at_checked(self.rows)?;
        }
        Some(columns)
    }
}
