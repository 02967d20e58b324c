//! The loss over a plane of hyperparameters, at several horizons: what meta-descent would see if it
//! looked everywhere.
//!
//! One training run of the longest horizon passes through all shorter ones, since the schedule does
//! not depend on the horizon; it is judged at each.

mod cell;
mod check;
mod merge;
mod picture;
mod plane;
mod report;
mod seeds;

pub use cell::{Row, train};
pub use merge::{Piece, merge};
pub use picture::{colours, panel};
pub use plane::{Grid, Plane, Point, Points, Span};
pub use report::{About, Report, ShardReport, write, write_shard};
pub use seeds::{Cell, Run};
