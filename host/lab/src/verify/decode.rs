//! From the bytes of a run to the lines of its log.

use std::fs;
use std::path::Path;

use defmt_decoder::{DecodeError, Table};

use super::NotRun;

/// The lines of a log that is text.
pub fn text(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output).lines().map(str::to_owned).collect()
}

/// The lines of a `defmt` stream of a run of `image`. One that is garbled ends in a line that says
/// so; one that is cut off ends early.
///
/// # Errors
/// When `image` is no firmware image.
pub fn defmt(image: &Path, output: &[u8]) -> Result<Vec<String>, NotRun> {
    let table = table(image)?;
    let mut decoder = table.new_stream_decoder();
    decoder.received(output);
    let mut lines = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => lines.push(frame.display_message().to_string()),
            Err(DecodeError::UnexpectedEof) => return Ok(lines),
            Err(DecodeError::Malformed) => {
                lines.push("broken log: a frame is malformed".into());
                return Ok(lines);
            }
        }
    }
}

/// The strings of `image` that its log refers to.
pub fn table(image: &Path) -> Result<Table, NotRun> {
    let unusable =
        |reason: String| NotRun(format!("{} is no firmware image: {reason}", image.display()));
    let elf = fs::read(image).map_err(|error| unusable(error.to_string()))?;
    Table::parse(&elf)
        .map_err(|error| unusable(error.to_string()))?
        .ok_or_else(|| unusable("it has no .defmt section".into()))
}
