//! Options in a file in place of the command line: a TOML table or the manifest of a result.

use std::ffi::OsString;

use toml::{Table, Value};

use crate::published::Manifest;
use crate::shown;

/// A command's names and its options, each as its words on a command line.
#[derive(Debug, Default, PartialEq)]
pub struct Settings {
    /// The words of the command.
    pub command: Vec<OsString>,
    /// Each option with the words that follow it.
    pub options: Vec<Vec<OsString>>,
}

/// The words of a command line, an option with those that follow it.
pub fn grouped(words: impl IntoIterator<Item = OsString>) -> Settings {
    let mut settings = Settings::default();
    for word in words {
        let bytes = word.as_encoded_bytes();
        // A negative number is a value.
        let is_option =
            bytes.len() > 1 && bytes[0] == b'-' && !(bytes[1].is_ascii_digit() || bytes[1] == b'.');
        match settings.options.last_mut() {
            Some(option) if !is_option => option.push(word),
            None if !is_option => settings.command.push(word),
            _ => settings.options.push(vec![word]),
        }
    }
    settings
}

/// The settings in a file that holds these bytes.
///
/// # Errors
/// Why it holds none, after the file's name and a colon.
pub fn parse(bytes: &[u8]) -> Result<Settings, String> {
    if bytes.trim_ascii_start().starts_with(b"{") {
        let manifest = Manifest::parse(bytes).map_err(|e| format!("no manifest: {e}"))?;
        return Ok(grouped(manifest.command.into_iter().map(OsString::from)));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "no text; give a TOML file".to_owned())?;
    let table: Table = text.parse().map_err(|e: toml::de::Error| {
        let line = e.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        format!("line {line} is no TOML: {}", e.message())
    })?;
    let mut settings = Settings::default();
    for (key, value) in &table {
        if key == "command" {
            let Value::String(command) = value else {
                return Err("command is no text; give such as \"nqm meta\"".to_owned());
            };
            settings.command = command.split_whitespace().map(OsString::from).collect();
            if grouped(settings.command.iter().cloned()).command != settings.command {
                return Err("command has an option in it; give that a line of its own".to_owned());
            }
            continue;
        }
        if key == "config" {
            return Err("config names another file; give all options in one".to_owned());
        }
        let option = format!("--{}", key.replace('_', "-"));
        let words = match value {
            Value::Boolean(true) => vec![option],
            Value::Boolean(false) => continue,
            Value::Array(values) => {
                let values: Option<Vec<String>> = values.iter().map(scalar).collect();
                let values = values.ok_or_else(|| strange(key))?;
                // Whatever is more than a name or a number is an option of its own each time.
                match values.iter().any(|value| value.contains([':', '=', ','])) {
                    true => values.iter().map(|value| format!("{option}={value}")).collect(),
                    false => vec![format!("{option}={}", values.join(","))],
                }
            }
            value => vec![format!("{option}={}", scalar(value).ok_or_else(|| strange(key))?)],
        };
        settings.options.push(words.into_iter().map(OsString::from).collect());
    }
    Ok(settings)
}

fn strange(key: &str) -> String {
    let key = shown::name(key);
    format!(
        "{key} is no number, text, true or false, and no list of them; write it as on the command line"
    )
}

/// A value as the command line has it.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(format!("{number:?}")),
        _ => None,
    }
}
