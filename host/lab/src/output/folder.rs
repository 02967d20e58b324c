//! The folder a run writes its results to.
//!
//! One run at a time, one whole file at a time, and the results of one run: those of an earlier one
//! go when the first of the new ones comes.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempPath;

use super::atomic::{self, TEMPORARY_PREFIX};
#[cfg(unix)]
use super::lock::LOCK;
use super::lock::lock;
use super::record::{self, Digesting, Record};
use crate::failure::Failure;
use crate::input::read_regular;
#[cfg(unix)]
use crate::interrupt;
use crate::provenance;

/// What an unfinished run goes on from.
pub const CHECKPOINT: &str = "checkpoint.myopia";

/// More bytes than any checkpoint has.
const LARGEST: u64 = 1 << 36;

/// A folder for results that this process alone writes to until the value is dropped. A folder that
/// was made for it and in which nothing was written then goes again.
#[derive(Debug)]
pub struct OutputFolder {
    path: PathBuf,
    /// The folders that were made, the innermost first.
    made: Vec<PathBuf>,
    /// Files that wait for [`finish`](Self::finish), their names and digests; `None` where each
    /// takes its name at once.
    waiting: Option<Mutex<Vec<(TempPath, String, String)>>>,
    files: Mutex<Files>,
    _lock: File,
}

/// Whose files there are.
#[derive(Debug, Default)]
struct Files {
    /// Those that the run before this one, or this one before it was resumed, has written.
    earlier: Record,
    /// Those of this process.
    own: Record,
}

/// What a folder holds that a run is to go on in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing yet: the run begins.
    Nothing,
    /// The checkpoint of an unfinished run: it goes on.
    Unfinished,
    /// The results of a finished run: nothing is left to do if it was this one. What was run is
    /// told as whoever [finished](OutputFolder::conclude) it told it.
    Finished(String),
}

impl OutputFolder {
    /// The folder at `path`, created if need be and locked. With `force` it may hold files already:
    /// when the first result is written those of an earlier run go, and all others stay.
    ///
    /// # Errors
    /// When the folder holds files and `force` is not given, when another run is writing to it, or
    /// when it cannot be created or written to.
    pub fn create(path: &Path, force: bool) -> Result<Self, Failure> {
        named(path)?;
        if path.exists() {
            // Before the lock is there, so that a refused folder is left as it was.
            refuse_results(path, force)?;
        }
        let folder = Self::locked(path)?;
        // Again, now that nobody else can fill it.
        refuse_results(path, force)?;
        Ok(folder)
    }

    /// Whether what takes long to come there will find the folder free of results. Nothing is made.
    ///
    /// # Errors
    /// When it is a link to nothing or no folder, or cannot be read.
    pub fn is_free(path: &Path) -> Result<bool, Failure> {
        named(path)?;
        if path.exists() {
            return Ok(!entries(path)?.iter().any(|name| name == CHECKPOINT || is_result(name)));
        }
        match path.symlink_metadata() {
            Ok(_) => Err(Failure::io("create the folder", path, &io::ErrorKind::NotFound.into())),
            Err(_) => Ok(true),
        }
    }

    /// The same for a run that keeps no checkpoint: no file takes its name before
    /// [`finish`](Self::finish), so that what ends early leaves earlier results as they were, and
    /// never some of either.
    ///
    /// # Errors
    /// Those of [`create`](Self::create).
    pub fn create_at_once(path: &Path, force: bool) -> Result<Self, Failure> {
        let mut folder = Self::create(path, force)?;
        folder.waiting = Some(Mutex::default());
        Ok(folder)
    }

    /// Gives every file that waits its name. What an earlier run has left goes.
    ///
    /// # Errors
    /// One sentence naming the file.
    pub fn finish(&self) -> Result<(), Failure> {
        let Some(waiting) = &self.waiting else { return Ok(()) };
        let waiting = mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if waiting.is_empty() {
            return Ok(());
        }
        let mut files = self.files();
        files.own.files =
            waiting.iter().map(|(_, name, digest)| (name.clone(), digest.clone())).collect();
        // Both runs' files, lest some are nobody's if this does not come to its end.
        let both = files.earlier.files.iter().chain(&files.own.files).cloned().collect();
        self.note(&Record { files: both, ..Record::default() })?;
        for (file, name, _) in waiting {
            let path = self.path.join(&name);
            atomic::place(file, &path).map_err(|e| Failure::io("write", &path, &e))?;
            self.remove(&partial(&name))?;
        }
        files.own.command = provenance::command();
        let own = files.own.clone();
        mem::take(&mut files.earlier).remove_files(&self.path, |name| own.has(name));
        self.note(&own)
    }

    /// The same for a run that may have been here before: its files may be finished, which
    /// [`found`](Self::found) says, or have only some of them their names.
    ///
    /// # Errors
    /// When the folder holds files of another command, or an unfinished run, and when it cannot be
    /// created or written to.
    pub fn resume_at_once(path: &Path) -> Result<Self, Failure> {
        named(path)?;
        let refuse = || match Record::read(path).run {
            Some(_) => Ok(()),
            None if path.exists() && is_own_beginning(path)? => Ok(()),
            None if path.exists() => refuse_results(path, false),
            None => Ok(()),
        };
        refuse()?;
        let mut folder = Self::locked(path)?;
        refuse()?;
        folder.waiting = Some(Mutex::default());
        Ok(folder)
    }

    /// The folder of a run that is to go on, or to begin if it has not, locked;
    /// [`found`](Self::found) says which.
    ///
    /// # Errors
    /// When it holds files of which no run says that they are its, or when another run is writing
    /// to it.
    pub fn resume(path: &Path) -> Result<Self, Failure> {
        named(path)?;
        let nothing_to_resume = || match Self::found_in(path) {
            Ok(None) => Err(Failure::run(format!(
                "there is nothing to resume in {}: it holds no checkpoint, and its files are not those of a finished run; \
                 choose another --out, or leave out --resume and pass --force to begin",
                path.display()
            ))),
            Ok(Some(_)) => Ok(()),
            Err(failure) => Err(failure),
        };
        if path.exists() {
            nothing_to_resume()?;
        }
        let folder = Self::locked(path)?;
        nothing_to_resume()?;
        Ok(folder)
    }

    /// What the folder holds.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn found(&self) -> Result<Found, Failure> {
        Self::found_in(&self.path).map(|found| found.unwrap_or(Found::Nothing))
    }

    /// `None` for files that nobody knows.
    fn found_in(path: &Path) -> Result<Option<Found>, Failure> {
        let entries = entries(path)?;
        if entries.iter().any(|name| name == CHECKPOINT) {
            return Ok(Some(Found::Unfinished));
        }
        if let Some(run) = Record::read(path).run {
            return Ok(Some(Found::Finished(run)));
        }
        Ok((!entries.iter().any(|name| is_result(name))).then_some(Found::Nothing))
    }

    fn locked(path: &Path) -> Result<Self, Failure> {
        let made: Vec<PathBuf> =
            path.ancestors().take_while(|p| !p.exists()).map(Path::to_path_buf).collect();
        record::refuse_what_is_in_the_way(path)?;
        let lock = lock(path)?;
        let files = Mutex::new(Files { earlier: Record::read(path), own: Record::default() });
        #[cfg(unix)]
        interrupt::remove_when_ended(Some(&path.join(LOCK)));
        let folder = Self { path: path.to_path_buf(), made, waiting: None, files, _lock: lock };
        remove_abandoned(path)?;
        Ok(folder)
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the file `name` through `fill`, whole or not at all, replacing an earlier one only
    /// when it is complete, and the partial one of that name.
    ///
    /// # Errors
    /// One sentence naming the file.
    ///
    /// # Panics
    /// When `name` is not a plain file name.
    pub fn write(
        &self,
        name: &str,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        assert_eq!(Path::new(name).file_name(), Some(OsStr::new(name)), "a plain file name");
        let path = self.path.join(name);
        let mut digest = String::new();
        let prepared = atomic::prepare(&path, |w| {
            let mut digesting = Digesting::new(w);
            fill(&mut digesting)?;
            digest = digesting.digest();
            Ok(())
        });
        if let Some(waiting) = &self.waiting {
            // Closed: there may be more files than can be open.
            let file = prepared.map_err(|e| Failure::io("write", &path, &e))?.into_temp_path();
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push((file, name.to_owned(), digest));
            return Ok(());
        }
        let failed = |e: io::Error| Failure::io("write", &path, &e);
        let placed = prepared.map_err(failed).and_then(|file| {
            if name != CHECKPOINT {
                self.claim(name, digest)?;
            }
            atomic::place(file.into_temp_path(), &path).map_err(failed)
        });
        placed.map_err(|failure| match self.path.join(CHECKPOINT).exists() {
            true => Failure::run(format!(
                "{failure}; the last checkpoint is intact: then go on from it with --resume"
            )),
            false => failure,
        })?;
        self.remove(&partial(name))
    }

    /// Records that the file `name` is this run's; before the first of them, those of an earlier
    /// run go.
    fn claim(&self, name: &str, digest: String) -> Result<(), Failure> {
        let mut files = self.files();
        let path = self.path.join(record::RECORD);
        let noted = |noted: io::Result<()>| noted.map_err(|e| Failure::io("write", &path, &e));
        noted(record::add(&self.path, name, &digest))?;
        let first = files.own.files.is_empty();
        files.own.files.retain(|(own, _)| own != name);
        files.own.files.push((name.to_owned(), digest));
        if first {
            mem::take(&mut files.earlier).remove_files(&self.path, |other| other == name);
            files.own.command = provenance::command();
            noted(files.own.write(&self.path))?;
        }
        Ok(())
    }

    /// Says that the run is finished and what was run; nothing when it has written no result. From
    /// now on [`resume`](Self::resume) finds it [finished](Found::Finished).
    ///
    /// # Errors
    /// One sentence naming the file.
    ///
    /// # Panics
    /// When `run` is not one line.
    pub fn conclude(&self, run: &str) -> Result<(), Failure> {
        assert!(!run.contains(['\n', '\r']), "one line");
        let mut files = self.files();
        if files.own.files.is_empty() {
            return Ok(());
        }
        files.own.run = Some(run.to_owned());
        files.own.files.retain(|(name, _)| self.path.join(name).exists());
        self.note(&files.own)
    }

    fn note(&self, record: &Record) -> Result<(), Failure> {
        let path = self.path.join(record::RECORD);
        record.write(&self.path).map_err(|e| Failure::io("write", &path, &e))
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what a run that ended early has of the file `name`: `loss.csv` becomes
    /// `loss.partial.csv`.
    ///
    /// # Errors
    /// One sentence naming the file.
    pub fn write_partial(
        &self,
        name: &str,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        self.write(&partial(name), fill)
    }

    /// Writes the file `name`, or what there is of it when the run was interrupted.
    ///
    /// # Errors
    /// One sentence naming the file.
    pub fn write_as(
        &self,
        partial: bool,
        name: &str,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        if partial { self.write_partial(name, fill) } else { self.write(name, fill) }
    }

    /// The bytes of the file `name`.
    ///
    /// # Errors
    /// One sentence naming the file.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let path = self.path.join(name);
        read_regular(&path, LARGEST).map_err(|e| Failure::io("read", &path, &e))
    }

    /// The bytes of the result `name` of the run before this one; none where it left no such file.
    ///
    /// # Errors
    /// One sentence when it cannot be read, or is no longer what that run wrote.
    pub fn read_earlier(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.path.join(name);
        let of_name = |(own, _): &&(String, String)| own == name;
        let files = self.files();
        let digests: Vec<&String> =
            files.earlier.files.iter().filter(of_name).map(|f| &f.1).collect();
        if digests.is_empty() || !path.exists() {
            return Ok(None);
        }
        let bytes = self.read(name)?;
        if !digests.contains(&&record::sha256(&bytes)) {
            return Err(Failure::run(format!(
                "{} was changed since its run wrote it, so that nothing can go on from it; choose another --out, or begin \
                 again with --force",
                path.display()
            )));
        }
        Ok(Some(bytes))
    }

    /// Whether the files of the run before this one are as it wrote them, those that `passed_over`
    /// names aside.
    ///
    /// # Errors
    /// One sentence naming the first that is missing, was changed, or cannot be read.
    pub fn check_earlier(&self, passed_over: impl Fn(&str) -> bool) -> Result<(), Failure> {
        let names: Vec<String> =
            self.files().earlier.files.iter().map(|(name, _)| name.clone()).collect();
        for name in names.iter().filter(|name| !passed_over(name)) {
            let path = self.path.join(name);
            let what = match record::digest_of(&path) {
                Ok(digest) => {
                    let files = self.files();
                    let own = |(own, known): &(String, String)| own == name && *known == digest;
                    if files.earlier.files.iter().any(own) {
                        continue;
                    }
                    "was changed since its run wrote it"
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound && !path.is_symlink() => "is missing",
                Err(e) => return Err(Failure::io("read", &path, &e)),
            };
            return Err(Failure::run(format!(
                "{} {what}, so that the finished results in this folder are not whole; put the file back, or run \
                 the command again in another folder",
                path.display()
            )));
        }
        Ok(())
    }

    /// Removes the file `name`, if it is there.
    ///
    /// # Errors
    /// One sentence naming the file.
    pub fn remove(&self, name: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Failure::io("remove", &path, &e)),
            _ => Ok(()),
        }
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        // Files that never got their names go first, and with them what keeps the folder from being
        // empty.
        drop(self.waiting.take());
        // Whoever opens the file after this finds that it is no longer the one in the folder; see
        // `lock`. What the system refuses here is litter, and no reason to fail.
        #[cfg(unix)]
        {
            let _ = fs::remove_file(self.path.join(LOCK));
            interrupt::remove_when_ended(None);
        }
        // Only empty folders can be removed.
        for path in &self.made {
            let _ = fs::remove_dir(path);
        }
    }
}

/// The name of the part of a result that a run which ended early leaves.
fn partial(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem}.partial.{extension}"),
        None => format!("{name}.partial"),
    }
}

/// Refuses names that cannot be a folder's.
fn named(path: &Path) -> Result<(), Failure> {
    if path.as_os_str().is_empty() {
        return Err(Failure::usage("--out is empty; name a folder"));
    }
    if let Err(e) = path.metadata()
        && !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    {
        return Err(Failure::io("use the folder", path, &e));
    }
    if path.exists() && !path.is_dir() {
        return Err(Failure::run(format!(
            "{} is a file, not a folder; choose another --out",
            path.display()
        )));
    }
    Ok(())
}

fn refuse_results(folder: &Path, force: bool) -> Result<(), Failure> {
    if force {
        return Ok(());
    }
    let entries = entries(folder)?;
    let folder = folder.display();
    if entries.iter().any(|name| name == CHECKPOINT) {
        return Err(Failure::run(format!(
            "{folder} holds an unfinished run; go on with it by --resume, choose another --out, or pass --force to begin again"
        )));
    }
    if entries.iter().any(|name| is_result(name)) {
        return Err(Failure::run(format!(
            "{folder} already holds results; choose another --out or pass --force to overwrite"
        )));
    }
    Ok(())
}

/// Whether the folder's results are what this process's command had placed there when it was killed
/// in [`OutputFolder::finish`].
fn is_own_beginning(folder: &Path) -> Result<bool, Failure> {
    let record = Record::read(folder);
    let other = record.command.is_some() && record.command != provenance::command();
    let known = |name: &OsString| name.to_str().is_some_and(|name| record.has(name));
    let mut results = entries(folder)?.into_iter().filter(|name| is_result(name));
    Ok(!other && results.all(|name| known(&name)))
}

/// Removes what a killed run had not finished writing. Only the holder of the lock may.
fn remove_abandoned(folder: &Path) -> Result<(), Failure> {
    for name in entries(folder)?.iter().filter(|name| is_temporary(name)) {
        let path = folder.join(name);
        fs::remove_file(&path).map_err(|e| Failure::io("remove", &path, &e))?;
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<OsString>, Failure> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect())
        .map_err(|e| Failure::io("read the folder", folder, &e))
}

/// Names that systems and their tools leave in any folder.
const LITTER: [&str; 8] = [
    "$RECYCLE.BIN",
    "@eaDir",
    "Icon\r",
    "System Volume Information",
    "Thumbs.db",
    "desktop.ini",
    "ehthumbs.db",
    "lost+found",
];

/// Whether something of this name counts as a result: hidden files and what systems leave
/// everywhere do not.
fn is_result(name: &OsStr) -> bool {
    let litter = |known: &&str| name.eq_ignore_ascii_case(known);
    !name.as_encoded_bytes().starts_with(b".") && !LITTER.iter().any(litter)
}

fn is_temporary(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(TEMPORARY_PREFIX.as_bytes())
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
