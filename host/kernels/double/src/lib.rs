//! Models in `f64`, in which derivatives are checked: for every processor, and for those with AVX2.

use myopia_backend::{Isa, Models, Threaded};
use myopia_core::backend::Portable;
use myopia_core::vector::F64x4;

/// Makes models with the instructions that every processor of the architecture has.
pub static BASELINE: Models<f64> = Models::on::<Threaded<Portable<F64x4>>>(Isa::Baseline);

/// Makes models, where the processor has AVX2.
#[cfg(target_arch = "x86_64")]
pub static AVX2: Models<f64> = Models::on::<Threaded<myopia_backend::x86::Avx2<F64x4>>>(Isa::Avx2);
