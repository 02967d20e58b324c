//! Greedy step: (α, μ) = argmin of the next expected excess loss, in closed form (theorem 2).

use super::model::{BLOCK, CHUNK, Directions, Step};
use super::precondition::Block;
use super::response::Response;
use crate::backend::{Backend, Kernel, Scalar};
use crate::dual::Dual;
use crate::real::Real;
use crate::sum::reduce_lanes;
use crate::vector::Vector;

/// The excess loss after the next step, a quadratic form in that step's learning rate α and
/// momentum μ.
///
/// With g the preconditioned curvature of a direction and A, B, D the means of θ², θv and v² before
/// the step:
///
/// ```text
/// excess(α, μ) = excess + g_α α + g_μ μ + ½ (h_αα α² + 2 h_αμ αμ + h_μμ μ²)
/// excess = ½Σ hA,  g_α = −Σ g hA,  g_μ = Σ hB,  h_αα = Σ g² h(A + σ²),  h_αμ = −Σ g hB,  h_μμ = Σ hD
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NextLoss<T> {
    /// The excess loss now.
    pub excess: T,
    /// Its derivative by α at α = μ = 0.
    pub g_alpha: T,
    /// Its derivative by μ at α = μ = 0.
    pub g_mu: T,
    /// Its second derivative by α.
    pub h_alpha_alpha: T,
    /// Its mixed second derivative.
    pub h_alpha_mu: T,
    /// Its second derivative by μ.
    pub h_mu_mu: T,
}

impl<T: Real> NextLoss<T> {
    /// The excess loss after `step`.
    pub fn at(&self, step: Step<T>) -> T {
        let Step { learning_rate: alpha, momentum: mu } = step;
        let half = T::ONE / (T::ONE + T::ONE);
        let linear = mu * self.g_mu + alpha * self.g_alpha;
        let squares = half * (alpha * alpha * self.h_alpha_alpha + mu * mu * self.h_mu_mu);
        self.excess + linear + squares + alpha * mu * self.h_alpha_mu
    }

    /// argmin over α for a given μ, −(g_α + μ h_αμ)/h_αα; 0 when no α changes the loss.
    pub fn best_learning_rate(&self, momentum: T) -> T {
        if self.h_alpha_alpha > T::ZERO {
            // A difference from zero, so that a rate of zero is +0.
            (T::ZERO - (self.g_alpha + momentum * self.h_alpha_mu)) / self.h_alpha_alpha
        } else {
            T::ZERO
        }
    }

    /// argmin over α and μ.
    ///
    /// The Hessian is singular when all velocities are zero, when gradient and velocity are
    /// parallel and free of noise (always so in one dimension), and when the loss is zero. Then a
    /// whole line of steps is equally good, and the one on it with momentum zero is returned. A
    /// determinant below 2¹⁰ units in the last place of its terms counts as zero.
    pub fn best_step(&self) -> Step<T> {
        let product = self.h_alpha_alpha * self.h_mu_mu;
        let determinant = product - self.h_alpha_mu * self.h_alpha_mu;
        if determinant > T::EPSILON * T::from_f32(1024.0) * product {
            let alpha = self.g_mu * self.h_alpha_mu - self.g_alpha * self.h_mu_mu;
            let mu = self.g_alpha * self.h_alpha_mu - self.g_mu * self.h_alpha_alpha;
            Step { learning_rate: alpha / determinant, momentum: mu / determinant }
        } else {
            Step { learning_rate: self.best_learning_rate(T::ZERO), momentum: T::ZERO }
        }
    }
}

/// A block of directions of which the loss after a step is a quadratic form in that step.
pub trait Ahead<V: Vector>: Block<V, 0> {
    /// Each lane's part of the loss after the step that follows `state`; `next` is that step with
    /// learning rate one and without momentum.
    fn next_loss(&self, state: &Self::State, next: &Self::InLanes) -> NextLoss<V>;
}

/// Takes `states` through `step`, if there is one, and returns the loss after the step that
/// follows, of which `next` is what is known before its learning rate and momentum are chosen.
///
/// `directions` and `states` are equally long.
pub fn advance<G: Backend, D: Ahead<G::Vector>>(
    backend: G,
    directions: &[D],
    states: &mut [D::State],
    step: Option<D::Step>,
    next: D::Step,
) -> NextLoss<Scalar<G>> {
    let blocks = CHUNK / BLOCK;
    let mut total = NextLoss::default();
    for (directions, states) in directions.chunks(blocks).zip(states.chunks_mut(blocks)) {
        let lanes = backend.run(Advance { directions, states, step, next });
        total = total.add(lanes.map(reduce_lanes));
    }
    total
}

impl<V: Copy> NextLoss<V> {
    fn map<W>(self, f: impl Fn(V) -> W) -> NextLoss<W> {
        NextLoss {
            excess: f(self.excess),
            g_alpha: f(self.g_alpha),
            g_mu: f(self.g_mu),
            h_alpha_alpha: f(self.h_alpha_alpha),
            h_alpha_mu: f(self.h_alpha_mu),
            h_mu_mu: f(self.h_mu_mu),
        }
    }
}

impl<V: Copy + core::ops::Add<Output = V>> NextLoss<V> {
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self {
            excess: self.excess + other.excess,
            g_alpha: self.g_alpha + other.g_alpha,
            g_mu: self.g_mu + other.g_mu,
            h_alpha_alpha: self.h_alpha_alpha + other.h_alpha_alpha,
            h_alpha_mu: self.h_alpha_mu + other.h_alpha_mu,
            h_mu_mu: self.h_mu_mu + other.h_mu_mu,
        }
    }
}

/// One chunk of [`advance`], its sums left as eight partial sums each.
#[expect(missing_debug_implementations, reason = "it is handed to a backend and gone")]
pub struct Advance<'a, V: Vector, D: Ahead<V>> {
    /// The blocks of the chunk.
    pub directions: &'a [D],
    /// The states of the blocks, before and after.
    pub states: &'a mut [D::State],
    /// The step to take.
    pub step: Option<D::Step>,
    /// What is known of the one after it.
    pub next: D::Step,
}

impl<V: Vector, D: Ahead<V>> Kernel for Advance<'_, V, D> {
    type Output = NextLoss<V>;

    #[inline(always)]
    fn run(self) -> NextLoss<V> {
        if let Some(step) = self.step {
            let step = D::in_lanes(&step);
            for (block, state) in self.directions.iter().zip(&mut *self.states) {
                *state = block.step(state, &step);
            }
        }
        let next = D::in_lanes(&self.next);
        let mut sums = NextLoss::default();
        for (block, state) in self.directions.iter().zip(&*self.states) {
            sums = sums.add(block.next_loss(state, &next));
        }
        sums
    }
}

impl<V: Vector> Ahead<V> for Directions<V> {
    #[inline(always)]
    fn next_loss(&self, state: &Self::State, _: &Self::InLanes) -> NextLoss<V> {
        self.next_loss_of(state)
    }
}

impl<V: Vector> Directions<V> {
    /// Each lane's part of the next loss.
    #[inline(always)]
    pub(super) fn next_loss_of(&self, response: &Response<Dual<V, 0>>) -> NextLoss<V> {
        let (position, velocity) = (response.position.value, response.velocity.value);
        let (signal, floor, g) = (self.signal, self.floor, self.preconditioned_curvature);
        // ½hA, ½hB and ½hD.
        let excess = signal * (position * position) + floor * response.variance.value;
        let cross = signal * (position * velocity) + floor * response.covariance.value;
        let kinetic = signal * (velocity * velocity) + floor * response.velocity_variance.value;
        let two = V::splat(V::Scalar::ONE + V::Scalar::ONE);
        let minus_two = V::default() - two;
        NextLoss {
            excess,
            g_alpha: minus_two * (g * excess),
            g_mu: two * cross,
            h_alpha_alpha: two * (g * g * (excess + floor)),
            h_alpha_mu: minus_two * (g * cross),
            h_mu_mu: two * kinetic,
        }
    }
}
