//! A noisy quadratic on the heap, and the exact losses of schedules on it.

use myopia_core::dual::Dual;
use myopia_core::elementary::Libm;
use myopia_core::nqm::{
    BLOCK, Block, CHUNK, Direction, Directions, Diverged, InvalidDirection, Moments, NextLoss,
    Preconditioned, Preconditioner, Response, Step, Tape, advance, first_divergence, floor,
    gradient, losses, pack,
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
    blocks: Vec<Directions<F64x8>>,
    floor: f64,
}

/// Where training has got to: the response of every direction.
#[derive(Clone, Debug)]
pub struct State(Vec<Response<Dual<F64x8, 0>>>);

/// Storage that gradients use again and again.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    schedule: Vec<Step<Dual<f64, 0>>>,
    chunk: Chunk,
}

/// What the gradient of one task needs, and the gradient.
#[derive(Clone, Debug, Default)]
struct Chunk {
    responses: Vec<Response<Dual<F64x8, 0>>>,
    tape: Vec<Response<Dual<F64x8, 0>>>,
    partial: Vec<Step<Dual<F64x8, 0>>>,
    gradient: Vec<Step<Dual<f64, 0>>>,
}

impl Chunk {
    /// The excess loss of `blocks` after `schedule` from `responses` on; its gradient is left in `self`.
    fn run(
        &mut self,
        blocks: &[Directions<F64x8>],
        responses: &[Response<Dual<F64x8, 0>>],
        schedule: &[Step<Dual<f64, 0>>],
    ) -> Dual<f64, 0> {
        self.responses.clear();
        self.responses.extend_from_slice(responses);
        self.tape.resize(TAPED * schedule.len(), Response::default());
        self.partial.resize(schedule.len(), Step::default());
        self.gradient.clear();
        self.gradient.resize(schedule.len(), Step::default());
        let mut tape = Tape { responses: &mut self.tape, partial: &mut self.partial };
        gradient(Native, blocks, schedule, &mut self.responses, &mut tape, &mut self.gradient)
    }
}

/// Blocks that one task takes: the contract's chunk, the sums of which are never split.
const LARGEST_TASK: usize = CHUNK / BLOCK;
/// Columns of the Hessian that are found together.
const COLUMNS: usize = 4;
/// Blocks of directions that the gradient takes through the schedule together; four are fastest.
const TAPED: usize = 4;

impl Quadratic {
    /// The quadratic with these directions, or the number of the first one there cannot be and why.
    pub fn new(directions: Vec<Direction<f64>>) -> Result<Self, (usize, InvalidDirection)> {
        let mut blocks = vec![Directions::default(); directions.len().div_ceil(8)];
        pack(directions.iter().copied(), &mut blocks)?;
        let floor = floor(&blocks);
        Ok(Self { directions, plain: blocks.clone(), blocks, floor })
    }

    /// The same quadratic with `preconditioner` on its gradients in place of any other, or the number of the first
    /// direction in which that is not finite.
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

    /// Takes `state` through `step`, if there is one, and returns the loss after the step that follows.
    pub fn advance(&self, state: &mut State, step: Option<Step<f64>>) -> NextLoss<f64> {
        advance(Native, &self.blocks, &mut state.0, step)
    }

    /// The excess loss after `schedule` from `state` on, and its derivatives with respect to every learning rate and
    /// momentum.
    pub fn gradient<'a>(
        &self,
        state: &State,
        schedule: &[Step<f64>],
        scratch: &'a mut Scratch,
    ) -> (f64, impl Iterator<Item = Step<f64>> + 'a) {
        scratch.schedule.clear();
        scratch.schedule.extend(schedule.iter().map(|step| step.constant()));
        let chunks = self.blocks.chunks(LARGEST_TASK).zip(state.0.chunks(LARGEST_TASK));
        let loss = if self.blocks.len() <= LARGEST_TASK {
            let Scratch { schedule, chunk } = scratch;
            chunk.run(&self.blocks, &state.0, schedule)
        } else {
            let schedule = &scratch.schedule;
            let tasks: Vec<_> = chunks.collect();
            let parts = parallel::map(tasks, |(blocks, responses)| {
                let mut chunk = Chunk::default();
                (chunk.run(blocks, responses, schedule), chunk.gradient)
            });
            // In order, as one thread would add them up.
            let total = &mut scratch.chunk.gradient;
            total.clear();
            total.resize(schedule.len(), Step::default());
            parts.into_iter().fold(Dual::default(), |loss, (part, gradient)| {
                for (total, part) in total.iter_mut().zip(gradient) {
                    total.learning_rate = total.learning_rate + part.learning_rate;
                    total.momentum = total.momentum + part.momentum;
                }
                loss + part
            })
        };
        let value = |step: &Step<Dual<f64, 0>>| Step {
            learning_rate: step.learning_rate.value,
            momentum: step.momentum.value,
        };
        (loss.value, scratch.chunk.gradient.iter().map(value))
    }

    /// The excess loss after `schedule` from `state` on.
    pub fn excess_after(&self, state: &State, schedule: &[Step<f64>]) -> f64 {
        let numbers: Vec<_> = schedule.iter().map(|step| step.constant::<0>()).collect();
        let mut responses = state.0.clone();
        let mut partial = vec![Dual::default(); schedule.len() + 1];
        let mut out = vec![Dual::default(); schedule.len() + 1];
        losses(Native, &self.blocks, &numbers, &mut responses, &mut partial, &mut out);
        out.last().map_or(0.0, |loss| loss.value)
    }

    /// The second derivatives of the excess loss after `schedule` from `state` on, row by row: by its
    /// learning rates and, if `entries` is twice the number of steps, by its momenta after them.
    ///
    /// By the tangents of the gradient, a few columns at a time.
    pub fn hessian(&self, state: &State, schedule: &[Step<f64>], entries: usize) -> Vec<f64> {
        let steps = schedule.len();
        let start: Vec<Response<Dual<F64x8, COLUMNS>>> =
            state.0.iter().map(|response| response.constant()).collect();
        let mut responses = start.clone();
        let mut tape = vec![Response::default(); steps];
        let mut partial = vec![Step::default(); steps];
        let mut derivatives = vec![Step::default(); steps];
        let mut hessian = vec![0.0; entries * entries];
        for first in (0..entries).step_by(COLUMNS) {
            let mut numbers: Vec<_> = schedule.iter().map(|step| step.constant()).collect();
            for p in 0..COLUMNS {
                let entry = first + p;
                if let Some(step) = numbers.get_mut(entry) {
                    step.learning_rate.tangents[p] = 1.0;
                } else if let Some(step) = numbers.get_mut(entry.wrapping_sub(steps)) {
                    step.momentum.tangents[p] = 1.0;
                }
            }
            responses.copy_from_slice(&start);
            derivatives.fill(Step::default());
            let mut tape = Tape { responses: &mut tape, partial: &mut partial };
            gradient(Native, &self.blocks, &numbers, &mut responses, &mut tape, &mut derivatives);
            let rates = derivatives.iter().map(|step| step.learning_rate);
            let columns = rates.chain(derivatives.iter().map(|step| step.momentum));
            // Symmetric: what is derived by entry number `first + p` is as well its row.
            for (other, derivative) in columns.take(entries).enumerate() {
                for (p, second) in derivative.tangents.iter().enumerate() {
                    if first + p < entries {
                        hessian[(first + p) * entries + other] = *second;
                    }
                }
            }
        }
        hessian
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

/// Exact losses with P tangents. Implemented for the P that somebody uses, so that they are compiled here, once.
pub trait Losses<const P: usize> {
    /// The excess losses of a run from the start: before the first step, then after each.
    ///
    /// # Errors
    /// When a loss is not finite.
    fn losses(&self, schedule: &[Step<Dual<f64, P>>]) -> Result<Vec<Dual<f64, P>>, Diverged>;

    /// The same under another preconditioner, and with its tangents.
    ///
    /// # Errors
    /// When a loss is not finite.
    fn losses_under(
        &self,
        preconditioner: &Preconditioner<Dual<f64, P>>,
        schedule: &[Step<Dual<f64, P>>],
    ) -> Result<Vec<Dual<f64, P>>, Diverged>;
}

macro_rules! losses {
    ($($tangents:literal)*) => {$(
        impl Losses<$tangents> for Quadratic {
            fn losses(
                &self,
                schedule: &[Step<Dual<f64, $tangents>>],
            ) -> Result<Vec<Dual<f64, $tangents>>, Diverged> {
                along(&self.blocks, schedule)
            }

            fn losses_under(
                &self,
                preconditioner: &Preconditioner<Dual<f64, $tangents>>,
                schedule: &[Step<Dual<f64, $tangents>>],
            ) -> Result<Vec<Dual<f64, $tangents>>, Diverged> {
                along(&self.under(preconditioner), schedule)
            }
        }
    )*};
}
losses!(0 3 4);

/// The excess losses along `schedule` from the start, chunks of directions spread over the threads.
fn along<D: Block<F64x8, P> + Sync, const P: usize>(
    blocks: &[D],
    schedule: &[Step<Dual<f64, P>>],
) -> Result<Vec<Dual<f64, P>>, Diverged> {
    let one = |blocks: &[D]| {
        let mut responses = vec![Response::initial(); blocks.len()];
        let mut partial = vec![Dual::default(); schedule.len() + 1];
        let mut out = vec![Dual::default(); schedule.len() + 1];
        losses(Native, blocks, schedule, &mut responses, &mut partial, &mut out);
        out
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
    first_divergence(&total)?;
    Ok(total)
}
