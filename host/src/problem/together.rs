//! Several runs on the same batches, side by side.

use std::ops::Range;

use myopia_core::dual::Dual;
use myopia_core::engine::{Engine, Scalar};
use myopia_core::lookahead::{Diverged, Training};
use myopia_core::mlp::Batch;
use myopia_core::schedule::InverseTime;

use super::Run;
use crate::network::HeapBatch;

/// So many batches are made before every run takes them: each is made once for all runs, and a run's parameters stay in the
/// nearer caches for so many steps.
const BATCHES: usize = 8;

impl<G: Engine, const P: usize> Run<'_, G, P> {
    /// Trains `runs` of one problem, all of which have come equally far, for the steps numbered `steps`, each with its schedule:
    /// to the bits of [`train`](Self::train) for one after the other. `observe` is given the run's place among `runs`, each
    /// step's number, its learning rate and the mean loss of its batch.
    ///
    /// # Panics
    /// When there are not as many schedules as runs.
    pub fn train_together(
        runs: &mut [Self],
        schedules: &[InverseTime<Dual<Scalar<G>, P>>],
        steps: Range<u32>,
        mut observe: impl FnMut(usize, u32, Scalar<G>, Scalar<G>),
    ) -> Vec<Result<(), Diverged>> {
        assert_eq!(runs.len(), schedules.len(), "a schedule for each run");
        let mut ended = vec![Ok(()); runs.len()];
        let Some(first) = runs.first() else { return ended };
        let (problem, mut sampler) = (first.problem, first.sampler.clone());
        let mut room: Vec<HeapBatch<Scalar<G>>> =
            (0..BATCHES).map(|_| HeapBatch::new(&problem.layers, problem.batch)).collect();
        let mut batches: Vec<Batch<'_, Scalar<G>>> =
            room.iter_mut().map(HeapBatch::batch).collect();
        for k in steps.clone().step_by(BATCHES) {
            let these = k..steps.end.min(k.saturating_add(BATCHES as u32));
            for batch in batches.iter_mut().take(these.len()) {
                batch.fill(&problem.data.training, sampler.next_batch(problem.batch));
            }
            for (place, (run, schedule)) in runs.iter_mut().zip(schedules).enumerate() {
                let (mut network, _) = run.storage.network(run.engine);
                let (schedule, momentum) = (*schedule, problem.momentum);
                let training = Training { schedule, momentum, batch: problem.batch };
                for (k, batch) in these.clone().zip(&batches) {
                    if ended[place].is_ok() {
                        let observe = |k, rate, loss| observe(place, k, rate, loss);
                        ended[place] = training.step(&mut network, batch, k, observe);
                    }
                }
            }
        }
        for run in runs {
            run.sampler.clone_from(&sampler);
            run.done = steps.end;
        }
        ended
    }
}
