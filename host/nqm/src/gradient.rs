//! First and second derivatives of a look-ahead's loss, as a judge reads it.

use myopia_core::dual::Dual;
use myopia_core::nqm::{
    self, Averaged, Directions, ExponentialAverage, LastIterate, Response, Step, Tape, gradient,
};
use myopia_core::sum::sum;
use myopia_core::vector::F64x8;

use crate::error::Interrupted;
use crate::judge::Judge;
use crate::native::Native;
use crate::parallel;
use crate::quadratic::{LARGEST_TASK, Quadratic, Schedule, State};
use crate::tolerances::Control;

/// Columns of the Hessian that are found together.
const COLUMNS: usize = 4;
/// Blocks of directions that the gradient takes through the schedule together; four are fastest.
const TAPED: usize = 4;

/// Storage that gradients use again and again.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    schedule: Vec<Step<Dual<f64, 0>>>,
    last: Chunk<Response<Dual<F64x8, 0>>>,
    averaged: Chunk<Averaged<Dual<F64x8, 0>>>,
}

/// What the gradient of one task needs, and the gradient.
#[derive(Clone, Debug, Default)]
struct Chunk<S> {
    states: Vec<S>,
    tape: Vec<S>,
    partial: Vec<Step<Dual<F64x8, 0>>>,
    gradient: Vec<Step<Dual<f64, 0>>>,
}

impl<S: Copy + Default + Send> Chunk<S> {
    /// The excess loss of `blocks` after `schedule` from what `begin` makes of `responses` on, as
    /// `judge` reads it; its gradient is left in `self`.
    fn run<J: nqm::Judge<F64x8, 0, State = S>>(
        &mut self,
        judge: J,
        blocks: &[Directions<F64x8>],
        responses: &[Response<Dual<F64x8, 0>>],
        begin: fn(Response<Dual<F64x8, 0>>) -> S,
        schedule: &[Step<Dual<f64, 0>>],
    ) -> Dual<f64, 0> {
        self.states.clear();
        self.states.extend(responses.iter().copied().map(begin));
        self.tape.resize(TAPED * schedule.len(), S::default());
        self.partial.resize(schedule.len(), Step::default());
        self.gradient.clear();
        self.gradient.resize(schedule.len(), Step::default());
        let mut tape = Tape { states: &mut self.tape, partial: &mut self.partial };
        gradient(Native, judge, blocks, schedule, &mut self.states, &mut tape, &mut self.gradient)
    }

    /// The same for any number of blocks, tasks spread over the threads.
    fn run_all<J: nqm::Judge<F64x8, 0, State = S> + Sync>(
        &mut self,
        judge: J,
        blocks: &[Directions<F64x8>],
        State(responses, _): &State,
        begin: fn(Response<Dual<F64x8, 0>>) -> S,
        schedule: &[Step<Dual<f64, 0>>],
    ) -> f64 {
        if blocks.len() <= LARGEST_TASK {
            return self.run(judge, blocks, responses, begin, schedule).value;
        }
        let tasks = blocks.chunks(LARGEST_TASK).zip(responses.chunks(LARGEST_TASK)).collect();
        let parts = parallel::map(tasks, |(blocks, responses): (&[_], &[_])| {
            let mut chunk = Self::default();
            (chunk.run(judge, blocks, responses, begin, schedule), chunk.gradient)
        });
        // In order, as one thread would add them up.
        self.gradient.clear();
        self.gradient.resize(schedule.len(), Step::default());
        let total = parts.into_iter().fold(Dual::default(), |loss, (part, gradient)| {
            for (total, part) in self.gradient.iter_mut().zip(gradient) {
                total.learning_rate = total.learning_rate + part.learning_rate;
                total.momentum = total.momentum + part.momentum;
            }
            loss + part
        });
        total.value
    }

    /// The derivatives by the learning rates and momenta.
    fn derivatives(&self) -> Schedule {
        let value = |step: &Step<Dual<f64, 0>>| Step {
            learning_rate: step.learning_rate.value,
            momentum: step.momentum.value,
        };
        self.gradient.iter().map(value).collect()
    }
}

impl Quadratic {
    /// The excess loss after `schedule` from `state` on as `judge` reads it, and its derivatives
    /// with respect to every learning rate and momentum; on the batch of the last step the whole
    /// loss, for what lies above the floor may be negative.
    pub fn judged(
        &self,
        judge: Judge,
        state: &State,
        schedule: &[Step<f64>],
        scratch: &mut Scratch,
    ) -> (f64, Schedule) {
        let Scratch { schedule: numbers, last, averaged } = scratch;
        numbers.clear();
        numbers.extend(judge.extended(schedule).map(Step::constant));
        let blocks = &self.blocks;
        let (mut loss, mut derivatives) = match judge {
            Judge::Average(gamma) => {
                let average = ExponentialAverage(gamma);
                let loss = averaged.run_all(average, blocks, state, Averaged::of, numbers);
                (loss, averaged.derivatives())
            }
            _ => (last.run_all(LastIterate, blocks, state, |r| r, numbers), last.derivatives()),
        };
        judge.collapsed(schedule.len(), &mut derivatives);
        if judge == Judge::SameBatch
            && let (Some(step), Some(derivative)) = (schedule.last(), derivatives.last_mut())
        {
            let pull = self.own_batch_pull();
            loss += self.floor() - step.learning_rate * pull;
            derivative.learning_rate -= pull;
        }
        (loss, derivatives)
    }

    /// Σ h g σ²: by how much a step of learning rate 1 lowers the loss on its own batch more than
    /// on another.
    fn own_batch_pull(&self) -> f64 {
        let g = self.preconditioned_curvatures();
        sum(self.directions().iter().zip(g).map(|(d, g)| d.curvature * g * d.noise_variance))
    }

    /// The second derivatives of what [`Quadratic::judged`] gives, row by row: by the learning
    /// rates of `schedule` and, if `entries` is twice the number of its steps, by its momenta after
    /// them.
    ///
    /// By the tangents of the gradient, a few columns at a time.
    ///
    /// # Errors
    /// When it is interrupted.
    pub fn hessian(
        &self,
        judge: Judge,
        state: &State,
        schedule: &[Step<f64>],
        entries: usize,
        control: &Control<'_>,
    ) -> Result<Vec<f64>, Interrupted> {
        let responses = state.0.iter().map(|response| response.constant());
        let columns = Columns { judge, schedule, entries, control };
        match judge {
            Judge::Average(gamma) => {
                let start: Vec<_> = responses.map(Averaged::of).collect();
                columns.hessian(ExponentialAverage(gamma), &self.blocks, &start)
            }
            _ => columns.hessian(LastIterate, &self.blocks, &responses.collect::<Vec<_>>()),
        }
    }
}

/// Which second derivatives are asked for.
struct Columns<'a> {
    judge: Judge,
    schedule: &'a [Step<f64>],
    entries: usize,
    control: &'a Control<'a>,
}

impl Columns<'_> {
    /// See [`Quadratic::hessian`].
    fn hessian<J: nqm::Judge<F64x8, COLUMNS>>(
        &self,
        reader: J,
        blocks: &[Directions<F64x8>],
        start: &[J::State],
    ) -> Result<Vec<f64>, Interrupted> {
        let Self { judge, schedule, entries, control } = *self;
        let steps = schedule.len();
        let extended: Vec<Step<Dual<f64, COLUMNS>>> =
            judge.extended(schedule).map(Step::constant).collect();
        let mut states = start.to_vec();
        let mut tape = vec![J::State::default(); extended.len()];
        let mut partial = vec![Step::default(); extended.len()];
        let mut derivatives = vec![Step::default(); extended.len()];
        let mut hessian = vec![0.0; entries * entries];
        for first in (0..entries).step_by(COLUMNS) {
            control.check()?;
            let mut numbers = extended.clone();
            for p in 0..COLUMNS {
                let mut along = vec![Step { learning_rate: 0.0, momentum: 0.0 }; steps];
                let entry = first + p;
                if let Some(step) = along.get_mut(entry) {
                    step.learning_rate = 1.0;
                } else if let Some(step) = along.get_mut(entry.wrapping_sub(steps)) {
                    step.momentum = 1.0;
                }
                for (number, along) in numbers.iter_mut().zip(judge.extended(&along)) {
                    number.learning_rate.tangents[p] = along.learning_rate;
                    number.momentum.tangents[p] = along.momentum;
                }
            }
            states.copy_from_slice(start);
            derivatives.fill(Step::default());
            let mut tape = Tape { states: &mut tape, partial: &mut partial };
            gradient(Native, reader, blocks, &numbers, &mut states, &mut tape, &mut derivatives);
            for p in 0..COLUMNS.min(entries - first) {
                let tangent = |step: &Step<Dual<f64, COLUMNS>>| Step {
                    learning_rate: step.learning_rate.tangents[p],
                    momentum: step.momentum.tangents[p],
                };
                let mut second: Schedule = derivatives.iter().map(tangent).collect();
                judge.collapsed(steps, &mut second);
                let rates = second.iter().map(|step| step.learning_rate);
                let column = rates.chain(second.iter().map(|step| step.momentum));
                // Symmetric: what is derived by entry number `first + p` is as well its row.
                for (other, derivative) in column.take(entries).enumerate() {
                    hessian[(first + p) * entries + other] = derivative;
                }
            }
        }
        Ok(hessian)
    }
}
