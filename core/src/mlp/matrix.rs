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

    /// The first `column` columns of blocks, and the others.
    pub fn split(self, column: usize) -> (Self, Self) {
        let at = column * self.rows;
        let (first, second) = self.elements.split_at_checked(at).unwrap_or_default();
        (Self { elements: first, ..self }, Self { elements: second, ..self })
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

/// The first `column` columns of blocks of a matrix of `rows` rows, and the others.
pub fn split_mut<V, const P: usize>(
    elements: &mut [Dual<V, P>],
    rows: usize,
    column: usize,
) -> (&mut [Dual<V, P>], &mut [Dual<V, P>]) {
    elements.split_at_mut_checked(column * rows).unwrap_or_default()
}

/// `U` columns of blocks from number `block` on, of a matrix of `rows` rows, to be changed.
#[inline(always)]
pub fn columns_mut<V, const P: usize, const U: usize>(
    elements: &mut [Dual<V, P>],
    rows: usize,
    block: usize,
) -> Option<[&mut [Dual<V, P>]; U]> {
    let mut rest = elements.get_mut(block * rows..)?;
    let mut columns = [(); U].map(|()| <&mut [Dual<V, P>]>::default());
    for column in &mut columns {
        (*column, rest) = core::mem::take(&mut rest).split_at_mut_checked(rows)?;
    }
    Some(columns)
}

/// Element `at` of every column.
#[inline(always)]
pub fn across<'a, B, const U: usize>(columns: &[&'a [B]; U], at: usize) -> Option<[&'a B; U]> {
    let mut row = [columns.first()?.get(at)?; U];
    for (element, column) in row.iter_mut().zip(columns) {
        *element = column.get(at)?;
    }
    Some(row)
}

/// `n`, of which the compiler knows nothing where vectors are wide: a loop over blocks stays one. Of a plain one it makes a loop
/// over the same lane of several blocks, whose elements it gathers and scatters.
#[inline(always)]
pub fn single<V: Vector>(n: usize) -> usize {
    if V::LANES > 4 { core::hint::black_box(n) } else { n }
}
