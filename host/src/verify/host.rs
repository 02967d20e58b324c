//! The experiments on this machine: every instruction set, several numbers of threads.

use std::marker::PhantomData;

use myopia_core::backend::{Backend, Kernel};
use myopia_core::elementary::{Elementary, Libm, Micromath};
use myopia_core::experiments::{
    EXAMPLES, Failed, Learner, MetaDescentNet, Quadratic, TrainingNet, Workspace,
};
use myopia_core::vector::{F32x8, F64x8, Vector};
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use super::log::local_log;
use crate::engine::{Isa, Precision, Work};
use crate::failure::Failure;
use crate::network::HeapNetwork;

/// The numbers of threads with which every instruction set is tried.
pub const THREADS: [u16; 4] = [1, 2, 3, 8];

/// The log of the experiments on `isa`, run at the same time by each of `threads` threads.
///
/// # Errors
/// When the threads cannot be started, or when two of them disagree.
pub fn log(label: &str, isa: Isa, threads: u16) -> Result<Vec<String>, Failure> {
    let pool = ThreadPoolBuilder::new().num_threads(threads.into()).build();
    let pool = pool.map_err(|e| Failure::run(format!("could not start {threads} threads: {e}")))?;
    let logs: Vec<Vec<String>> = pool.install(|| {
        (0..threads).into_par_iter().map(|_| f32::run(isa, Experiments { label })).collect()
    });
    let mut logs = logs.into_iter();
    let first = logs.next().unwrap_or_default();
    // One that departs from the first departs from what is expected, or the first does.
    Ok(logs.find(|log| *log != first).unwrap_or(first))
}

struct Experiments<'a> {
    label: &'a str,
}

impl Work<f32> for Experiments<'_> {
    type Output = Vec<String>;

    fn on<G: Backend<Vector: Vector<Scalar = f32>>>(self, engine: G) -> Self::Output {
        local_log(self.label, &mut OnHeap::new(engine))
    }
}

/// The instructions of engine `G`, with other vectors and other elementary functions.
#[derive(Clone, Copy)]
struct With<G, V, E>(G, PhantomData<(V, E)>);

impl<G: Backend, V: Vector, E: Elementary<V::Scalar>> Backend for With<G, V, E> {
    type Vector = V;
    type Elementary = E;
    const ACCUMULATORS: usize = G::ACCUMULATORS;
    const DENSE: bool = G::DENSE;

    #[inline(always)]
    fn run<K: Kernel>(self, task: K) -> K::Output {
        self.0.run(task)
    }
}

/// Room for all experiments on the heap, for an engine with vectors of any width.
struct OnHeap<G: Backend> {
    engine: G,
    quadratic_f32: Quadratic<F32x8>,
    quadratic_f64: Quadratic<F64x8>,
    training: HeapNetwork<G::Vector, 0>,
    descent: HeapNetwork<G::Vector, 3>,
    order: [u32; EXAMPLES],
}

impl<G: Backend> OnHeap<G> {
    fn new(engine: G) -> Self {
        let sizes = "the experiments' networks are valid";
        Self {
            engine,
            quadratic_f32: Quadratic::<F32x8>::new(),
            quadratic_f64: Quadratic::<F64x8>::new(),
            training: HeapNetwork::new(TrainingNet::SIZES, TrainingNet::BATCH).expect(sizes),
            descent: HeapNetwork::new(MetaDescentNet::SIZES, MetaDescentNet::BATCH).expect(sizes),
            order: [0; EXAMPLES],
        }
    }

    fn with<V, E>(&self) -> With<G, V, E> {
        With(self.engine, PhantomData)
    }
}

impl<G: Backend<Vector: Vector<Scalar = f32>>> Workspace for OnHeap<G> {
    const IS_FULL: bool = true;
    type QuadraticF32 = With<G, F32x8, Libm>;
    type QuadraticF64 = With<G, F64x8, Libm>;
    type Network = With<G, G::Vector, Libm>;
    type Micromath = With<G, G::Vector, Micromath>;

    fn quadratic_f32(&mut self) -> (Self::QuadraticF32, &mut Quadratic<F32x8>) {
        (self.with(), &mut self.quadratic_f32)
    }

    fn quadratic_f64(&mut self) -> (Self::QuadraticF64, &mut Quadratic<F64x8>) {
        (self.with(), &mut self.quadratic_f64)
    }

    fn training(&mut self) -> Result<Learner<'_, Self::Network, 0>, Failed> {
        let engine = self.with();
        let (network, batch) = self.training.network(engine);
        Ok((network, batch, &mut self.order))
    }

    fn descent(&mut self) -> Result<Learner<'_, Self::Network, 3>, Failed> {
        let engine = self.with();
        let (network, batch) = self.descent.network(engine);
        Ok((network, batch, &mut self.order))
    }

    fn descent_micromath(&mut self) -> Result<Learner<'_, Self::Micromath, 3>, Failed> {
        let engine = self.with();
        let (network, batch) = self.descent.network(engine);
        Ok((network, batch, &mut self.order))
    }
}
