//! Models in `f32` for processors with AVX2.

#![cfg(target_arch = "x86_64")]

use myopia_backend::x86::Avx2;
use myopia_backend::{Diagnostics, Isa, Models, Threaded};
use myopia_core::vector::F32x8;

/// Makes models, where the processor has AVX2.
pub static MODELS: Models<f32> = Models::on::<Threaded<Avx2<F32x8>>>(Isa::Avx2);

/// Proves and times these kernels.
pub static DIAGNOSTICS: Diagnostics = Diagnostics::on::<Threaded<Avx2<F32x8>>>(Isa::Avx2);
