//! What is summed: which matrix rows, times what, in which order.

use super::batch::Entry;
use super::matrix::Matrix;
use super::sparse::Rows;
use crate::dual::Dual;
use crate::real::Real;
use crate::vector::Vector;

/// What every lane of a block is multiplied by: a constant, or a number with tangents.
pub trait Factor<V: Vector, const P: usize>: Copy {
    /// `block` times this factor.
    fn times(self, block: Dual<V, P>) -> Dual<V, P>;
}

/// A constant factor, for example a pixel.
#[derive(Clone, Copy)]
pub struct Constant<V>(pub V);

impl<V: Vector, const P: usize> Factor<V, P> for Constant<V> {
    #[inline(always)]
    fn times(self, block: Dual<V, P>) -> Dual<V, P> {
        block.scaled(self.0)
    }
}

impl<V: Vector, const P: usize> Factor<V, P> for Dual<V, P> {
    #[inline(always)]
    fn times(self, block: Dual<V, P>) -> Dual<V, P> {
        block * self
    }
}

/// A number that every parameter is multiplied by, as [`Network::step`](super::Network::step) takes it: a plain one is a
/// constant and costs no tangents, a [`Dual`] carries them.
pub trait Coefficient<V: Vector, const P: usize>: Copy {
    /// The number in every lane.
    type Factor: Factor<V, P>;
    /// The number in every lane.
    fn factor(self) -> Self::Factor;
}

impl<T: Real, V: Vector<Scalar = T>, const P: usize> Coefficient<V, P> for T {
    type Factor = Constant<V>;
    #[inline(always)]
    fn factor(self) -> Constant<V> {
        Constant(V::splat(self))
    }
}

impl<T: Real, V: Vector<Scalar = T>, const P: usize> Coefficient<V, P> for Dual<T, P> {
    type Factor = Dual<V, P>;
    #[inline(always)]
    fn factor(self) -> Dual<V, P> {
        Dual::splat(self)
    }
}

/// The terms of each row's sum, in the order of summation: which matrix row, times what.
pub trait Terms<V: Vector, const P: usize> {
    /// Times what.
    type Factor: Factor<V, P>;
    /// The terms of row `row`.
    fn terms(&self, row: usize) -> impl Iterator<Item = (usize, Self::Factor)>;
}

/// The non-zero inputs of each example, or the examples of each input: segment `segment` of each row.
pub struct Inputs<'a, T> {
    pub rows: &'a Rows<'a, Entry<T>>,
    pub segment: usize,
}

impl<V: Vector, const P: usize> Terms<V, P> for Inputs<'_, V::Scalar> {
    type Factor = Constant<V>;
    #[inline(always)]
    fn terms(&self, row: usize) -> impl Iterator<Item = (usize, Constant<V>)> {
        let segment = self.rows.segment(row, self.segment);
        segment.iter().map(|e| (e.position as usize, Constant(V::splat(e.value))))
    }
}

/// The active units of each example: sums over units.
pub struct Units<'a, V, const P: usize> {
    pub active: &'a Rows<'a, u16>,
    pub values: Matrix<'a, V, P>,
}

impl<V: Vector, const P: usize> Terms<V, P> for Units<'_, V, P> {
    type Factor = Dual<V, P>;
    #[inline(always)]
    fn terms(&self, example: usize) -> impl Iterator<Item = (usize, Dual<V, P>)> {
        self.active.row(example).iter().filter_map(move |&unit| {
            let value = self.values.at(example, unit as usize)?;
            Some((unit as usize, Dual::splat(value)))
        })
    }
}

/// The examples in which each unit is active: sums over examples.
pub struct UnitExamples<'a, V, const P: usize> {
    pub active: &'a Rows<'a, u16>,
    pub values: Matrix<'a, V, P>,
}

impl<V: Vector, const P: usize> Terms<V, P> for UnitExamples<'_, V, P> {
    type Factor = Dual<V, P>;
    #[inline(always)]
    fn terms(&self, unit: usize) -> impl Iterator<Item = (usize, Dual<V, P>)> {
        let column = self.values.column(unit / V::LANES);
        self.active.row(unit).iter().filter_map(move |&example| {
            let value = column.get(example as usize)?.lane(unit);
            Some((example as usize, Dual::splat(value)))
        })
    }
}

/// Every one of `count` units, active or not.
pub struct All<'a, V, const P: usize> {
    pub count: usize,
    pub values: Matrix<'a, V, P>,
}

impl<V: Vector, const P: usize> Terms<V, P> for All<'_, V, P> {
    type Factor = Dual<V, P>;
    #[inline(always)]
    fn terms(&self, example: usize) -> impl Iterator<Item = (usize, Dual<V, P>)> {
        (0..self.count)
            .filter_map(move |unit| Some((unit, Dual::splat(self.values.at(example, unit)?))))
    }
}

/// Every one of `count` matrix rows, once: the gradient of a bias.
pub struct Ones {
    pub count: usize,
}

impl<V: Vector, const P: usize> Terms<V, P> for Ones {
    type Factor = Constant<V>;
    #[inline(always)]
    fn terms(&self, _: usize) -> impl Iterator<Item = (usize, Constant<V>)> {
        (0..self.count).map(|row| (row, Constant(V::splat(V::Scalar::ONE))))
    }
}
