//! A stand-in until the host's own failure type is merged here; the same names.

/// A failure a user can cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The request itself makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The request makes sense but could not be carried out.
    #[error("{0}")]
    Run(String),
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
}
