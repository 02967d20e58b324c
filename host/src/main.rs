//! The `myopia` program.

use std::process::ExitCode;

use myopia::heap::Heap;

#[global_allocator]
static HEAP: Heap = Heap;

fn main() -> ExitCode {
    ExitCode::from(myopia_program::main(std::env::args_os().skip(1).collect()))
}
