//! WebAssembly: `wasm.mjs` starts, prints and ends.

use super::say;
pub use super::text::say_panic;
use crate::Outcome;
use crate::drill::Drill;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    #[link_name = "write"]
    fn js_write(bytes: *const u8, count: usize);
    #[link_name = "exit"]
    safe fn js_exit(status: i32) -> !;
}

#[unsafe(no_mangle)]
extern "C" fn start() {
    exit(crate::run())
}

/// None: there is no command line.
pub fn drill() -> Option<Drill> {
    None
}

/// Ends the run with the outcome as its exit status.
pub fn exit(outcome: Outcome) -> ! {
    say!("end {}", outcome as u8);
    js_exit(outcome as i32)
}

pub(super) fn write(bytes: &[u8]) {
    // SAFETY: the slice is readable.
    unsafe { js_write(bytes.as_ptr(), bytes.len()) };
}

/// Faults, for the drill.
pub fn fault() -> ! {
    core::arch::wasm32::unreachable()
}
