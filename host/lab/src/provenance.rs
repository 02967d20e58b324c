//! The command that this process carries out, as a shell would be given it again.
//!
//! Where results go, whether earlier ones are replaced, and how fast it is done are no part of it:
//! they do not change the results.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

static COMMAND: Mutex<Option<String>> = Mutex::new(None);

/// Options that do not change results and take a value.
const WITH_VALUE: [&str; 4] = ["--out", "--threads", "--isa", "--checkpoint-every"];
/// Options that do not change results and take none.
const ALONE: [&str; 5] = ["--force", "--json", "--quiet", "-q", "--resume"];

/// Says what is carried out from now on: the program's arguments without its name.
pub fn set(arguments: impl IntoIterator<Item = OsString>) {
    set_line(line(arguments));
}

/// The same, as [`command`] gives it.
pub fn set_line(line: String) {
    *COMMAND.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
}

/// What is carried out, if that was said: `myopia train --steps 5`, on one line.
pub fn command() -> Option<String> {
    COMMAND.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The commit of the checkout that `folder` lies in: twelve digits, and ` with changes` where files
/// differ from it; none where git cannot tell.
pub fn commit(folder: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changes.is_empty() { commit } else { format!("{commit} with changes") })
}

fn line(arguments: impl IntoIterator<Item = OsString>) -> String {
    let mut line = "myopia".to_owned();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        let name = text.split('=').next().unwrap_or_default();
        if ALONE.contains(&&*text) {
            continue;
        }
        if WITH_VALUE.contains(&name) {
            if !text.contains('=') {
                arguments.next();
            }
            continue;
        }
        line.push(' ');
        line += &quoted(&argument);
    }
    line
}

/// The argument as a shell is given it, on one line.
pub fn quoted(argument: &OsStr) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./,:=+@%".contains(&byte);
    let bytes = argument.as_encoded_bytes();
    match argument.to_str() {
        Some(text) if !bytes.is_empty() && bytes.iter().copied().all(plain) => text.to_owned(),
        Some(text) if !text.contains(char::is_control) => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        _ => {
            let escaped = bytes.iter().map(|&byte| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(byte)),
                b' '..=b'~' => char::from(byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            });
            format!("$'{}'", escaped.collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> String {
        line(arguments.iter().map(OsString::from))
    }

    #[test]
    fn the_line_is_what_changes_results_and_a_shell_reads_it_back() {
        assert_eq!(
            of(&[
                "train",
                "--steps=5",
                "--out",
                "a b",
                "--threads=2",
                "-q",
                "--seed",
                "3",
                "--force"
            ]),
            "myopia train --steps=5 --seed 3"
        );
        assert_eq!(
            of(&["nqm", "--schedule", "file:my file.csv"]),
            "myopia nqm --schedule 'file:my file.csv'"
        );
        assert_eq!(of(&["x", "it's", ""]), r"myopia x 'it'\''s' ''");
        assert_eq!(
            of(&["file:it's a $x.csv", "geometric:1e-3,1.0", ""]),
            r"myopia 'file:it'\''s a $x.csv' geometric:1e-3,1.0 ''"
        );
        assert_eq!(of(&["x", "two\nlines\u{1b}"]), r"myopia x $'two\x0alines\x1b'");
    }

    #[cfg(unix)]
    #[test]
    fn bash_is_given_the_same_bytes_again() {
        use std::os::unix::ffi::OsStrExt;
        for bytes in [&b"plain"[..], b"a b'c\\d", b"\xff\xfe'\n\\x", "漢字 $HOME `x`".as_bytes()]
        {
            let command = format!("printf %s {}", quoted(OsStr::from_bytes(bytes)));
            let Ok(said) = Command::new("bash").args(["-c", &command]).output() else {
                return;
            };
            assert_eq!(said.stdout, bytes, "{command}");
        }
    }
}
