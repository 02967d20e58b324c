//! What the image and the run used of flash, RAM and stack, from the linker's symbols and the
//! painted stack.

use core::ptr;

/// The word the unused stack is filled with before the run.
pub const PAINT: u32 = 0xcccc_cccc;

unsafe extern "C" {
    static _flash_start: u32;
    static __sidata: u32;
    static __sdata: u32;
    static __edata: u32;
    static __ebss: u32;
    pub static _stack_end: u32;
    pub static _stack_start: u32;
}

/// Prints the bytes used: of flash, of RAM by statics, of stack at its deepest, and the stack's
/// size.
pub fn say_usage() {
    let address = |symbol: *const u32| symbol.addr();
    let (flash_start, load) = (address(&raw const _flash_start), address(&raw const __sidata));
    let (data, data_end, bss_end) =
        (address(&raw const __sdata), address(&raw const __edata), address(&raw const __ebss));
    let stack_size = address(&raw const _stack_start) - address(&raw const _stack_end);
    super::say!(
        "memory flash={} statics={} stack={} stack_size={}",
        (load - flash_start + (data_end - data)) as u32,
        (bss_end - data) as u32,
        deepest_stack() as u32,
        stack_size as u32
    );
}

/// The stack's worst depth so far, in bytes: from its top down to the lowest word that lost its
/// paint.
fn deepest_stack() -> usize {
    let (end, start) = (&raw const _stack_end, &raw const _stack_start);
    let mut word = end;
    // SAFETY: `word` stays between the linker's bounds of the stack, which is readable memory.
    while word < start && unsafe { ptr::read_volatile(word) } == PAINT {
        word = word.wrapping_add(1);
    }
    start.addr() - word.addr()
}
