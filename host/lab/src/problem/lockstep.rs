//! Several runs on the same batches, side by side.

use std::ops::Range;

use myopia_backend::{HeapBatch, MakeModel, restore_float_control};
use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::family::Schedule;
use myopia_core::mlp::Batch;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::{InverseTime, Parameter};
use myopia_core::unroll::Diverged;

use super::run::{Run, RunOptimizer};
use super::{InitialParams, Problem, Sets, Stream, TrainingRun};
use crate::precision::Float;

/// Batches that are made before every run takes them: each is made once for all runs, and a run's
/// parameters stay in the nearer caches for so many steps.
const BATCHES: usize = 8;

/// Runs of one problem from one start, each with a schedule of its own, to the bits of
/// [`TrainingRun::train`] for one after the other.
pub trait LockstepRuns: Send {
    /// Trains every run that has not diverged for the steps numbered `steps`, which go on where the
    /// last ones ended. `observe` is given the run's place, each step's number, its learning rate
    /// and the mean loss of its batch.
    fn train(&mut self, steps: Range<u32>, observe: &mut dyn FnMut(usize, u32, f64, f64));

    /// How each run has ended so far, in the order of the schedules.
    fn ended(&self) -> &[Result<(), Diverged>];

    /// The run at `place`, if there is one.
    fn run(&mut self, place: usize) -> Option<&mut dyn TrainingRun>;
}

/// Lockstep runs in the float `T` with P tangents.
pub(super) struct Lockstep<'a, T: Float, const P: usize, O: RunOptimizer<T, P>> {
    problem: &'a Problem<'a>,
    sets: &'a Sets<T>,
    sampler: Sampler<Vec<u32>>,
    /// The batches to come.
    room: Vec<HeapBatch<T>>,
    runs: Vec<Run<'a, T, P, O>>,
    /// Of each run.
    schedules: Vec<Schedule<Dual<T, P>>>,
    /// How each run's last step ended.
    ended: Vec<Result<(), Diverged>>,
}

impl<'a, T: Float, const P: usize, O: RunOptimizer<T, P>> Lockstep<'a, T, P, O>
where
    Libm: Elementary<T>,
{
    /// A run for each of `schedules`.
    pub fn new(
        problem: &'a Problem<'a>,
        make: MakeModel<T, P, O::Update>,
        optimizer: O,
        directions: [Parameter; P],
        start: &InitialParams,
        schedules: &[InverseTime<f64>],
    ) -> Self {
        let runs: Vec<_> = schedules
            .iter()
            .map(|_| {
                let model = problem.model(make);
                Run::new(problem, model, optimizer, directions, start, Stream::Batches)
            })
            .collect();
        Self {
            problem,
            sets: T::sets(problem.data).expect("data are in the problem's float"),
            sampler: problem.sampler(Stream::Batches),
            room: (0..BATCHES).map(|_| HeapBatch::new(&problem.layers, problem.batch)).collect(),
            schedules: runs.iter().zip(schedules).map(|(run, s)| run.schedule(s)).collect(),
            ended: vec![Ok(()); runs.len()],
            runs,
        }
    }
}

impl<T: Float, const P: usize, O: RunOptimizer<T, P>> LockstepRuns for Lockstep<'_, T, P, O>
where
    Libm: Elementary<T>,
{
    fn train(&mut self, steps: Range<u32>, observe: &mut dyn FnMut(usize, u32, f64, f64)) {
        restore_float_control();
        let Self { problem, sets, sampler, room, runs, schedules, ended } = self;
        let mut batches: Vec<Batch<'_, T>> = room.iter_mut().map(HeapBatch::batch).collect();
        for k in steps.clone().step_by(BATCHES) {
            let these = k..steps.end.min(k.saturating_add(BATCHES as u32));
            for batch in batches.iter_mut().take(these.len()) {
                batch.fill(&sets.training, sampler.next_batch(problem.batch));
            }
            let each = runs.iter_mut().zip(&*schedules).zip(&mut *ended);
            for (place, ((run, schedule), ended)) in each.enumerate() {
                if ended.is_ok() {
                    let mut observe = |k, rate, loss| observe(place, k, rate, loss);
                    *ended = run.train_on(schedule, &batches, these.clone(), &mut observe);
                }
            }
        }
    }

    fn ended(&self) -> &[Result<(), Diverged>] {
        &self.ended
    }

    fn run(&mut self, place: usize) -> Option<&mut dyn TrainingRun> {
        self.runs.get_mut(place).map(|run| run as &mut dyn TrainingRun)
    }
}
