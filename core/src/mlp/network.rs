//! The network over borrowed storage, and its training step.

use core::marker::PhantomData;

use super::batch::Batch;
use super::dispatch::Dispatch;
use super::error::{InvalidNetwork, NonFinite, finite};
use super::init::initial;
use super::layout::{Buffers, Lengths, Slots};
use super::serial::{numbers, state, store, store_state};
use super::shape::{Shape, WIDEST};
use super::softmax::{Evaluation, Softmax};
use super::update::{Update, UpdateRule};
use super::view::{View, Views};
use crate::backend::{Backend, Scalar};
use crate::digest::{Digest, NotANumber};
use crate::dual::Dual;
use crate::elementary::{Elementary, Libm};
use crate::real::Real;
use crate::rng::Pcg32;
use crate::vector::Vector;

/// A multilayer perceptron of P tangents and S slots of state on backend `G`, with the elementary
/// functions of `E`. If N, its hidden layers are normalised over the batch; if not, no line of that
/// is compiled.
#[derive(Debug)]
pub struct Network<
    'a,
    G: Backend,
    const P: usize,
    E = Libm,
    const S: usize = 1,
    const N: bool = false,
> {
    backend: G,
    elementary: PhantomData<E>,
    shape: Shape<'a>,
    batch: usize,
    buffers: Buffers<'a, G::Vector, P, S>,
}

impl<'a, G, E, const P: usize, const S: usize, const N: bool> Network<'a, G, P, E, S, N>
where
    G: Backend,
    E: Elementary<Scalar<G>>,
{
    /// The network over these buffers, for batches of at most `batch` examples (at most 65,535;
    /// with normalisation at least two).
    pub fn new(
        backend: G,
        shape: Shape<'a>,
        batch: usize,
        buffers: Buffers<'a, G::Vector, P, S>,
    ) -> Result<Self, InvalidNetwork> {
        batch_fits::<N>(batch)?;
        let lengths = Lengths::with_norm(shape.sizes(), batch, G::Vector::LANES, N);
        if buffers.fit(&lengths) {
            Ok(Self { backend, elementary: PhantomData, shape, batch, buffers })
        } else {
            Err(InvalidNetwork::Length)
        }
    }

    /// The network over buffers that have the lengths it needs.
    #[cfg(feature = "alloc")]
    pub(super) fn over(
        backend: G,
        shape: Shape<'a>,
        batch: usize,
        buffers: Buffers<'a, G::Vector, P, S>,
    ) -> Self {
        Self { backend, elementary: PhantomData, shape, batch, buffers }
    }

    /// Its shape.
    pub fn shape(&self) -> Shape<'a> {
        self.shape
    }

    /// Examples of the largest batch.
    pub(super) fn batch(&self) -> usize {
        self.batch
    }

    /// The backend it runs on.
    pub fn backend(&self) -> G {
        self.backend
    }

    /// Puts numbers into place: for each layer its weights, input by input, then its biases;
    /// `parameters`, [`Shape::parameters`] of them, and then `state`, for each of them its S slots.
    /// What an iterator does not provide becomes zero.
    ///
    /// Between weights and biases a normalised layer has the scale of each unit, the shift of each,
    /// their running means and their running variances: [`Shape::parameters_with_norm`] numbers.
    pub fn load(
        &mut self,
        parameters: impl IntoIterator<Item = Dual<Scalar<G>, P>>,
        state: impl IntoIterator<Item = Dual<Scalar<G>, P>>,
    ) {
        store::<_, P, N>(self.shape, self.buffers.parameters, parameters.into_iter());
        store_state::<_, P, S, N>(self.shape, self.buffers.state, state.into_iter());
    }

    /// Weights drawn from N(0, 2/inputs) (He et al. 2015) in `f32` and then widened, biases and
    /// state zero; scale and running variance one, shift and running mean zero.
    pub fn initialise(&mut self, rng: &mut Pcg32) {
        let weights = initial::<N>(self.shape, rng);
        self.load(weights.map(|w| Dual::constant(Scalar::<G>::from_f32(w))), []);
    }

    /// Weights and biases in the order of [`load`](Self::load).
    pub fn parameters(&self) -> impl Iterator<Item = Dual<Scalar<G>, P>> + '_ {
        numbers::<_, P, N>(self.shape, self.buffers.parameters)
    }

    /// The state in the order of [`load`](Self::load): of SGD the velocity.
    pub fn state(&self) -> impl Iterator<Item = Dual<Scalar<G>, P>> + '_ {
        state::<_, P, S, N>(self.shape, self.buffers.state)
    }

    /// The digest of the values: parameters, then state.
    pub fn digest_values(&self) -> Result<Digest, NotANumber> {
        let mut digest = Digest::default();
        for x in self.parameters().chain(self.state()) {
            digest.add(x.value)?;
        }
        Ok(digest)
    }

    /// The digest of the tangents: for each direction those of the parameters, then those of the
    /// state.
    pub fn digest_tangents(&self) -> Result<Digest, NotANumber> {
        let mut digest = Digest::default();
        for direction in 0..P {
            for x in self.parameters().chain(self.state()) {
                for tangent in x.tangents.iter().skip(direction).take(1) {
                    digest.add(*tangent)?;
                }
            }
        }
        Ok(digest)
    }

    /// One step of an optimiser on `batch`; returns the batch's mean loss before the step, in nats.
    ///
    /// `update` is a [`Sgd`](crate::optimizer::Sgd) for a network of one slot, a
    /// [`Step`](crate::optimizer::Step) for one of two.
    ///
    /// On an error the parameters may be partly updated and are of no further use.
    pub fn step<U: Update<G::Vector, P, S, E>>(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        update: U,
    ) -> Result<Dual<Scalar<G>, P>, NonFinite> {
        let loss = self.loss_and_errors::<U>(batch)?;
        let rule = update.in_lanes();
        finite(self.backward(batch, |_| rule))?;
        Ok(loss)
    }

    /// The same with coefficients of its own for each layer, number 0 being the lowest.
    ///
    /// On an error the parameters may be partly updated and are of no further use.
    pub fn step_by_layer<U: Update<G::Vector, P, S, E>>(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        update: impl Fn(usize) -> U,
    ) -> Result<Dual<Scalar<G>, P>, NonFinite> {
        let loss = self.loss_and_errors::<U>(batch)?;
        finite(self.backward(batch, |layer| update(layer).in_lanes()))?;
        Ok(loss)
    }

    /// The loss of `batch`, summed over its examples, and how many it classifies correctly.
    ///
    /// With tangents in the parameters, the tangents of the loss are its hypergradient. Hidden
    /// layers are normalised by their running means and variances.
    pub fn evaluate(&mut self, batch: &Batch<'_, Scalar<G>>) -> Evaluation<Scalar<G>, P> {
        self.forward(batch, batch.labels(), false)
    }

    /// Moves a mean of the parameters, x̄ ← γx̄ + (1 − γ)w, in blocks as they are stored; what the
    /// shorter of both lacks is left as it is.
    pub fn average(&mut self, mean: &mut [Dual<G::Vector, P>], gamma: Scalar<G>) {
        let (kept, new) = (G::Vector::splat(gamma), G::Vector::splat(Scalar::<G>::ONE - gamma));
        for (mean, number) in mean.iter_mut().zip(self.storage().0) {
            *mean = mean.scaled(kept) + number.scaled(new);
        }
    }

    /// The parameters in blocks as they are stored.
    pub fn blocks(&mut self) -> &mut [Dual<G::Vector, P>] {
        self.storage().0
    }

    /// Over how many threads a step on so many examples is worth spreading.
    pub(super) fn threads(&self, examples: usize) -> usize {
        self.backend.threads(self.shape.parameters().saturating_mul(examples * (P + 1)))
    }

    /// The buffers of parameters and of their state.
    pub(super) fn storage(&mut self) -> Storage<'_, G::Vector, P, S> {
        (self.buffers.parameters, self.buffers.state)
    }

    pub(super) fn views(&mut self) -> Views<'_, G::Vector, P, S, N> {
        Views::new(self.shape.sizes(), self.batch, self.buffers.reborrow())
    }

    /// The mean loss of `batch`, the errors of its last layer being in place.
    fn loss_and_errors<U: Update<G::Vector, P, S, E>>(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
    ) -> Result<Dual<Scalar<G>, P>, NonFinite> {
        const { assert!(!(N && U::LINEARISED), "statistics are not linear in the parameters") };
        let found = self.forward(batch, batch.labels(), true);
        if U::LINEARISED {
            self.linearise();
        }
        let loss = found.loss.divided(Scalar::<G>::from_u32(batch.len() as u32));
        finite(loss)?;
        Ok(loss)
    }

    /// Pre-activations of every layer, and what the last ones say about `labels`, those of `batch`
    /// or others; before a way `backward` they are turned into errors.
    pub(super) fn forward(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        labels: &[u16],
        backward: bool,
    ) -> Evaluation<Scalar<G>, P> {
        let backend = self.backend;
        let examples = batch.len().min(self.batch);
        let threads = self.threads(examples);
        let dispatch = Dispatch { backend, threads, examples, backward };
        let mut views = self.views();
        let mut below: Option<View<'_, _, P, S>> = None;
        while let Some(mut view) = views.lowest() {
            match &below {
                Some(below) => dispatch.forward(below, &mut view),
                None => dispatch.input_forward(batch, &mut view),
            }
            if view.by_unit.is_empty() {
                view.by_example.fill(view.layer.outputs);
            } else {
                if N {
                    dispatch.normalise::<E, P, S>(&mut view);
                }
                dispatch.relu(&mut view);
            }
            below = Some(view);
        }
        let Some(top) = below else { return Evaluation { loss: Dual::default(), correct: 0 } };
        backend.run(Softmax {
            classes: top.layer.outputs,
            logits: top.activations,
            rows: top.batch,
            labels: labels.get(..examples).unwrap_or_default(),
            errors: backward,
            elementary: PhantomData::<E>,
        })
    }

    /// Takes the tangents from what the way back multiplies errors by: weights and activations.
    fn linearise(&mut self) {
        for weights in self.buffers.transposed.iter_mut() {
            *weights = Dual::constant(weights.value);
        }
        for entry in self.buffers.active_entries.iter_mut() {
            entry.factor = Dual::constant(entry.factor.value);
        }
    }

    /// Gradients from the top down, each layer updated by its `rule` as soon as the layer below no
    /// longer needs its old weights. Returns 0·(sum of everything updated): zero when all of it is
    /// finite.
    pub(super) fn backward<R: UpdateRule<G::Vector, P, S>>(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        rule: impl Fn(usize) -> R,
    ) -> Dual<Scalar<G>, P> {
        let backend = self.backend;
        let examples = batch.len().min(self.batch);
        let threads = self.threads(examples);
        let dispatch = Dispatch { backend, threads, examples, backward: true };
        let mut layer = self.shape.layers().count();
        let mut views = self.views();
        let mut finite_probe = Dual::default();
        let mut above = views.highest();
        while let Some(mut view) = above {
            let mut below = views.highest();
            layer = layer.saturating_sub(1);
            let rule = rule(layer);
            if N && !view.by_unit.is_empty() {
                finite_probe = finite_probe + total(dispatch.normalise_back(&mut view, rule));
            }
            let found = match &mut below {
                Some(below) => dispatch.backward(view, below, rule),
                None => dispatch.input_weight_gradient(batch, view, rule),
            };
            finite_probe = finite_probe + total(found);
            above = below;
        }
        finite_probe
    }
}

/// Checks the largest number of examples in a batch.
pub(super) fn batch_fits<const N: bool>(batch: usize) -> Result<(), InvalidNetwork> {
    match batch {
        0..2 if N => Err(InvalidNetwork::TooFew),
        0..=WIDEST => Ok(()),
        _ => Err(InvalidNetwork::Batch),
    }
}

/// The buffers of parameters and of their state.
type Storage<'a, V, const P: usize, const S: usize> =
    (&'a mut [Dual<V, P>], &'a mut [Slots<Dual<V, P>, S>]);

/// The sum of the lanes.
pub fn total<V: Vector, const P: usize>(lanes: Dual<V, P>) -> Dual<V::Scalar, P> {
    (0..V::LANES).fold(Dual::default(), |sum, lane| sum + lanes.lane(lane))
}
