//! `Real`: `f32` or `f64` with constants, exact conversions, clamping by comparison (contract 5).

use core::fmt::{Debug, Display};
use core::ops::{Add, Div, Mul, Neg, Sub};

use crate::vector::Vector;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// An IEEE 754 binary float with round-to-nearest-even operations: `f32` or `f64`, no other.
pub trait Real:
    sealed::Sealed
    + Vector<Scalar = Self>
    + PartialOrd
    + Debug
    + Display
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// Positive zero, from which every sum without another start begins.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// The distance from one to the next larger number.
    const EPSILON: Self;
    /// Bytes of the representation, 4 or 8: how many a digest takes.
    const BYTES: usize;
    /// The name that appears in reports: `f32` or `f64`.
    const NAME: &'static str;

    /// `x`, exactly.
    fn from_f32(x: f32) -> Self;
    /// `x` rounded to nearest, ties to even.
    fn from_f64(x: f64) -> Self;
    /// `n` rounded to nearest, ties to even.
    fn from_u32(n: u32) -> Self;
    /// `self`, exactly.
    fn to_f64(self) -> f64;
    /// The bits, zero-extended to 64.
    fn bits(self) -> u64;
    /// Whether `self` is neither infinite nor NaN.
    fn finite(self) -> bool;

    /// The value when it lies inside `low..=high`, the nearer end otherwise; by comparison
    /// (contract 5).
    fn clamped(self, low: Self, high: Self) -> Self {
        if self < low {
            low
        } else if self > high {
            high
        } else {
            self
        }
    }

    /// The larger of the two, `self` when they compare equal; by comparison (contract 5).
    fn larger(self, other: Self) -> Self {
        if other > self { other } else { self }
    }
}

macro_rules! real {
    ($t:ident, $bytes:literal, $name:literal) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const EPSILON: Self = $t::EPSILON;
            const BYTES: usize = $bytes;
            const NAME: &'static str = $name;

            #[inline(always)]
            fn from_f32(x: f32) -> Self {
                x as $t
            }
            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn from_u32(n: u32) -> Self {
                n as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn bits(self) -> u64 {
                self.to_bits() as u64
            }
            #[inline(always)]
            fn finite(self) -> bool {
                self.is_finite()
            }
        }
    };
}

real!(f32, 4, "f32");
real!(f64, 8, "f64");
