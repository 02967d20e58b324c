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
    let words = without(arguments, &WITH_VALUE, &ALONE);
    words.iter().fold("myopia".to_owned(), |line, word| line + " " + &quoted(word))
}

/// The arguments but for these options: some are followed by a value, or have it behind `=`.
pub fn without(
    arguments: impl IntoIterator<Item = OsString>,
    with_value: &[&str],
    alone: &[&str],
) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        let name = text.split('=').next().unwrap_or_default();
        if alone.contains(&&*text) {
            continue;
        }
        if with_value.contains(&name) {
            if !text.contains('=') {
                arguments.next();
            }
            continue;
        }
        kept.push(argument);
    }
    kept
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

/// The words of a line whose words are [`quoted`]; nothing when it is no such line.
pub fn words(line: &str) -> Option<Vec<OsString>> {
    let mut left = line.as_bytes();
    let mut words = Vec::new();
    while !left.is_empty() {
        let mut word = Vec::new();
        while let Some((&byte, rest)) = left.split_first() {
            left = match byte {
                b' ' => break,
                b'\'' => {
                    let end = rest.iter().position(|&byte| byte == b'\'')?;
                    word.extend_from_slice(&rest[..end]);
                    &rest[end + 1..]
                }
                b'$' => unescaped(rest.strip_prefix(b"'")?, &mut word)?,
                b'\\' => {
                    word.push(*rest.first()?);
                    &rest[1..]
                }
                _ => {
                    word.push(byte);
                    rest
                }
            };
        }
        left = left.strip_prefix(b" ").unwrap_or(left);
        words.push(as_argument(word)?);
    }
    Some(words)
}

/// Takes what stands between `$'` and `'` into `word`; what is left.
fn unescaped<'a>(mut left: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (&byte, rest) = left.split_first()?;
        left = match (byte, rest) {
            (b'\'', _) => return Some(rest),
            (b'\\', [b'x', rest @ ..]) => {
                let (digits, rest) = rest.split_at_checked(2)?;
                word.push(u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?);
                rest
            }
            (b'\\', [escaped, rest @ ..]) => {
                word.push(*escaped);
                rest
            }
            _ => {
                word.push(byte);
                rest
            }
        };
    }
}

#[cfg(unix)]
fn as_argument(bytes: Vec<u8>) -> Option<OsString> {
    Some(std::os::unix::ffi::OsStringExt::from_vec(bytes))
}

#[cfg(not(unix))]
fn as_argument(bytes: Vec<u8>) -> Option<OsString> {
    String::from_utf8(bytes).ok().map(OsString::from)
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

    #[test]
    fn the_words_of_a_line_are_those_it_was_made_of() {
        let given =
            ["surface", "--data", "npz:it's a \\ file.npz", "", "two\nlines", "'", "漢 字", "$x"];
        let given = given.map(OsString::from).to_vec();
        let line: Vec<String> = given.iter().map(|word| quoted(word)).collect();
        assert_eq!(words(&line.join(" ")), Some(given));
        assert_eq!(words(""), Some(vec![]));
        for strange in ["'open", "$x", "$'open", r"$'\x9'", r"$'\xzz'", "\\"] {
            assert_eq!(words(strange), None, "{strange}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn words_that_are_no_text_come_back() {
        use std::os::unix::ffi::OsStrExt;
        let given = OsStr::from_bytes(b"\xff\xfe'\n\\x41 \"");
        assert_eq!(words(&quoted(given)), Some(vec![given.to_owned()]));
    }
}
