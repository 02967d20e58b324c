//! Backends of x86-64 processors. The only unsafe code of the project: one call, in two backends, of
//! a function compiled for instructions that the processor was found to have.
//!
//! No intrinsic is called. The kernels are the core's own plain loops; a function with
//! `#[target_feature]` lets the compiler use wider registers for them, and since their lanes are
//! independent and nothing is fused, the bits stay what they are.
#![cfg(target_arch = "x86_64")]

use std::marker::PhantomData;

use myopia_core::backend::{Backend, Kernel};
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::vector::Vector;

macro_rules! engine {
    ($name:ident, $feature:tt, $sums:literal, $doc:literal) => {
        #[doc = $doc]
        ///
        /// A value exists only where the processor has them.
        #[derive(Debug)]
        pub struct $name<V>(PhantomData<V>);

        impl<V> $name<V> {
            /// The engine, where the processor has the instructions.
            pub fn detect() -> Option<Self> {
                std::arch::is_x86_feature_detected!($feature).then_some(Self(PhantomData))
            }
        }

        impl<V> Clone for $name<V> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<V> Copy for $name<V> {}

        impl<V: Vector> Backend for $name<V>
        where
            Libm: Elementary<V::Scalar>,
        {
            type Vector = V;
            type Elementary = Libm;
            const ACCUMULATORS: usize = $sums;
            const DENSE: bool = true;

            #[inline]
            fn run<K: Kernel>(self, task: K) -> K::Output {
                #[target_feature(enable = $feature)]
                fn compiled<K: Kernel>(task: K) -> K::Output {
                    task.run()
                }
                // SAFETY: `self` was made by `detect`, so the processor has the instructions that `compiled` may use.
                unsafe { compiled(task) }
            }
        }
    };
}

engine!(Avx2, "avx2", 8, "256-bit registers, sixteen of them.");
engine!(Avx512, "avx512f", 16, "512-bit registers, thirty-two of them.");
