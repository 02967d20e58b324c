//! `Workspace`: storage and backends of the experiments; a reduced one fits 16 KiB of RAM.

use super::quadratic::Quadratic;
use super::report::Failed;
use crate::backend::{Backend, Portable};
use crate::bilevel::experiment::Bilevel;
use crate::elementary::{Elementary, Libm, Micromath};
use crate::glyphs::{CLASSES, PIXELS, SIDE};
use crate::mlp::{Batch, Network};
use crate::vector::{F32x4, F32x8, F64x8, Vector};

/// Directions of a quadratic.
pub const DIRECTIONS: usize = 8;
/// Training examples of a network.
pub const EXAMPLES: usize = 32;

crate::fixed_network! {
    /// The network that is trained.
    #[derive(Debug)]
    pub struct TrainingNet { sizes: [PIXELS, 4, CLASSES], batch: TrainingNet::BATCH, vector: F32x4, tangents: 0 }
}

impl TrainingNet {
    /// Examples in a batch.
    pub const BATCH: usize = 2;
}

crate::fixed_network! {
    /// The network whose training is differentiated with respect to α₀, K and β.
    #[derive(Debug)]
    pub struct MetaDescentNet { sizes: [PIXELS, 8, CLASSES], batch: MetaDescentNet::BATCH, vector: F32x4, tangents: 3 }
}

impl MetaDescentNet {
    /// Examples in a batch.
    pub const BATCH: usize = 4;
}

crate::fixed_network! {
    /// The network with batch normalisation whose training is differentiated: by Adam with respect
    /// to α₀, ε and β₂, by SGD with respect to α₀, μ and ξ. One type for both, with one lane: its
    /// code is short.
    #[derive(Debug)]
    pub struct NormNet {
        sizes: [SIDE, 3, CLASSES], batch: NormNet::BATCH, vector: f32, tangents: 3, slots: 2, norm: true
    }
}

impl NormNet {
    /// Examples in a batch: of two, normalised numbers would be 1 and −1.
    pub const BATCH: usize = 3;
}

/// A network, a batch for it, and the order of its examples.
pub type Learner<'a, G, const P: usize, E = Libm, const S: usize = 1, const N: bool = false> =
    (Network<'a, G, P, E, S, N>, Batch<'a, f32>, &'a mut [u32]);

/// What the experiments run on and in. Two workspaces give the same reports, whatever their
/// backends.
pub trait Workspace {
    /// Whether it has room for every experiment.
    const IS_FULL: bool;
    /// Runs the quadratic in `f32`.
    type QuadraticF32: Backend<Vector = F32x8>;
    /// Runs the quadratic in `f64`.
    type QuadraticF64: Backend<Vector = F64x8>;
    /// Runs the networks.
    type Network: Backend<Vector: Vector<Scalar = f32>>;
    /// Runs the network with batch normalisation.
    type Normalised: Backend<Vector: Vector<Scalar = f32>>;
    /// Takes its roots, rounded correctly as those of [`Libm`] are.
    type Root: Elementary<f32>;

    /// The quadratic in `f32`.
    fn quadratic_f32(&mut self) -> (Self::QuadraticF32, &mut Quadratic<F32x8>);
    /// The quadratic in `f64`.
    fn quadratic_f64(&mut self) -> (Self::QuadraticF64, &mut Quadratic<F64x8>);
    /// The network that is trained: layers of [`TrainingNet::SIZES`], batches of
    /// [`TrainingNet::BATCH`].
    fn training(&mut self) -> Result<Learner<'_, Self::Network, 0>, Failed>;
    /// The network whose training is differentiated: layers of [`MetaDescentNet::SIZES`], batches
    /// of [`MetaDescentNet::BATCH`].
    fn descent(&mut self) -> Result<Learner<'_, Self::Network, 3>, Failed>;
    /// The same with micromath.
    fn descent_micromath(&mut self) -> Result<Learner<'_, Self::Network, 3, Micromath>, Failed>;
    /// The network with batch normalisation: layers of [`NormNet::SIZES`], batches of
    /// [`NormNet::BATCH`].
    fn normalised(
        &mut self,
    ) -> Result<Learner<'_, Self::Normalised, 3, Self::Root, 2, true>, Failed>;
    /// The bilevel problem.
    fn bilevel(&mut self) -> Result<&mut Bilevel<f32>, Failed>;
}

/// Room for the experiments of a target with 16 KiB of RAM.
#[derive(Debug)]
pub struct Reduced {
    quadratic_f32: Quadratic<F32x8>,
    quadratic_f64: Quadratic<F64x8>,
    training: TrainingNet,
    order: [u32; EXAMPLES],
}

impl Reduced {
    /// The storage; what it holds does not matter.
    #[expect(clippy::new_without_default, reason = "a default would be built on the stack")]
    pub const fn new() -> Self {
        Self {
            quadratic_f32: Quadratic::<F32x8>::new(),
            quadratic_f64: Quadratic::<F64x8>::new(),
            training: TrainingNet::new(),
            order: [0; EXAMPLES],
        }
    }
}

impl Workspace for Reduced {
    const IS_FULL: bool = false;
    type QuadraticF32 = Portable<F32x8>;
    type QuadraticF64 = Portable<F64x8>;
    type Network = Portable<F32x4>;
    type Normalised = Portable<f32>;
    type Root = Libm;

    fn quadratic_f32(&mut self) -> (Self::QuadraticF32, &mut Quadratic<F32x8>) {
        (Portable::new(), &mut self.quadratic_f32)
    }

    fn quadratic_f64(&mut self) -> (Self::QuadraticF64, &mut Quadratic<F64x8>) {
        (Portable::new(), &mut self.quadratic_f64)
    }

    fn training(&mut self) -> Result<Learner<'_, Self::Network, 0>, Failed> {
        let (network, batch) = self.training.network(Portable::new())?;
        Ok((network, batch, &mut self.order))
    }

    fn descent(&mut self) -> Result<Learner<'_, Self::Network, 3>, Failed> {
        Err(Failed::Workspace)
    }

    fn descent_micromath(&mut self) -> Result<Learner<'_, Self::Network, 3, Micromath>, Failed> {
        Err(Failed::Workspace)
    }

    fn normalised(&mut self) -> Result<Learner<'_, Self::Normalised, 3, Libm, 2, true>, Failed> {
        Err(Failed::Workspace)
    }

    fn bilevel(&mut self) -> Result<&mut Bilevel<f32>, Failed> {
        Err(Failed::Workspace)
    }
}

/// Room for all experiments.
#[derive(Debug)]
pub struct Full {
    reduced: Reduced,
    descent: MetaDescentNet,
    norm: NormNet,
    bilevel: Bilevel<f32>,
}

impl Full {
    /// The storage; what it holds does not matter.
    #[expect(clippy::new_without_default, reason = "a default would be built on the stack")]
    pub const fn new() -> Self {
        Self {
            reduced: Reduced::new(),
            descent: MetaDescentNet::new(),
            norm: NormNet::new(),
            bilevel: Bilevel::new(),
        }
    }
}

impl Workspace for Full {
    const IS_FULL: bool = true;
    type QuadraticF32 = Portable<F32x8>;
    type QuadraticF64 = Portable<F64x8>;
    type Network = Portable<F32x4>;
    type Normalised = Portable<f32>;
    type Root = Libm;

    fn quadratic_f32(&mut self) -> (Self::QuadraticF32, &mut Quadratic<F32x8>) {
        self.reduced.quadratic_f32()
    }

    fn quadratic_f64(&mut self) -> (Self::QuadraticF64, &mut Quadratic<F64x8>) {
        self.reduced.quadratic_f64()
    }

    fn training(&mut self) -> Result<Learner<'_, Self::Network, 0>, Failed> {
        self.reduced.training()
    }

    fn descent(&mut self) -> Result<Learner<'_, Self::Network, 3>, Failed> {
        let (network, batch) = self.descent.network(Portable::new())?;
        Ok((network, batch, &mut self.reduced.order))
    }

    fn descent_micromath(&mut self) -> Result<Learner<'_, Self::Network, 3, Micromath>, Failed> {
        let (network, batch) = self.descent.network_with(Portable::new())?;
        Ok((network, batch, &mut self.reduced.order))
    }

    fn normalised(&mut self) -> Result<Learner<'_, Self::Normalised, 3, Libm, 2, true>, Failed> {
        let (network, batch) = self.norm.network(Portable::new())?;
        Ok((network, batch, &mut self.reduced.order))
    }

    fn bilevel(&mut self) -> Result<&mut Bilevel<f32>, Failed> {
        Ok(&mut self.bilevel)
    }
}
