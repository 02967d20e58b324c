//! AVX2 and AVX-512 backends. Unsafe code: one call of a function compiled for instructions that
//! the processor was found to have.
//!
//! No intrinsic is called. The kernels are the core's own plain loops; a function with
//! `#[target_feature]` lets the compiler use wider registers for them, and since their lanes are
//! independent and nothing is fused, the bits stay what they are.

use std::marker::PhantomData;

use myopia_core::backend::{Backend, Kernel};
use myopia_core::vector::Vector;

use crate::model::HostBackend;

macro_rules! backend {
    ($name:ident, $feature:tt, $sums:literal, $doc:literal) => {
        #[doc = $doc]
        ///
        /// A value exists only where the processor has them.
        #[derive(Debug)]
        pub struct $name<V>(PhantomData<V>);

        impl<V: Vector> HostBackend for $name<V> {
            fn detect() -> Option<Self> {
                std::arch::is_x86_feature_detected!($feature).then_some(Self(PhantomData))
            }
        }

        impl<V> Clone for $name<V> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<V> Copy for $name<V> {}

        impl<V: Vector> Backend for $name<V> {
            type Vector = V;
            const ACCUMULATORS: usize = $sums;
            const DENSE: bool = true;
            const SPECIALISES: bool = true;

            #[inline]
            fn run<K: Kernel>(self, kernel: K) -> K::Output {
                #[target_feature(enable = $feature)]
                fn compiled<K: Kernel>(kernel: K) -> K::Output {
                    kernel.run()
                }
                // SAFETY: `self` was made by `detect`, so the processor has the instructions that
                // `compiled` may use.
                unsafe { compiled(kernel) }
            }

            #[inline]
            fn call<K: Kernel>(self, kernel: K) -> K::Output {
                #[inline(never)]
                #[target_feature(enable = $feature)]
                fn compiled<K: Kernel>(kernel: K) -> K::Output {
                    kernel.run()
                }
                // SAFETY: as above.
                unsafe { compiled(kernel) }
            }
        }
    };
}

backend!(Avx2, "avx2", 8, "256-bit registers, sixteen of them.");
backend!(Avx512, "avx512f", 16, "512-bit registers, thirty-two of them.");
