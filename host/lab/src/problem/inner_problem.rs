//! A training problem: data, layers, batches, objective, seed, and the instruction set it runs on.

use std::ops::Range;

use myopia_backend::{Isa, MakeModel, StoredModel};
use myopia_core::digest::Digest;
use myopia_core::mlp::{Shape, he_normal};
use myopia_core::online::ShortLookAhead;
use myopia_core::real::Real;
use myopia_core::rng::Pcg32;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::{InverseTime, PARAMETERS};
use myopia_core::unroll::{Diverged, Objective};

use super::lockstep::Lockstep;
use super::online::Unroll;
use super::run::Run;
use super::{Data, InitialParams, LockstepRuns, Set, ShortUnroll, Snapshot, TrainingRun};
use crate::precision::{Float, Numbers, Precision, in_precision};

/// What the schedule is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectiveSet {
    /// The mean loss on held-out training examples, which are not trained on.
    Validation,
    /// The mean loss on the training examples, as in the paper; nothing is held out.
    Train,
}

impl ObjectiveSet {
    /// Its name: `validation` or `train`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Train => "train",
        }
    }
}

/// Streams of random numbers: each use of a seed has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Initial weights.
    Weights = 0,
    /// Batches of pretraining.
    Pretraining = 1,
    /// Batches of training.
    Batches = 2,
    /// Random schedules.
    Schedules = 3,
    /// Batches of short unrolls.
    LookAheads = 4,
}

/// Which derivatives a run carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tangents {
    /// None: it trains.
    None,
    /// By α₀, K and β.
    Schedule,
}

/// A training problem on `data`.
pub struct Problem<'a> {
    /// What is trained on.
    pub data: &'a Data,
    /// Sizes of the layers, from inputs to classes.
    pub layers: Vec<usize>,
    /// Examples in a batch.
    pub batch: usize,
    /// μ of the inner training.
    pub momentum: f64,
    /// What the objective is.
    pub objective: ObjectiveSet,
    /// At most this many examples of the objective set, from its start.
    pub objective_size: Option<usize>,
    /// The seed of weights and batches.
    pub seed: u64,
    /// The instruction set; it enters no bit.
    pub isa: Isa,
}

/// What an unroll with the tangents of the schedule found.
pub struct Hypergradient {
    /// The objective; its tangents are the derivatives with respect to α₀, K and β.
    pub objective: Objective<f64, 3>,
    /// The parameters at the end, without tangents.
    pub parameters: Numbers,
    /// Digests of the values of parameters and velocity, and of their tangents.
    pub digests: [Digest; 2],
}

/// Steps of pretraining between two looks at whether it is to go on.
const STEPS_BETWEEN_LOOKS: usize = 100;

const CHECKED: &str = "a problem's layers and batch were checked";

impl Problem<'_> {
    /// The float it is trained in.
    pub fn precision(&self) -> Precision {
        self.data.precision()
    }

    fn shape(&self) -> Shape<'_> {
        Shape::new(&self.layers).expect(CHECKED)
    }

    /// How many parameters the network has.
    pub fn parameters(&self) -> usize {
        self.shape().parameters()
    }

    /// How many examples, from the start of the training file, are trained on.
    pub fn trained_on(&self) -> usize {
        let all = self.data.len(Set::Training);
        match self.objective {
            ObjectiveSet::Validation => all - self.data.held_out,
            ObjectiveSet::Train => all,
        }
    }

    /// The numbers of the objective's examples in the training file.
    pub fn objective_indices(&self) -> Vec<u32> {
        let all = self.objective_set();
        let size = self.objective_size.unwrap_or(all.len());
        all.take(size).map(|index| index as u32).collect()
    }

    /// The objective set before it is limited to [`objective_size`](Self::objective_size).
    pub fn objective_set(&self) -> Range<usize> {
        match self.objective {
            ObjectiveSet::Validation => self.trained_on()..self.data.len(Set::Training),
            ObjectiveSet::Train => 0..self.trained_on(),
        }
    }

    /// About how many bytes an unroll takes besides the data, whatever its horizon.
    pub fn bytes(&self) -> u64 {
        let shape = self.shape();
        let number = self.precision().bytes();
        let dual = (PARAMETERS.len() as u64 + 1) * number;
        let batch = self.batch as u64;
        // Parameters, velocity, one layer's transpose; the start and the end of the run without tangents.
        let weights = shape.layers().map(|l| l.parameters() as u64).max().unwrap_or(0);
        let parameters = shape.parameters() as u64;
        let units = shape.layers().fold(0, |units, l| units + l.outputs as u64);
        let inputs = shape.inputs() as u64;
        (2 * parameters + weights) * dual
            + 2 * parameters * number
            + batch * (units * (dual + 4) + 4 * inputs * number)
    }

    fn rng(&self, stream: Stream) -> Pcg32 {
        Pcg32::new(self.seed, stream as u64)
    }

    pub(super) fn sampler(&self, stream: Stream) -> Sampler<Vec<u32>> {
        Sampler::new(vec![0; self.trained_on()], self.rng(stream))
    }

    /// The batches of short unrolls, which are not those of training.
    pub fn look_ahead_sampler(&self) -> Sampler<Vec<u32>> {
        self.sampler(Stream::LookAheads)
    }

    /// The numbers of the examples in each of the first `steps` batches, batch after batch.
    pub fn batch_indices(&self, steps: u32) -> Vec<u32> {
        let mut sampler = self.sampler(Stream::Batches);
        (0..steps).flat_map(|_| sampler.next_batch(self.batch).to_vec()).collect()
    }

    pub(super) fn model<T: Real, const P: usize, M>(
        &self,
        make: MakeModel<T, P, M>,
    ) -> Box<dyn StoredModel<T, P, M>> {
        make(&self.layers, self.batch).expect(CHECKED)
    }

    /// Initial weights, trained for `steps` steps at the constant rate `learning_rate`; the velocity is then dropped.
    ///
    /// # Errors
    /// When a step leaves the finite range.
    pub fn start(&self, steps: u32, learning_rate: f64) -> Result<InitialParams, Diverged> {
        let start = self.start_while(steps, learning_rate, &mut || true)?;
        Ok(start.expect("nobody stops it"))
    }

    /// The same as long as `go_on` says so now and then; `None` when it does not.
    ///
    /// # Errors
    /// When a step leaves the finite range.
    pub fn start_while(
        &self,
        steps: u32,
        learning_rate: f64,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<InitialParams>, Diverged> {
        let mut rng = self.rng(Stream::Weights);
        let weights = he_normal(self.shape(), &mut rng);
        let weights = in_precision!(self.precision(), T => {
            T::numbers(weights.map(T::from_f32).collect())
        });
        let start = InitialParams(weights);
        if steps == 0 {
            return Ok(Some(start));
        }
        let constant = InverseTime { alpha0: learning_rate, time_constant: 1.0, beta: 0.0 };
        let mut run = self.run_on(Tangents::None, &start, Stream::Pretraining);
        for first in (0..steps).step_by(STEPS_BETWEEN_LOOKS) {
            if !go_on() {
                return Ok(None);
            }
            let last = steps.min(first.saturating_add(STEPS_BETWEEN_LOOKS as u32));
            run.train(&constant, first..last, &mut |_, _, _| {})?;
        }
        Ok(Some(InitialParams(run.parameters())))
    }

    /// Trains from `start` for `horizon` steps and judges the result, with derivatives; `tick` is called after each step.
    ///
    /// # Errors
    /// When a step or the objective leaves the finite range.
    pub fn hypergradient(
        &self,
        start: &InitialParams,
        schedule: &InverseTime<f64>,
        horizon: u32,
        tick: &mut dyn FnMut(),
    ) -> Result<Hypergradient, Diverged> {
        let mut run = self.run(Tangents::Schedule, start);
        run.train(schedule, 0..horizon, &mut |_, _, _| tick())?;
        let objective = run.evaluate(Set::Training, &self.objective_indices())?;
        Ok(Hypergradient { objective, parameters: run.parameters(), digests: run.digests() })
    }

    /// A training run from `start` on the batches of an unroll: the same ones each time.
    pub fn run(&self, tangents: Tangents, start: &InitialParams) -> Box<dyn TrainingRun + '_> {
        self.run_on(tangents, start, Stream::Batches)
    }

    fn run_on(
        &self,
        tangents: Tangents,
        start: &InitialParams,
        stream: Stream,
    ) -> Box<dyn TrainingRun + '_> {
        in_precision!(self.precision(), T => {
            let models = T::models(self.isa);
            match tangents {
                Tangents::None => {
                    Box::new(Run::new(self, self.model(models.plain), [], start, stream))
                }
                Tangents::Schedule => {
                    Box::new(Run::new(self, self.model(models.schedule), PARAMETERS, start, stream))
                }
            }
        })
    }

    /// The run that `snapshot` was taken of, at that point; `None` when that was a run of another problem, or with
    /// other tangents.
    pub fn restore(
        &self,
        tangents: Tangents,
        snapshot: &Snapshot,
    ) -> Option<Box<dyn TrainingRun + '_>> {
        let stream = Stream::Batches;
        in_precision!(self.precision(), T => {
            let models = T::models(self.isa);
            let start = InitialParams(T::numbers(Vec::new()));
            Some(match tangents {
                Tangents::None => {
                    let run = Run::new(self, self.model(models.plain), [], &start, stream);
                    Box::new(run.restored(snapshot)?)
                }
                Tangents::Schedule => {
                    let model = self.model(models.schedule);
                    let run = Run::new(self, model, PARAMETERS, &start, stream);
                    Box::new(run.restored(snapshot)?)
                }
            })
        })
    }

    /// A run for each of `schedules` from `start`, side by side on the same batches.
    pub fn lockstep(
        &self,
        tangents: Tangents,
        start: &InitialParams,
        schedules: &[InverseTime<f64>],
    ) -> Box<dyn LockstepRuns + '_> {
        in_precision!(self.precision(), T => {
            let models = T::models(self.isa);
            match tangents {
                Tangents::None => {
                    Box::new(Lockstep::new(self, models.plain, [], start, schedules))
                }
                Tangents::Schedule => {
                    Box::new(Lockstep::new(self, models.schedule, PARAMETERS, start, schedules))
                }
            }
        })
    }

    /// Short unrolls as `ahead` says.
    pub fn short_unroll(&self, ahead: ShortLookAhead) -> Box<dyn ShortUnroll + '_> {
        in_precision!(self.precision(), T => Box::new(Unroll::<T>::new(self, ahead)))
    }
}
