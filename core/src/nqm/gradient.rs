//! The gradient of the final loss with respect to every entry of a schedule: the recurrence run
//! backwards.

use core::ops::{Add, Mul, Sub};

use super::judge::Judge;
use super::loss::lanes_total;
use super::model::{BLOCK, CHUNK, Directions, Step};
use super::response::Response;
use crate::backend::{Backend, Kernel, Scalar};
use crate::dual::Dual;
use crate::vector::Vector;

impl<N: Copy + Add<Output = N> + Sub<Output = N> + Mul<Output = N>> Response<N> {
    /// The vector-Jacobian product of [`Response::step`] at `self`: `after` is the derivative of a
    /// loss by the response after the step; the results are its derivatives by the response before
    /// it, and by αg and μ.
    ///
    /// Each line of [`Response::step`], transposed, from the last to the first.
    #[inline(always)]
    pub(super) fn step_vjp(self, alpha_g: N, momentum: N, after: Self) -> (Self, Step<N>) {
        let cross = momentum * self.covariance - alpha_g * self.variance;
        let along = momentum * self.velocity_variance - alpha_g * self.covariance;

        let d_covariance = after.covariance + after.variance;
        let d_velocity_variance = after.velocity_variance + d_covariance;
        let d_along = momentum * d_velocity_variance;
        let kick = alpha_g * d_velocity_variance;
        let d_cross = (after.variance + d_covariance) - kick;
        let d_velocity = after.velocity + after.position;

        let d_alpha_g = (kick - (cross - alpha_g) * d_velocity_variance)
            - self.covariance * d_along
            - self.variance * d_cross
            - self.position * d_velocity;
        let d_momentum = along * d_velocity_variance
            + self.velocity_variance * d_along
            + self.covariance * d_cross
            + self.velocity * d_velocity;
        let before = Self {
            position: after.position - alpha_g * d_velocity,
            velocity: momentum * d_velocity,
            variance: after.variance - alpha_g * d_cross,
            covariance: momentum * d_cross - alpha_g * d_along,
            velocity_variance: momentum * d_along,
        };
        (before, Step { learning_rate: d_alpha_g, momentum: d_momentum })
    }
}

impl<V: Vector> Directions<V> {
    /// The derivative of the excess loss with respect to `response`.
    #[inline(always)]
    pub(super) fn excess_vjp<const P: usize>(
        &self,
        response: &Response<Dual<V, P>>,
    ) -> Response<Dual<V, P>> {
        let half = response.position.scaled(self.signal);
        Response {
            position: half + half,
            variance: Dual::constant(self.floor),
            ..Response::default()
        }
    }
}

/// Storage for [`gradient`].
#[derive(Debug)]
pub struct Tape<'a, V, S, const P: usize> {
    /// States before each step: for T steps at least T; four times as many serve four blocks at a
    /// time, which is faster. A [`Response`] is 40 bytes a direction in `f64` (20 in `f32`) for
    /// every number, P + 1 of them.
    pub states: &'a mut [S],
    /// Partial sums of the gradient, one for each step. Overwritten.
    pub partial: &'a mut [Step<Dual<V, P>>],
}

/// Takes `states` through the whole `schedule`, returns the excess loss at its end as `judge` reads
/// it and adds the derivatives of that loss with respect to each step's learning rate and momentum
/// to `gradient`.
///
/// `directions` and `states` are equally long, and so are `schedule`, `gradient` and
/// `tape.partial`. Nothing is done when the tape is shorter than the schedule. Memory is that of
/// the tape, whatever the number of directions.
pub fn gradient<G: Backend, J: Judge<G::Vector, P>, const P: usize>(
    backend: G,
    judge: J,
    directions: &[Directions<G::Vector>],
    schedule: &[Step<Dual<Scalar<G>, P>>],
    states: &mut [J::State],
    tape: &mut Tape<'_, G::Vector, J::State, P>,
    gradient: &mut [Step<Dual<Scalar<G>, P>>],
) -> Dual<Scalar<G>, P> {
    let blocks = CHUNK / BLOCK;
    let mut loss = Dual::default();
    for (directions, states) in directions.chunks(blocks).zip(states.chunks_mut(blocks)) {
        tape.partial.fill(Step::default());
        let lanes = backend.run(Gradient {
            judge,
            directions,
            schedule,
            states,
            tape: &mut *tape.states,
            partial: &mut *tape.partial,
        });
        loss = loss + lanes_total(&lanes);
        for (total, lanes) in gradient.iter_mut().zip(&*tape.partial) {
            total.learning_rate = total.learning_rate + lanes_total(&lanes.learning_rate);
            total.momentum = total.momentum + lanes_total(&lanes.momentum);
        }
    }
    loss
}

/// Final loss and gradient of one chunk, each left as eight partial sums.
#[derive(Debug)]
pub struct Gradient<'a, V: Vector, J: Judge<V, P>, const P: usize> {
    /// What reads the loss.
    pub judge: J,
    /// The blocks of the chunk.
    pub directions: &'a [Directions<V>],
    /// T steps.
    pub schedule: &'a [Step<Dual<V::Scalar, P>>],
    /// The states of the blocks, before and after.
    pub states: &'a mut [J::State],
    /// At least T states.
    pub tape: &'a mut [J::State],
    /// T sums, to which the derivatives are added.
    pub partial: &'a mut [Step<Dual<V, P>>],
}

impl<V: Vector, J: Judge<V, P>, const P: usize> Kernel for Gradient<'_, V, J, P> {
    type Output = Dual<V, P>;

    #[inline(always)]
    fn run(mut self) -> Dual<V, P> {
        let mut loss = Dual::default();
        if self.tape.len() >= 4 * self.schedule.len() {
            self.tiles::<4>(&mut loss);
        }
        self.tiles::<1>(&mut loss);
        loss
    }

    #[inline(always)]
    fn run_in_small_tiles(mut self) -> Dual<V, P> {
        let mut loss = Dual::default();
        self.tiles::<1>(&mut loss);
        loss
    }
}

impl<V: Vector, J: Judge<V, P>, const P: usize> Gradient<'_, V, J, P> {
    /// Takes whole tiles of `W` blocks from the front, until fewer are left.
    #[inline(always)]
    fn tiles<const W: usize>(&mut self, loss: &mut Dual<V, P>) {
        let (tape, _) = self.tape.as_chunks_mut::<W>();
        if tape.len() < self.schedule.len() {
            return;
        }
        let judge = self.judge;
        let (directions, rest) = self.directions.as_chunks::<W>();
        let (states, rest_states) = core::mem::take(&mut self.states).as_chunks_mut::<W>();
        for (directions, states) in directions.iter().zip(states) {
            for (step, taped) in self.schedule.iter().zip(&mut *tape) {
                let learning_rate = Dual::<V, P>::splat(step.learning_rate);
                let momentum = Dual::<V, P>::splat(step.momentum);
                let lanes = directions.iter().zip(&mut *states).zip(taped);
                for ((block, state), taped) in lanes {
                    *taped = *state;
                    let alpha_g = learning_rate.scaled(block.preconditioned_curvature);
                    *state = judge.step(*state, alpha_g, momentum);
                }
            }
            let mut derivatives = [J::State::default(); W];
            let lanes = directions.iter().zip(&*states).zip(&mut derivatives);
            for ((block, state), derivative) in lanes {
                *loss = *loss + judge.excess(block, state);
                *derivative = judge.excess_vjp(block, state);
            }
            let steps = self.schedule.iter().zip(&*tape).zip(&mut *self.partial);
            for ((step, taped), partial) in steps.rev() {
                let learning_rate = Dual::<V, P>::splat(step.learning_rate);
                let momentum = Dual::<V, P>::splat(step.momentum);
                let mut sum = *partial;
                for ((block, before), derivative) in
                    directions.iter().zip(taped).zip(&mut derivatives)
                {
                    let alpha_g = learning_rate.scaled(block.preconditioned_curvature);
                    let (earlier, d) = judge.step_vjp(*before, alpha_g, momentum, *derivative);
                    *derivative = earlier;
                    sum.learning_rate =
                        sum.learning_rate + d.learning_rate.scaled(block.preconditioned_curvature);
                    sum.momentum = sum.momentum + d.momentum;
                }
                *partial = sum;
            }
        }
        self.directions = rest;
        self.states = rest_states;
    }
}
