//! `Native`: `f64` backend that dispatches each kernel to AVX-512, AVX2 or baseline at run time.

#[cfg(target_arch = "x86_64")]
use myopia_backend::HostBackend;
#[cfg(target_arch = "x86_64")]
use myopia_backend::x86::{Avx2, Avx512};
use myopia_core::backend::{Backend, Kernel};
use myopia_core::vector::F64x8;

/// The widest instruction set of this processor that the kernels were compiled for.
#[derive(Clone, Copy, Debug)]
pub struct Native;

impl Backend for Native {
    type Vector = F64x8;
    const ACCUMULATORS: usize = 8;
    const DENSE: bool = false;

    #[inline]
    fn run<K: Kernel>(self, task: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        if let Some(backend) = Avx512::<F64x8>::detect() {
            return backend.run(task);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(backend) = Avx2::<F64x8>::detect() {
            return backend.run(task);
        }
        // Without AVX2 a vector is four registers of sixteen.
        #[cfg(target_arch = "x86_64")]
        return task.run_in_small_tiles();
        #[cfg(not(target_arch = "x86_64"))]
        task.run()
    }
}
