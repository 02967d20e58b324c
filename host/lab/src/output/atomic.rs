//! A file that is there whole or not at all.

#[cfg(unix)]
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use tempfile::{NamedTempFile, TempPath};

/// The beginning of the names of files still being written, next to the file they will become.
pub const TEMPORARY_PREFIX: &str = ".myopia-part-";

/// Writes the file at `path` through `fill`: readers see the old file or none until the new one is
/// complete and on disk.
///
/// # Errors
/// Whatever `fill` or the system reports; then `path` is as it was.
pub fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    place(prepare(path, fill)?.into_temp_path(), path)
}

/// The first half of [`write()`]: the new file, complete and on disk under another name. Dropped,
/// it goes again.
///
/// # Errors
/// Whatever `fill` or the system reports.
pub fn prepare(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX);
    // A temporary file is private by default; a result is as readable as the user's umask says.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut temporary = builder.tempfile_in(parent(path))?;
    let mut writer = BufWriter::new(temporary.as_file_mut());
    fill(&mut writer)?;
    writer.flush()?;
    drop(writer);
    temporary.as_file().sync_all()?;
    Ok(temporary)
}

/// The second half: the new file takes its name.
///
/// # Errors
/// Whatever the system reports; then `path` is as it was.
pub fn place(prepared: TempPath, path: &Path) -> io::Result<()> {
    prepared.persist(path).map_err(|e| e.error)?;
    sync_folder(parent(path))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes the new name itself durable.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    // A folder that may be written to and not read cannot be opened for it.
    let Ok(folder) = File::open(folder) else { return Ok(()) };
    match folder.sync_all() {
        Err(e) if !is_unknown(&e) => Err(e),
        _ => Ok(()),
    }
}

/// Whether the file system does not know what it is asked for, as some network file systems do not:
/// the file's contents are on disk by then.
#[cfg(unix)]
fn is_unknown(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let unknown =
        [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::BADF, Errno::PERM, Errno::NOLCK];
    unknown.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Other systems have no way to ask for it.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_failed_writer_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loss.csv");
        write(&path, |w| w.write_all(b"old")).unwrap();
        let error = write(&path, |w| {
            w.write_all(b"half of the n")?;
            Err(io::ErrorKind::StorageFull.into())
        })
        .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        write(&path, |w| w.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_system_that_knows_no_sync_of_folders_is_no_failure_and_a_broken_disk_is_one() {
        use rustix::io::Errno;
        let told = |errno: Errno| is_unknown(&io::Error::from_raw_os_error(errno.raw_os_error()));
        assert!([Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::PERM].into_iter().all(told));
        assert!(![Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::ROFS].into_iter().any(told));
        assert!(!is_unknown(&io::ErrorKind::InvalidInput.into()));
    }

    #[cfg(unix)]
    #[test]
    fn a_result_has_the_permissions_of_an_ordinary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loss.csv");
        write(&path, |w| w.write_all(b"x")).unwrap();
        let ordinary = folder.path().join("ordinary");
        fs::write(&ordinary, b"x").unwrap();
        assert_eq!(
            fs::metadata(path).unwrap().permissions(),
            fs::metadata(ordinary).unwrap().permissions()
        );
    }
}
