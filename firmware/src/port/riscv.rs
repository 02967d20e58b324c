//! RISC-V: `riscv-rt` starts, semihosting prints and ends the run. (`defmt` knows no RISC-V linker
//! script of its own.)

use core::arch::{asm, naked_asm};

use semihosting::io::{self, Write};

pub use super::command_line::drill;
use super::memory;
use super::say;
pub use super::text::say_panic;
use crate::Outcome;

#[riscv_rt::entry]
fn start() -> ! {
    guard_stack();
    paint_stack();
    let outcome = crate::run();
    memory::say_usage();
    exit(outcome)
}

/// Closes the 256 KiB below the stack, which are memory like any other, by a locked entry of the
/// physical memory protection.
fn guard_stack() {
    const SIZE: usize = 0x4_0000;
    let base = (&raw const memory::_stack_end).addr() - SIZE;
    // SAFETY: nothing lies in the gap between code and stack.
    unsafe {
        asm!(
            "csrw pmpaddr0, {region}",
            "csrw pmpcfg0, {locked}",
            region = in(reg) (base >> 2) | ((SIZE >> 3) - 1),
            locked = in(reg) 0x98,
        );
    }
}

fn paint_stack() {
    let mut word = (&raw const memory::_stack_end).cast_mut();
    let stack_pointer: *mut u32;
    // SAFETY: reads a register.
    unsafe { asm!("mv {}, sp", out(reg) stack_pointer) };
    while word < stack_pointer {
        // SAFETY: below the stack pointer nothing lives.
        unsafe { word.write_volatile(memory::PAINT) };
        word = word.wrapping_add(1);
    }
}

/// Ends the run with the outcome as its exit status.
pub fn exit(outcome: Outcome) -> ! {
    say!("end {}", outcome as u8);
    semihosting::process::exit(outcome as i32)
}

pub(super) fn write(bytes: &[u8]) {
    let written = io::stdout().and_then(|mut console| console.write_all(bytes));
    if written.is_err() {
        semihosting::process::exit(Outcome::Broken as i32);
    }
}

/// Every trap is a fault here, and may come of a stack that overflowed: begins a new stack.
#[unsafe(no_mangle)]
#[unsafe(naked)]
#[unsafe(link_section = ".trap.start")]
extern "C" fn _start_trap() -> ! {
    naked_asm!(".balign 4", "mv a0, sp", "la sp, _stack_start", "j {report}", report = sym report_trap)
}

extern "C" fn report_trap(_stack_pointer: *const u32) -> ! {
    let (cause, at, address): (usize, usize, usize);
    // SAFETY: reads registers.
    unsafe {
        asm!("csrr {}, mcause", "csrr {}, mepc", "csrr {}, mtval", out(reg) cause, out(reg) at, out(reg) address)
    };
    let end = (&raw const memory::_stack_end).addr();
    if (end - 0x4_0000..end).contains(&address) {
        say!("broken stack overflow");
    } else {
        say!("broken trap {} at {:08x}", cause, at);
    }
    exit(Outcome::Broken)
}

/// Faults, for the drill.
pub fn fault() -> ! {
    // SAFETY: an illegal instruction is the fault asked for.
    unsafe { asm!("unimp", options(noreturn)) }
}
