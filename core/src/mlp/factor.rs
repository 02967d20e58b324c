//! What a row of a matrix is multiplied by.

use crate::dual::Dual;
use crate::real::Real;
use crate::vector::Vector;

/// What every lane of a block is multiplied by: a [`Constant`], or a number with tangents.
pub trait Factor<V: Vector, const P: usize>: Copy {
    /// The factor in every lane.
    type Lanes: Copy;
    /// Puts it there.
    fn lanes(self) -> Self::Lanes;
    /// `block` times the factor.
    fn times(lanes: Self::Lanes, block: Dual<V, P>) -> Dual<V, P>;
}

/// A factor that depends on none of the directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constant<T>(pub T);

impl<V: Vector, const P: usize> Factor<V, P> for Constant<V::Scalar> {
    type Lanes = V;
    #[inline(always)]
    fn lanes(self) -> V {
        V::splat(self.0)
    }
    #[inline(always)]
    fn times(lanes: V, block: Dual<V, P>) -> Dual<V, P> {
        block.scaled(lanes)
    }
}

impl<V: Vector<Scalar = T>, T: Real, const P: usize> Factor<V, P> for Dual<T, P> {
    type Lanes = Dual<V, P>;
    #[inline(always)]
    fn lanes(self) -> Dual<V, P> {
        Dual::splat(self)
    }
    #[inline(always)]
    fn times(lanes: Dual<V, P>, block: Dual<V, P>) -> Dual<V, P> {
        block * lanes
    }
}
