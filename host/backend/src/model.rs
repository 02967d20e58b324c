//! `StoredModel`: object-safe model that owns its heap storage; `Models` makes it per ISA.

use myopia_core::backend::{Backend, Portable, Scalar};
use myopia_core::digest::{Digest, NotANumber};
use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::mlp::{
    Batch, Coefficient, Evaluate, Evaluation, HeapNetwork, InvalidNetwork, Model, Network,
    NonFinite,
};
use myopia_core::real::Real;
use myopia_core::vector::Vector;

use crate::isa::Isa;

/// A model of P tangents that owns its parameters and their velocity; its momentum is a `M`.
///
/// A call at this boundary costs a few nanoseconds of a step of a hundred microseconds.
pub trait StoredModel<T: Real, const P: usize, M = T>: Model<T, P, M> + Send {
    /// Puts numbers into place, layer by layer weights (input by input) and biases; what is missing becomes zero.
    fn load(&mut self, parameters: &[Dual<T, P>], velocity: &[Dual<T, P>]);
    /// Weights and biases in the order of [`load`](Self::load).
    fn parameters(&mut self) -> Vec<Dual<T, P>>;
    /// Their velocity in the same order.
    fn velocity(&mut self) -> Vec<Dual<T, P>>;
    /// The digest of the values: parameters, then velocity.
    ///
    /// # Errors
    /// When one of them is not a number.
    fn digest_values(&mut self) -> Result<Digest, NotANumber>;
    /// The digest of the tangents: for each direction those of the parameters, then those of the velocity.
    ///
    /// # Errors
    /// When one of them is not a number.
    fn digest_tangents(&mut self) -> Result<Digest, NotANumber>;
}

/// A backend of the host, made where the processor has its instructions.
pub trait HostBackend: Backend {
    /// The backend, if this processor has its instructions.
    fn detect() -> Option<Self>;
}

impl<V: Vector> HostBackend for Portable<V> {
    fn detect() -> Option<Self> {
        Some(Self::new())
    }
}

/// A network in heap storage, on one backend.
struct OnHeap<G: Backend, const P: usize> {
    backend: G,
    storage: HeapNetwork<G::Vector, P>,
}

impl<G: HostBackend, const P: usize> OnHeap<G, P>
where
    Libm: Elementary<Scalar<G>>,
{
    fn new(sizes: &[usize], batch: usize) -> Result<Box<Self>, InvalidNetwork> {
        let backend = G::detect().expect("models are asked of an instruction set that is there");
        Ok(Box::new(Self { backend, storage: HeapNetwork::new(sizes, batch)? }))
    }

    fn network(&mut self) -> Network<'_, G, P> {
        self.storage.network(self.backend)
    }
}

impl<G: HostBackend, const P: usize> Evaluate<Scalar<G>, P> for OnHeap<G, P>
where
    Libm: Elementary<Scalar<G>>,
{
    fn evaluate(&mut self, batch: &Batch<'_, Scalar<G>>) -> Evaluation<Scalar<G>, P> {
        self.network().evaluate(batch)
    }
}

impl<G: HostBackend, M: Coefficient<G::Vector, P>, const P: usize> Model<Scalar<G>, P, M>
    for OnHeap<G, P>
where
    Libm: Elementary<Scalar<G>>,
{
    fn step(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        learning_rate: Dual<Scalar<G>, P>,
        momentum: M,
    ) -> Result<Dual<Scalar<G>, P>, NonFinite> {
        self.network().step(batch, learning_rate, momentum)
    }
}

impl<G: HostBackend, M: Coefficient<G::Vector, P>, const P: usize> StoredModel<Scalar<G>, P, M>
    for OnHeap<G, P>
where
    Libm: Elementary<Scalar<G>>,
{
    fn load(&mut self, parameters: &[Dual<Scalar<G>, P>], velocity: &[Dual<Scalar<G>, P>]) {
        self.network().load(parameters.iter().copied(), velocity.iter().copied());
    }

    fn parameters(&mut self) -> Vec<Dual<Scalar<G>, P>> {
        self.network().parameters().collect()
    }

    fn velocity(&mut self) -> Vec<Dual<Scalar<G>, P>> {
        self.network().velocity().collect()
    }

    fn digest_values(&mut self) -> Result<Digest, NotANumber> {
        self.network().digest_values()
    }

    fn digest_tangents(&mut self) -> Result<Digest, NotANumber> {
        self.network().digest_tangents()
    }
}

/// A function that makes a model with layers of these sizes, for batches of at most so many examples.
pub type MakeModel<T, const P: usize, M = T> =
    fn(&[usize], usize) -> Result<Box<dyn StoredModel<T, P, M>>, InvalidNetwork>;

/// Makes models of one float on one instruction set, which the processor must have.
#[derive(Clone, Copy, Debug)]
pub struct Models<T: Real> {
    /// The instruction set.
    pub isa: Isa,
    /// Without tangents.
    pub plain: MakeModel<T, 0>,
    /// With the tangents of α₀, K and β.
    pub schedule: MakeModel<T, 3>,
    /// With three tangents, in the learning rate and in the momentum.
    pub momentum: MakeModel<T, 3, Dual<T, 3>>,
}

impl<T: Real> Models<T> {
    /// The models of backend `G`.
    pub const fn on<G: HostBackend<Vector: Vector<Scalar = T>> + 'static>(isa: Isa) -> Self
    where
        Libm: Elementary<T>,
    {
        Self {
            isa,
            plain: |sizes, batch| Ok(OnHeap::<G, 0>::new(sizes, batch)?),
            schedule: |sizes, batch| Ok(OnHeap::<G, 3>::new(sizes, batch)?),
            momentum: |sizes, batch| Ok(OnHeap::<G, 3>::new(sizes, batch)?),
        }
    }
}
