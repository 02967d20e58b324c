//! Warm and cold starts where the inner problem has many solutions.

mod distill;
mod moving;
mod still;

pub use distill::{Distillation, DistillationEnd, Settings as DistillationSettings};
pub use moving::{Moving, MovingEnd};
pub use still::{Still, StillEnd};
