//! The command line that an emulator hands to its program.

#[cfg(any(feature = "semihosting", target_arch = "riscv32"))]
use core::mem::MaybeUninit;

use crate::drill::Drill;

/// The drill that the emulator's command line asks for.
#[cfg(any(feature = "semihosting", target_arch = "riscv32"))]
pub fn drill() -> Option<Drill> {
    let mut room = [MaybeUninit::uninit(); 64];
    // A command line that does not fit is the image's path: no drill.
    let line = semihosting::sys::arm_compat::sys_get_cmdline_uninit(&mut room).ok()?;
    Drill::asked_for(line)
}

/// None: a board has no command line, and nobody answers who asks for it.
#[cfg(not(any(feature = "semihosting", target_arch = "riscv32")))]
pub fn drill() -> Option<Drill> {
    None
}
