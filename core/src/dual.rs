//! Numbers with P tangents: a value and its P directional derivatives, propagated together.
//!
//! `Dual<V, 0>` is `V`; `Dual<V, 3>` carries the derivatives with respect to α₀, K and β. The value
//! part of every operation is exactly the plain operation on the values, so a run with tangents has
//! the bits of the run without. Written over a [`Vector`], value and tangents are planes of
//! independent lanes: a row of a matrix is a sequence of blocks `[W | Ẇ₁ | Ẇ₂ | Ẇ₃]`, and
//! multiplying it by an input is one pass.

use core::ops::{Add, Div, Mul, Sub};

use crate::elementary::Elementary;
use crate::real::Real;
use crate::vector::Vector;

/// A value and `P` tangents, each a [`Vector`] of independent lanes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Dual<V, const P: usize> {
    /// The value.
    pub value: V,
    /// The derivative of the value along each of the `P` directions.
    pub tangents: [V; P],
}

impl<V: Vector, const P: usize> Default for Dual<V, P> {
    fn default() -> Self {
        Self::constant(V::default())
    }
}

/// `a` and `b` joined plane by plane.
#[inline(always)]
fn planes<V: Copy, const P: usize>(a: [V; P], b: [V; P], f: impl Fn(V, V) -> V) -> [V; P] {
    let mut out = a;
    for (out, b) in out.iter_mut().zip(b) {
        *out = f(*out, b);
    }
    out
}

/// `f` of each of `a`. An array's own `map` may stay a function of its own, which a backend's
/// instructions do not reach.
#[inline(always)]
pub fn each<A: Copy, B: Copy + Default, const N: usize>(a: [A; N], f: impl Fn(A) -> B) -> [B; N] {
    let mut out = [B::default(); N];
    for (out, a) in out.iter_mut().zip(a) {
        *out = f(a);
    }
    out
}

impl<V: Vector, const P: usize> Dual<V, P> {
    /// A value that depends on none of the directions.
    #[inline(always)]
    pub fn constant(value: V) -> Self {
        Self { value, tangents: [V::splat(V::Scalar::ZERO); P] }
    }

    /// Value and tangents multiplied by the constant `c`.
    #[inline(always)]
    pub fn scaled(self, c: V) -> Self {
        Self { value: self.value * c, tangents: each(self.tangents, |t| t * c) }
    }

    /// Value and tangents divided by the constant `c`.
    #[inline(always)]
    pub fn divided(self, c: V) -> Self {
        self.map(|x| x / c)
    }

    /// `f` applied to the value and to each tangent.
    #[inline(always)]
    pub fn map<W: Copy + Default>(self, f: impl Fn(V) -> W) -> Dual<W, P> {
        Dual { value: f(self.value), tangents: each(self.tangents, f) }
    }

    /// The scalar number in `lane`.
    #[inline(always)]
    pub fn lane(&self, lane: usize) -> Dual<V::Scalar, P> {
        let mut out = Dual::constant(self.value.lane(lane));
        for (out, tangent) in out.tangents.iter_mut().zip(&self.tangents) {
            *out = tangent.lane(lane);
        }
        out
    }

    /// Puts a scalar number into `lane`.
    #[inline(always)]
    pub fn set_lane(&mut self, lane: usize, x: Dual<V::Scalar, P>) {
        self.value.set_lane(lane, x.value);
        for (tangent, x) in self.tangents.iter_mut().zip(x.tangents) {
            tangent.set_lane(lane, x);
        }
    }

    /// The scalar number `x` in every lane.
    #[inline(always)]
    pub fn splat(x: Dual<V::Scalar, P>) -> Self {
        x.map(V::splat)
    }
}

impl<V: Vector, const P: usize> Add for Dual<V, P> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self {
            value: self.value + other.value,
            tangents: planes(self.tangents, other.tangents, |a, b| a + b),
        }
    }
}

impl<V: Vector, const P: usize> Sub for Dual<V, P> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self {
            value: self.value - other.value,
            tangents: planes(self.tangents, other.tangents, |a, b| a - b),
        }
    }
}

/// The product rule: (a·b)' = a'·b + a·b', the two products rounded, then their sum.
#[expect(clippy::suspicious_arithmetic_impl, reason = "the product rule has a sum in it")]
impl<V: Vector, const P: usize> Mul for Dual<V, P> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self {
            value: self.value * other.value,
            tangents: planes(self.tangents, other.tangents, |a, b| {
                a * other.value + self.value * b
            }),
        }
    }
}

/// The quotient rule on the rounded quotient q = a/b: q' = (a' − q·b')/b.
#[expect(clippy::suspicious_arithmetic_impl, reason = "the quotient rule has a product in it")]
impl<V: Vector, const P: usize> Div for Dual<V, P> {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        Self {
            value,
            tangents: planes(self.tangents, other.tangents, |a, b| (a - value * b) / other.value),
        }
    }
}

impl<T: Real, const P: usize> Dual<T, P> {
    /// e to this power: (eᵃ)' = eᵃ·a'.
    pub fn exp<E: Elementary<T>>(self) -> Self {
        let value = E::exp(self.value);
        Self { value, tangents: each(self.tangents, |t| value * t) }
    }

    /// The natural logarithm: (ln a)' = a'/a.
    pub fn ln<E: Elementary<T>>(self) -> Self {
        Self { value: E::ln(self.value), tangents: each(self.tangents, |t| t / self.value) }
    }

    /// This base to a power: (aᵇ)' = aᵇ·(b'·ln a + b·(a'/a)); the base must be positive.
    pub fn pow<E: Elementary<T>>(self, exponent: Self) -> Self {
        let value = E::pow(self.value, exponent.value);
        // ln a serves the tangents alone; without them it would be work for nothing.
        let ln = if P == 0 { T::ZERO } else { E::ln(self.value) };
        Self {
            value,
            tangents: planes(self.tangents, exponent.tangents, |a, b| {
                value * (b * ln + exponent.value * (a / self.value))
            }),
        }
    }

    /// aⁿ and its tangents n aⁿ⁻¹ a', for a ≥ 0, zero included; a⁰ is 1.
    pub fn power<E: Elementary<T>>(self, n: u32) -> Self {
        let value = E::pow(self.value, T::from_u32(n));
        let slope = if P == 0 {
            T::ZERO
        } else {
            T::from_u32(n) * E::pow(self.value, T::from_u32(n.saturating_sub(1)))
        };
        Self { value, tangents: each(self.tangents, |t| slope * t) }
    }

    /// Whether the value and every tangent are finite.
    pub fn finite(self) -> bool {
        self.value.finite() && self.tangents.iter().all(|t| t.finite())
    }
}
