//! What the core's tests share: backends that divide a step among threads, random data, and the
//! trace of a training run.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

use myopia_core::backend::{Backend, Kernel};
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::mlp::{Batch, Dataset, HeapBatch, HeapNetwork, Update};
use myopia_core::optimizer::{Momentum, Optimizer};
use myopia_core::real::Real;
use myopia_core::rng::Pcg32;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::{InverseTime, Parameter};
use myopia_core::unroll::{InnerLoop, objective};
use myopia_core::vector::Vector;

/// A backend that divides every step among `threads` threads, however small the step is.
///
/// With `DENSE` a network without tangents multiplies by zeros too, and loops over parameters are
/// compiled for each rule, as instruction sets with wide registers do.
#[derive(Clone, Copy, Debug)]
pub struct Divided<'a, V, const DENSE: bool> {
    threads: usize,
    /// Counts the divisions, so that a test can show that there were some.
    joins: &'a AtomicUsize,
    vector: PhantomData<V>,
}

impl<'a, V, const DENSE: bool> Divided<'a, V, DENSE> {
    pub fn new(threads: usize, joins: &'a AtomicUsize) -> Self {
        Self { threads, joins, vector: PhantomData }
    }
}

impl<V: Vector, const DENSE: bool> Backend for Divided<'_, V, DENSE> {
    type Vector = V;
    const ACCUMULATORS: usize = if V::LANES >= 16 { 16 } else { 8 };
    const DENSE: bool = DENSE;
    const SPECIALISES: bool = DENSE;

    fn run<K: Kernel>(self, task: K) -> K::Output {
        task.run()
    }

    fn threads(self, _multiply_adds: usize) -> usize {
        self.threads
    }

    fn join<A: Send, B: Send>(
        self,
        a: impl FnOnce() -> A + Send,
        b: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        self.joins.fetch_add(1, Ordering::Relaxed);
        std::thread::scope(|scope| {
            let b = scope.spawn(b);
            (a(), b.join().unwrap())
        })
    }
}

/// Examples around a random centre for each class.
#[derive(Clone, Debug)]
pub struct Clusters<T> {
    pub inputs: usize,
    pub classes: usize,
    examples: Vec<(u16, Vec<(u16, T)>)>,
}

impl<T: Real> Clusters<T> {
    /// `count` examples; one input in `zeros` is zero, or none is.
    pub fn new(seed: u64, count: usize, inputs: usize, classes: usize, zeros: Option<u32>) -> Self {
        let mut rng = Pcg32::new(seed, 77);
        let centres: Vec<f32> = (0..inputs * classes).map(|_| rng.normal()).collect();
        let mut example = || {
            let label = rng.below(classes as u32) as usize;
            let mut numbers = Vec::new();
            for input in 0..inputs {
                let x = centres[label * inputs + input] + rng.normal::<f32>();
                if zeros.is_none_or(|zeros| rng.below(zeros) > 0) {
                    numbers.push((input as u16, T::from_f32(x / Libm::sqrt(inputs as f32))));
                }
            }
            (label as u16, numbers)
        };
        Self { inputs, classes, examples: (0..count).map(|_| example()).collect() }
    }

    /// Layer sizes of a network with these hidden layers.
    pub fn sizes(&self, hidden: &[usize]) -> Vec<usize> {
        [&[self.inputs], hidden, &[self.classes]].concat()
    }

    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Inputs and class of one example.
    pub fn dense(&self, index: u32) -> (Vec<T>, usize) {
        let (label, numbers) = &self.examples[index as usize];
        let mut inputs = vec![T::ZERO; self.inputs];
        for (input, x) in numbers {
            inputs[usize::from(*input)] = *x;
        }
        (inputs, usize::from(*label))
    }
}

impl<T: Real> Dataset<T> for Clusters<T> {
    fn append(&self, index: u32, batch: &mut Batch<'_, T>) {
        let (label, numbers) = &self.examples[index as usize];
        batch.push(*label, numbers.iter().copied());
    }
}

/// A training run of a few steps on [`Clusters`] and the loss over all examples after it.
#[derive(Clone, Debug)]
pub struct Task<'a, T> {
    pub data: &'a Clusters<T>,
    pub hidden: &'a [usize],
    pub batch: usize,
    pub steps: u32,
    pub seed: u64,
    pub schedule: InverseTime<T>,
}

/// The bits that a run leaves behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The loss of each step's batch.
    pub losses: Vec<u64>,
    /// The objective, its value first.
    pub objective: Vec<u64>,
    /// For the value and for each tangent: parameters, then velocity.
    pub planes: Vec<Vec<u64>>,
}

impl Trace {
    /// The trace of the same run without tangents.
    pub fn values(&self) -> Self {
        Self {
            losses: self.losses.clone(),
            objective: self.objective[..1].to_vec(),
            planes: self.planes[..1].to_vec(),
        }
    }
}

impl<T: Real> Task<'_, T> {
    /// Runs it on `backend` with a tangent for each of `directions`.
    pub fn trace<G, const P: usize>(&self, backend: G, directions: [Parameter; P]) -> Trace
    where
        G: Backend<Vector: Vector<Scalar = T>>,
        Libm: Elementary<T>,
    {
        self.trace_in_parts(backend, directions, &[0, self.steps])
    }

    /// The same, cut at each of `cuts`, the objective being evaluated at each cut.
    pub fn trace_in_parts<G, const P: usize>(
        &self,
        backend: G,
        directions: [Parameter; P],
        cuts: &[u32],
    ) -> Trace
    where
        G: Backend<Vector: Vector<Scalar = T>>,
        Libm: Elementary<T>,
    {
        let momentum = Momentum(T::from_f64(0.9));
        self.trace_by::<G, _, P, 1>(backend, directions, cuts, momentum)
    }

    /// The same with this optimiser, which has S slots of state.
    pub fn trace_by<G, O, const P: usize, const S: usize>(
        &self,
        backend: G,
        directions: [Parameter; P],
        cuts: &[u32],
        optimizer: O,
    ) -> Trace
    where
        G: Backend<Vector: Vector<Scalar = T>>,
        O: Optimizer<T, P, Update: Update<G::Vector, P, S, Libm>>,
        Libm: Elementary<T>,
    {
        self.trace_of::<G, O, P, S, false>(backend, directions, cuts, optimizer)
    }

    /// The same of a network whose hidden layers are normalised if N.
    pub fn trace_of<G, O, const P: usize, const S: usize, const N: bool>(
        &self,
        backend: G,
        directions: [Parameter; P],
        cuts: &[u32],
        optimizer: O,
    ) -> Trace
    where
        G: Backend<Vector: Vector<Scalar = T>>,
        O: Optimizer<T, P, Update: Update<G::Vector, P, S, Libm>>,
        Libm: Elementary<T>,
    {
        let sizes = self.data.sizes(self.hidden);
        let mut storage = HeapNetwork::<G::Vector, P, S, N>::new(&sizes, self.batch).unwrap();
        let mut examples = HeapBatch::new(&sizes, self.batch);
        let (mut network, mut batch) = (storage.network(backend), examples.batch());
        network.initialise(&mut Pcg32::new(self.seed, 0));
        let order = vec![0; self.data.len()];
        let mut sampler = Sampler::new(order, Pcg32::new(self.seed, 2));
        let schedule = self.schedule.with_tangents(directions);
        let inner = InnerLoop { schedule, optimizer, batch: self.batch };
        let all: Vec<u32> = (0..self.data.len() as u32).collect();
        let (mut losses, mut last) = (Vec::new(), None);
        for cut in cuts.windows(2) {
            let observe = |_, _, loss: T| losses.push(loss.bits());
            let steps = cut[0]..cut[1];
            inner
                .run::<Libm, _, _, _>(
                    &mut network,
                    &mut batch,
                    &mut sampler,
                    self.data,
                    steps,
                    observe,
                )
                .unwrap();
            last = Some(objective(&mut network, &mut batch, self.data, &all).unwrap());
        }
        let loss = last.unwrap().loss;
        let numbers: Vec<_> = network.parameters().chain(network.state()).collect();
        let plane = |p: usize| numbers.iter().map(|x| x.tangents[p].bits()).collect();
        let values = numbers.iter().map(|x| x.value.bits()).collect();
        Trace {
            losses,
            objective: [loss.value].into_iter().chain(loss.tangents).map(T::bits).collect(),
            planes: [values].into_iter().chain((0..P).map(plane)).collect(),
        }
    }
}

/// Runs `run` with a counter of divisions and asserts that a step was divided if there is more than
/// one thread.
pub fn divided<R>(threads: usize, run: impl FnOnce(&AtomicUsize) -> R) -> R {
    let joins = AtomicUsize::new(0);
    let result = run(&joins);
    assert_eq!(joins.load(Ordering::Relaxed) > 0, threads > 1, "{threads} threads");
    result
}
