//! A schedule planned from a measured spectrum: the optimal schedule of the noisy quadratic that
//! curvature, gradient and noise at one point of training stand for.

mod course;
mod figures;
mod follow;
mod forecast;
mod measure;
mod model;
mod replan;
mod search;

pub use course::{Course, Maps, Rates};
pub use figures::figure;
pub use follow::{Followed, follow};
pub use forecast::Forecast;
pub use measure::{Cost, Extent, Measured};
pub use model::Model;
pub use replan::{Choice, Planning, Progress, Round};
pub use search::{Noise, Plan, Settings, plan};

use myopia_core::unroll::Diverged;

use crate::problem::Ended;

/// Why there is no plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Failed {
    /// Something left the finite range while measuring.
    Diverged(Diverged),
    /// The matrix of Lanczos's method has no eigenvalues, or they are not finite.
    Spectrum,
    /// No curvature or no loss above zero was found.
    Flat,
    /// It was asked to stop.
    Interrupted,
    /// A stretch of training diverged at every cap that was tried.
    Distrusted,
    /// The snapshot is not one of such a run.
    Snapshot,
}

impl From<Diverged> for Failed {
    fn from(diverged: Diverged) -> Self {
        Self::Diverged(diverged)
    }
}

impl From<Ended> for Failed {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Diverged(diverged) => Self::Diverged(diverged),
            Ended::Stopped => Self::Interrupted,
        }
    }
}
