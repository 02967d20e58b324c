//! `StoredModel`: object-safe model that owns its heap storage; `Models` makes it per ISA.

use myopia_core::backend::{Backend, Portable, Scalar};
use myopia_core::digest::{Digest, NotANumber};
use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::kfac::KfacStep;
use myopia_core::mlp::{
    Batch, Evaluate, Evaluation, HeapNetwork, InvalidNetwork, KeepGradient, KeepLinearised, Model,
    Network, NonFinite, Update,
};
use myopia_core::optimizer::{BACK, DERIVATIVES, Sgd, Step, TunableStep};
use myopia_core::real::Real;
use myopia_core::vector::Vector;

use crate::isa::Isa;
use crate::kfac::KfacOnHeap;
use crate::reverse::{MakeReversible, Reversible};

/// A model of P tangents that owns its parameters and their state; the coefficients of a step are a
/// `U`, of SGD with constant momentum unless said otherwise.
///
/// A call at this boundary costs a few nanoseconds of a step of a hundred microseconds.
pub trait StoredModel<T: Real, const P: usize, U = Sgd<Dual<T, P>, T>>:
    Model<T, P, U> + Send
{
    /// One step on `batch` with coefficients of its own for each layer, number 0 being the lowest;
    /// with the same for all, the bits are those of [`step`](Model::step).
    ///
    /// # Errors
    /// Those of `step`.
    fn step_by_layer(
        &mut self,
        batch: &Batch<'_, T>,
        update: &dyn Fn(usize) -> U,
    ) -> Result<Dual<T, P>, NonFinite>;
    /// Puts numbers into place, layer by layer weights (input by input) and biases, each with the
    /// slots of its state, in the order of [`Network::load`]; what is missing becomes zero.
    fn load(&mut self, parameters: &[Dual<T, P>], state: &[Dual<T, P>]);
    /// Weights and biases in the order of [`load`](Self::load).
    fn parameters(&mut self) -> Vec<Dual<T, P>>;
    /// Their state in the same order, all slots of a parameter together: of SGD the velocity.
    fn state(&mut self) -> Vec<Dual<T, P>>;
    /// The digest of the values: parameters, then state.
    ///
    /// # Errors
    /// When one of them is not a number.
    fn digest_values(&mut self) -> Result<Digest, NotANumber>;
    /// The digest of the tangents: for each direction those of the parameters, then those of the
    /// state.
    ///
    /// # Errors
    /// When one of them is not a number.
    fn digest_tangents(&mut self) -> Result<Digest, NotANumber>;
    /// Divides the first tangent of parameters and state by its Euclidean norm, which it returns; a
    /// zero tangent stays.
    fn normalise_tangent(&mut self) -> f64;
    /// Carries on the share `shares[p]` of tangent p, nothing with zero, and adds `impulses[p]`
    /// times the value to that of the state.
    fn carry_tangents(&mut self, shares: [T; P], impulses: [T; P]);
    /// Moves the exponential average of the parameters, x̄ ← γx̄ + (1 − γ)w; the first call begins
    /// it with the parameters.
    fn average(&mut self, gamma: T);
    /// Exchanges parameters and average, if there is one.
    fn swap_average(&mut self);
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

/// The elementary functions of `Libm`, with the processor's square root.
///
/// IEEE 754 rounds square roots correctly: the bits are those of `libm`, in one instruction for all
/// lanes of a vector.
#[derive(Clone, Copy, Debug)]
pub enum WithRoot {}

macro_rules! with_root {
    ($t:ident) => {
        impl Elementary<$t> for WithRoot {
            const NAME: &'static str = <Libm as Elementary<$t>>::NAME;
            #[inline(always)]
            fn exp(x: $t) -> $t {
                <Libm as Elementary<$t>>::exp(x)
            }
            #[inline(always)]
            fn ln(x: $t) -> $t {
                <Libm as Elementary<$t>>::ln(x)
            }
            #[inline(always)]
            fn pow(base: $t, exponent: $t) -> $t {
                <Libm as Elementary<$t>>::pow(base, exponent)
            }
            #[inline(always)]
            #[expect(clippy::disallowed_methods, reason = "the same bits as libm's, see the type")]
            fn sqrt(x: $t) -> $t {
                x.sqrt()
            }
        }
    };
}

with_root!(f32);
with_root!(f64);

/// A network in heap storage, on one backend; its hidden layers are normalised if N.
pub(crate) struct OnHeap<G: Backend, const P: usize, const S: usize, const N: bool = false> {
    backend: G,
    storage: HeapNetwork<G::Vector, P, S, N>,
    /// x̄ in blocks, where one is kept.
    averaged: Vec<Dual<G::Vector, P>>,
}

impl<G: HostBackend, const P: usize, const S: usize, const N: bool> OnHeap<G, P, S, N>
where
    WithRoot: Elementary<Scalar<G>>,
{
    pub(crate) fn new(sizes: &[usize], batch: usize) -> Result<Box<Self>, InvalidNetwork> {
        let backend = G::detect().expect("models are asked of an instruction set that is there");
        let storage = HeapNetwork::new(sizes, batch)?;
        Ok(Box::new(Self { backend, storage, averaged: Vec::new() }))
    }

    pub(crate) fn backend(&self) -> G {
        self.backend
    }

    pub(crate) fn network(&mut self) -> Network<'_, G, P, WithRoot, S, N> {
        self.storage.network_with(self.backend)
    }
}

impl<G: HostBackend, const P: usize, const S: usize, const N: bool> Evaluate<Scalar<G>, P>
    for OnHeap<G, P, S, N>
where
    WithRoot: Elementary<Scalar<G>>,
{
    fn evaluate(&mut self, batch: &Batch<'_, Scalar<G>>) -> Evaluation<Scalar<G>, P> {
        self.network().evaluate(batch)
    }
}

impl<G, U, const P: usize, const S: usize, const N: bool> Model<Scalar<G>, P, U>
    for OnHeap<G, P, S, N>
where
    G: HostBackend,
    U: Update<G::Vector, P, S, WithRoot>,
    WithRoot: Elementary<Scalar<G>>,
{
    fn step(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        update: U,
    ) -> Result<Dual<Scalar<G>, P>, NonFinite> {
        self.network().step(batch, update)
    }
}

impl<G, U, const P: usize, const S: usize, const N: bool> StoredModel<Scalar<G>, P, U>
    for OnHeap<G, P, S, N>
where
    G: HostBackend,
    U: Update<G::Vector, P, S, WithRoot>,
    WithRoot: Elementary<Scalar<G>>,
{
    fn step_by_layer(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        update: &dyn Fn(usize) -> U,
    ) -> Result<Dual<Scalar<G>, P>, NonFinite> {
        self.network().step_by_layer(batch, update)
    }

    fn load(&mut self, parameters: &[Dual<Scalar<G>, P>], state: &[Dual<Scalar<G>, P>]) {
        self.network().load(parameters.iter().copied(), state.iter().copied());
    }

    fn parameters(&mut self) -> Vec<Dual<Scalar<G>, P>> {
        self.network().parameters().collect()
    }

    fn state(&mut self) -> Vec<Dual<Scalar<G>, P>> {
        self.network().state().collect()
    }

    fn digest_values(&mut self) -> Result<Digest, NotANumber> {
        self.network().digest_values()
    }

    fn digest_tangents(&mut self) -> Result<Digest, NotANumber> {
        self.network().digest_tangents()
    }

    fn normalise_tangent(&mut self) -> f64 {
        self.network().normalise_tangent()
    }

    fn carry_tangents(&mut self, shares: [Scalar<G>; P], impulses: [Scalar<G>; P]) {
        self.network().carry_tangents(shares, impulses);
    }

    fn average(&mut self, gamma: Scalar<G>) {
        let Self { backend, storage, averaged } = self;
        let mut network: Network<'_, G, P, WithRoot, S, N> = storage.network_with(*backend);
        match averaged.is_empty() {
            true => averaged.extend_from_slice(network.blocks()),
            false => network.average(averaged, gamma),
        }
    }

    fn swap_average(&mut self) {
        let Self { backend, storage, averaged } = self;
        let mut network: Network<'_, G, P, WithRoot, S, N> = storage.network_with(*backend);
        if !averaged.is_empty() {
            network.blocks().swap_with_slice(averaged);
        }
    }
}

/// A function that makes a model with layers of these sizes, for batches of at most so many
/// examples.
pub type MakeModel<T, const P: usize, U = Sgd<Dual<T, P>, T>> =
    fn(&[usize], usize) -> Result<Box<dyn StoredModel<T, P, U>>, InvalidNetwork>;

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
    pub momentum: MakeModel<T, 3, Sgd<Dual<T, 3>, Dual<T, 3>>>,
    /// Without tangents, for any optimiser.
    pub any: MakeModel<T, 0, Step<Dual<T, 0>>>,
    /// With three tangents, for any optimiser.
    pub any_tangents: MakeModel<T, 3, TunableStep<T, 3>>,
    /// That steps back.
    pub reverse: MakeReversible<T, Sgd<Dual<T, 0>, T>, Sgd<T, T>>,
    /// That steps back, for any optimiser.
    pub any_reverse: MakeReversible<T, Step<Dual<T, 0>>, Step<Dual<T, BACK>>>,
    /// With one tangent, for any optimiser.
    pub any_direction: MakeModel<T, 1, Step<Dual<T, 1>>>,
    /// Without tangents, for any optimiser, the hidden layers normalised over the batch.
    pub norm: MakeModel<T, 0, Step<Dual<T, 0>>>,
    /// The same with three tangents.
    pub norm_tangents: MakeModel<T, 3, TunableStep<T, 3>>,
    /// The same with one.
    pub norm_direction: MakeModel<T, 1, Step<Dual<T, 1>>>,
    /// With one tangent, whose state is the gradient and the product with the Hessian.
    pub curvature: MakeModel<T, 1, KeepGradient>,
    /// With one tangent, whose state is the gradient and the product with the Gauss-Newton matrix.
    pub gauss_newton: MakeModel<T, 1, KeepLinearised>,
    /// Without tangents, for K-FAC.
    pub kfac: MakeModel<T, 0, KfacStep<Dual<T, 0>, T>>,
    /// With three tangents, for K-FAC.
    pub kfac_tangents: MakeModel<T, 3, KfacStep<Dual<T, 3>, T>>,
    /// With one tangent, for K-FAC.
    pub kfac_direction: MakeModel<T, 1, KfacStep<Dual<T, 1>, T>>,
}

impl<T: Real> Models<T> {
    /// The models of backend `G`.
    pub const fn on<G: HostBackend<Vector: Vector<Scalar = T>> + 'static>(isa: Isa) -> Self
    where
        WithRoot: Elementary<T>,
    {
        Self {
            isa,
            plain: |sizes, batch| Ok(OnHeap::<G, 0, 1>::new(sizes, batch)?),
            schedule: |sizes, batch| Ok(OnHeap::<G, 3, 1>::new(sizes, batch)?),
            momentum: |sizes, batch| Ok(OnHeap::<G, 3, 1>::new(sizes, batch)?),
            any: |sizes, batch| Ok(OnHeap::<G, 0, 2>::new(sizes, batch)?),
            any_tangents: |sizes, batch| Ok(OnHeap::<G, 3, 2>::new(sizes, batch)?),
            reverse: |sizes, batch| Ok(Reversible::<G, 1, 2>::new(sizes, batch)?),
            any_reverse: |sizes, batch| Ok(Reversible::<G, 2, DERIVATIVES>::new(sizes, batch)?),
            any_direction: |sizes, batch| Ok(OnHeap::<G, 1, 2>::new(sizes, batch)?),
            norm: |sizes, batch| Ok(OnHeap::<G, 0, 2, true>::new(sizes, batch)?),
            norm_tangents: |sizes, batch| Ok(OnHeap::<G, 3, 2, true>::new(sizes, batch)?),
            norm_direction: |sizes, batch| Ok(OnHeap::<G, 1, 2, true>::new(sizes, batch)?),
            curvature: |sizes, batch| Ok(OnHeap::<G, 1, 1>::new(sizes, batch)?),
            gauss_newton: |sizes, batch| Ok(OnHeap::<G, 1, 1>::new(sizes, batch)?),
            kfac: |sizes, batch| Ok(KfacOnHeap::<G, 0>::new(sizes, batch)?),
            kfac_tangents: |sizes, batch| Ok(KfacOnHeap::<G, 3>::new(sizes, batch)?),
            kfac_direction: |sizes, batch| Ok(KfacOnHeap::<G, 1>::new(sizes, batch)?),
        }
    }
}
