//! A noisy quadratic on the heap, and the exact losses of schedules on it.

use myopia_core::dual::Dual;
use myopia_core::nqm::{
    Direction, Directions, Diverged, InvalidDirection, Moments, NextLoss, Response, Step, Tape,
    advance, first_divergence, floor, gradient, losses, pack,
};
use myopia_core::vector::F64x8;

use super::engine::Native;

/// A schedule: one learning rate and one momentum for each step.
pub type Schedule = Vec<Step<f64>>;

/// A noisy quadratic of any number of directions.
#[derive(Clone, Debug)]
pub struct Quadratic {
    directions: Vec<Direction<f64>>,
    blocks: Vec<Directions<F64x8>>,
    floor: f64,
}

/// Where training has got to: the response of every direction.
#[derive(Clone, Debug)]
pub struct State(Vec<Response<Dual<F64x8, 0>>>);

/// Storage that gradients use again and again.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    responses: Vec<Response<Dual<F64x8, 0>>>,
    tape: Vec<Response<Dual<F64x8, 0>>>,
    partial: Vec<Step<Dual<F64x8, 0>>>,
    schedule: Vec<Step<Dual<f64, 0>>>,
    gradient: Vec<Step<Dual<f64, 0>>>,
}

/// Blocks of directions that the gradient takes through the schedule together; four are fastest.
const TAPED: usize = 4;

impl Quadratic {
    /// The quadratic with these directions, or the number of the first one there cannot be and why.
    pub fn new(directions: Vec<Direction<f64>>) -> Result<Self, (usize, InvalidDirection)> {
        let mut blocks = vec![Directions::default(); directions.len().div_ceil(8)];
        pack(directions.iter().copied(), &mut blocks)?;
        let floor = floor(&blocks);
        Ok(Self { directions, blocks, floor })
    }

    /// Its directions.
    pub fn directions(&self) -> &[Direction<f64>] {
        &self.directions
    }

    /// ½ Σ hσ², the part of the loss that no schedule lowers.
    pub fn floor(&self) -> f64 {
        self.floor
    }

    /// The state before the first step.
    pub fn start(&self) -> State {
        State(vec![Response::initial(); self.blocks.len()])
    }

    /// The excess losses of a run from the start: before the first step, then after each.
    pub fn losses<const P: usize>(
        &self,
        schedule: &[Step<Dual<f64, P>>],
    ) -> Result<Vec<Dual<f64, P>>, Diverged> {
        let mut responses = vec![Response::initial(); self.blocks.len()];
        let mut partial = vec![Dual::default(); schedule.len() + 1];
        let mut out = vec![Dual::default(); schedule.len() + 1];
        losses(Native, &self.blocks, schedule, &mut responses, &mut partial, &mut out);
        first_divergence(&out)?;
        Ok(out)
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
        scratch.responses.clone_from(&state.0);
        scratch.schedule.clear();
        scratch.schedule.extend(schedule.iter().map(|step| step.constant()));
        scratch.tape.resize(TAPED * schedule.len(), Response::default());
        scratch.partial.resize(schedule.len(), Step::default());
        scratch.gradient.clear();
        scratch.gradient.resize(schedule.len(), Step::default());
        let loss = gradient(
            Native,
            &self.blocks,
            &scratch.schedule,
            &mut scratch.responses,
            &mut Tape { responses: &mut scratch.tape, partial: &mut scratch.partial },
            &mut scratch.gradient,
        );
        let value = |step: &Step<Dual<f64, 0>>| Step {
            learning_rate: step.learning_rate.value,
            momentum: step.momentum.value,
        };
        (loss.value, scratch.gradient.iter().map(value))
    }

    /// The moments of every direction in `state`.
    pub fn moments<'a>(&'a self, state: &'a State) -> impl Iterator<Item = Moments<f64>> + 'a {
        let lanes = state.0.iter().flat_map(|block| (0..8).map(|lane| block.lane(lane)));
        lanes.zip(&self.directions).map(|(response, direction)| response.moments(*direction))
    }
}
