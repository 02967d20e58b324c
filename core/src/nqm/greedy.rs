//! The step that is best for the next loss, in closed form (theorem 2).

use super::model::{BLOCK, CHUNK, Directions, Step};
use super::response::Response;
use crate::backend::{Backend, Kernel, Scalar};
use crate::dual::Dual;
use crate::real::Real;
use crate::sum::reduce_lanes;
use crate::vector::Vector;

/// The excess loss after the next step, a quadratic form in that step's learning rate α and momentum μ.
///
/// With g the gain of a direction and A, B, D the means of θ², θv and v² before the step:
///
/// ```text
/// excess(α, μ) = excess − 2α·pull + 2μ·carry + α²·curb − 2αμ·clash + μ²·drive
/// excess = ½Σ hA,  pull = ½Σ g hA,  carry = ½Σ hB,  curb = ½Σ g² h(A + σ²),  clash = ½Σ g hB,  drive = ½Σ hD
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NextLoss<T> {
    /// The excess loss now.
    pub excess: T,
    /// How fast a learning rate lowers it.
    pub pull: T,
    /// How fast momentum raises it.
    pub carry: T,
    /// What the square of the learning rate costs.
    pub curb: T,
    /// What learning rate and momentum do together.
    pub clash: T,
    /// What the square of momentum costs.
    pub drive: T,
}

impl<T: Real> NextLoss<T> {
    /// The excess loss after `step`.
    pub fn at(&self, step: Step<T>) -> T {
        let Step { learning_rate, momentum } = step;
        let two = T::ONE + T::ONE;
        let linear = two * (momentum * self.carry - learning_rate * self.pull);
        let squares = learning_rate * learning_rate * self.curb + momentum * momentum * self.drive;
        self.excess + linear + squares - two * (learning_rate * momentum * self.clash)
    }

    /// The best learning rate when the momentum is given; 0 when no learning rate changes the loss.
    pub fn best_learning_rate(&self, momentum: T) -> T {
        if self.curb > T::ZERO { (self.pull + momentum * self.clash) / self.curb } else { T::ZERO }
    }

    /// The best learning rate and momentum together.
    ///
    /// The 2×2 system is singular when all velocities are zero, when gradient and velocity are parallel and free of
    /// noise (always so in one dimension), and when the loss is zero. Then a whole line of steps is equally good,
    /// and the one on it with momentum zero is returned. A determinant below 2¹⁰ units in the last place of its terms
    /// counts as zero.
    pub fn best_step(&self) -> Step<T> {
        let product = self.curb * self.drive;
        let determinant = product - self.clash * self.clash;
        if determinant > T::EPSILON * T::from_f32(1024.0) * product {
            Step {
                learning_rate: (self.pull * self.drive - self.carry * self.clash) / determinant,
                momentum: (self.pull * self.clash - self.carry * self.curb) / determinant,
            }
        } else {
            Step { learning_rate: self.best_learning_rate(T::ZERO), momentum: T::ZERO }
        }
    }
}

/// Takes `responses` through `step`, if there is one, and returns the loss after the step that follows.
///
/// `directions` and `responses` are equally long.
pub fn advance<G: Backend>(
    backend: G,
    directions: &[Directions<G::Vector>],
    responses: &mut [Response<Dual<G::Vector, 0>>],
    step: Option<Step<Scalar<G>>>,
) -> NextLoss<Scalar<G>> {
    let blocks = CHUNK / BLOCK;
    let mut total = NextLoss::default();
    for (directions, responses) in directions.chunks(blocks).zip(responses.chunks_mut(blocks)) {
        let lanes = backend.run(Advance { directions, responses, step });
        total = total.add(lanes.map(reduce_lanes));
    }
    total
}

impl<V: Copy> NextLoss<V> {
    fn map<W>(self, f: impl Fn(V) -> W) -> NextLoss<W> {
        NextLoss {
            excess: f(self.excess),
            pull: f(self.pull),
            carry: f(self.carry),
            curb: f(self.curb),
            clash: f(self.clash),
            drive: f(self.drive),
        }
    }
}

impl<V: Copy + core::ops::Add<Output = V>> NextLoss<V> {
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self {
            excess: self.excess + other.excess,
            pull: self.pull + other.pull,
            carry: self.carry + other.carry,
            curb: self.curb + other.curb,
            clash: self.clash + other.clash,
            drive: self.drive + other.drive,
        }
    }
}

/// One chunk of [`advance`], its sums left as eight partial sums each.
#[derive(Debug)]
pub struct Advance<'a, V: Vector> {
    /// The blocks of the chunk.
    pub directions: &'a [Directions<V>],
    /// The responses of the blocks, before and after.
    pub responses: &'a mut [Response<Dual<V, 0>>],
    /// The step to take.
    pub step: Option<Step<V::Scalar>>,
}

impl<V: Vector> Kernel for Advance<'_, V> {
    type Output = NextLoss<V>;

    #[inline(always)]
    fn run(self) -> NextLoss<V> {
        if let Some(step) = self.step {
            let learning_rate = V::splat(step.learning_rate);
            let momentum = Dual::constant(V::splat(step.momentum));
            for (block, response) in self.directions.iter().zip(&mut *self.responses) {
                *response = response.step(Dual::constant(learning_rate * block.gain), momentum);
            }
        }
        let mut sums = NextLoss::default();
        for (block, response) in self.directions.iter().zip(&*self.responses) {
            sums = sums.add(block.next_loss(response));
        }
        sums
    }
}

impl<V: Vector> Directions<V> {
    /// Each lane's part of the next loss.
    #[inline(always)]
    fn next_loss(&self, response: &Response<Dual<V, 0>>) -> NextLoss<V> {
        let (position, velocity) = (response.position.value, response.velocity.value);
        let (signal, floor, gain) = (self.signal, self.floor, self.gain);
        let excess = signal * (position * position) + floor * response.variance.value;
        let carry = signal * (position * velocity) + floor * response.covariance.value;
        let drive = signal * (velocity * velocity) + floor * response.velocity_variance.value;
        NextLoss {
            excess,
            pull: gain * excess,
            carry,
            curb: gain * gain * (excess + floor),
            clash: gain * carry,
            drive,
        }
    }
}
