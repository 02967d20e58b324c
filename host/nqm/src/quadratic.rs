//! A noisy quadratic on the heap, and the exact losses of schedules on it.

use myopia_core::dual::Dual;
use myopia_core::elementary::Libm;
use myopia_core::nqm::{
    BLOCK, Block, CHUNK, Direction, Directions, Diverged, InvalidDirection, Moments, NextLoss,
    Preconditioned, Preconditioner, Response, Step, advance, first_divergence, floor, losses, pack,
};
use myopia_core::real::Real;
use myopia_core::sum::sum;
use myopia_core::vector::{F64x8, Vector};

use crate::native::Native;
use crate::parallel;

/// A schedule: one learning rate and one momentum for each step.
pub type Schedule = Vec<Step<f64>>;

/// A noisy quadratic of any number of directions, on which gradients may be preconditioned.
#[derive(Clone, Debug)]
pub struct Quadratic {
    directions: Vec<Direction<f64>>,
    /// The directions as the kernels need them, without a preconditioner.
    plain: Vec<Directions<F64x8>>,
    /// The same with it.
    pub(crate) blocks: Vec<Directions<F64x8>>,
    floor: f64,
}

/// Where training has got to: the response of every direction.
#[derive(Clone, Debug)]
pub struct State(pub(crate) Vec<Response<Dual<F64x8, 0>>>);

/// Blocks that one task takes: the contract's chunk, the sums of which are never split.
pub(crate) const LARGEST_TASK: usize = CHUNK / BLOCK;
impl Quadratic {
    /// The quadratic with these directions, or the number of the first one there cannot be and why.
    pub fn new(directions: Vec<Direction<f64>>) -> Result<Self, (usize, InvalidDirection)> {
        let mut blocks = vec![Directions::default(); directions.len().div_ceil(8)];
        pack(directions.iter().copied(), &mut blocks)?;
        let floor = floor(&blocks);
        Ok(Self { directions, plain: blocks.clone(), blocks, floor })
    }

    /// The same quadratic with `preconditioner` on its gradients in place of any other, or the
    /// number of the first direction in which that is not finite.
    pub fn preconditioned(self, preconditioner: Preconditioner<f64>) -> Result<Self, usize> {
        let blocks = self.under(&preconditioner.constant::<0>());
        let quadratic =
            Self { blocks: blocks.iter().map(|block| *block.directions()).collect(), ..self };
        let wrong = quadratic.preconditioned_curvatures().position(|g| !g.is_finite());
        wrong.map_or(Ok(quadratic), Err)
    }

    fn under<const P: usize>(
        &self,
        preconditioner: &Preconditioner<Dual<f64, P>>,
    ) -> Vec<Preconditioned<F64x8, P>> {
        self.plain.iter().map(|block| block.preconditioned::<Libm, P>(preconditioner)).collect()
    }

    /// Its directions.
    pub fn directions(&self) -> &[Direction<f64>] {
        &self.directions
    }

    /// h of each direction, or h / (h^p + λ) under a preconditioner.
    pub fn preconditioned_curvatures(&self) -> impl Iterator<Item = f64> + '_ {
        let lanes = self
            .blocks
            .iter()
            .flat_map(|block| (0..8).map(|lane| block.preconditioned_curvature.lane(lane)));
        lanes.take(self.directions.len())
    }

    /// The largest of them.
    pub fn largest_curvature(&self) -> f64 {
        self.preconditioned_curvatures().fold(0.0, |largest: f64, g| g.larger(largest))
    }

    /// ½ Σ hσ², the part of the loss that no schedule lowers.
    pub fn floor(&self) -> f64 {
        self.floor
    }

    /// The state before the first step.
    pub fn start(&self) -> State {
        State(vec![Response::initial(); self.blocks.len()])
    }

    /// Takes `state` through `step`, if there is one, and returns the loss after the step that
    /// follows.
    pub fn advance(&self, state: &mut State, step: Option<Step<f64>>) -> NextLoss<f64> {
        advance(Native, &self.blocks, &mut state.0, step)
    }

    /// The excess loss after `schedule` from `state` on.
    pub fn excess_after(&self, state: &State, schedule: impl Iterator<Item = Step<f64>>) -> f64 {
        let numbers: Vec<_> = schedule.map(Step::constant::<0>).collect();
        let mut responses = state.0.clone();
        let mut partial = vec![Dual::default(); numbers.len() + 1];
        let mut out = vec![Dual::default(); numbers.len() + 1];
        losses(Native, &self.blocks, &numbers, &mut responses, &mut partial, &mut out);
        out.last().map_or(0.0, |loss| loss.value)
    }

    /// What each direction adds to the excess loss in `state`.
    pub fn shares<'a>(&'a self, state: &'a State) -> impl Iterator<Item = f64> + 'a {
        let lanes = self.blocks.iter().zip(&state.0).flat_map(|(block, response)| {
            let excess = block.excess(response).value;
            (0..8).map(move |lane| excess.lane(lane))
        });
        lanes.take(self.directions.len())
    }

    /// The part of the excess loss in `state` that noise has not added.
    pub fn noiseless(&self, state: &State) -> f64 {
        let parts = self.blocks.iter().zip(&state.0).flat_map(|(block, response)| {
            let part = block.noiseless(response).value;
            (0..8).map(move |lane| part.lane(lane))
        });
        sum(parts)
    }

    /// The moments of every direction in `state`.
    pub fn moments<'a>(&'a self, state: &'a State) -> impl Iterator<Item = Moments<f64>> + 'a {
        let lanes = state.0.iter().flat_map(|block| (0..8).map(|lane| block.lane(lane)));
        lanes.zip(&self.directions).map(|(response, direction)| response.moments(*direction))
    }
}

/// Exact losses with P tangents. Implemented for the P that somebody uses, so that they are
/// compiled here, once.
pub trait Losses<const P: usize> {
    /// The excess losses of a run from the start: before the first step, then after each.
    ///
    /// # Errors
    /// When a loss is not finite.
    fn losses(&self, schedule: &[Step<Dual<f64, P>>]) -> Result<Vec<Dual<f64, P>>, Diverged> {
        self.losses_until(schedule, &|| false).map(Option::unwrap_or_default)
    }

    /// The same, or nothing once `stop` says so.
    ///
    /// # Errors
    /// When a loss is not finite.
    fn losses_until(
        &self,
        schedule: &[Step<Dual<f64, P>>],
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Vec<Dual<f64, P>>>, Diverged>;

    /// The same under another preconditioner, and with its tangents.
    ///
    /// # Errors
    /// When a loss is not finite.
    fn losses_under(
        &self,
        preconditioner: &Preconditioner<Dual<f64, P>>,
        schedule: &[Step<Dual<f64, P>>],
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Vec<Dual<f64, P>>>, Diverged>;
}

macro_rules! losses {
    ($($tangents:literal)*) => {$(
        impl Losses<$tangents> for Quadratic {
            fn losses_until(
                &self,
                schedule: &[Step<Dual<f64, $tangents>>],
                stop: &(dyn Fn() -> bool + Sync),
            ) -> Result<Option<Vec<Dual<f64, $tangents>>>, Diverged> {
                along(&self.blocks, schedule, stop)
            }

            fn losses_under(
                &self,
                preconditioner: &Preconditioner<Dual<f64, $tangents>>,
                schedule: &[Step<Dual<f64, $tangents>>],
                stop: &(dyn Fn() -> bool + Sync),
            ) -> Result<Option<Vec<Dual<f64, $tangents>>>, Diverged> {
                along(&self.under(preconditioner), schedule, stop)
            }
        }
    )*};
}
losses!(0 3 4);

/// Steps between two questions whether to stop.
const STRIDE: usize = 256;

/// The excess losses along `schedule` from the start, chunks of directions spread over the threads;
/// nothing once `stop` says so.
fn along<D: Block<F64x8, P> + Sync, const P: usize>(
    blocks: &[D],
    schedule: &[Step<Dual<f64, P>>],
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Vec<Dual<f64, P>>>, Diverged> {
    let one = |blocks: &[D]| {
        let mut responses = vec![Response::initial(); blocks.len()];
        let mut partial = [Dual::default(); STRIDE + 1];
        let mut out = vec![Dual::default(); schedule.len() + 1];
        let mut first = 0;
        loop {
            if stop() {
                return out;
            }
            let last = schedule.len().min(first + STRIDE);
            let places = last - first + 1;
            // A stride begins with the loss that the one before it has ended with.
            out[first] = Dual::default();
            let partial = &mut partial[..places];
            losses(
                Native,
                blocks,
                &schedule[first..last],
                &mut responses,
                partial,
                &mut out[first..=last],
            );
            if last == schedule.len() {
                return out;
            }
            first = last;
        }
    };
    let mut total = vec![Dual::default(); schedule.len() + 1];
    if blocks.len() <= LARGEST_TASK {
        total = one(blocks);
    } else {
        // Added up in order, as one thread would.
        for part in parallel::map(blocks.chunks(LARGEST_TASK).collect(), one) {
            total.iter_mut().zip(part).for_each(|(total, part)| *total = *total + part);
        }
    }
    if stop() {
        return Ok(None);
    }
    first_divergence(&total)?;
    Ok(Some(total))
}
