//! SIMD vectors: LANES floats with element-wise + − × ÷; a float is a vector of one lane.
//!
//! A lane never meets another lane except in a reduction whose shape the contract fixes, so the
//! number of lanes changes speed and layout but no bit. The loops are plain; with a fixed length
//! and the alignment of a hardware register the compiler turns each into one instruction wherever
//! it may.

use core::ops::{Add, Div, Mul, Sub};

use crate::real::Real;

/// A row of `LANES` floats with elementwise arithmetic. A float is its own vector of one lane.
pub trait Vector:
    Copy
    + Default
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + 'static
{
    /// The float in each lane.
    type Scalar: Real;
    /// How many lanes, a power of two.
    const LANES: usize;

    /// `x` in every lane.
    fn splat(x: Self::Scalar) -> Self;
    /// What lies in `lane`, taken modulo `LANES`.
    fn lane(&self, lane: usize) -> Self::Scalar;
    /// Puts `x` into `lane`, taken modulo `LANES`.
    fn set_lane(&mut self, lane: usize, x: Self::Scalar);
    /// `self` in the lanes in which `gate` is above zero, +0 in the others; a NaN gate is shut.
    fn select_positive(self, gate: Self) -> Self;
    /// Bit l is set where lane l is above zero.
    fn positive_mask(self) -> usize;
    /// One in the lanes whose bits are set, +0 in the others.
    fn from_mask(bits: usize) -> Self;
    /// `f` of each lane.
    fn map_lanes(self, f: impl Fn(Self::Scalar) -> Self::Scalar) -> Self;
}

macro_rules! scalar {
    ($t:ident) => {
        impl Vector for $t {
            type Scalar = $t;
            const LANES: usize = 1;

            #[inline(always)]
            fn splat(x: $t) -> Self {
                x
            }
            #[inline(always)]
            fn lane(&self, _: usize) -> $t {
                *self
            }
            #[inline(always)]
            fn set_lane(&mut self, _: usize, x: $t) {
                *self = x;
            }
            #[inline(always)]
            fn select_positive(self, gate: Self) -> Self {
                if gate > 0.0 { self } else { 0.0 }
            }
            #[inline(always)]
            fn positive_mask(self) -> usize {
                usize::from(self > 0.0)
            }
            #[inline(always)]
            fn from_mask(bits: usize) -> Self {
                if bits & 1 == 1 { 1.0 } else { 0.0 }
            }
            #[inline(always)]
            fn map_lanes(self, f: impl Fn($t) -> $t) -> Self {
                f(self)
            }
        }
    };
}

scalar!(f32);
scalar!(f64);

macro_rules! lanes {
    ($name:ident, $t:ident, $lanes:literal, $align:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        #[repr(C, align($align))]
        pub struct $name(pub [$t; $lanes]);

        impl $name {
            /// Zeros, for storage made at compile time.
            pub const ZERO: Self = Self([0.0; $lanes]);
        }

        lanes!(operator $name, $lanes, Add, add, +);
        lanes!(operator $name, $lanes, Sub, sub, -);
        lanes!(operator $name, $lanes, Mul, mul, *);
        lanes!(operator $name, $lanes, Div, div, /);

        impl Vector for $name {
            type Scalar = $t;
            const LANES: usize = $lanes;

            #[inline(always)]
            fn splat(x: $t) -> Self {
                Self([x; $lanes])
            }
            #[inline(always)]
            fn lane(&self, lane: usize) -> $t {
                self.0[lane % $lanes]
            }
            #[inline(always)]
            fn set_lane(&mut self, lane: usize, x: $t) {
                self.0[lane % $lanes] = x;
            }
            #[inline(always)]
            fn select_positive(self, gate: Self) -> Self {
                let mut out = self.0;
                // By masks: a choice between two floats the compiler takes apart lane by lane.
                for lane in 0..$lanes {
                    let open = if gate.0[lane] > 0.0 { !0 } else { 0 };
                    out[lane] = $t::from_bits(out[lane].to_bits() & open);
                }
                Self(out)
            }
            #[inline(always)]
            fn positive_mask(self) -> usize {
                let mut bits = 0;
                for lane in 0..$lanes {
                    bits |= if self.0[lane] > 0.0 { 1 << lane } else { 0 };
                }
                bits
            }
            #[inline(always)]
            fn from_mask(bits: usize) -> Self {
                let mut out = [0.0; $lanes];
                for lane in 0..$lanes {
                    out[lane] = (bits >> lane & 1) as $t;
                }
                Self(out)
            }
            #[inline(always)]
            fn map_lanes(self, f: impl Fn($t) -> $t) -> Self {
                let mut out = self.0;
                for lane in 0..$lanes {
                    out[lane] = f(out[lane]);
                }
                Self(out)
            }
        }
    };
    (operator $name:ident, $lanes:literal, $trait:ident, $method:ident, $op:tt) => {
        impl $trait for $name {
            type Output = Self;
            #[inline(always)]
            #[expect(clippy::assign_op_pattern, reason = "the operator is the macro's parameter")]
            fn $method(self, other: Self) -> Self {
                let mut out = self.0;
                for lane in 0..$lanes {
                    out[lane] = out[lane] $op other.0[lane];
                }
                Self(out)
            }
        }
    };
}

lanes!(F32x4, f32, 4, 4, "Four `f32` lanes, aligned like one: for devices and 128-bit registers.");
lanes!(F32x8, f32, 8, 32, "Eight `f32` lanes, one 256-bit register.");
lanes!(F32x16, f32, 16, 64, "Sixteen `f32` lanes, one 512-bit register.");
lanes!(F64x4, f64, 4, 32, "Four `f64` lanes, one 256-bit register.");
lanes!(F64x8, f64, 8, 64, "Eight `f64` lanes, one 512-bit register.");
