//! What a user can cause to go wrong, told in one sentence: what was wrong, where, and what to do.

use std::io;
use std::path::Path;

use crate::input::NotAFile;
use crate::shown;

/// The exit status of a run that was asked to stop: "temporary failure, try again later" in BSD's
/// `sysexits.h`, which batch scripts tell from a failure.
pub const INTERRUPTED: u8 = 75;

/// A failure a user can cause. `Display` is the whole sentence on one line, without a trailing
/// stop; whatever names and values stand in it are shown escaped and at no great length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The request itself makes no sense: a flag, a value, a combination of them.
    #[error("{}", shown::sentence(.0))]
    Usage(String),
    /// The request makes sense but could not be carried out.
    #[error("{}", shown::sentence(.0))]
    Run(String),
    /// The run was asked to stop before its end.
    #[error("{}", shown::sentence(.0))]
    Interrupted(String),
    /// Nothing went wrong, but what was to be verified could not be run.
    #[error("{}", shown::sentence(.0))]
    NotRun(String),
    /// Nothing went wrong and nothing is left to do: what was asked for has been done before.
    #[error("{}", shown::sentence(.0))]
    Done(String),
}

impl Failure {
    /// A usage failure with this sentence.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self::Usage(sentence.into())
    }

    /// A failure of the run with this sentence.
    pub fn run(sentence: impl Into<String>) -> Self {
        Self::Run(sentence.into())
    }

    /// A failure of the run because the system refused to `action` (an infinitive: "read", "write")
    /// `path`.
    pub fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        let name = path.display();
        if let Some(reason) = out_of_reach(path) {
            return Self::run(format!("could not {action} {name}: {reason}"));
        }
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "it does not exist; check the path".into(),
            io::ErrorKind::PermissionDenied => {
                "permission denied; change its permissions or name another place".into()
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "the disk or the quota is full; free some space or name another place".into()
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                "the file system is read-only; name another place".into()
            }
            io::ErrorKind::NotADirectory => {
                "a part of the path is a file, not a folder; name another place".into()
            }
            io::ErrorKind::IsADirectory => {
                "a folder of that name is in the way; move it or name another place".into()
            }
            io::ErrorKind::InvalidFilename => {
                "the name is too long for the file system; choose a shorter one".into()
            }
            io::ErrorKind::FileTooLarge if !is_own(error) => {
                "it would be larger than a file may be; raise the limit (`ulimit -f`)".into()
            }
            io::ErrorKind::OutOfMemory => {
                "there is not enough memory for it; free some or raise the limit".into()
            }
            _ if is_own(error) => format!("{error}; name another"),
            _ if is_of_open_files(error) => {
                "no more files may be open at once; raise the limit (`ulimit -n`)".into()
            }
            _ => format!("{error}; check the disk or name another place"),
        };
        Self::run(format!("could not {action} {name}: {reason}"))
    }

    /// Whether the run was asked to stop: what there is so far is worth keeping.
    pub fn is_interruption(&self) -> bool {
        matches!(self, Self::Interrupted(_))
    }

    /// The interruption with which a run ended, if it did.
    ///
    /// # Errors
    /// Any other failure.
    pub fn interruption(ended: Result<(), Self>) -> Result<Option<Self>, Self> {
        match ended {
            Err(failure) if !failure.is_interruption() => Err(failure),
            ended => Ok(ended.err()),
        }
    }

    /// The exit status of the program: 0 when all was done before, 2 for usage, 3 for what was not
    /// run, [`INTERRUPTED`] for what was asked to stop, 1 for anything else.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Done(_) => 0,
            Self::Usage(_) => 2,
            Self::Run(_) => 1,
            Self::Interrupted(_) => INTERRUPTED,
            Self::NotRun(_) => 3,
        }
    }
}

/// Whether the error is this program's own and not the system's.
fn is_own(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<NotAFile>())
}

/// Whether the process, or the system, has as many files open as it may.
fn is_of_open_files(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let full = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
        error.raw_os_error().is_some_and(|code| full.contains(&code))
    }
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}

/// What on the way to `path` keeps it from being reached, where the system's own word for it would
/// mislead: a link to nothing, or a folder that may not be searched.
fn out_of_reach(path: &Path) -> Option<String> {
    // From the outermost: what lies behind the first obstacle cannot be looked at.
    let mut places: Vec<&Path> = path.ancestors().filter(|p| !p.as_os_str().is_empty()).collect();
    places.reverse();
    for place in places {
        let Err(error) = place.metadata() else { continue };
        let name = place.display();
        let link = place.read_link().map(|to| to.display().to_string());
        return match (error.kind(), link) {
            (io::ErrorKind::NotFound, Ok(to)) => Some(format!(
                "{name} is a link to {to}, which does not exist; mend or remove the link"
            )),
            (io::ErrorKind::PermissionDenied, _) => {
                let closed = place.parent().filter(|parent| !parent.as_os_str().is_empty());
                let closed = closed.unwrap_or(Path::new(".")).display();
                Some(format!(
                    "the folder {closed} may not be searched; change its permissions or name another place"
                ))
            }
            (_, Ok(_)) => Some(format!(
                "{name} is a link that leads in a circle or cannot be followed; remove it or name another place"
            )),
            _ => None,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_exit_status() {
        assert_eq!(Failure::usage("a").exit_status(), 2);
        assert_eq!(Failure::run("a").exit_status(), 1);
        assert_eq!(Failure::NotRun("a".into()).exit_status(), 3);
        assert_eq!(Failure::Interrupted("a".into()).exit_status(), 75);
        assert_eq!(Failure::Done("a".into()).exit_status(), 0);
    }

    #[test]
    fn names_are_shown_on_one_line_escaped_and_shortened_whoever_made_the_sentence() {
        let evil = "a\nb\u{1b}]0;title\u{7}";
        let io = Failure::io("read", Path::new(evil), &io::ErrorKind::NotFound.into());
        assert_eq!(
            io.to_string(),
            r"could not read a\nb\u{1b}]0;title\u{7}: it does not exist; check the path"
        );
        let digits = "9".repeat(200_000_000);
        for failure in [Failure::usage(&digits), Failure::run(&digits), Failure::NotRun(digits)] {
            assert!(failure.to_string().len() < 500, "{failure}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_keeps_a_path_from_being_reached_is_named() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink("no/where", &link).unwrap();
        for (path, error) in [
            (link.clone(), io::ErrorKind::AlreadyExists),
            (link.join("below"), io::ErrorKind::NotFound),
        ] {
            let sentence = Failure::io("create the folder", &path, &error.into()).to_string();
            assert!(sentence.contains("link is a link to no/where, which does not exist"));
        }
        let long = root.path().join("n".repeat(300));
        let error = std::fs::create_dir(&long).unwrap_err();
        let sentence = Failure::io("create the folder", &long, &error).to_string();
        assert!(sentence.contains("the name is too long"), "{sentence}");
        let (one, two) = (root.path().join("one"), root.path().join("two"));
        std::os::unix::fs::symlink(&one, &two).unwrap();
        std::os::unix::fs::symlink(&two, &one).unwrap();
        let error = std::fs::read(&one).unwrap_err();
        let sentence = Failure::io("read", &one, &error).to_string();
        assert!(sentence.contains("leads in a circle"), "{sentence}");
    }

    #[test]
    fn the_sentence_names_the_path_and_says_what_to_do() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(
            Failure::io("write", Path::new("out/loss.csv"), &full).to_string(),
            "could not write out/loss.csv: the disk or the quota is full; \
             free some space or name another place"
        );
    }
}
