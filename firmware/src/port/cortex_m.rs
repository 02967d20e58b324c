//! Cortex-M: `cortex-m-rt` starts, `defmt` prints, semihosting ends the run, in an emulator as
//! under a probe.

use core::{
    arch::{asm, naked_asm},
    panic::PanicInfo,
    sync::atomic::{AtomicBool, Ordering},
};

use cortex_m as _; // its critical section
#[cfg(feature = "rtt")]
use defmt_rtt as _;
#[cfg(feature = "semihosting")]
use defmt_semihosting as _;

pub use super::command_line::drill;
use super::memory;
use super::say;
use crate::Outcome;

/// The boot ROM loads this from the first 256 bytes of flash; it makes the rest of flash readable.
#[cfg(feature = "raspberry-pi-pico")]
#[unsafe(link_section = ".boot2")]
#[unsafe(no_mangle)]
static BOOT2: [u8; 256] = rp2040_boot2::BOOT_LOADER_W25Q080;

#[cortex_m_rt::entry]
fn start() -> ! {
    #[cfg(armv7m)]
    guard_stack();
    let outcome = crate::run();
    memory::say_usage();
    exit(outcome)
}

/// Closes the 256 MiB below RAM by the memory protection unit. Most chips fault there anyway; some
/// emulated machines ignore such accesses.
#[cfg(armv7m)]
fn guard_stack() {
    const SIZE_LOG2: u32 = 28;
    const VALID: u32 = 1 << 4;
    const ENABLE: u32 = 1 << 0;
    const DEFAULT_MAP_ELSEWHERE: u32 = 1 << 2;
    let base = (&raw const memory::_stack_end).addr() as u32 - (1 << SIZE_LOG2);
    // SAFETY: nothing lies in the closed region, and the rest keeps the default map.
    unsafe {
        let unit = &*cortex_m::peripheral::MPU::PTR;
        unit.rbar.write(base | VALID);
        // Access permission 0: none.
        unit.rasr.write((SIZE_LOG2 - 1) << 1 | ENABLE);
        unit.ctrl.write(ENABLE | DEFAULT_MAP_ELSEWHERE);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

/// Ends the run with the outcome as its exit status.
pub fn exit(outcome: Outcome) -> ! {
    say!("end {}", outcome as u8);
    semihosting::process::exit(outcome as i32)
}

/// Prints where and why the program panicked.
pub fn say_panic(info: &PanicInfo) {
    static PANICKED: AtomicBool = AtomicBool::new(false);
    if PANICKED.load(Ordering::Relaxed) {
        // The log itself panicked.
        semihosting::process::exit(Outcome::Broken as i32);
    }
    PANICKED.store(true, Ordering::Relaxed);
    say!("broken {}", defmt::Display2Format(info));
}

/// A fault may come of a stack that overflowed: hands the stack pointer on and begins a new stack.
#[unsafe(no_mangle)]
#[unsafe(naked)]
#[unsafe(link_section = ".HardFault.user")]
extern "C" fn HardFault() -> ! {
    naked_asm!(
        "mov r0, sp",
        "ldr r1, =_stack_start",
        "mov sp, r1",
        "bl {report}",
        report = sym report_fault,
    )
}

extern "C" fn report_fault(stack_pointer: *const u32) -> ! {
    let end = &raw const memory::_stack_end;
    // The exception frame takes up to 104 bytes; a stack this close to its end overflowed or was
    // about to.
    if stack_pointer < end.wrapping_add(64) {
        say!("broken stack overflow");
    } else {
        // SAFETY: the processor has just pushed eight words there, the seventh the program counter.
        let program_counter = unsafe { stack_pointer.add(6).read_volatile() };
        say!("broken hard fault at {:08x}", program_counter);
    }
    exit(Outcome::Broken)
}

/// Faults, for the drill.
pub fn fault() -> ! {
    // SAFETY: an undefined instruction is the fault asked for.
    unsafe { asm!("udf #0", options(noreturn)) }
}
