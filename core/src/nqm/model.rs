//! The directions of the model, and one step of a schedule.

use crate::dual::Dual;
use crate::real::Real;
use crate::vector::Vector;

/// Directions in a block: the lanes of a vector.
pub const BLOCK: usize = 8;

/// Directions whose sum is one tree; the totals of chunks are added in order. A multiple of
/// [`BLOCK`].
///
/// Threads may divide chunks between them and never the directions of one.
pub const CHUNK: usize = 4096;

/// One direction of the quadratic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Direction<T> {
    /// h ≥ 0, the second derivative of the loss.
    pub curvature: T,
    /// σ² ≥ 0; the gradient's noise has variance h²σ².
    pub noise_variance: T,
    /// E\[θ\] before the first step.
    pub initial_mean: T,
    /// V\[θ\] ≥ 0 before the first step.
    pub initial_variance: T,
}

/// What is wrong with a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidDirection {
    /// The curvature is negative or not finite.
    Curvature,
    /// The noise variance is negative or not finite.
    NoiseVariance,
    /// The initial mean is not finite.
    InitialMean,
    /// The initial variance is negative or not finite.
    InitialVariance,
    /// The initial loss or the floor overflows.
    Loss,
}

impl core::fmt::Display for InvalidDirection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Curvature => "the curvature must be zero or a positive finite number",
            Self::NoiseVariance => "the noise variance must be zero or a positive finite number",
            Self::InitialMean => "the initial mean must be a finite number",
            Self::InitialVariance => {
                "the initial variance must be zero or a positive finite number"
            }
            Self::Loss => "the initial loss must be a finite number",
        })
    }
}

impl core::error::Error for InvalidDirection {}

impl<T: Real> Direction<T> {
    /// Whether there can be such a direction.
    pub fn check(self) -> Result<(), InvalidDirection> {
        let magnitude = |x: T| x.finite() && x >= T::ZERO;
        if !magnitude(self.curvature) {
            return Err(InvalidDirection::Curvature);
        }
        if !magnitude(self.noise_variance) {
            return Err(InvalidDirection::NoiseVariance);
        }
        if !self.initial_mean.finite() {
            return Err(InvalidDirection::InitialMean);
        }
        if !magnitude(self.initial_variance) {
            return Err(InvalidDirection::InitialVariance);
        }
        if !(self.signal() + self.floor()).finite() {
            return Err(InvalidDirection::Loss);
        }
        Ok(())
    }

    /// ½h(E\[θ\]² + V\[θ\]) before the first step: the loss that training can remove.
    fn signal(self) -> T {
        let second_moment = self.initial_mean * self.initial_mean + self.initial_variance;
        self.curvature * second_moment / (T::ONE + T::ONE)
    }

    /// ½hσ², the loss that nothing removes.
    fn floor(self) -> T {
        self.curvature * self.noise_variance / (T::ONE + T::ONE)
    }
}

/// A block of eight directions, as the recurrences need them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Directions<V> {
    /// g = h, or h / (h^p + λ) under a [`Preconditioner`](super::Preconditioner).
    pub preconditioned_curvature: V,
    /// ½h(E\[θ\]² + V\[θ\]) before the first step.
    pub signal: V,
    /// ½hσ².
    pub floor: V,
}

/// Fills `blocks` with `directions`, eight to a block, and pads with directions of curvature zero.
///
/// Directions beyond the end of `blocks` are not taken. The error is the first wrong direction,
/// counted from 0.
pub fn pack<V: Vector>(
    directions: impl IntoIterator<Item = Direction<V::Scalar>>,
    blocks: &mut [Directions<V>],
) -> Result<(), (usize, InvalidDirection)> {
    const { assert!(V::LANES == BLOCK) }
    let mut directions = directions.into_iter().enumerate();
    for block in blocks {
        *block = Directions::default();
        for lane in 0..BLOCK {
            let Some((n, direction)) = directions.next() else { break };
            direction.check().map_err(|wrong| (n, wrong))?;
            block.preconditioned_curvature.set_lane(lane, direction.curvature);
            block.signal.set_lane(lane, direction.signal());
            block.floor.set_lane(lane, direction.floor());
        }
    }
    Ok(())
}

/// One step of a schedule: α and μ, or the derivatives with respect to them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step<N> {
    /// α.
    pub learning_rate: N,
    /// μ.
    pub momentum: N,
}

impl<T: Real> Step<T> {
    /// The step as numbers whose tangents are zero.
    pub fn constant<const P: usize>(self) -> Step<Dual<T, P>> {
        Step {
            learning_rate: Dual::constant(self.learning_rate),
            momentum: Dual::constant(self.momentum),
        }
    }
}
