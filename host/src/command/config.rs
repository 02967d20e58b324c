//! `--config FILE`: options from a file in place of the command line.
//!
//! The file is TOML, a key for each option (`time-constant` or `time_constant`) and `command` for
//! the command, or the `manifest.json` of an earlier run. What the command line gives as well
//! comes from there.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use myopia::config::{Settings, grouped, parse};
use myopia::failure::Failure;
use myopia::input::read_regular;

/// More bytes than any such file has.
const LARGEST: u64 = 1 << 24;

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
            let named = left.next().unwrap_or_default();
            refuse_second(file.replace(named).as_deref())?;
        } else if let Some(path) = argument.to_str().and_then(|a| a.strip_prefix("--config=")) {
            refuse_second(file.replace(path.into()).as_deref())?;
        } else {
            rest.push(argument);
        }
    }
    match file {
        None => Ok(rest),
        Some(file) if file.is_empty() => Err(Failure::usage("--config names no file; give one")),
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

fn read(path: &Path) -> Result<Settings, Failure> {
    let bytes = read_regular(path, LARGEST).map_err(|e| Failure::io("read", path, &e))?;
    parse(&bytes).map_err(|why| Failure::usage(format!("{}: {why}", path.display())))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use myopia::published::Manifest;

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
        let ranges = "range = [\"rho=0.1,0.2\", \"momentum=0.3,0.4\"]";
        let words = "surface --range=rho=0.1,0.2 --range=momentum=0.3,0.4";
        assert_eq!(expand(ranges, "surface --config FILE").unwrap(), words);
        let given = "surface --range rho=1,2 --config FILE";
        assert_eq!(expand(ranges, given).unwrap(), "surface --range rho=1,2");
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
            ("command = \"train --steps 5\"", "--config FILE", "FILE: command has an option in it"),
            ("config = \"x\"", "--config FILE", "FILE: config names another file"),
            ("{\"a\": 1}", "--config FILE", "FILE: no manifest: "),
            ("", "--config no/such/file", "could not read no/such/file: it does not exist"),
            ("", "train --config", "--config names no file"),
            ("", "train --config=", "--config names no file"),
            ("", "--config FILE --config FILE", "--config is given twice"),
        ] {
            let said = expand(file, line).unwrap_err();
            assert!(said.contains(words) && !said.contains('\n'), "{said}");
        }
    }
}
