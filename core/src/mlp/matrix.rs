//! Storage of dense matrices: column panels one vector wide.

use crate::dual::Dual;
use crate::vector::Vector;

/// Dense matrix in column panels: panel c holds, row after row, columns c·LANES..(c + 1)·LANES.
///
/// A panel is one unbroken stretch of memory: the hardware prefetches it, one bounds check per row
/// number serves all panels of a tile, and panels can be given to different threads.
#[derive(Clone, Copy)]
pub struct Matrix<'a, V, const P: usize> {
    pub elements: &'a [Dual<V, P>],
    pub rows: usize,
}

impl<'a, V: Vector, const P: usize> Matrix<'a, V, P> {
    /// Element in `row` and `column`, if there is one.
    #[inline(always)]
    pub fn at(&self, row: usize, column: usize) -> Option<Dual<V::Scalar, P>> {
        self.elements.get(column / V::LANES * self.rows + row).map(|block| block.lane(column))
    }

    /// The first `panels` panels, and the others.
    pub fn split(self, panels: usize) -> (Self, Self) {
        let at = panels * self.rows;
        let (first, second) = self.elements.split_at_checked(at).unwrap_or_default();
        (Self { elements: first, ..self }, Self { elements: second, ..self })
    }

    /// NR panels from number `panel` on, each as long as the matrix has rows.
    #[inline(always)]
    pub fn panels<const NR: usize>(&self, panel: usize) -> Option<[&'a [Dual<V, P>]; NR]> {
        let mut rest = self.elements.get(panel * self.rows..)?;
        let mut panels = [rest; NR];
        for panel in &mut panels {
            (*panel, rest) = rest.split_at_checked(self.rows)?;
        }
        Some(panels)
    }
}

/// The first `panels` panels of a matrix of `rows` rows, and the others.
pub fn split_mut<B>(elements: &mut [B], rows: usize, panels: usize) -> (&mut [B], &mut [B]) {
    elements.split_at_mut_checked(panels * rows).unwrap_or_default()
}

/// NR panels of a matrix of `rows` rows from number `panel` on.
#[inline(always)]
pub fn panels_mut<V, const P: usize, const NR: usize>(
    elements: &mut [Dual<V, P>],
    rows: usize,
    panel: usize,
) -> Option<[&mut [Dual<V, P>]; NR]> {
    let mut rest = elements.get_mut(panel * rows..)?;
    let mut panels = [(); NR].map(|()| <&mut [Dual<V, P>]>::default());
    for panel in &mut panels {
        (*panel, rest) = core::mem::take(&mut rest).split_at_mut_checked(rows)?;
    }
    Some(panels)
}

/// Row `row` of NR panels, if all have it.
#[inline(always)]
pub fn row_of<'a, B, const NR: usize>(panels: &[&'a [B]; NR], row: usize) -> Option<[&'a B; NR]> {
    let mut blocks = [panels.first()?.get(row)?; NR];
    for (block, panel) in blocks.iter_mut().zip(panels) {
        *block = panel.get(row)?;
    }
    Some(blocks)
}

/// `n`, hidden from the optimiser where vectors are wide, so that it keeps a loop over blocks: it
/// would interchange loops, taking the same lane of several blocks by gather and scatter.
#[inline(always)]
pub fn opaque_index<V: Vector>(n: usize) -> usize {
    if V::LANES > 4 { core::hint::black_box(n) } else { n }
}
