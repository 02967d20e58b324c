//! The `myopia` program.

use std::process::ExitCode;

use clap::Parser;
use myopia::command::Program;

fn main() -> ExitCode {
    match Program::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("myopia: {failure}");
            ExitCode::from(failure.exit_status())
        }
    }
}
