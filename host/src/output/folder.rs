//! The folder a run writes its results to.
//!
//! One run at a time, one whole file at a time. The lock is the system's: it goes with the process that held it.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::NamedTempFile;

use super::atomic::{self, TEMPORARY_PREFIX};
use crate::failure::Failure;

/// The file that carries the lock; it is empty, and there as long as a run is.
const LOCK: &str = ".myopia.lock";

/// What an unfinished run goes on from.
pub const CHECKPOINT: &str = "checkpoint.myopia";

/// A folder for results that this process alone writes to until the value is dropped. A folder that was made for it and in
/// which nothing was written then goes again.
#[derive(Debug)]
pub struct OutputFolder {
    path: PathBuf,
    /// The folders that were made, the innermost first.
    made: Vec<PathBuf>,
    /// Files that wait for [`finish`](Self::finish), and their names; `None` where each takes its name at once.
    waiting: Option<Mutex<Vec<(NamedTempFile, String)>>>,
    _lock: File,
}

impl OutputFolder {
    /// The folder at `path`, created if need be and locked. With `force` it may hold files already: those written
    /// again are replaced, each when the new one is complete, and all others stay.
    ///
    /// # Errors
    /// When the folder holds files and `force` is not given, when another run is writing to it, or when it cannot be
    /// created or written to.
    pub fn create(path: &Path, force: bool) -> Result<Self, Failure> {
        named(path)?;
        if path.exists() {
            // Before the lock is there, so that a refused folder is left as it was.
            refuse_results(path, force)?;
        }
        let made: Vec<PathBuf> =
            path.ancestors().take_while(|p| !p.exists()).map(Path::to_path_buf).collect();
        let folder = Self::locked(path, made)?;
        // Again, now that nobody else can fill it.
        refuse_results(path, force)?;
        Ok(folder)
    }

    /// The same for a run that keeps no checkpoint: no file takes its name before [`finish`](Self::finish), so that what
    /// ends early leaves earlier results as they were, and never some of either.
    ///
    /// # Errors
    /// Those of [`create`](Self::create).
    pub fn create_at_once(path: &Path, force: bool) -> Result<Self, Failure> {
        let mut folder = Self::create(path, force)?;
        folder.waiting = Some(Mutex::default());
        Ok(folder)
    }

    /// Gives every file that waits its name.
    ///
    /// # Errors
    /// One sentence naming the file.
    pub fn finish(&self) -> Result<(), Failure> {
        let Some(waiting) = &self.waiting else { return Ok(()) };
        let waiting = mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for (file, name) in waiting {
            let path = self.path.join(&name);
            atomic::place(file, &path).map_err(|e| Failure::io("write", &path, &e))?;
            self.remove(&partial(&name))?;
        }
        Ok(())
    }

    /// The folder of an unfinished run, locked.
    ///
    /// # Errors
    /// When it holds no checkpoint to go on from, or when another run is writing to it.
    pub fn resume(path: &Path) -> Result<Self, Failure> {
        named(path)?;
        if !path.join(CHECKPOINT).exists() {
            let reason = match path.exists() {
                true => "it holds no checkpoint, and a finished run leaves none",
                false => "it does not exist",
            };
            return Err(Failure::run(format!(
                "there is nothing to resume in {}: {reason}; leave out --resume to begin",
                path.display()
            )));
        }
        Self::locked(path, Vec::new())
    }

    fn locked(path: &Path, made: Vec<PathBuf>) -> Result<Self, Failure> {
        let lock = lock(path)?;
        let folder = Self { path: path.to_path_buf(), made, waiting: None, _lock: lock };
        remove_abandoned(path)?;
        Ok(folder)
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the file `name` through `fill`, whole or not at all, replacing an earlier one only when it is complete, and
    /// the partial one of that name.
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
        if let Some(waiting) = &self.waiting {
            let file = atomic::prepare(&path, fill).map_err(|e| Failure::io("write", &path, &e))?;
            waiting.lock().unwrap_or_else(PoisonError::into_inner).push((file, name.to_owned()));
            return Ok(());
        }
        atomic::write(&path, fill).map_err(|e| {
            let failure = Failure::io("write", &path, &e);
            match self.path.join(CHECKPOINT).exists() {
                true => Failure::run(format!(
                    "{failure}; the last checkpoint is intact: then go on from it with --resume"
                )),
                false => failure,
            }
        })?;
        self.remove(&partial(name))
    }

    /// Writes what a run that ended early has of the file `name`: `loss.csv` becomes `loss.partial.csv`.
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
        fs::read(&path).map_err(|e| Failure::io("read", &path, &e))
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
        // Files that never got their names go first, and with them what keeps the folder from being empty.
        drop(self.waiting.take());
        // Whoever opens the file after this finds that it is no longer the one in the folder; see `lock`. What the system
        // refuses here is litter, and no reason to fail.
        #[cfg(unix)]
        let _ = fs::remove_file(self.path.join(LOCK));
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
    if path.exists() && !path.is_dir() {
        return Err(Failure::run(format!(
            "{} is a file, not a folder; choose another --out",
            path.display()
        )));
    }
    Ok(())
}

/// Makes the folder if need be and locks it.
fn lock(folder: &Path) -> Result<File, Failure> {
    let path = folder.join(LOCK);
    loop {
        fs::create_dir_all(folder).map_err(|e| Failure::io("create the folder", folder, &e))?;
        let opened = File::options().create(true).truncate(false).write(true).open(&path);
        let file = match opened {
            Ok(file) => file,
            // The run that had made the folder has just left it.
            Err(e) if e.kind() == io::ErrorKind::NotFound && !folder.exists() => continue,
            Err(e) => return Err(Failure::io("write", &path, &e)),
        };
        match file.try_lock() {
            Ok(()) if is_at(&file, &path) => return Ok(file),
            // The run that held the lock has removed the file since it was opened.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::run(format!(
                    "another run is writing to {}; wait until it ends or choose another --out",
                    folder.display()
                )));
            }
            Err(TryLockError::Error(e)) => return Err(Failure::io("lock", &path, &e)),
        }
    }
}

/// Whether the open `file` is the one that has the name `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let open = file.metadata().map(identity);
    matches!((open, fs::metadata(path).map(identity)), (Ok(a), Ok(b)) if a == b)
}

/// Other systems never remove the lock.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
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
    if entries.iter().any(|name| name != LOCK && !is_temporary(name)) {
        return Err(Failure::run(format!(
            "{folder} already holds results; choose another --out or pass --force to overwrite"
        )));
    }
    Ok(())
}

/// Removes what a killed run had not finished writing. Only the holder of the lock may.
fn remove_abandoned(folder: &Path) -> Result<(), Failure> {
    for name in entries(folder)?.iter().filter(|name| is_temporary(name)) {
        let path = folder.join(name);
        fs::remove_file(&path).map_err(|e| Failure::io("remove", &path, &e))?;
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<std::ffi::OsString>, Failure> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect())
        .map_err(|e| Failure::io("read the folder", folder, &e))
}

fn is_temporary(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(TEMPORARY_PREFIX.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    const CHILD_FOLDER: &str = "MYOPIA_TEST_LOCKED_FOLDER";

    fn refusal(path: &Path, force: bool) -> String {
        let failure = OutputFolder::create(path, force).unwrap_err();
        failure.to_string().replace(&path.display().to_string(), "OUT")
    }

    #[test]
    fn a_new_folder_is_made_with_its_parents_and_written_to() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let out = OutputFolder::create(&path, false).unwrap();
        out.write("loss.csv", |w| w.write_all(b"loss\n")).unwrap();
        assert_eq!(out.path(), path);
        assert_eq!(fs::read(path.join("loss.csv")).unwrap(), b"loss\n");
    }

    #[test]
    fn earlier_results_are_refused_and_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("loss.csv"), "old").unwrap();
        assert_eq!(
            refusal(root.path(), false),
            "OUT already holds results; choose another --out or pass --force to overwrite"
        );
        assert_eq!(entries(root.path()).unwrap(), ["loss.csv"]);
    }

    #[test]
    fn force_replaces_only_what_is_written_and_only_when_complete() {
        let root = tempfile::tempdir().unwrap();
        let read = |name: &str| fs::read_to_string(root.path().join(name)).unwrap();
        fs::write(root.path().join("loss.csv"), "old").unwrap();
        fs::write(root.path().join("notes.txt"), "mine").unwrap();
        let out = OutputFolder::create(root.path(), true).unwrap();
        let failure = out.write("loss.csv", |w| {
            w.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        let sentence = failure.unwrap_err().to_string();
        assert!(sentence.contains("loss.csv"), "{sentence}");
        assert!(sentence.contains("free some space"), "{sentence}");
        assert_eq!(read("loss.csv"), "old");
        out.write("loss.csv", |w| {
            w.write_all(b"new")?;
            assert_eq!(read("loss.csv"), "old", "replaced too early");
            Ok(())
        })
        .unwrap();
        assert_eq!((read("loss.csv"), read("notes.txt")), ("new".into(), "mine".into()));
    }

    #[test]
    fn results_take_their_names_at_once_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("results");
        let read = |name: &str| fs::read_to_string(path.join(name)).ok();
        let write = |text: &str| {
            let out = OutputFolder::create_at_once(&path, true).unwrap();
            out.write("loss.csv", |w| w.write_all(text.as_bytes())).unwrap();
            out.write("run.json", |w| w.write_all(text.as_bytes())).unwrap();
            out
        };
        drop(write("lost"));
        assert!(!path.exists(), "nothing was written, so the folder goes again");
        write("old").finish().unwrap();
        let out = write("new");
        assert_eq!((read("loss.csv"), read("run.json")), (Some("old".into()), Some("old".into())));
        drop(out);
        assert_eq!((read("loss.csv"), read("run.json")), (Some("old".into()), Some("old".into())));
        write("new").finish().unwrap();
        assert_eq!((read("loss.csv"), read("run.json")), (Some("new".into()), Some("new".into())));
        assert_eq!(entries(&path).unwrap().len(), 2);
    }

    #[test]
    fn a_second_run_is_refused_until_the_first_is_done() {
        let root = tempfile::tempdir().unwrap();
        let first = OutputFolder::create(root.path(), false).unwrap();
        for force in [false, true] {
            assert_eq!(
                refusal(root.path(), force),
                "another run is writing to OUT; wait until it ends or choose another --out"
            );
        }
        drop(first);
        OutputFolder::create(root.path(), false).unwrap();
    }

    #[test]
    #[ignore = "started by a_killed_run_leaves_no_lock_and_no_litter, which kills it"]
    fn hold_the_folder_until_killed() {
        let Some(folder) = std::env::var_os(CHILD_FOLDER) else {
            return;
        };
        let out = OutputFolder::create(Path::new(&folder), false).unwrap();
        out.write("never", |w| {
            w.write_all(b"half")?;
            println!("locked");
            // Ends by itself, should the parent be gone.
            std::thread::sleep(std::time::Duration::from_secs(30));
            Err(io::ErrorKind::TimedOut.into())
        })
        .unwrap_err();
    }

    #[test]
    fn a_killed_run_leaves_no_lock_and_no_litter() {
        let root = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture"])
            .arg("output::folder::tests::hold_the_folder_until_killed")
            .env(CHILD_FOLDER, root.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let locked = output.lines().any(|line| line.unwrap().contains("locked"));
        let while_it_runs = OutputFolder::create(root.path(), false);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(locked, "the child did not get the lock");
        let sentence = while_it_runs.unwrap_err().to_string();
        assert!(sentence.starts_with("another run"), "{sentence}");
        assert!(entries(root.path()).unwrap().iter().any(|n| is_temporary(n)));
        OutputFolder::create(root.path(), false).unwrap();
        assert!(entries(root.path()).unwrap().is_empty());
    }

    #[test]
    fn a_place_that_cannot_be_a_folder_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "x").unwrap();
        assert_eq!(refusal(&file, true), "OUT is a file, not a folder; choose another --out");
        assert_eq!(
            refusal(&file.join("below"), false),
            "could not create the folder OUT: a part of the path is a file, not a folder; name another place"
        );
        assert_eq!(
            OutputFolder::create(Path::new(""), false).unwrap_err(),
            Failure::usage("--out is empty; name a folder")
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_without_permission_is_named() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("closed");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).unwrap();
        match OutputFolder::create(&path, false) {
            Err(failure) => {
                let sentence = failure.to_string();
                assert!(sentence.contains("permission denied"), "{sentence}");
                assert!(sentence.contains("closed"), "{sentence}");
            }
            // The system lets its administrator write anywhere.
            Ok(_) => writeln!(io::stderr(), "skipped: permissions do not bind this user").unwrap(),
        }
    }

    #[test]
    fn a_folder_in_the_place_of_a_result_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("loss.csv")).unwrap();
        let out = OutputFolder::create(root.path(), true).unwrap();
        let failure = out.write("loss.csv", |w| w.write_all(b"new")).unwrap_err();
        let sentence = failure.to_string();
        assert!(sentence.contains("loss.csv"), "{sentence}");
        assert!(sentence.contains("in the way"), "{sentence}");
    }
}
