//! The `myopia` program.

use std::io::Write;
use std::process::ExitCode;

mod command;

use clap::Parser;
use command::Program;

fn main() -> ExitCode {
    match Program::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Standard error may be closed; the exit status still tells.
            let _ = writeln!(std::io::stderr(), "myopia: {failure}");
            ExitCode::from(failure.exit_status())
        }
    }
}
