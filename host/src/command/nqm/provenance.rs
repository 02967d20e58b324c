//! What every folder of results says about itself: version, settings, and the command that makes it
//! again.

use myopia::provenance;
use serde::Serialize;

/// Results with their provenance.
#[derive(Debug, Serialize)]
pub struct Provenance<'a, O, R> {
    /// The command without its options.
    pub command: &'static str,
    /// The program's version; bits are promised for one version only.
    pub version: &'static str,
    /// The command, as [`provenance::command`] gives it.
    pub command_line: Option<String>,
    /// The options.
    pub settings: &'a O,
    /// What came of it.
    #[serde(flatten)]
    pub results: R,
}

impl<'a, O, R> Provenance<'a, O, R> {
    /// The results of `command` with these options.
    pub fn new(command: &'static str, settings: &'a O, results: R) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        Self { command, version, command_line: provenance::command(), settings, results }
    }
}
