//! Several runs on the same batches, side by side.

use std::ops::Range;

use myopia_core::backend::{Backend, Scalar};
use myopia_core::dual::Dual;
use myopia_core::mlp::Batch;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::InverseTime;
use myopia_core::unroll::{Diverged, InnerLoop, Objective};

use super::{Problem, Run, Start};
use crate::network::HeapBatch;

/// So many batches are made before every run takes them: each is made once for all runs, and a run's parameters stay in the
/// nearer caches for so many steps.
const BATCHES: usize = 8;

/// Runs of one problem from one start, each with a schedule of its own, to the bits of [`Run::train`] for one after the other.
pub struct Together<'a, G: Backend, const P: usize> {
    problem: &'a Problem<'a, Scalar<G>>,
    sampler: Sampler<Vec<u32>>,
    /// The batches to come.
    room: Vec<HeapBatch<Scalar<G>>>,
    runs: Vec<Run<'a, G, P>>,
    /// Of each run.
    schedules: Vec<InverseTime<Dual<Scalar<G>, P>>>,
    /// How each run's last step ended.
    ended: Vec<Result<(), Diverged>>,
}

impl<'a, G: Backend, const P: usize> Together<'a, G, P> {
    /// A run for each of `schedules`.
    pub fn new(
        problem: &'a Problem<'a, Scalar<G>>,
        engine: G,
        start: &Start<Scalar<G>>,
        schedules: impl IntoIterator<Item = InverseTime<Dual<Scalar<G>, P>>>,
    ) -> Self {
        let schedules: Vec<_> = schedules.into_iter().collect();
        let runs: Vec<_> = schedules.iter().map(|_| problem.run(engine, start)).collect();
        Self {
            problem,
            sampler: problem.sampler(super::Stream::Batches),
            room: (0..BATCHES).map(|_| HeapBatch::new(&problem.layers, problem.batch)).collect(),
            ended: vec![Ok(()); runs.len()],
            runs,
            schedules,
        }
    }

    /// Trains every run that has not diverged for the steps numbered `steps`, which go on where the last ones ended. `observe`
    /// is given the run's place, each step's number, its learning rate and the mean loss of its batch.
    pub fn train(
        &mut self,
        steps: Range<u32>,
        mut observe: impl FnMut(usize, u32, Scalar<G>, Scalar<G>),
    ) {
        let Self { problem, sampler, room, runs, schedules, ended } = self;
        let mut batches: Vec<Batch<'_, _>> = room.iter_mut().map(HeapBatch::batch).collect();
        for k in steps.clone().step_by(BATCHES) {
            let these = k..steps.end.min(k.saturating_add(BATCHES as u32));
            for batch in batches.iter_mut().take(these.len()) {
                batch.fill(&problem.data.training, sampler.next_batch(problem.batch));
            }
            let each = runs.iter_mut().zip(&*schedules).zip(&mut *ended);
            for (place, ((run, schedule), ended)) in each.enumerate() {
                let (mut network, _) = run.storage.network(run.engine);
                let (schedule, momentum) = (*schedule, problem.momentum);
                let training = InnerLoop { schedule, momentum, batch: problem.batch };
                for (k, batch) in these.clone().zip(&batches) {
                    if ended.is_ok() {
                        let observe = |k, rate, loss| observe(place, k, rate, loss);
                        *ended = training.step(&mut network, batch, k, observe);
                    }
                }
            }
        }
    }

    /// How each run has ended so far, in the order of the schedules.
    pub fn ended(&self) -> &[Result<(), Diverged>] {
        &self.ended
    }

    /// [`Run::judge`] of the run at `place`, by training examples.
    pub fn judge(
        &mut self,
        place: usize,
        indices: &[u32],
    ) -> Result<Objective<Scalar<G>, P>, Diverged> {
        self.runs[place].judge(&self.problem.data.training, indices)
    }

    /// [`Run::digests`] of the run at `place`.
    pub fn digests(&mut self, place: usize) -> (u64, u64) {
        self.runs[place].digests()
    }
}
