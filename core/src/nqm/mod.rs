//! The noisy quadratic model: exact expected losses of SGD with momentum, and what is best for
//! them.
//!
//! In direction i, with curvature h and gradient noise variance h²σ², momentum SGD is
//!
//! ```text
//! v ← μ v − α h (θ + σ ξ),   θ ← θ + v,   ξ standard normal,   v = 0 at first
//! loss = ½ Σ h (E[θ]² + V[θ] + σ²),   of which ½ Σ h σ² is the floor that no schedule lowers
//! ```
//!
//! (Wu, Ren, Liao & Grosse 2018, section 2 and theorem 1). The recurrence is linear, so a direction
//! needs only its [`Response`] to a unit of initial displacement and to a unit of noise; initial
//! mean, initial variance and σ² enter as weights. The response of a direction without noise is
//! thereby exact to rounding however small the loss becomes.
//!
//! Directions lie in blocks of eight lanes, direction number n in lane n mod 8, the last block
//! padded with curvature zero. A sum over directions is eight partial sums, one for each lane, in
//! ascending order of blocks, then the tree of [`reduce_lanes`](crate::sum::reduce_lanes); every
//! [`CHUNK`] directions the totals are added up in order (contract 3).

mod gradient;
mod greedy;
mod judge;
mod loss;
mod mean_field;
mod model;
mod precondition;
mod response;

pub use gradient::{Gradient, Tape, gradient};
pub use greedy::{Advance, Ahead, NextLoss, advance};
pub use judge::{Averaged, ExponentialAverage, Judge, LastIterate};
pub use loss::{Diverged, Losses, first_divergence, floor, losses};
pub use mean_field::{Coupled, InMeanField, MeanField, MeanFieldStep, NotInMeanField};
pub use model::{BLOCK, CHUNK, Direction, Directions, InvalidDirection, Step, pack};
pub use precondition::{Block, InvalidPreconditioner, Preconditioned, Preconditioner};
pub use response::{Moments, Response};

#[cfg(test)]
mod tests;
