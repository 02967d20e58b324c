//! What is summed: which matrix rows, times what, in which order.

use super::batch::Entry;
use super::matrix::Matrix;
use super::sparse::Rows;
use crate::dual::Dual;
use crate::real::Real;
use crate::vector::Vector;

/// A factor of a whole block: a constant, or a number with tangents.
pub trait Coefficient<V: Vector, const P: usize>: Copy {
    /// How many vectors hold it.
    const REGISTERS: usize;
    /// `block` times this factor.
    fn times(self, block: Dual<V, P>) -> Dual<V, P>;
}

/// A constant factor, for example a pixel.
#[derive(Clone, Copy)]
pub struct Constant<T>(pub T);

impl<V: Vector, const P: usize> Coefficient<V, P> for Constant<V::Scalar> {
    const REGISTERS: usize = 1;
    #[inline(always)]
    fn times(self, block: Dual<V, P>) -> Dual<V, P> {
        block.scaled(V::splat(self.0))
    }
}

impl<V: Vector, const P: usize> Coefficient<V, P> for Dual<V::Scalar, P> {
    const REGISTERS: usize = P + 1;
    #[inline(always)]
    fn times(self, block: Dual<V, P>) -> Dual<V, P> {
        block * Dual::splat(self)
    }
}

/// The terms of each row's sum, in the order of summation: which matrix row, times what.
pub trait Terms {
    /// The factor.
    type Coefficient;
    /// The terms of row `row`.
    fn terms(&self, row: usize) -> impl Iterator<Item = (usize, Self::Coefficient)>;
}

/// The non-zero inputs of each example, or the examples of each input: segment `segment` of each row.
pub struct Inputs<'a, T> {
    pub rows: &'a Rows<'a, Entry<T>>,
    pub segment: usize,
}

impl<T: Real> Terms for Inputs<'_, T> {
    type Coefficient = Constant<T>;
    #[inline(always)]
    fn terms(&self, row: usize) -> impl Iterator<Item = (usize, Constant<T>)> {
        let segment = self.rows.segment(row, self.segment);
        segment.iter().map(|e| (e.position as usize, Constant(e.value)))
    }
}

/// The active units of each example: sums over units.
pub struct Units<'a, V, const P: usize> {
    pub active: &'a Rows<'a, u16>,
    pub values: Matrix<'a, V, P>,
}

impl<V: Vector, const P: usize> Terms for Units<'_, V, P> {
    type Coefficient = Dual<V::Scalar, P>;
    #[inline(always)]
    fn terms(&self, row: usize) -> impl Iterator<Item = (usize, Self::Coefficient)> {
        let active = self.active.row(row).iter();
        active.map(move |&unit| (unit as usize, self.values.at(row, unit as usize)))
    }
}

/// The examples in which each unit is active: sums over examples.
pub struct UnitExamples<'a, V, const P: usize> {
    pub active: &'a Rows<'a, u16>,
    pub values: Matrix<'a, V, P>,
}

impl<V: Vector, const P: usize> Terms for UnitExamples<'_, V, P> {
    type Coefficient = Dual<V::Scalar, P>;
    #[inline(always)]
    fn terms(&self, unit: usize) -> impl Iterator<Item = (usize, Self::Coefficient)> {
        let active = self.active.row(unit).iter();
        active.map(move |&example| (example as usize, self.values.at(example as usize, unit)))
    }
}

/// Every one of `count` columns, active or not.
pub struct All<'a, V, const P: usize> {
    pub count: usize,
    pub values: Matrix<'a, V, P>,
}

impl<V: Vector, const P: usize> Terms for All<'_, V, P> {
    type Coefficient = Dual<V::Scalar, P>;
    #[inline(always)]
    fn terms(&self, row: usize) -> impl Iterator<Item = (usize, Self::Coefficient)> {
        (0..self.count).map(move |column| (column, self.values.at(row, column)))
    }
}

/// Every one of `count` matrix rows, once: the gradient of a bias.
pub struct Ones<T> {
    pub count: usize,
    pub one: T,
}

impl<T: Real> Terms for Ones<T> {
    type Coefficient = Constant<T>;
    #[inline(always)]
    fn terms(&self, _: usize) -> impl Iterator<Item = (usize, Constant<T>)> {
        (0..self.count).map(|row| (row, Constant(self.one)))
    }
}
