//! Models in `f32` for processors with AVX-512.

#![cfg(target_arch = "x86_64")]

use myopia_backend::x86::Avx512;
use myopia_backend::{Diagnostics, Isa, Models, Threaded};
use myopia_core::vector::F32x16;

/// Makes models, where the processor has AVX-512.
pub static MODELS: Models<f32> = Models::on::<Threaded<Avx512<F32x16>>>(Isa::Avx512);

/// Proves and times these kernels.
pub static DIAGNOSTICS: Diagnostics = Diagnostics::on::<Threaded<Avx512<F32x16>>>(Isa::Avx512);
