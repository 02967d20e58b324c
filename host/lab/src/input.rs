//! Files that are read: only regular ones, so that no pipe is waited for and no device read for
//! ever.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// Why a file was not opened, besides what the system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAFile {
    /// A pipe, a device or a socket.
    #[error("it is not a regular file but a pipe, a device or a socket")]
    Special,
    /// More bytes than such a file can have.
    #[error("it is larger than {0} bytes, the most that such a file can be")]
    TooLarge(u64),
}

/// The regular file at `path`, open for reading. A link is followed.
///
/// # Errors
/// Those of the system; for a folder [`io::ErrorKind::IsADirectory`], for anything else that is no
/// regular file [`NotAFile::Special`] inside.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    let file = open(options, path, Link::Followed).map_err(|e| special(path).unwrap_or(e))?;
    check(&file.metadata()?)?;
    Ok(file)
}

/// What becomes of a symbolic link.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Followed,
    Refused,
}

/// The file at `path`; a pipe in its place is not waited for.
pub(crate) fn open(options: OpenOptions, path: &Path, link: Link) -> io::Result<File> {
    #[cfg(unix)]
    let options = {
        use rustix::fs::OFlags;
        let mut options = options;
        let follow = if link == Link::Refused { OFlags::NOFOLLOW } else { OFlags::empty() };
        let flags = (OFlags::NONBLOCK | follow).bits() as i32;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
        options
    };
    #[cfg(not(unix))]
    let _ = link;
    options.open(path)
}

/// The bytes of the regular file at `path`, of which there may be `most`.
///
/// # Errors
/// Those of [`open_regular`] and of reading; [`NotAFile::TooLarge`] inside.
pub fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open_regular(path)?;
    let mut bytes = Vec::new();
    // Its length may change while it is read: what counts is what comes.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, NotAFile::TooLarge(most)));
    }
    Ok(bytes)
}

/// Refuses what is no regular file.
pub(crate) fn check(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        Ok(())
    } else if metadata.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, NotAFile::Special))
    }
}

/// What stands in the way at `path`, when it is neither a file nor a folder: a socket cannot even
/// be opened.
pub(crate) fn special(path: &Path) -> Option<io::Error> {
    let metadata = path.metadata().ok()?;
    if metadata.is_file() || metadata.is_dir() { None } else { check(&metadata).err() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_a_folder_is_none() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_regular(&path, 5).unwrap(), b"12345");
        let too_large = read_regular(&path, 4).unwrap_err();
        assert_eq!(too_large.kind(), io::ErrorKind::FileTooLarge);
        assert!(too_large.to_string().contains("larger than 4 bytes"), "{too_large}");
        assert_eq!(open_regular(root.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        let missing = open_regular(&root.path().join("none")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_a_device_and_a_socket_are_refused_at_once_also_behind_a_link() {
        let root = tempfile::tempdir().unwrap();
        let (fifo, socket) = (root.path().join("fifo"), root.path().join("socket"));
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        for path in [&fifo, &socket, &link, Path::new("/dev/zero")] {
            let error = read_regular(path, 10).unwrap_err();
            assert!(error.to_string().contains("not a regular file"), "{path:?}: {error}");
        }
        let (file, link) = (root.path().join("file"), root.path().join("to-file"));
        fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read_regular(&link, 10).unwrap(), b"x");
    }
}
