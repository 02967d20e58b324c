//! One run at a time in a folder. The lock is the system's: it goes with the process that held it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use crate::failure::Failure;
use crate::input::{self, Link};
use crate::remark;

/// The file that carries the lock; it is empty, and there as long as a run is.
pub const LOCK: &str = ".myopia.lock";

/// Makes the folder if need be and locks it. A file system without locks is used without one, which
/// is remarked on.
pub fn lock(folder: &Path) -> Result<File, Failure> {
    let path = folder.join(LOCK);
    loop {
        fs::create_dir_all(folder).map_err(|e| Failure::io("create the folder", folder, &e))?;
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        let file = match input::open(options, &path, Link::Refused) {
            Ok(file) => file,
            // The run that had made the folder has just left it.
            Err(e) if e.kind() == io::ErrorKind::NotFound && !folder.exists() => continue,
            Err(e) => {
                return Err(in_the_way(&path).unwrap_or_else(|| Failure::io("write", &path, &e)));
            }
        };
        if input::check(&file.metadata().map_err(|e| Failure::io("lock", &path, &e))?).is_err() {
            return Err(in_the_way(&path).unwrap_or_else(|| Failure::run("the lock is no file")));
        }
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
            Err(TryLockError::Error(e)) if is_unsupported(&e) => {
                remark::say(format_args!(
                    "the file system of {} has no locks ({e}): see to it that no other run writes there",
                    folder.display()
                ));
                return Ok(file);
            }
            Err(TryLockError::Error(e)) => return Err(Failure::io("lock", &path, &e)),
        }
    }
}

/// The refusal when something else than a file has the lock's name.
fn in_the_way(path: &Path) -> Option<Failure> {
    let found = fs::symlink_metadata(path).ok()?;
    (!found.is_file()).then(|| {
        Failure::run(format!(
            "{} is not the regular file that a run locks; remove it or name another place",
            path.display()
        ))
    })
}

/// Whether the system says that there are no locks here: some network file systems do.
#[cfg(unix)]
fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    // That it knows no such call is of the kind below.
    [Errno::NOLCK, Errno::INVAL]
        .iter()
        .any(|none| error.raw_os_error() == Some(none.raw_os_error()))
        || error.kind() == io::ErrorKind::Unsupported
}

#[cfg(not(unix))]
fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

/// Whether the open `file` is the one that has the name `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let open = file.metadata().map(identity);
    matches!((open, fs::symlink_metadata(path).map(identity)), (Ok(a), Ok(b)) if a == b)
}

/// Other systems never remove the lock.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_a_system_without_locks_answers_is_known() {
        for (errno, unsupported) in
            [(38, true), (37, true), (95, true), (22, true), (5, false), (13, false)]
        {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(
                is_unsupported(&error),
                unsupported || !cfg!(target_os = "linux"),
                "{errno}"
            );
        }
    }

    #[test]
    fn a_pipe_or_a_link_in_the_lock_s_place_is_named_at_once() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(LOCK);
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let said = lock(root.path()).unwrap_err().to_string();
        assert!(said.contains(".myopia.lock is not the regular file"), "{said}");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(root.path().join("elsewhere"), &path).unwrap();
        let said = lock(root.path()).unwrap_err().to_string();
        assert!(said.contains(".myopia.lock is not the regular file"), "{said}");
        assert!(!root.path().join("elsewhere").exists());
    }
}
