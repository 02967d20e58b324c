//! What is trained and what it is judged by: data, network, batches, objective.

use std::ops::Range;

use myopia_core::backend::Backend;
use myopia_core::dual::Dual;
use myopia_core::mlp::{Shape, he_normal};
use myopia_core::real::Real;
use myopia_core::rng::Pcg32;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::{InverseTime, PARAMETERS};
use myopia_core::unroll::{Diverged, Objective};
use myopia_core::vector::Vector;

mod examples;
mod run;
mod source;
mod together;

pub use examples::ExampleSet;
pub use run::{Run, Snapshot};
pub use source::{Data, Source};
pub use together::Together;

/// What the schedule is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectiveSet {
    /// The mean loss on held-out training examples, which are not trained on.
    Validation,
    /// The mean loss on the training examples, as in the paper; nothing is held out.
    Train,
}

impl ObjectiveSet {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Train => "train",
        }
    }
}

/// Streams of random numbers: each use of a seed has its own.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    Weights = 0,
    Pretraining = 1,
    Batches = 2,
    Schedules = 3,
    LookAheads = 4,
}

/// A training problem on `data`.
pub struct Problem<'a, T> {
    /// What is trained on.
    pub data: &'a Data<T>,
    /// Sizes of the layers, from inputs to classes.
    pub layers: Vec<usize>,
    /// Examples in a batch.
    pub batch: usize,
    /// μ of the inner training.
    pub momentum: T,
    /// What the objective is.
    pub objective: ObjectiveSet,
    /// At most this many examples of the objective set, from its start.
    pub objective_size: Option<usize>,
    /// The seed of weights and batches.
    pub seed: u64,
}

/// Where a look-ahead starts: parameters in the order of [`Network::load`](myopia_core::mlp::Network::load), velocity zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Start<T>(pub Vec<T>);

/// What a look-ahead found.
pub struct Outlook<T> {
    /// The objective; its tangents are the derivatives with respect to α₀, K and β.
    pub objective: Objective<T, 3>,
    /// The parameters at the end, without tangents.
    pub parameters: Vec<T>,
    /// Digest of the values of parameters and velocity.
    pub digest_values: u64,
    /// Digest of their tangents.
    pub digest_tangents: u64,
}

impl<T: Real> Problem<'_, T> {
    /// How many examples, from the start of the training file, are trained on.
    pub fn trained_on(&self) -> usize {
        match self.objective {
            ObjectiveSet::Validation => self.data.training.len() - self.data.held_out,
            ObjectiveSet::Train => self.data.training.len(),
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
            ObjectiveSet::Validation => self.trained_on()..self.data.training.len(),
            ObjectiveSet::Train => 0..self.trained_on(),
        }
    }

    /// About how many bytes a look-ahead takes besides the data, whatever its horizon.
    pub fn bytes(&self) -> u64 {
        let shape = Shape::new(&self.layers).expect("a problem's layers were checked");
        let number = T::BYTES as u64;
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

    fn sampler(&self, stream: Stream) -> Sampler<Vec<u32>> {
        Sampler::new(vec![0; self.trained_on()], self.rng(stream))
    }

    /// The batches of short look-aheads, which are not those of training.
    pub fn look_ahead_sampler(&self) -> Sampler<Vec<u32>> {
        self.sampler(Stream::LookAheads)
    }

    /// The numbers of the examples in each of the first `steps` batches, batch after batch.
    pub fn batch_indices(&self, steps: u32) -> Vec<u32> {
        let mut sampler = self.sampler(Stream::Batches);
        (0..steps).flat_map(|_| sampler.next_batch(self.batch).to_vec()).collect()
    }

    /// Initial weights, trained for `steps` steps at the constant rate `learning_rate`; the velocity is then dropped.
    pub fn start<G>(&self, engine: G, steps: u32, learning_rate: T) -> Result<Start<T>, Diverged>
    where
        G: Backend<Vector: Vector<Scalar = T>>,
    {
        let shape = Shape::new(&self.layers).expect("a problem's layers were checked");
        let weights: Vec<T> =
            he_normal(shape, &mut self.rng(Stream::Weights)).map(T::from_f32).collect();
        if steps == 0 {
            return Ok(Start(weights));
        }
        let constant = InverseTime::constant(Dual::constant(learning_rate));
        let mut run = Run::<G, 0>::new(self, engine, &Start(weights), Stream::Pretraining);
        run.train(&constant, 0..steps, |_, _, _| {})?;
        Ok(Start(run.parameters()))
    }

    /// Trains from `start` for `horizon` steps and judges the result, with derivatives; `tick` is called after each step.
    pub fn look_ahead<G>(
        &self,
        engine: G,
        start: &Start<T>,
        schedule: InverseTime<T>,
        horizon: u32,
        tick: impl Fn(),
    ) -> Result<Outlook<T>, Diverged>
    where
        G: Backend<Vector: Vector<Scalar = T>>,
    {
        let mut run = self.run::<G, 3>(engine, start);
        run.train(&schedule.with_tangents(PARAMETERS), 0..horizon, |_, _, _| tick())?;
        let objective = run.judge(&self.data.training, &self.objective_indices())?;
        let (digest_values, digest_tangents) = run.digests();
        Ok(Outlook { objective, parameters: run.parameters(), digest_values, digest_tangents })
    }

    /// The run that `snapshot` was taken of, at that point.
    ///
    /// # Panics
    /// When that was a run of another problem, or with another number of tangents.
    pub fn restore<G, const P: usize>(&self, engine: G, snapshot: &Snapshot<T>) -> Run<'_, G, P>
    where
        G: Backend<Vector: Vector<Scalar = T>>,
    {
        Run::restore(self, engine, snapshot, Stream::Batches)
    }

    /// A training run from `start` on the batches of a look-ahead: the same ones each time.
    pub fn run<G, const P: usize>(&self, engine: G, start: &Start<T>) -> Run<'_, G, P>
    where
        G: Backend<Vector: Vector<Scalar = T>>,
    {
        Run::new(self, engine, start, Stream::Batches)
    }
}
