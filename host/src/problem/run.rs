//! One training run, which can be left and taken up again.

use std::iter::{from_fn, once};
use std::ops::Range;

use myopia_core::backend::{Backend, Scalar};
use myopia_core::digest::{Digest, NotANumber};
use myopia_core::dual::Dual;
use myopia_core::mlp::Network;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::InverseTime;
use myopia_core::unroll::{Diverged, InnerLoop, Objective, objective};
use serde::{Deserialize, Serialize};

use super::{ExampleSet, Problem, Start, Stream};
use crate::network::HeapNetwork;

/// One training run of a problem, with P tangents.
pub struct Run<'a, G: Backend, const P: usize> {
    pub(super) problem: &'a Problem<'a, Scalar<G>>,
    pub(super) engine: G,
    pub(super) storage: HeapNetwork<G::Vector, P>,
    pub(super) sampler: Sampler<Vec<u32>>,
    /// Steps trained.
    pub(super) done: u32,
}

/// A [`Run`] between two steps. The batches to come follow from the problem's seed and the number of steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot<T> {
    /// Steps trained.
    pub steps: u32,
    /// Value and tangents of each parameter and then of each velocity, in the order of
    /// [`Network::load`](myopia_core::mlp::Network::load).
    pub numbers: Vec<T>,
}

impl<'a, G: Backend, const P: usize> Run<'a, G, P> {
    pub(super) fn new(
        problem: &'a Problem<'a, Scalar<G>>,
        engine: G,
        start: &Start<Scalar<G>>,
        stream: Stream,
    ) -> Self {
        let storage = HeapNetwork::new(&problem.layers, problem.batch);
        let mut storage = storage.expect("a problem's layers and batch were checked");
        let (mut network, _) = storage.network(engine);
        network.load(start.0.iter().map(|&x| Dual::constant(x)), []);
        Self { problem, engine, storage, sampler: problem.sampler(stream), done: 0 }
    }

    pub(super) fn restore(
        problem: &'a Problem<'a, Scalar<G>>,
        engine: G,
        snapshot: &Snapshot<Scalar<G>>,
        stream: Stream,
    ) -> Self {
        let mut run = Self::new(problem, engine, &Start(Vec::new()), stream);
        let (mut network, _) = run.storage.network(engine);
        let count = network.shape().parameters();
        assert_eq!(snapshot.numbers.len(), 2 * count * (P + 1), "a snapshot of another problem");
        let mut numbers = snapshot.numbers.iter().copied();
        let mut duals = from_fn(|| {
            let value = numbers.next()?;
            Some(Dual { value, tangents: [(); P].map(|()| numbers.next().unwrap_or(value)) })
        });
        let parameters: Vec<_> = duals.by_ref().take(count).collect();
        network.load(parameters, duals);
        for _ in 0..snapshot.steps {
            run.sampler.next_batch(problem.batch);
        }
        run.done = snapshot.steps;
        run
    }

    /// The run as it is.
    pub fn snapshot(&mut self) -> Snapshot<Scalar<G>> {
        let (network, _) = self.storage.network(self.engine);
        let duals = network.parameters().chain(network.velocity());
        let numbers = duals.flat_map(|x| once(x.value).chain(x.tangents)).collect();
        Snapshot { steps: self.done, numbers }
    }

    /// How many steps were trained.
    pub fn steps(&self) -> u32 {
        self.done
    }

    /// Trains for the steps numbered `steps`, which go on where the last ones ended; `observe` is given each step's number, its
    /// learning rate and the mean loss of its batch.
    pub fn train(
        &mut self,
        schedule: &InverseTime<Dual<Scalar<G>, P>>,
        steps: Range<u32>,
        observe: impl FnMut(u32, Scalar<G>, Scalar<G>),
    ) -> Result<(), Diverged> {
        let (mut network, mut batch) = self.storage.network(self.engine);
        let training = InnerLoop {
            schedule: *schedule,
            momentum: self.problem.momentum,
            batch: self.problem.batch,
        };
        let examples = &self.problem.data.training;
        self.done = steps.end;
        training.run(&mut network, &mut batch, &mut self.sampler, examples, steps, observe)
    }

    /// One step at this learning rate and momentum, on the next batch.
    pub fn step(&mut self, learning_rate: Scalar<G>, momentum: Scalar<G>) -> Result<(), Diverged> {
        let (mut network, mut batch) = self.storage.network(self.engine);
        let schedule = InverseTime::constant(Dual::constant(learning_rate));
        let training = InnerLoop { schedule, momentum, batch: self.problem.batch };
        let (examples, k) = (&self.problem.data.training, self.done);
        self.done += 1;
        training.run(&mut network, &mut batch, &mut self.sampler, examples, k..k + 1, |_, _, _| {})
    }

    /// Loads parameters and velocity, without tangents, into another network of the same shape.
    pub fn hand_over<const Q: usize>(&mut self, to: &mut Network<'_, G, Q>) {
        let (network, _) = self.storage.network(self.engine);
        let constant = |x: Dual<Scalar<G>, P>| Dual::constant(x.value);
        to.load(network.parameters().map(constant), network.velocity().map(constant));
    }

    /// The mean loss and the accuracy on the examples numbered `indices`.
    pub fn judge(
        &mut self,
        examples: &ExampleSet<Scalar<G>>,
        indices: &[u32],
    ) -> Result<Objective<Scalar<G>, P>, Diverged> {
        let (mut network, mut batch) = self.storage.network(self.engine);
        objective(&mut network, &mut batch, examples, indices)
    }

    /// The values of the parameters.
    pub fn parameters(&mut self) -> Vec<Scalar<G>> {
        let (network, _) = self.storage.network(self.engine);
        network.parameters().map(|x| x.value).collect()
    }

    /// Digests of the values and of the tangents of parameters and velocity.
    pub fn digests(&mut self) -> (u64, u64) {
        let (network, _) = self.storage.network(self.engine);
        let value = |digest: Result<Digest, NotANumber>| {
            digest.expect("a step that ends well leaves finite numbers").value()
        };
        (value(network.digest_values()), value(network.digest_tangents()))
    }
}
