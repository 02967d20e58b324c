//! What each horizon chooses, and what that is worth: meta-descents at several horizons from
//! several starts, then training with the best schedule that each horizon saw.

mod figures;
mod study;
mod summary;
mod tables;

pub use figures::{Overlay, curves, plane, surface, trajectories};
pub use study::{Horizons, State};
pub use summary::{Summary, write_summaries};
pub use tables::{Choice, write_choices, write_trajectories};

use crate::curve::Point;
use crate::descent::{Record, best};

/// One meta-descent.
#[derive(Clone, Debug)]
pub struct Path {
    /// The seed of what is trained.
    pub seed: u64,
    /// T, the steps of each look-ahead.
    pub horizon: u32,
    /// The number of the start, from 1.
    pub start: usize,
    /// A record for each meta-step.
    pub records: Vec<Record>,
    /// Why there are fewer than asked for, if training diverged.
    pub diverged: Option<String>,
}

/// Training with one horizon's schedule.
#[derive(Clone, Debug)]
pub struct Training {
    /// The run at regular steps.
    pub curve: Vec<Point>,
    /// The digest of its last parameters and velocity.
    pub digest: Option<u64>,
    /// Why the curve ends early, if training diverged.
    pub diverged: Option<String>,
}

/// The record with the lowest objective among the paths of a seed and horizon, and the start from
/// which it was reached.
pub fn chosen(paths: &[Path], seed: u64, horizon: u32) -> Option<(usize, Record)> {
    let candidates = paths.iter().filter(|path| (path.seed, path.horizon) == (seed, horizon));
    let lowest = candidates.filter_map(|path| Some((path.start, *best(&path.records)?)));
    lowest.reduce(|a, b| if b.1.loss < a.1.loss { b } else { a })
}
