//! The heap, and the end of a program to which the system gives no more of it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The system's heap. Where it has nothing left the program ends with a sentence and status 1, in
/// place of a backtrace and a signal. What was estimated before
/// ([`afford`](crate::memory::afford)) is mostly what is asked for; threads that ask at the same
/// time, and libraries, are what no estimate foresees. Files are then as after a kill.
pub struct Heap;

// SAFETY: every call goes on to the system's allocator as it came; what it answers is returned, or
// the process ends.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        given(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        given(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, bytes: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in `alloc`.
        given(unsafe { System.realloc(bytes, layout, size) }, size)
    }

    unsafe fn dealloc(&self, bytes: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        unsafe { System.dealloc(bytes, layout) }
    }
}

#[inline]
fn given(bytes: *mut u8, size: usize) -> *mut u8 {
    if bytes.is_null() {
        end(size);
    }
    bytes
}

/// Ends the process. Nothing here may ask for memory.
#[cold]
fn end(size: usize) -> ! {
    static ENDING: AtomicBool = AtomicBool::new(false);
    // Of several threads the first speaks.
    while ENDING.swap(true, Ordering::Relaxed) {
        std::thread::sleep(Duration::from_secs(1));
    }
    let mut sentence = [0; 160];
    let mut rest = &mut sentence[..];
    let _ = writeln!(
        rest,
        "myopia: no memory is left: {size} bytes more are not to be had; free some, raise the limit, or ask for less"
    );
    let left = rest.len();
    let _ = std::io::stderr().write_all(&sentence[..sentence.len() - left]);
    #[cfg(unix)]
    // SAFETY: it ends the process, whatever its state.
    unsafe {
        libc::_exit(1)
    }
    #[cfg(not(unix))]
    std::process::exit(1)
}
