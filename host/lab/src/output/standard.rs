//! Standard output, which may be a pipe whose reader leaves early or a file on a full disk.

use std::io::{self, BufWriter, Write};

use crate::failure::Failure;

/// Prints what `fill` writes. A reader that closed the pipe has seen enough: that is no failure.
///
/// # Errors
/// When standard output cannot be written to for any other reason.
pub fn print(fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    match fill(&mut out).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::run(format!(
            "could not write the result to standard output: {e}; direct it elsewhere or use --out"
        ))),
        _ => Ok(()),
    }
}
