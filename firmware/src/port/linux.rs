//! Linux: the C library starts, prints and ends.

use core::ffi::{CStr, c_char};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::say;
pub use super::text::say_panic;
use crate::Outcome;
use crate::drill::Drill;

unsafe extern "C" {
    #[link_name = "write"]
    fn c_write(file: i32, bytes: *const u8, count: usize) -> isize;
    #[link_name = "exit"]
    safe fn c_exit(status: i32) -> !;
    #[link_name = "abort"]
    safe fn c_abort() -> !;
}

/// The drill that the first argument asks for.
static DRILL: AtomicPtr<c_char> = AtomicPtr::new(null_mut());

#[unsafe(no_mangle)]
extern "C" fn main(count: i32, arguments: *const *mut c_char) -> i32 {
    if count > 1 {
        // SAFETY: the C library hands over as many arguments as it says.
        DRILL.store(unsafe { *arguments.add(1) }, Ordering::Relaxed);
    }
    exit(crate::run())
}

/// The drill that the command line asks for.
pub fn drill() -> Option<Drill> {
    let argument = DRILL.load(Ordering::Relaxed);
    if argument.is_null() {
        return None;
    }
    // SAFETY: an argument is a string that lives as long as the program.
    Drill::asked_for(unsafe { CStr::from_ptr(argument) }.to_bytes())
}

/// Ends the run with the outcome as its exit status.
pub fn exit(outcome: Outcome) -> ! {
    say!("end {}", outcome as u8);
    c_exit(outcome as i32)
}

pub(super) fn write(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the slice is readable.
        let count = unsafe { c_write(1, bytes.as_ptr(), bytes.len()) };
        match usize::try_from(count).ok().and_then(|count| bytes.get(count..)) {
            Some(rest) if count > 0 => bytes = rest,
            _ => c_exit(Outcome::Broken as i32),
        }
    }
}

/// Faults, for the drill.
pub fn fault() -> ! {
    c_abort()
}
