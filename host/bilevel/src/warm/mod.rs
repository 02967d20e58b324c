//! Warm and cold starts where the inner problem has many solutions.

mod moving;
mod still;

pub use moving::{Moving, MovingEnd};
pub use still::{Still, StillEnd};
