//! Coefficient of a rule (momentum μ, ρ, ε): a constant, or a dual number with P tangents.

use crate::dual::Dual;
use crate::real::Real;
use crate::vector::Vector;

/// A number for every lane of a block.
pub trait Factor<V: Vector, const P: usize>: Copy + Send + Sync {
    /// `block` times this factor.
    fn times(self, block: Dual<V, P>) -> Dual<V, P>;
    /// `block` plus this number.
    fn plus(self, block: Dual<V, P>) -> Dual<V, P>;
}

/// A constant.
#[derive(Clone, Copy)]
pub struct Constant<V>(pub V);

impl<V: Vector, const P: usize> Factor<V, P> for Constant<V> {
    #[inline(always)]
    fn times(self, block: Dual<V, P>) -> Dual<V, P> {
        block.scaled(self.0)
    }
    #[inline(always)]
    fn plus(self, block: Dual<V, P>) -> Dual<V, P> {
        Dual { value: block.value + self.0, ..block }
    }
}

impl<V: Vector, const P: usize> Factor<V, P> for Dual<V, P> {
    #[inline(always)]
    fn times(self, block: Dual<V, P>) -> Dual<V, P> {
        block * self
    }
    #[inline(always)]
    fn plus(self, block: Dual<V, P>) -> Dual<V, P> {
        block + self
    }
}

/// A coefficient as [`Network::step`](super::Network::step) takes it: a float is a constant and
/// costs no tangents, a [`Dual`] carries them.
pub trait Coefficient<V: Vector, const P: usize>: Copy + Send {
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
