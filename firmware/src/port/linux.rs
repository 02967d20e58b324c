//! Linux: the C library starts, prints and ends.

use super::say;
pub use super::text::say_panic;
use crate::Outcome;

unsafe extern "C" {
    #[link_name = "write"]
    fn c_write(file: i32, bytes: *const u8, count: usize) -> isize;
    #[link_name = "exit"]
    safe fn c_exit(status: i32) -> !;
    #[link_name = "abort"]
    safe fn c_abort() -> !;
}

#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    exit(crate::run())
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
