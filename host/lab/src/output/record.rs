//! Which files a run wrote into its folder, so that a later run can take exactly those away.
//!
//! The record is a hidden file in the form of `sha256sum`: a line for each file with its digest and
//! its name, and first, in comments, the command line and, once the run is finished, what was run.
//! A file is the run's own as long as it has that digest; one that was put in its place or changed
//! since is somebody's.

use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path};

use sha2::{Digest, Sha256};

use super::atomic;
use crate::failure::Failure;
use crate::input::{self, Link, read_regular};

/// The record's file.
pub const RECORD: &str = ".myopia.files";

/// How the comment begins that says what was run.
const RUN: &str = "# of ";

/// How the comment begins that gives the command line.
const COMMAND: &str = "# by ";

/// More than any record has.
const MOST: u64 = 1 << 26;

/// What a run wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The command line that makes the files again.
    pub command: Option<String>,
    /// What was run, as whoever ran it says it; there when the run is finished.
    pub run: Option<String>,
    /// Names relative to the folder, and digests. A name may be there more than once.
    pub files: Vec<(String, String)>,
}

impl Record {
    /// The record in `folder`; an empty one when there is none. Lines that make no sense are passed
    /// over.
    pub fn read(folder: &Path) -> Self {
        let bytes = read_regular(&folder.join(RECORD), MOST).unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// The record in `text`.
    pub fn parse(text: &str) -> Self {
        let mut record = Self::default();
        for line in text.lines() {
            if let Some(run) = line.strip_prefix(RUN) {
                record.run = Some(run.to_owned());
            } else if let Some(command) = line.strip_prefix(COMMAND) {
                record.command = Some(command.to_owned());
            } else if let Some((digest, name)) = line.split_once("  ")
                && digest.len() == 64
                && is_inside(Path::new(name))
            {
                record.files.push((name.to_owned(), digest.to_owned()));
            }
        }
        record
    }

    /// The record as text, files by name.
    fn text(&self) -> String {
        let mut files: Vec<String> =
            self.files.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect();
        files.sort_by(|a, b| a[64..].cmp(&b[64..]));
        files.dedup();
        let command = self.command.iter().map(|command| format!("{COMMAND}{command}\n"));
        let run = self.run.iter().map(|run| format!("{RUN}{run}\n"));
        command.chain(run).chain(files).collect()
    }

    /// Whether it names the file.
    pub fn has(&self, name: &str) -> bool {
        self.files.iter().any(|(own, _)| own == name)
    }

    /// Writes it into `folder`.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        atomic::write(&folder.join(RECORD), |w| w.write_all(self.text().as_bytes()))
    }

    /// Removes from `folder` the files that it records and that are still as they were written, but
    /// not those that `keep` names, and the folders that become empty. What the system refuses to
    /// remove stays: it is litter and no failure.
    pub fn remove_files(&self, folder: &Path, keep: impl Fn(&str) -> bool) {
        for (name, digest) in self.files.iter().filter(|(name, _)| !keep(name)) {
            let relative = Path::new(name);
            let mut below: Vec<&Path> = relative.ancestors().skip(1).collect();
            below.pop(); // the folder itself
            let straight = |place: &&Path| {
                fs::symlink_metadata(folder.join(place)).is_ok_and(|found| found.is_dir())
            };
            let path = folder.join(relative);
            let file = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
            if !file || !below.iter().all(straight) || !has_digest(&path, digest) {
                continue;
            }
            let _ = fs::remove_file(&path);
            for place in below {
                // Only empty folders can be removed.
                let _ = fs::remove_dir(folder.join(place));
            }
        }
    }
}

/// Adds a file to the record in `folder`.
pub fn add(folder: &Path, name: &str, digest: &str) -> io::Result<()> {
    let line = format!("{digest}  {name}\n");
    let path = folder.join(RECORD);
    let already = read_regular(&path, MOST)
        .is_ok_and(|text| String::from_utf8_lossy(&text).lines().any(|l| l == line.trim_end()));
    if already {
        return Ok(());
    }
    let mut options = fs::File::options();
    options.create(true).append(true);
    let opened = input::open(options, &path, Link::Refused);
    let mut file = opened.map_err(|e| input::special(&path).unwrap_or(e))?;
    input::check(&file.metadata()?)?;
    file.write_all(line.as_bytes())
}

/// Removes the files that `gone` names, as far as they are as they were written, and the record of
/// them.
pub fn forget(folder: &Path, gone: impl Fn(&str) -> bool) -> io::Result<()> {
    let mut record = Record::read(folder);
    if !record.files.iter().any(|(name, _)| gone(name)) {
        return Ok(());
    }
    record.remove_files(folder, |name| !gone(name));
    record.files.retain(|(name, _)| !gone(name));
    record.write(folder)
}

/// Sixty-four hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(Sha256::digest(bytes).as_slice())
}

fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A writer's bytes with their digest.
pub(super) struct Digesting<'a> {
    to: &'a mut dyn Write,
    digest: Sha256,
}

impl<'a> Digesting<'a> {
    pub fn new(to: &'a mut dyn Write) -> Self {
        Self { to, digest: Sha256::new() }
    }

    pub fn digest(self) -> String {
        hexadecimal(self.digest.finalize().as_slice())
    }
}

impl Write for Digesting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn has_digest(path: &Path, digest: &str) -> bool {
    digest_of(path).is_ok_and(|found| found == digest)
}

/// The digest of the regular file at `path`.
pub(super) fn digest_of(path: &Path) -> io::Result<String> {
    let mut file = input::open_regular(path)?;
    let mut nowhere = io::sink();
    let mut found = Digesting::new(&mut nowhere);
    io::copy(&mut file, &mut found)?;
    Ok(found.digest())
}

/// Refuses a folder in which something else than a file has the record's name, before anything is
/// done for it.
pub(super) fn refuse_what_is_in_the_way(folder: &Path) -> Result<(), Failure> {
    let path = folder.join(RECORD);
    match fs::symlink_metadata(&path) {
        Ok(found) if !found.is_file() => Err(Failure::run(format!(
            "{} is not the regular file in which a run notes what it wrote; remove it or name another place",
            path.display()
        ))),
        _ => Ok(()),
    }
}

/// Whether the relative path stays below where it begins.
fn is_inside(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unchanged_files_of_the_run_are_removed_and_nothing_outside() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out");
        fs::create_dir_all(folder.join("tensorboard/run")).unwrap();
        let mut record = Record::default();
        for name in ["a.csv", "b.csv", "kept.csv", "tensorboard/run/events"] {
            fs::write(folder.join(name), name).unwrap();
            record.files.push((name.to_owned(), sha256(name.as_bytes())));
        }
        fs::write(root.path().join("outside"), "mine").unwrap();
        let absolute = root.path().join("outside").display().to_string();
        let text = record.text()
            + &format!("{0}  ../outside\n{0}  {absolute}\n", sha256(b"mine"))
            + "no line of a record\n\u{0}\n";
        fs::write(folder.join(RECORD), text).unwrap();
        fs::write(folder.join("b.csv"), "edited since").unwrap();
        fs::write(folder.join("notes.txt"), "mine").unwrap();
        let read = Record::read(&folder);
        assert_eq!(read.files, record.files);
        read.remove_files(&folder, |name| name == "kept.csv");
        let mut left: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [RECORD, "b.csv", "kept.csv", "notes.txt"]);
        assert!(root.path().join("outside").exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_on_the_way_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let (folder, other) = (root.path().join("out"), root.path().join("other"));
        fs::create_dir(&folder).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("file"), "x").unwrap();
        std::os::unix::fs::symlink(&other, folder.join("link")).unwrap();
        std::os::unix::fs::symlink(other.join("file"), folder.join("file")).unwrap();
        let digest = sha256(b"x");
        let files = vec![("link/file".to_owned(), digest.clone()), ("file".to_owned(), digest)];
        Record { files, ..Record::default() }.remove_files(&folder, |_| false);
        assert!(other.join("file").exists() && folder.join("file").exists());
    }

    #[test]
    fn it_reads_back_and_files_can_be_added() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Record::read(root.path()), Record::default());
        let digest = sha256(b"");
        let files = vec![("a b.csv".to_owned(), digest.clone()), ("c.csv".to_owned(), digest)];
        let run = Some("{\"command\":\"x\"}".into());
        let record = Record { command: Some("myopia x".into()), run, files };
        record.write(root.path()).unwrap();
        assert_eq!(Record::read(root.path()), record);
        for _ in 0..2 {
            add(root.path(), "d.csv", &sha256(b"d")).unwrap();
        }
        assert_eq!(Record::read(root.path()).files.len(), 3);
    }
}
