//! The golden experiments on whatever runs this.

use myopia_core::experiments::{Full, experiments};
use serde::Serialize;

/// An experiment's digest beside the expected one.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The experiment.
    pub experiment: &'static str,
    /// The digest of its report; none when a number left the finite range.
    pub digest: Option<String>,
    /// The golden one.
    pub expected: String,
    /// Whether they are the same.
    pub equal: bool,
}

/// Every golden experiment, run.
pub fn verify() -> Vec<Row> {
    let mut workspace = Box::new(Full::new());
    let row = |experiment: &'static myopia_core::experiments::Experiment| {
        let expected = format!("{:016x}", experiment.golden.digest());
        let report = experiment.run(&mut *workspace, |_| {});
        let digest = report.ok().map(|report| format!("{:016x}", report.digest()));
        let equal = digest.as_deref() == Some(&*expected);
        Row { experiment: experiment.name, digest, expected, equal }
    };
    experiments::<Full>().map(row).collect()
}
