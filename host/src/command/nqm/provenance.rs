//! What every folder of results says about itself: version, settings, and the command that makes it
//! again.

use serde::Serialize;

use super::options::command_line;

/// Results with their provenance.
#[derive(Debug, Serialize)]
pub struct Provenance<'a, O, R> {
    /// The command without its options.
    pub command: &'static str,
    /// The program's version; bits are promised for one version only.
    pub version: &'static str,
    /// The whole command line, but for the place of the results.
    pub command_line: String,
    /// The options.
    pub settings: &'a O,
    /// What came of it.
    #[serde(flatten)]
    pub results: R,
}

impl<'a, O, R> Provenance<'a, O, R> {
    /// The results of `command` with these options, of which `words` are the words.
    pub fn new(command: &'static str, settings: &'a O, words: Vec<String>, results: R) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let start = ["myopia"].into_iter().chain(command.split(' ')).map(str::to_owned);
        Self { command, version, command_line: command_line(start.chain(words)), settings, results }
    }
}
