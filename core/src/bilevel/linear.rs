//! dot, axpy, matrix–vector and matrix–matrix products on row-major slices; the map x ↦ Hx.

use crate::real::Real;
use crate::sum::tree;

/// A symmetric linear map of R^d to itself: all that an iterative solver knows of a Hessian.
pub trait Operator<T> {
    /// d.
    fn dimension(&self) -> usize;
    /// `y` = H·`x`; both have d entries.
    fn apply(&self, x: &[T], y: &mut [T]);
}

/// A square matrix in row-major order.
#[derive(Clone, Copy, Debug)]
pub struct Square<'a, T> {
    /// d·d entries.
    pub entries: &'a [T],
    /// d.
    pub size: usize,
}

impl<T: Real> Operator<T> for Square<'_, T> {
    fn dimension(&self) -> usize {
        self.size
    }

    fn apply(&self, x: &[T], y: &mut [T]) {
        multiply(self.entries, x, y);
    }
}

/// A diagonal matrix.
#[derive(Clone, Copy, Debug)]
pub struct Diagonal<'a, T>(
    /// Its diagonal.
    pub &'a [T],
);

impl<T: Real> Operator<T> for Diagonal<'_, T> {
    fn dimension(&self) -> usize {
        self.0.len()
    }

    fn apply(&self, x: &[T], y: &mut [T]) {
        for ((y, x), h) in y.iter_mut().zip(x).zip(self.0) {
            *y = *h * *x;
        }
    }
}

/// xᵀy, in the shape of [`crate::sum::Sum`].
#[inline]
pub fn dot<T: Real>(x: &[T], y: &[T]) -> T {
    let mut partial = [T::ZERO; 8];
    let (mut xs, mut ys) = (x.chunks_exact(8), y.chunks_exact(8));
    for (x, y) in xs.by_ref().zip(ys.by_ref()) {
        for ((sum, x), y) in partial.iter_mut().zip(x).zip(y) {
            *sum = *sum + *x * *y;
        }
    }
    let rest = xs.remainder().iter().zip(ys.remainder());
    for (sum, (x, y)) in partial.iter_mut().zip(rest) {
        *sum = *sum + *x * *y;
    }
    tree(partial)
}

/// `y` ← `y` + c·`x`.
#[inline]
pub fn add_scaled<T: Real>(y: &mut [T], c: T, x: &[T]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = *y + c * *x;
    }
}

/// `y` = A·`x` for the row-major matrix A of as many columns as `x` has entries.
pub fn multiply<T: Real>(a: &[T], x: &[T], y: &mut [T]) {
    y.fill(T::ZERO);
    if x.is_empty() {
        return;
    }
    for (y, row) in y.iter_mut().zip(a.chunks_exact(x.len())) {
        *y = dot(row, x);
    }
}

/// `y` = Aᵀ·`x` for the row-major matrix A of as many columns as `y` has entries; each entry is a
/// sequential sum over ascending rows.
pub fn multiply_transposed<T: Real>(a: &[T], x: &[T], y: &mut [T]) {
    y.fill(T::ZERO);
    if y.is_empty() {
        return;
    }
    for (x, row) in x.iter().zip(a.chunks_exact(y.len())) {
        add_scaled(y, *x, row);
    }
}

/// C = A·B, row-major, with `inner` columns of A and `columns` columns of B; each entry is a
/// sequential sum over ascending inner indices.
pub fn product<T: Real>(a: &[T], b: &[T], inner: usize, columns: usize, c: &mut [T]) {
    c.fill(T::ZERO);
    if inner == 0 || columns == 0 {
        return;
    }
    for (c, a) in c.chunks_exact_mut(columns).zip(a.chunks_exact(inner)) {
        for (a, b) in a.iter().zip(b.chunks_exact(columns)) {
            add_scaled(c, *a, b);
        }
    }
}

/// A square matrix whose entries are read and written by row and column; outside it everything is
/// zero and nothing is kept.
#[derive(Debug)]
pub struct Grid<'a, T> {
    entries: &'a mut [T],
    size: usize,
}

impl<'a, T: Real> Grid<'a, T> {
    /// The row-major matrix of `size`·`size` entries.
    pub fn new(entries: &'a mut [T], size: usize) -> Self {
        Self { entries, size }
    }

    /// Rows, which are as many as columns.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The entry in `row` and `column`.
    #[inline]
    pub fn at(&self, row: usize, column: usize) -> T {
        self.entries.get(row * self.size + column).copied().unwrap_or(T::ZERO)
    }

    /// Puts `value` into `row` and `column`.
    #[inline]
    pub fn set(&mut self, row: usize, column: usize, value: T) {
        if let Some(entry) = self.entries.get_mut(row * self.size + column) {
            *entry = value;
        }
    }
}
