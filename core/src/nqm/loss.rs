//! The expected loss along a schedule.

use super::model::{BLOCK, CHUNK, Directions};
use super::precondition::Block;
use super::response::Response;
use crate::backend::{Backend, Kernel, Scalar};
use crate::dual::Dual;
use crate::real::Real;
use crate::sum::reduce_lanes;
use crate::vector::Vector;

/// A loss left the finite range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diverged {
    /// How many steps had been taken.
    pub step: usize,
}

impl core::fmt::Display for Diverged {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the expected loss left the finite range at step {}", self.step)
    }
}

impl core::error::Error for Diverged {}

/// The first of `losses` that is not finite in value and tangents.
pub fn first_divergence<T: Real, const P: usize>(losses: &[Dual<T, P>]) -> Result<(), Diverged> {
    match losses.iter().position(|loss| !loss.finite()) {
        Some(step) => Err(Diverged { step }),
        None => Ok(()),
    }
}

impl<V: Vector> Directions<V> {
    /// The part of the expected loss above the floor, for each lane.
    #[inline(always)]
    pub fn excess<const P: usize>(&self, response: &Response<Dual<V, P>>) -> Dual<V, P> {
        (response.position * response.position).scaled(self.signal)
            + response.variance.scaled(self.floor)
    }

    /// The part of [`Directions::excess`] that is not due to noise so far, for each lane: what
    /// would be left of it if all that noise has added were taken away.
    #[inline(always)]
    pub fn noiseless<const P: usize>(&self, response: &Response<Dual<V, P>>) -> Dual<V, P> {
        (response.position * response.position).scaled(self.signal)
    }
}

/// ½ Σ hσ²: what the excess losses leave out.
pub fn floor<V: Vector>(directions: &[Directions<V>]) -> V::Scalar {
    let mut total = V::Scalar::ZERO;
    for chunk in directions.chunks(CHUNK / BLOCK) {
        let lanes = chunk.iter().fold(V::default(), |sum, block| sum + block.floor);
        total = total + reduce_lanes(lanes);
    }
    total
}

/// Takes `states` through the whole `schedule` and adds the excess losses to `losses`: before the
/// first step, then after each.
///
/// `directions` and `states` are equally long; `losses` and `partial` have one element more than
/// `schedule`. What the shorter of them lacks is left undone. `partial` is overwritten.
pub fn losses<G: Backend, D: Block<G::Vector, P>, const P: usize>(
    backend: G,
    directions: &[D],
    schedule: &[D::Step],
    states: &mut [D::State],
    partial: &mut [Dual<G::Vector, P>],
    losses: &mut [Dual<Scalar<G>, P>],
) {
    let blocks = CHUNK / BLOCK;
    for (directions, states) in directions.chunks(blocks).zip(states.chunks_mut(blocks)) {
        partial.fill(Dual::default());
        backend.run(Losses { directions, schedule, states, partial: &mut *partial });
        for (loss, lanes) in losses.iter_mut().zip(&*partial) {
            *loss = *loss + lanes_total(lanes);
        }
    }
}

/// The lanes of each plane summed by the tree.
pub(super) fn lanes_total<V: Vector, const P: usize>(lanes: &Dual<V, P>) -> Dual<V::Scalar, P> {
    lanes.map(reduce_lanes)
}

/// The excess losses of one chunk, each left as eight partial sums.
#[expect(missing_debug_implementations, reason = "it is handed to a backend and gone")]
pub struct Losses<'a, V: Vector, D: Block<V, P>, const P: usize> {
    /// The blocks of the chunk.
    pub directions: &'a [D],
    /// T steps.
    pub schedule: &'a [D::Step],
    /// The states of the blocks, before and after.
    pub states: &'a mut [D::State],
    /// T + 1 sums, to which the losses are added.
    pub partial: &'a mut [Dual<V, P>],
}

impl<V: Vector, D: Block<V, P>, const P: usize> Kernel for Losses<'_, V, D, P> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        // As many states as registers hold; with tangents more, so that there is always work
        // that does not wait.
        if P == 0 {
            self.tiles::<4>();
        } else {
            self.tiles::<8>();
        }
        self.run_in_small_tiles();
    }

    #[inline(always)]
    fn run_in_small_tiles(mut self) {
        self.tiles::<1>();
    }
}

impl<V: Vector, D: Block<V, P>, const P: usize> Losses<'_, V, D, P> {
    /// Takes whole tiles of `W` blocks from the front, each through the whole schedule, until fewer
    /// are left.
    #[inline(always)]
    fn tiles<const W: usize>(&mut self) {
        let (directions, rest) = self.directions.as_chunks::<W>();
        let (states, rest_states) = core::mem::take(&mut self.states).as_chunks_mut::<W>();
        for (directions, states) in directions.iter().zip(states) {
            if P == 0 {
                // A copy of their own lets the compiler keep them in registers all the way.
                let mut held = *states;
                through(directions, &mut held, self.schedule, self.partial);
                *states = held;
            } else {
                through(directions, states, self.schedule, self.partial);
            }
        }
        self.directions = rest;
        self.states = rest_states;
    }
}

/// Takes a few blocks through the schedule and adds their excess losses to `partial`, for each loss
/// in the order of the blocks.
#[inline(always)]
fn through<V: Vector, D: Block<V, P>, const P: usize, const W: usize>(
    directions: &[D; W],
    states: &mut [D::State; W],
    schedule: &[D::Step],
    partial: &mut [Dual<V, P>],
) {
    let Some((first, after)) = partial.split_first_mut() else { return };
    for (block, state) in directions.iter().zip(&*states) {
        *first = *first + block.excess(state);
    }
    for (step, partial) in schedule.iter().zip(after) {
        let step = D::in_lanes(step);
        let mut sum = *partial;
        for (block, state) in directions.iter().zip(&mut *states) {
            *state = block.step(state, &step);
            sum = sum + block.excess(state);
        }
        *partial = sum;
    }
}
