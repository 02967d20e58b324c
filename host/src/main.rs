//! The `myopia` program.
fn main() {}
