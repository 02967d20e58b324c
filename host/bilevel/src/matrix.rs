//! Matrices on the heap, dense or diagonal.

use myopia_core::bilevel::linear::{self, Operator};

use crate::Error;

/// A matrix of `rows`·`columns` entries.
#[derive(Clone, Debug, PartialEq)]
pub enum Matrix {
    /// All entries, row by row.
    Dense {
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
        /// The entries.
        entries: Vec<f64>,
    },
    /// A square matrix with these entries on its diagonal and zeros elsewhere.
    Diagonal(Vec<f64>),
}

impl Matrix {
    /// A dense matrix of zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self::Dense { rows, columns, entries: vec![0.0; rows * columns] }
    }

    /// Its rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Dense { rows, .. } => *rows,
            Self::Diagonal(diagonal) => diagonal.len(),
        }
    }

    /// Its columns.
    pub fn columns(&self) -> usize {
        match self {
            Self::Dense { columns, .. } => *columns,
            Self::Diagonal(diagonal) => diagonal.len(),
        }
    }

    /// The stored entries.
    pub fn entries(&self) -> &[f64] {
        match self {
            Self::Dense { entries, .. } | Self::Diagonal(entries) => entries,
        }
    }

    /// Its entries row by row, zeros too.
    pub fn dense(&self) -> Vec<f64> {
        match self {
            Self::Dense { entries, .. } => entries.clone(),
            Self::Diagonal(diagonal) => {
                let size = diagonal.len();
                let mut entries = vec![0.0; size * size];
                for (i, x) in diagonal.iter().enumerate() {
                    entries[i * (size + 1)] = *x;
                }
                entries
            }
        }
    }

    /// M·x.
    pub fn times(&self, x: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; self.rows()];
        self.multiply(x, &mut y);
        y
    }

    /// Mᵀ·x.
    pub fn transposed_times(&self, x: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; self.columns()];
        match self {
            Self::Dense { entries, .. } => linear::multiply_transposed(entries, x, &mut y),
            Self::Diagonal(_) => self.multiply(x, &mut y),
        }
        y
    }

    fn multiply(&self, x: &[f64], y: &mut [f64]) {
        match self {
            Self::Dense { entries, .. } => linear::multiply(entries, x, y),
            Self::Diagonal(diagonal) => linear::Diagonal(diagonal).apply(x, y),
        }
    }

    /// Refuses entries that are not finite.
    pub(crate) fn finite(&self, name: &'static str) -> Result<(), Error> {
        finite(name, self.entries())
    }

    /// Refuses another shape.
    pub(crate) fn shaped(
        &self,
        name: &'static str,
        rows: usize,
        columns: usize,
    ) -> Result<(), Error> {
        match self.rows() == rows && self.columns() == columns {
            true => Ok(()),
            false => Err(Error::Shape {
                name,
                found: format!("{} x {}", self.rows(), self.columns()),
                expected: format!("{rows} x {columns}"),
            }),
        }
    }

    /// Refuses a matrix whose triangles differ by more than rounding.
    pub(crate) fn symmetric(&self, name: &'static str) -> Result<(), Error> {
        let Self::Dense { rows, entries, .. } = self else { return Ok(()) };
        let largest = entries.iter().fold(0.0, |a: f64, x| if x.abs() > a { x.abs() } else { a });
        for row in 0..*rows {
            for column in 0..row {
                let difference = entries[row * rows + column] - entries[column * rows + row];
                if difference.abs() > 1e-10 * largest {
                    let (row, column) = (row + 1, column + 1);
                    return Err(Error::NotSymmetric { name, row, column, difference });
                }
            }
        }
        Ok(())
    }
}

impl Operator<f64> for Matrix {
    fn dimension(&self) -> usize {
        self.rows()
    }

    fn apply(&self, x: &[f64], y: &mut [f64]) {
        self.multiply(x, y);
    }
}

/// Refuses a vector of another length.
pub(crate) fn length(name: &'static str, x: &[f64], expected: usize) -> Result<(), Error> {
    match x.len() == expected {
        true => Ok(()),
        false => {
            Err(Error::Shape { name, found: x.len().to_string(), expected: expected.to_string() })
        }
    }
}

/// Refuses entries that are not finite.
pub(crate) fn finite(name: &'static str, x: &[f64]) -> Result<(), Error> {
    match x.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(place) => Err(Error::NotFinite { name, place: place + 1 }),
    }
}
