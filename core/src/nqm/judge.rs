//! What a look-ahead is judged by: the excess loss of its last iterate, or of an exponential moving
//! average of its iterates.
//!
//! With x̄ = θ before the first step, and γ in 0..1:
//!
//! ```text
//! x̄ ← γ x̄ + (1 − γ) θ,   judged by ½ Σ h (E[x̄]² + V[x̄])
//! V[x̄'] = γ² V[x̄] + 2 γ (1 − γ) Cov[θ', x̄] + (1 − γ)² V[θ']
//! ```
//!
//! and with v' = μv − αg(θ + ξ) and θ' = θ + v', where ξ does not depend on x̄,
//!
//! ```text
//! Cov[v', x̄] = μ Cov[v, x̄] − αg Cov[θ, x̄],   Cov[θ', x̄] = Cov[θ, x̄] + Cov[v', x̄]
//! ```

use core::ops::{Add, Mul, Sub};

use super::model::{Directions, Step};
use super::response::Response;
use crate::dual::Dual;
use crate::real::Real;
use crate::vector::Vector;

/// A judge: what it carries from step to step in each direction, and the loss it reads at the end.
pub trait Judge<V: Vector, const P: usize>: Copy {
    /// What is carried, of a block of directions.
    type State: Copy + Default;
    /// The state after one more step, `alpha_g` being αg.
    fn step(self, state: Self::State, alpha_g: Dual<V, P>, momentum: Dual<V, P>) -> Self::State;
    /// The vector-Jacobian product of that step at `state`: `after` is the derivative of a loss by
    /// the state after the step; the results are its derivatives by the state before it, and by αg
    /// and μ.
    fn step_vjp(
        self,
        state: Self::State,
        alpha_g: Dual<V, P>,
        momentum: Dual<V, P>,
        after: Self::State,
    ) -> (Self::State, Step<Dual<V, P>>);
    /// The part of the judged loss above the floor, for each lane.
    fn excess(self, directions: &Directions<V>, state: &Self::State) -> Dual<V, P>;
    /// Its derivative by the state.
    fn excess_vjp(self, directions: &Directions<V>, state: &Self::State) -> Self::State;
}

/// The loss after the last step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastIterate;

impl<V: Vector, const P: usize> Judge<V, P> for LastIterate {
    type State = Response<Dual<V, P>>;

    #[inline(always)]
    fn step(self, state: Self::State, alpha_g: Dual<V, P>, momentum: Dual<V, P>) -> Self::State {
        state.step(alpha_g, momentum)
    }

    #[inline(always)]
    fn step_vjp(
        self,
        state: Self::State,
        alpha_g: Dual<V, P>,
        momentum: Dual<V, P>,
        after: Self::State,
    ) -> (Self::State, Step<Dual<V, P>>) {
        state.step_vjp(alpha_g, momentum, after)
    }

    #[inline(always)]
    fn excess(self, directions: &Directions<V>, state: &Self::State) -> Dual<V, P> {
        directions.excess(state)
    }

    #[inline(always)]
    fn excess_vjp(self, directions: &Directions<V>, state: &Self::State) -> Self::State {
        directions.excess_vjp(state)
    }
}

/// The loss of an exponential moving average of the iterates, dimensionless γ in 0..1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExponentialAverage<T>(pub T);

/// How a direction and the average of its iterates have responded so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Averaged<N> {
    /// Of the last iterate.
    pub response: Response<N>,
    /// x̄ when θ started at 1 and there is no noise.
    pub position: N,
    /// Cov\[θ, x̄\] when θ started at 0 and σ is 1.
    pub covariance: N,
    /// Cov\[v, x̄\] likewise.
    pub velocity_covariance: N,
    /// V\[x̄\] likewise.
    pub variance: N,
}

impl<N: Copy> Averaged<N> {
    /// An average that begins at the iterate that has responded like this.
    pub fn of(response: Response<N>) -> Self {
        Self {
            response,
            position: response.position,
            covariance: response.variance,
            velocity_covariance: response.covariance,
            variance: response.variance,
        }
    }
}

/// Cov\[v', x̄\] and Cov\[θ', x̄\], which are between two steps.
#[inline(always)]
fn between<N>(state: &Averaged<N>, alpha_g: N, momentum: N) -> (N, N)
where
    N: Copy + Add<Output = N> + Sub<Output = N> + Mul<Output = N>,
{
    let with_velocity = momentum * state.velocity_covariance - alpha_g * state.covariance;
    (with_velocity, state.covariance + with_velocity)
}

impl<V: Vector, const P: usize> Judge<V, P> for ExponentialAverage<V::Scalar> {
    type State = Averaged<Dual<V, P>>;

    #[inline(always)]
    fn step(self, state: Self::State, alpha_g: Dual<V, P>, momentum: Dual<V, P>) -> Self::State {
        let [keep, take] = [self.0, V::Scalar::ONE - self.0].map(V::splat);
        let (with_velocity, with_position) = between(&state, alpha_g, momentum);
        let response = state.response.step(alpha_g, momentum);
        let crossed = with_position.scaled(keep * take);
        Averaged {
            response,
            position: state.position.scaled(keep) + response.position.scaled(take),
            covariance: with_position.scaled(keep) + response.variance.scaled(take),
            velocity_covariance: with_velocity.scaled(keep) + response.covariance.scaled(take),
            variance: (state.variance.scaled(keep * keep) + response.variance.scaled(take * take))
                + (crossed + crossed),
        }
    }

    /// Each line of `step`, transposed, from the last to the first.
    #[inline(always)]
    fn step_vjp(
        self,
        state: Self::State,
        alpha_g: Dual<V, P>,
        momentum: Dual<V, P>,
        after: Self::State,
    ) -> (Self::State, Step<Dual<V, P>>) {
        let [keep, take] = [self.0, V::Scalar::ONE - self.0].map(V::splat);
        let d_crossed = after.variance.scaled(keep * take);
        let d_with_position = after.covariance.scaled(keep) + (d_crossed + d_crossed);
        let d_with_velocity = after.velocity_covariance.scaled(keep) + d_with_position;
        let d_response = Response {
            position: after.response.position + after.position.scaled(take),
            variance: after.response.variance
                + (after.covariance.scaled(take) + after.variance.scaled(take * take)),
            covariance: after.response.covariance + after.velocity_covariance.scaled(take),
            ..after.response
        };
        let (response, step) = state.response.step_vjp(alpha_g, momentum, d_response);
        let before = Averaged {
            response,
            position: after.position.scaled(keep),
            covariance: d_with_position - alpha_g * d_with_velocity,
            velocity_covariance: momentum * d_with_velocity,
            variance: after.variance.scaled(keep * keep),
        };
        let step = Step {
            learning_rate: step.learning_rate - state.covariance * d_with_velocity,
            momentum: step.momentum + state.velocity_covariance * d_with_velocity,
        };
        (before, step)
    }

    #[inline(always)]
    fn excess(self, directions: &Directions<V>, state: &Self::State) -> Dual<V, P> {
        directions.excess(&state.averaged())
    }

    #[inline(always)]
    fn excess_vjp(self, directions: &Directions<V>, state: &Self::State) -> Self::State {
        let derivative = directions.excess_vjp(&state.averaged());
        Averaged {
            position: derivative.position,
            variance: derivative.variance,
            ..Averaged::default()
        }
    }
}

impl<V: Vector, const P: usize> Averaged<Dual<V, P>> {
    /// The average as a response, of which only position and variance enter the loss.
    #[inline(always)]
    fn averaged(&self) -> Response<Dual<V, P>> {
        Response { position: self.position, variance: self.variance, ..Response::default() }
    }
}
