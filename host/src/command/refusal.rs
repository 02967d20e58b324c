//! What the command line is refused with, shown safely.

use std::ffi::OsString;
use std::io::{self, Write};

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Program;
use myopia::shown;

impl Program {
    /// The program as these arguments ask for it, without its name. Help, the version and a refusal
    /// end the process; values in a refusal are shown escaped and shortened.
    pub fn from_arguments(arguments: Vec<OsString>) -> Self {
        let line = [OsString::from("myopia")].into_iter().chain(arguments);
        Self::try_parse_from(line).unwrap_or_else(|mut error| {
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
                match error.print().and_then(|()| io::stdout().flush()) {
                    // A reader that closed the pipe has seen enough.
                    Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                        let _ = writeln!(
                            io::stderr(),
                            "myopia: could not write to standard output: {e}; direct it elsewhere"
                        );
                        std::process::exit(1);
                    }
                    _ => std::process::exit(error.exit_code()),
                }
            }
            match safe(&mut error) {
                None => error.exit(),
                Some(text) => {
                    // Standard error may be closed; the exit status still tells.
                    let _ = write!(io::stderr(), "{text}");
                    std::process::exit(error.exit_code());
                }
            }
        })
    }
}

/// The first paragraph of a refusal as a sentence, safe to show.
pub fn sentence(mut error: clap::Error) -> String {
    let text = safe(&mut error).unwrap_or_else(|| error.render().to_string());
    let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

/// The refusal as safe text, if it is not safe as it is.
fn safe(error: &mut clap::Error) -> Option<String> {
    let plain = error.render().to_string();
    let mut values = Vec::new();
    for (kind, value) in error.context() {
        match (kind, value) {
            // These are the program's own.
            (ContextKind::Usage | ContextKind::ValidValue | ContextKind::Suggested, _) => {}
            (_, ContextValue::String(text)) => {
                values.push((kind, ContextValue::String(shown::name(text))));
            }
            (_, ContextValue::Strings(texts)) => {
                let texts = texts.iter().map(|text| shown::name(text)).collect();
                values.push((kind, ContextValue::Strings(texts)));
            }
            _ => {}
        }
    }
    let is_plain = values.iter().all(|(kind, value)| error.get(*kind) == Some(value));
    for (kind, value) in values {
        error.insert(kind, value);
    }
    let lines: Vec<String> = error.render().to_string().lines().map(shown::sentence).collect();
    let text = lines.join("\n") + "\n";
    (!is_plain || text.trim_end() != plain.trim_end()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(arguments: &[&str]) -> String {
        let mut error = Program::try_parse_from([&["myopia"], arguments].concat()).unwrap_err();
        safe(&mut error).unwrap_or_else(|| error.render().to_string())
    }

    #[test]
    fn a_refused_value_is_shown_escaped_on_one_line_and_shortened() {
        let evil = "5\u{1b}[2J\nerror: all is well";
        let said = refusal(&["train", "--steps", evil]);
        assert!(said.contains(r"'5\u{1b}[2J\nerror: all is well'"), "{said}");
        assert!(!said.contains('\u{1b}'), "{said}");
        let long = "7".repeat(100_000);
        for arguments in [
            &["train", "--steps", &long][..],
            &["surface", "--grid", &long],
            &["surface", "--horizon", &long],
            &[&long],
            &["train", &long],
        ] {
            let said = refusal(arguments);
            assert!(said.len() < 2_000 && said.contains('…'), "{said}");
        }
        let plain = refusal(&["train", "--steps", "x"]);
        assert!(plain.starts_with("error: invalid value 'x' for '--steps"), "{plain}");
        assert!(plain.contains("\n\nFor more information"), "{plain}");
    }
}
