//! The `myopia` program.

use std::io::Write;
use std::process::ExitCode;

mod command;

use command::Program;
use myopia::failure::Failure;
use myopia::{interrupt, provenance, remark};

fn main() -> ExitCode {
    provenance::set(std::env::args_os().skip(1));
    match interrupt::outlive_file_limits().and_then(|()| Program::from_arguments().run()) {
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
