//! Preconditioned gradients: what the step length in each direction is multiplied by.

use super::model::{BLOCK, Directions, Step};
use super::response::Response;
use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::real::Real;
use crate::vector::Vector;

/// The factor 1 / (h^p + λ) on the gradient of a direction with curvature h.
///
/// With λ = 0 it is h^-p. With p = 1 it is natural gradient with damping λ, as in K-FAC; with p = ½
/// it is RMSprop or Adam with ε = λ, as long as the gradients' root mean square is that of noise
/// with σ² = 1/h. With p = 0 and λ = 0 it is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preconditioner<N> {
    /// p.
    pub power: N,
    /// λ or ε.
    pub damping: N,
}

/// What is wrong with a preconditioner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidPreconditioner {
    /// p is not finite.
    Power,
    /// λ is negative or not finite.
    Damping,
}

impl core::fmt::Display for InvalidPreconditioner {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Power => "the preconditioner's power must be a finite number",
            Self::Damping => "the damping must be zero or a positive finite number",
        })
    }
}

impl core::error::Error for InvalidPreconditioner {}

impl<T: Real> Preconditioner<T> {
    /// The preconditioner 1 / (h^`power` + `damping`).
    pub fn new(power: T, damping: T) -> Result<Self, InvalidPreconditioner> {
        if !power.finite() {
            return Err(InvalidPreconditioner::Power);
        }
        if !(damping.finite() && damping >= T::ZERO) {
            return Err(InvalidPreconditioner::Damping);
        }
        Ok(Self { power, damping })
    }

    /// None: one in every direction.
    pub fn identity() -> Self {
        Self { power: T::ZERO, damping: T::ZERO }
    }

    /// The same as numbers whose tangents are zero.
    pub fn constant<const P: usize>(self) -> Preconditioner<Dual<T, P>> {
        Preconditioner { power: Dual::constant(self.power), damping: Dual::constant(self.damping) }
    }
}

impl<T: Real, const P: usize> Preconditioner<Dual<T, P>> {
    /// h / (h^p + λ), the preconditioned curvature of a direction with curvature h; 0 where h is 0.
    pub fn precondition<E: Elementary<T>>(&self, curvature: T) -> Dual<T, P> {
        let h = Dual::constant(curvature);
        if curvature > T::ZERO { h / (h.pow::<E>(self.power) + self.damping) } else { h }
    }
}

/// A block of directions as the kernels see it: how a step takes it on, and what it adds to the
/// loss.
pub trait Block<V: Vector, const P: usize>: Copy {
    /// What the block is told of a step.
    type Step: Copy;
    /// The same in every lane.
    type InLanes: Copy;
    /// Where training has got to.
    type State: Copy;

    /// `step` in every lane.
    fn in_lanes(step: &Self::Step) -> Self::InLanes;
    /// The state after `step`.
    fn step(&self, state: &Self::State, step: &Self::InLanes) -> Self::State;
    /// The part of the expected loss above the floor, for each lane.
    fn excess(&self, state: &Self::State) -> Dual<V, P>;
}

/// A step's numbers in every lane.
#[inline(always)]
fn splat<V: Vector, const P: usize>(step: &Step<Dual<V::Scalar, P>>) -> Step<Dual<V, P>> {
    Step { learning_rate: Dual::splat(step.learning_rate), momentum: Dual::splat(step.momentum) }
}

impl<V: Vector, const P: usize> Block<V, P> for Directions<V> {
    type Step = Step<Dual<V::Scalar, P>>;
    type InLanes = Step<Dual<V, P>>;
    type State = Response<Dual<V, P>>;

    #[inline(always)]
    fn in_lanes(step: &Self::Step) -> Self::InLanes {
        splat(step)
    }

    #[inline(always)]
    fn step(&self, state: &Self::State, step: &Self::InLanes) -> Self::State {
        state.step(step.learning_rate.scaled(self.preconditioned_curvature), step.momentum)
    }

    #[inline(always)]
    fn excess(&self, state: &Self::State) -> Dual<V, P> {
        Directions::excess(self, state)
    }
}

/// A block of directions whose preconditioned curvature has tangents.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Preconditioned<V: Vector, const P: usize> {
    /// The directions, preconditioned.
    directions: Directions<V>,
    /// The preconditioned curvature with its tangents.
    preconditioned_curvature: Dual<V, P>,
}

impl<V: Vector, const P: usize> Preconditioned<V, P> {
    /// The weights, and the preconditioned curvature without its tangents.
    pub fn directions(&self) -> &Directions<V> {
        &self.directions
    }
}

impl<V: Vector, const P: usize> Block<V, P> for Preconditioned<V, P> {
    type Step = Step<Dual<V::Scalar, P>>;
    type InLanes = Step<Dual<V, P>>;
    type State = Response<Dual<V, P>>;

    #[inline(always)]
    fn in_lanes(step: &Self::Step) -> Self::InLanes {
        splat(step)
    }

    #[inline(always)]
    fn step(&self, state: &Self::State, step: &Self::InLanes) -> Self::State {
        state.step(step.learning_rate * self.preconditioned_curvature, step.momentum)
    }

    #[inline(always)]
    fn excess(&self, state: &Self::State) -> Dual<V, P> {
        self.directions.excess(state)
    }
}

impl<V: Vector> Directions<V> {
    /// The directions under `preconditioner`, if there was none before.
    pub fn preconditioned<E: Elementary<V::Scalar>, const P: usize>(
        mut self,
        preconditioner: &Preconditioner<Dual<V::Scalar, P>>,
    ) -> Preconditioned<V, P> {
        let mut preconditioned_curvature = Dual::default();
        for lane in 0..BLOCK {
            let curvature = self.preconditioned_curvature.lane(lane);
            preconditioned_curvature.set_lane(lane, preconditioner.precondition::<E>(curvature));
        }
        self.preconditioned_curvature = preconditioned_curvature.value;
        Preconditioned { directions: self, preconditioned_curvature }
    }
}
