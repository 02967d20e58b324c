//! What differs between the targets: how a run starts, where its lines go, how it ends.
//!
//! Every target prints the same lines; Cortex-M sends them through `defmt`, so that only their
//! numbers travel.

#[cfg(target_os = "none")]
mod command_line;
#[cfg(target_os = "none")]
mod memory;

#[cfg(all(target_arch = "arm", target_os = "none"))]
#[path = "cortex_m.rs"]
mod here;
#[cfg(all(target_arch = "riscv32", target_os = "none"))]
#[path = "riscv.rs"]
mod here;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod here;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
#[path = "wasm.rs"]
mod here;

#[cfg(not(all(target_arch = "arm", target_os = "none")))]
mod text;
#[cfg(not(all(target_arch = "arm", target_os = "none")))]
pub(crate) use text::{Line, say};

#[cfg(all(target_arch = "arm", target_os = "none"))]
pub(crate) use defmt::println as say;

pub use here::{drill, exit, fault, say_panic};
