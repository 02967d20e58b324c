//! `--config FILE`: options from a file in place of the command line.
//!
//! The file is TOML, a key for each option (`time-constant` or `time_constant`) and `command` for
//! the command, or the `manifest.json` of an earlier run. What the command line gives as well
//! comes from there.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use myopia::failure::Failure;
use myopia::input::read_regular;
use myopia::published::Manifest;
use myopia::shown;
use toml::{Table, Value};

/// More bytes than any such file has.
const LARGEST: u64 = 1 << 24;

/// A command's names and its options, each as its words on a command line.
#[derive(Debug, Default, PartialEq)]
struct Settings {
    command: Vec<OsString>,
    options: Vec<Vec<OsString>>,
}

/// The arguments with those that the file of `--config` gives, if there is one.
///
/// # Errors
/// One sentence when the file is missing or is none, or when it is of another command.
pub fn expanded(arguments: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let mut rest = Vec::new();
    let mut file = None;
    let mut left = arguments.into_iter();
    while let Some(argument) = left.next() {
        if argument == "--" {
            rest.push(argument);
            rest.extend(left.by_ref());
        } else if argument == "--config" {
            let missing = || Failure::usage("--config names no file; give one");
            let second = file.replace(left.next().ok_or_else(missing)?);
            refuse_second(second.as_deref())?;
        } else if let Some(path) = argument.to_str().and_then(|a| a.strip_prefix("--config=")) {
            let second = file.replace(path.into());
            refuse_second(second.as_deref())?;
        } else {
            rest.push(argument);
        }
    }
    match file {
        None => Ok(rest),
        Some(file) => joined(&read(Path::new(&file))?, &grouped(rest), Path::new(&file)),
    }
}

fn refuse_second(earlier: Option<&OsStr>) -> Result<(), Failure> {
    match earlier {
        None => Ok(()),
        Some(_) => Err(Failure::usage("--config is given twice; give one file")),
    }
}

/// The words of both, of options that both have those that are `given`.
fn joined(file: &Settings, given: &Settings, path: &Path) -> Result<Vec<OsString>, Failure> {
    let command = if given.command.is_empty() { &file.command } else { &given.command };
    if !file.command.is_empty() && *command != file.command {
        let [theirs, ours] = [&file.command, command].map(|words| words.join(OsStr::new(" ")));
        return Err(Failure::usage(format!(
            "{} is of `myopia {}`, not of `myopia {}`; leave the command out or give that one",
            path.display(),
            theirs.display(),
            ours.display()
        )));
    }
    let is_given = |option: &&Vec<OsString>| given.options.iter().any(|g| name(g) == name(option));
    let options = file.options.iter().filter(|option| !is_given(option));
    let options = options.chain(&given.options).flatten();
    Ok(command.iter().chain(options).cloned().collect())
}

/// The name of an option, `--name`, without its value.
fn name(option: &[OsString]) -> &[u8] {
    let word = option.first().map_or(&[][..], |word| word.as_encoded_bytes());
    word.split(|&byte| byte == b'=').next().unwrap_or_default()
}

/// The words of a command line, an option with those that follow it.
fn grouped(words: impl IntoIterator<Item = OsString>) -> Settings {
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

fn read(path: &Path) -> Result<Settings, Failure> {
    let bytes = read_regular(path, LARGEST).map_err(|e| Failure::io("read", path, &e))?;
    parse(&bytes).map_err(|why| Failure::usage(format!("{}: {why}", path.display())))
}

/// The settings in a file that holds these bytes, or why it is none.
fn parse(bytes: &[u8]) -> Result<Settings, String> {
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
            continue;
        }
        if key == "config" {
            return Err("config names another file; give all options in one".to_owned());
        }
        let option = format!("--{}", key.replace('_', "-"));
        let word = match value {
            Value::Boolean(true) => option,
            Value::Boolean(false) => continue,
            Value::Array(values) => {
                let values: Option<Vec<String>> = values.iter().map(scalar).collect();
                let values = values.ok_or_else(|| strange(key))?;
                format!("{option}={}", values.join(","))
            }
            value => format!("{option}={}", scalar(value).ok_or_else(|| strange(key))?),
        };
        settings.options.push(vec![word.into()]);
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn expand(file: &str, line: &str) -> Result<String, String> {
        let mut config = tempfile::NamedTempFile::new().unwrap();
        config.write_all(file.as_bytes()).unwrap();
        let path = config.path().to_string_lossy().into_owned();
        let words = line.split_whitespace().map(|word| word.replace("FILE", &path).into());
        match expanded(words.collect()) {
            Ok(words) => Ok(words.join(OsStr::new(" ")).into_string().unwrap()),
            Err(failure) => Err(failure.to_string().replace(&path, "FILE")),
        }
    }

    const TABLE: &str = "
        command = \"meta\"
        horizon = 100
        alpha0 = 0.1
        time_constant = 5e3
        layers = [64, 32, 10]
        fix = [\"beta\"]
        nesterov = true
        decoupled = false
        data = \"npz:my file.npz\"
    ";

    #[test]
    fn a_table_gives_what_the_command_line_does_not() {
        let all = "meta --alpha0=0.1 --data=npz:my file.npz --fix=beta --horizon=100 --layers=64,32,10 --nesterov \
                   --time-constant=5000.0";
        assert_eq!(expand(TABLE, "--config FILE").unwrap(), all);
        assert_eq!(expand(TABLE, "meta --config=FILE").unwrap(), all);
        let some = expand(TABLE, "meta --horizon 7 --config FILE --alpha0=-1 --seed 3").unwrap();
        assert!(some.ends_with(" --horizon 7 --alpha0=-1 --seed 3"), "{some}");
        assert!(!some.contains("--horizon=100") && !some.contains("--alpha0=0.1"), "{some}");
        assert_eq!(expand("", "train --steps 5").unwrap(), "train --steps 5");
    }

    #[test]
    fn a_manifest_gives_its_command() {
        let manifest = include_str!("../../../results/horizons-small/manifest.json");
        let words = expand(manifest, "--config FILE --seed 2").unwrap();
        assert!(words.starts_with("horizons --") && words.ends_with(" --seed 2"), "{words}");
        let command = Manifest::parse(manifest.as_bytes()).unwrap().command.join(" ");
        assert_eq!(words, format!("{command} --seed 2"));
        let other = expand(manifest, "train --config FILE").unwrap_err();
        assert_eq!(
            other,
            "FILE is of `myopia horizons`, not of `myopia train`; leave the command out or give that one"
        );
    }

    #[test]
    fn what_is_no_such_file_is_said_in_a_sentence() {
        for (file, line, words) in [
            ("horizon = \n", "--config FILE", "FILE: line 1 is no TOML: "),
            ("a = 1\nb = {c = 1}", "--config FILE", "FILE: b is no number, text, true or false"),
            ("a = 2026-01-01", "--config FILE", "FILE: a is no number"),
            ("command = 1", "--config FILE", "FILE: command is no text"),
            ("config = \"x\"", "--config FILE", "FILE: config names another file"),
            ("{\"a\": 1}", "--config FILE", "FILE: no manifest: "),
            ("", "--config no/such/file", "could not read no/such/file: it does not exist"),
            ("", "train --config", "--config names no file"),
            ("", "--config FILE --config FILE", "--config is given twice"),
        ] {
            let said = expand(file, line).unwrap_err();
            assert!(said.contains(words) && !said.contains('\n'), "{said}");
        }
    }
}
