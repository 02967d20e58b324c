//! Models in `f32` with the instructions that every processor of the architecture has: SSE2, NEON,
//! …

use myopia_backend::{Diagnostics, Isa, Models, Threaded};
use myopia_core::backend::Portable;
use myopia_core::vector::F32x4;

/// Makes models.
pub static MODELS: Models<f32> = Models::on::<Threaded<Portable<F32x4>>>(Isa::Baseline);

/// Proves and times these kernels.
pub static DIAGNOSTICS: Diagnostics = Diagnostics::on::<Threaded<Portable<F32x4>>>(Isa::Baseline);
