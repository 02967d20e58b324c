//! Backends of the host: instruction sets found at run time, threads, models on the heap.
//!
//! A [`StoredModel`] is the boundary: below it the kernels, compiled for one instruction set, float
//! and number of tangents; above it everything else, compiled once. [`Models`] makes them; the
//! crates under `host/kernels` each compile one.

mod control;
mod diagnostics;
mod isa;
mod kfac;
mod model;
mod peak;
pub mod profile;
mod reverse;
mod threads;
#[cfg(target_arch = "x86_64")]
pub mod x86;

pub use control::{FloatControl, restore as restore_float_control};
pub use diagnostics::{Diagnostics, RunExperiment};
pub use isa::Isa;
pub use model::{HostBackend, MakeModel, Models, StoredModel};
pub use myopia_core::mlp::{HeapBatch, HeapNetwork};
pub use reverse::{MakeReversible, ReversibleModel, StepOfLayers};
pub use threads::{Threaded, awake, divide_all_work, pool_size};
