//! A noisy quadratic on the heap, and the exact losses of schedules on it.

use myopia_core::dual::Dual;
use myopia_core::elementary::Libm;
use myopia_core::nqm::{
    BLOCK, Block, CHUNK, Direction, Directions, Diverged, InvalidDirection, MeanField, Moments,
    NextLoss, Preconditioned, Preconditioner, Response, Step, advance, first_divergence, floor,
    losses, pack,
};
use myopia_core::real::Real;
use myopia_core::schedule::Parameter;
use myopia_core::sum::sum;
use myopia_core::vector::{F64x8, Vector};

use crate::mean_field::Averages;
use crate::native::Native;
use crate::parallel;

/// A schedule: one learning rate and one momentum for each step.
pub type Schedule = Vec<Step<f64>>;

/// A noisy quadratic of any number of directions, on which gradients may be preconditioned.
#[derive(Clone, Debug)]
pub struct Quadratic {
    pub(crate) directions: Vec<Direction<f64>>,
    /// The directions as the kernels need them, without a preconditioner.
    pub(crate) plain: Vec<Directions<F64x8>>,
    /// The same with it.
    pub(crate) blocks: Vec<Directions<F64x8>>,
    pub(crate) floor: f64,
    /// What divides gradients by a second moment in place of a preconditioner.
    pub(crate) mean_field: Option<MeanField<f64>>,
}

/// Where training has got to: the response of every direction, and the averages of an optimiser in
/// mean field.
#[derive(Clone, Debug)]
pub struct State(pub(crate) Vec<Response<Dual<F64x8, 0>>>, pub(crate) Averages);

/// Blocks that one task takes: the contract's chunk, the sums of which are never split.
pub(crate) const LARGEST_TASK: usize = CHUNK / BLOCK;
impl Quadratic {
    /// The quadratic with these directions, or the number of the first one there cannot be and why.
    pub fn new(directions: Vec<Direction<f64>>) -> Result<Self, (usize, InvalidDirection)> {
        let mut blocks = vec![Directions::default(); directions.len().div_ceil(8)];
        pack(directions.iter().copied(), &mut blocks)?;
        let floor = floor(&blocks);
        Ok(Self { directions, plain: blocks.clone(), blocks, floor, mean_field: None })
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

    /// The responses before the first step.
    fn initial<const P: usize>(&self) -> Vec<Response<Dual<F64x8, P>>> {
        vec![Response::initial(); self.plain.len()]
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
        State(vec![Response::initial(); self.blocks.len()], Averages::default())
    }

    /// Takes `state` through `step`, if there is one, and returns the loss after the step that
    /// follows.
    pub fn advance(&self, state: &mut State, step: Option<Step<f64>>) -> NextLoss<f64> {
        match self.mean_field {
            Some(optimizer) => {
                let step = step.map(|step| (step, false));
                self.advance_in_mean_field(optimizer, state, step)
            }
            None => self.advance_plainly(state, step),
        }
    }

    fn advance_plainly(&self, state: &mut State, step: Option<Step<f64>>) -> NextLoss<f64> {
        let step = step.map(Step::constant);
        advance(Native, &self.blocks, &mut state.0, step, Step::default())
    }

    /// The same by a step without any momentum.
    pub fn cool(&self, state: &mut State, learning_rate: f64) -> NextLoss<f64> {
        let step = Step { learning_rate, momentum: 0.0 };
        match self.mean_field {
            Some(optimizer) => self.advance_in_mean_field(optimizer, state, Some((step, true))),
            None => self.advance_plainly(state, Some(step)),
        }
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
            let excess = Block::excess(block, response).value;
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

    /// The same without an optimiser in mean field, from the state `from` on.
    ///
    /// # Errors
    /// When a loss is not finite.
    fn losses_from(
        &self,
        from: &State,
        schedule: &[Step<Dual<f64, P>>],
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Vec<Dual<f64, P>>>, Diverged>;

    /// The same with `optimizer` in mean field, from the state `from` on, in which none has been
    /// at work but it.
    ///
    /// # Errors
    /// When a loss is not finite.
    fn losses_in_mean_field(
        &self,
        optimizer: &MeanField<Dual<f64, P>, f64>,
        from: &State,
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
                if let Some(optimizer) = &self.mean_field {
                    // None of its numbers is a schedule's.
                    let constant = optimizer.with_tangents([Parameter::TimeConstant; $tangents]);
                    let start = self.start();
                    return self.losses_in_mean_field(&constant, &start, schedule, stop);
                }
                along(&self.blocks, &self.initial(), schedule, stop)
            }

            fn losses_under(
                &self,
                preconditioner: &Preconditioner<Dual<f64, $tangents>>,
                schedule: &[Step<Dual<f64, $tangents>>],
                stop: &(dyn Fn() -> bool + Sync),
            ) -> Result<Option<Vec<Dual<f64, $tangents>>>, Diverged> {
                along(&self.under(preconditioner), &self.initial(), schedule, stop)
            }

            fn losses_from(
                &self,
                from: &State,
                schedule: &[Step<Dual<f64, $tangents>>],
                stop: &(dyn Fn() -> bool + Sync),
            ) -> Result<Option<Vec<Dual<f64, $tangents>>>, Diverged> {
                let initial: Vec<_> = from.0.iter().map(|response| response.constant()).collect();
                along(&self.blocks, &initial, schedule, stop)
            }

            fn losses_in_mean_field(
                &self,
                optimizer: &MeanField<Dual<f64, $tangents>, f64>,
                from: &State,
                schedule: &[Step<Dual<f64, $tangents>>],
                stop: &(dyn Fn() -> bool + Sync),
            ) -> Result<Option<Vec<Dual<f64, $tangents>>>, Diverged> {
                let (steps, states) = from.continued(optimizer, schedule);
                along(&self.in_mean_field_blocks(), &states, &steps, stop)
            }
        }
    )*};
}
losses!(0 1 3 4);

/// Steps between two questions whether to stop.
const STRIDE: usize = 256;

/// The excess losses along `schedule` from the states `initial` on, chunks of directions spread
/// over the threads; nothing once `stop` says so.
fn along<D, const P: usize>(
    blocks: &[D],
    initial: &[D::State],
    schedule: &[D::Step],
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Vec<Dual<f64, P>>>, Diverged>
where
    D: Block<F64x8, P, Step: Sync, State: Sync> + Sync,
{
    let one = |(blocks, initial): (&[D], &[D::State])| {
        let mut states = initial.to_vec();
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
                &mut states,
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
        total = one((blocks, initial));
    } else {
        // Added up in order, as one thread would.
        let tasks = blocks.chunks(LARGEST_TASK).zip(initial.chunks(LARGEST_TASK)).collect();
        for part in parallel::map(tasks, one) {
            total.iter_mut().zip(part).for_each(|(total, part)| *total = *total + part);
        }
    }
    if stop() {
        return Ok(None);
    }
    first_divergence(&total)?;
    Ok(Some(total))
}
