//! The instructions on which the noisy quadratic runs.

use myopia_core::elementary::Libm;
use myopia_core::engine::{Engine, Task};
use myopia_core::vector::F64x8;

/// The widest instruction set of this processor that the kernels were compiled for.
#[derive(Clone, Copy, Debug)]
pub struct Native;

impl Engine for Native {
    type Vector = F64x8;
    type Elementary = Libm;
    const SUMS: usize = 8;

    #[inline]
    fn run<K: Task>(self, task: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512f") {
            #[target_feature(enable = "avx512f")]
            fn avx512<K: Task>(task: K) -> K::Output {
                task.run()
            }
            // SAFETY: the processor has AVX-512.
            return unsafe { avx512(task) };
        }
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            #[target_feature(enable = "avx2")]
            fn avx2<K: Task>(task: K) -> K::Output {
                task.run()
            }
            // SAFETY: the processor has AVX2.
            return unsafe { avx2(task) };
        }
        task.run()
    }
}
