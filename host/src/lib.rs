//! The program `myopia` as a library: what its binary and its bindings to other languages run.

use std::ffi::OsString;
use std::io::Write;
use std::panic::resume_unwind;
use std::thread;

mod command;

pub use command::bindings;

use command::{Program, config};
use myopia::failure::Failure;
use myopia::memory::{afford, share_heap};
use myopia::{interrupt, provenance, remark};
use myopia_backend::restore_float_control;

/// Bytes that are free where every command's small things find room: threads, tables, what a
/// library keeps. A system that gives no memory for those ends the program without a sentence.
const ROOM: u128 = 32 << 20;

/// Bytes of the stack on which a command runs, whatever `ulimit -s` leaves the first thread.
const STACK: usize = 8 << 20;

/// Carries out the command that `arguments` ask for, without the program's name; its exit status.
/// Help, the version and a refusal of the arguments end the process.
pub fn main(arguments: Vec<OsString>) -> u8 {
    // Before there are threads, which inherit it: a library may have changed it before this began.
    let _ = restore_float_control();
    share_heap();
    let of_thread = arguments.clone();
    match thread::Builder::new().stack_size(STACK).spawn(|| run(of_thread)) {
        Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
        // No thread is to be had: the first one's stack has to do.
        Err(_) => run(arguments),
    }
}

fn run(arguments: Vec<OsString>) -> u8 {
    let prepared = interrupt::outlive_file_limits()
        .and_then(|()| afford("myopia itself", ROOM, "raise the limit or free some memory"))
        .and_then(|()| config::expanded(arguments));
    let done = prepared.and_then(|arguments| {
        provenance::set(arguments.iter().cloned());
        Program::from_arguments(arguments).start()
    });
    match done {
        Ok(()) => 0,
        // What was done before is no failure, and a remark that --quiet leaves out.
        Err(failure @ Failure::Done(_)) => {
            remark::say(failure);
            0
        }
        Err(failure) => {
            // Standard error may be closed; the exit status still tells.
            let _ = writeln!(std::io::stderr(), "myopia: {failure}");
            failure.exit_status()
        }
    }
}
