//! What a user can cause to go wrong, told in one sentence: what was wrong, where, and what to do.

use std::io;
use std::path::Path;

/// A failure a user can cause. `Display` is the whole sentence, without a trailing stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The request itself makes no sense: a flag, a value, a combination of them.
    #[error("{0}")]
    Usage(String),
    /// The request makes sense but could not be carried out.
    #[error("{0}")]
    Run(String),
    /// The run was asked to stop before its end.
    #[error("{0}")]
    Interrupted(String),
    /// Nothing went wrong, but what was to be verified could not be run.
    #[error("{0}")]
    NotRun(String),
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

    /// A failure of the run because the system refused to `action` (an infinitive: "read", "write") `path`.
    pub fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        let path = path.display();
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
            _ => format!("{error}; check the disk or name another place"),
        };
        Self::run(format!("could not {action} {path}: {reason}"))
    }

    /// Whether the run was asked to stop: what there is so far is worth keeping.
    pub fn is_interruption(&self) -> bool {
        matches!(self, Self::Interrupted(_))
    }

    /// The exit status of the program: 2 for usage, 3 for what was not run, 1 for anything else.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Run(_) | Self::Interrupted(_) => 1,
            Self::NotRun(_) => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_exits_with_2_a_failed_run_with_1_and_what_was_not_run_with_3() {
        assert_eq!(Failure::usage("a").exit_status(), 2);
        assert_eq!(Failure::run("a").exit_status(), 1);
        assert_eq!(Failure::NotRun("a".into()).exit_status(), 3);
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
