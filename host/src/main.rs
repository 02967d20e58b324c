//! The `myopia` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(myopia_program::main(std::env::args_os().skip(1).collect()))
}
