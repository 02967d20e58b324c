//! Logs of runs, in a program built without the feature `boards`.

use std::path::Path;

use super::{NotRun, WITHOUT_BOARDS};

/// The lines of a log that is text.
pub fn text(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output).lines().map(str::to_owned).collect()
}

/// Why the `defmt` stream of a run of `image` cannot be decoded.
///
/// # Errors
/// Always.
pub fn defmt(_: &Path, _: &[u8]) -> Result<Vec<String>, NotRun> {
    Err(NotRun(WITHOUT_BOARDS.into()))
}
