//! `Diagnostics` of an instruction set: the golden experiments, and its peak in GFLOP/s.

use std::marker::PhantomData;

use myopia_core::backend::{Backend, Kernel};
use myopia_core::bilevel::experiment::Bilevel;
use myopia_core::elementary::Micromath;
use myopia_core::experiments::{
    EXAMPLES, Experiment, Failed, Learner, MetaDescentNet, NormNet, Quadratic, Record, Report,
    TrainingNet, Workspace,
};
use myopia_core::mlp::{Batch, HeapBatch, HeapNetwork, Network};
use myopia_core::vector::{F32x8, F64x8, Vector};

use crate::isa::Isa;
use crate::model::{HostBackend, WithRoot};
use crate::peak::peak;

/// Runs a golden experiment and shows each record as soon as it is known.
pub type RunExperiment = fn(&Experiment, &mut dyn FnMut(&Record)) -> Result<Report, Failed>;

/// What proves and measures the kernels of one instruction set, which the processor must have.
#[derive(Clone, Copy, Debug)]
pub struct Diagnostics {
    /// The instruction set.
    pub isa: Isa,
    /// The peak of one core, in 10⁹ unfused multiplications and additions a second.
    pub peak: fn() -> f64,
    /// Runs a golden experiment; each record is shown as soon as it is known.
    pub experiment: RunExperiment,
}

impl Diagnostics {
    /// The diagnostics of backend `G`.
    pub const fn on<G: HostBackend<Vector: Vector<Scalar = f32>> + 'static>(isa: Isa) -> Self {
        Self {
            isa,
            peak: || peak(backend::<G>()),
            experiment: |experiment, record| {
                experiment.run(&mut OnHeap::new(backend::<G>()), record)
            },
        }
    }
}

fn backend<G: HostBackend>() -> G {
    G::detect().expect("only the kernels of an instruction set that is there are asked for")
}

/// The instructions of backend `G` with other vectors.
#[derive(Clone, Copy)]
struct WithVector<G, V>(G, PhantomData<V>);

impl<G: Backend, V: Vector> Backend for WithVector<G, V> {
    type Vector = V;
    const ACCUMULATORS: usize = G::ACCUMULATORS;
    const DENSE: bool = G::DENSE;
    const SPECIALISES: bool = G::SPECIALISES;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        self.0.run(kernel)
    }

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        self.0.call(kernel)
    }
}

/// Room for all experiments on the heap, for a backend with vectors of any width.
struct OnHeap<G: Backend<Vector: Vector<Scalar = f32>>> {
    backend: G,
    quadratic_f32: Quadratic<F32x8>,
    quadratic_f64: Quadratic<F64x8>,
    training: (HeapNetwork<G::Vector, 0>, HeapBatch<f32>),
    descent: (HeapNetwork<G::Vector, 3>, HeapBatch<f32>),
    norm: (HeapNetwork<G::Vector, 3, 2, true>, HeapBatch<f32>),
    bilevel: Bilevel<f32>,
    order: [u32; EXAMPLES],
}

impl<G: Backend<Vector: Vector<Scalar = f32>>> OnHeap<G> {
    fn new(backend: G) -> Self {
        const VALID: &str = "the experiments' networks are valid";
        Self {
            backend,
            quadratic_f32: Quadratic::<F32x8>::new(),
            quadratic_f64: Quadratic::<F64x8>::new(),
            training: (
                HeapNetwork::new(TrainingNet::SIZES, TrainingNet::BATCH).expect(VALID),
                HeapBatch::new(TrainingNet::SIZES, TrainingNet::BATCH),
            ),
            descent: (
                HeapNetwork::new(MetaDescentNet::SIZES, MetaDescentNet::BATCH).expect(VALID),
                HeapBatch::new(MetaDescentNet::SIZES, MetaDescentNet::BATCH),
            ),
            norm: (
                HeapNetwork::new(NormNet::SIZES, NormNet::BATCH).expect(VALID),
                HeapBatch::new(NormNet::SIZES, NormNet::BATCH),
            ),
            bilevel: Bilevel::new(),
            order: [0; EXAMPLES],
        }
    }
}

impl<G: Backend<Vector: Vector<Scalar = f32>>> Workspace for OnHeap<G> {
    const IS_FULL: bool = true;
    type QuadraticF32 = WithVector<G, F32x8>;
    type QuadraticF64 = WithVector<G, F64x8>;
    type Network = G;
    type Normalised = G;
    type Root = WithRoot;

    fn quadratic_f32(&mut self) -> (Self::QuadraticF32, &mut Quadratic<F32x8>) {
        (WithVector(self.backend, PhantomData), &mut self.quadratic_f32)
    }

    fn quadratic_f64(&mut self) -> (Self::QuadraticF64, &mut Quadratic<F64x8>) {
        (WithVector(self.backend, PhantomData), &mut self.quadratic_f64)
    }

    fn training(&mut self) -> Result<Learner<'_, G, 0>, Failed> {
        let (network, batch) = &mut self.training;
        Ok((network.network(self.backend), batch.batch(), &mut self.order))
    }

    fn descent(&mut self) -> Result<Learner<'_, G, 3>, Failed> {
        let (network, batch) = &mut self.descent;
        Ok((network.network(self.backend), batch.batch(), &mut self.order))
    }

    fn descent_micromath(&mut self) -> Result<Learner<'_, G, 3, Micromath>, Failed> {
        let (network, batch) = &mut self.descent;
        let network: Network<'_, G, 3, Micromath> = network.network_with(self.backend);
        let batch: Batch<'_, f32> = batch.batch();
        Ok((network, batch, &mut self.order))
    }

    fn normalised(&mut self) -> Result<Learner<'_, G, 3, WithRoot, 2, true>, Failed> {
        let (network, batch) = &mut self.norm;
        Ok((network.network_with(self.backend), batch.batch(), &mut self.order))
    }

    fn bilevel(&mut self) -> Result<&mut Bilevel<f32>, Failed> {
        Ok(&mut self.bilevel)
    }
}
