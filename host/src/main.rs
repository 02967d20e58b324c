//! The `myopia` program.

use std::io::Write;
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::thread;

mod command;

use command::Program;
use myopia::failure::Failure;
use myopia::{interrupt, provenance, remark};

/// Bytes of the stack on which a command runs, whatever `ulimit -s` leaves the first thread.
const STACK: usize = 8 << 20;

fn main() -> ExitCode {
    match thread::Builder::new().stack_size(STACK).spawn(run) {
        Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
        // No thread is to be had: the first one's stack has to do.
        Err(_) => run(),
    }
}

fn run() -> ExitCode {
    provenance::set(std::env::args_os().skip(1));
    match interrupt::outlive_file_limits().and_then(|()| Program::from_arguments().start()) {
        Ok(()) => ExitCode::SUCCESS,
        // What was done before is no failure, and a remark that --quiet leaves out.
        Err(failure @ Failure::Done(_)) => {
            remark::say(failure);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            // Standard error may be closed; the exit status still tells.
            let _ = writeln!(std::io::stderr(), "myopia: {failure}");
            ExitCode::from(failure.exit_status())
        }
    }
}
