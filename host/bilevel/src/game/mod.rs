//! Two players on a quadratic: eigenvalues, turning points, trajectories and noise.

mod dynamics;
mod noise;
#[cfg(test)]
mod tests;
mod turning;

pub use dynamics::{Dynamics, Game, Point};
pub use noise::{InnerNoise, Noise, Stationary};
pub use turning::{Behaviour, Turning, Verdict};
