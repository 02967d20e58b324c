//! A file that is there whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use tempfile::{NamedTempFile, TempPath};

/// The beginning of the names of files still being written, next to the file they will become.
pub const TEMPORARY_PREFIX: &str = ".myopia-part-";

/// Writes the file at `path` through `fill`: readers see the old file or none until the new one is complete and on disk.
///
/// # Errors
/// Whatever `fill` or the system reports; then `path` is as it was.
pub fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    place(prepare(path, fill)?.into_temp_path(), path)
}

/// The first half of [`write()`]: the new file, complete and on disk under another name. Dropped, it goes again.
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
    use rustix::io::Errno;
    // Some network file systems cannot; the file's contents are on disk by then.
    let cannot = [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::BADF, Errno::PERM];
    let cannot = cannot.map(|errno| Some(errno.raw_os_error()));
    // A folder that may be written to and not read cannot be opened for it.
    let Ok(folder) = File::open(folder) else { return Ok(()) };
    match folder.sync_all() {
        Err(e) if !cannot.contains(&e.raw_os_error()) => Err(e),
        _ => Ok(()),
    }
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
