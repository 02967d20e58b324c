//! Published results: folders of files as a command wrote them, each with a manifest that says
//! which command.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::input::read_regular;
use crate::output::record::sha256;

/// The file that makes a folder a published result.
const MANIFEST: &str = "manifest.json";

/// More bytes than any published file has.
const LARGEST: u64 = 1 << 30;

/// What a result is and where it came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The name of its folder.
    pub name: String,
    /// The arguments of the program. Those that begin with `results/` or `file:results/` name a
    /// published result.
    pub command: Vec<String>,
    /// Each file with the SHA-256 of its bytes.
    pub files: BTreeMap<String, String>,
    /// The digest of the data, where there are any.
    #[serde(default)]
    pub data_digest: Option<String>,
    /// The version of the program.
    pub version: String,
    /// The day it was made.
    pub date: String,
    /// How long that took, all parts together.
    pub seconds: u64,
    /// On how many threads.
    pub threads: u32,
    /// On which processor.
    pub cpu: String,
}

/// The folder `results` here, or in the nearest folder above that has one.
///
/// # Errors
/// When there is none.
pub fn folder() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir().map_err(|e| {
        Failure::run(format!("could not tell the current folder: {e}; give --results"))
    })?;
    let found = here.ancestors().map(|folder| folder.join("results")).find(|f| f.is_dir());
    found.ok_or_else(|| {
        Failure::run(
            "there is no folder results here or above; call this in a copy of the repository, or give --results",
        )
    })
}

/// All published results in `results`, by name.
///
/// # Errors
/// When the folder cannot be read or holds none, or a manifest is damaged.
pub fn all(results: &Path) -> Result<Vec<Manifest>, Failure> {
    let mut manifests = Vec::new();
    for name in names(results)? {
        manifests.push(Manifest::read(results, &name)?);
    }
    if manifests.is_empty() {
        return Err(none(results));
    }
    Ok(manifests)
}

fn none(results: &Path) -> Failure {
    Failure::run(format!(
        "{} holds no published results; name the folder results of a copy of the repository",
        results.display()
    ))
}

fn names(results: &Path) -> Result<Vec<String>, Failure> {
    let entries = fs::read_dir(results).map_err(|e| Failure::io("read the folder", results, &e))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| results.join(name).join(MANIFEST).is_file())
        .collect();
    names.sort();
    Ok(names)
}

impl Manifest {
    /// The manifest of the result `name`.
    ///
    /// # Errors
    /// When there is no such result, or its manifest is damaged.
    pub fn read(results: &Path, name: &str) -> Result<Self, Failure> {
        let known = names(results)?;
        if known.is_empty() {
            return Err(none(results));
        }
        if !known.iter().any(|one| one == name) {
            return Err(Failure::usage(format!(
                "there is no published result {name} in {}; there are {}",
                results.display(),
                known.join(", ")
            )));
        }
        let path = results.join(name).join(MANIFEST);
        let bytes = read_regular(&path, LARGEST).map_err(|e| Failure::io("read", &path, &e))?;
        Self::parse(&bytes)
            .map_err(|e| Failure::run(format!("{} is not a manifest: {e}", path.display())))
    }

    /// The manifest in these bytes.
    ///
    /// # Errors
    /// When they are none.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The command's arguments, published results found in `results`.
    pub fn arguments(&self, results: &Path) -> Vec<OsString> {
        let place = |argument: &String| {
            let (form, path) = match argument.strip_prefix("file:") {
                Some(path) => ("file:", path),
                None => ("", argument.as_str()),
            };
            match path.strip_prefix("results/") {
                Some(name) => {
                    let mut argument = OsString::from(form);
                    argument.push(results.join(name));
                    argument
                }
                None => argument.into(),
            }
        };
        self.command.iter().map(place).collect()
    }

    /// Compares the files in `made` with those in `published`; returns how many there are.
    ///
    /// # Errors
    /// At the first file that is missing or differs, with the first line or byte that does.
    pub fn compare(&self, published: &Path, made: &Path) -> Result<usize, Failure> {
        for (name, digest) in &self.files {
            let read = |folder: &Path| {
                let path = folder.join(name);
                read_regular(&path, LARGEST).map_err(|e| Failure::io("read", &path, &e))
            };
            let (old, new) = (read(published)?, read(made)?);
            if sha256(&old) != *digest {
                return Err(Failure::run(format!(
                    "{} was changed after it was published: its SHA-256 is not that of the manifest; restore it",
                    published.join(name).display()
                )));
            }
            if old != new {
                return Err(Failure::run(format!(
                    "{}: {name} differs from the published one {}",
                    self.name,
                    difference(&old, &new)
                )));
            }
        }
        Ok(self.files.len())
    }
}

/// Where `new` first differs from `old`.
fn difference(old: &[u8], new: &[u8]) -> String {
    let at = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (Ok(old), Ok(new)) = (std::str::from_utf8(old), std::str::from_utf8(new)) else {
        return format!("from byte {at} on");
    };
    let number = old.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count();
    let line = |text: &str| {
        let line = text.lines().nth(number).unwrap_or("(its end)");
        let short: String = line.chars().take(100).collect();
        if short.len() < line.len() { short + "…" } else { short }
    };
    format!("in line {}: {} instead of {}", number + 1, line(new), line(old))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_told() {
        assert_eq!(difference(b"a\nb\nc\n", b"a\nx\nc\n"), "in line 2: x instead of b");
        assert_eq!(difference(b"a\nb\n", b"a\n"), "in line 2: (its end) instead of b");
        assert_eq!(difference(b"\xff\x00", b"\xff\x01"), "from byte 1 on");
    }
}
