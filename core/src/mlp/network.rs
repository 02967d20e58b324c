//! The network over borrowed storage, and its training step.

use core::marker::PhantomData;

use super::batch::Batch;
use super::dispatch::Dispatch;
use super::error::{InvalidNetwork, NonFinite, finite};
use super::factor::Coefficient;
use super::init::he_normal;
use super::layout::{Buffers, Lengths};
use super::serial::{numbers, store};
use super::sgd::Rates;
use super::shape::{Shape, WIDEST};
use super::softmax::{Evaluation, Softmax};
use super::view::{View, Views};
use crate::backend::{Backend, Scalar};
use crate::digest::{Digest, NotANumber};
use crate::dual::Dual;
use crate::elementary::{Elementary, Libm};
use crate::real::Real;
use crate::rng::Pcg32;
use crate::vector::Vector;

/// A multilayer perceptron of P tangents on backend `G`, with the elementary functions of `E`.
#[derive(Debug)]
pub struct Network<'a, G: Backend, const P: usize, E = Libm> {
    backend: G,
    elementary: PhantomData<E>,
    shape: Shape<'a>,
    batch: usize,
    buffers: Buffers<'a, G::Vector, P>,
}

impl<'a, G: Backend, const P: usize, E: Elementary<Scalar<G>>> Network<'a, G, P, E> {
    /// The network over these buffers, for batches of at most `batch` examples (at most 65,535).
    pub fn new(
        backend: G,
        shape: Shape<'a>,
        batch: usize,
        buffers: Buffers<'a, G::Vector, P>,
    ) -> Result<Self, InvalidNetwork> {
        if batch > WIDEST {
            return Err(InvalidNetwork::Batch);
        }
        let lengths = Lengths::new(shape.sizes(), batch, G::Vector::LANES);
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
        buffers: Buffers<'a, G::Vector, P>,
    ) -> Self {
        Self { backend, elementary: PhantomData, shape, batch, buffers }
    }

    /// Its shape.
    pub fn shape(&self) -> Shape<'a> {
        self.shape
    }

    /// The backend it runs on.
    pub fn backend(&self) -> G {
        self.backend
    }

    /// Puts numbers into place: for each layer its weights, input by input, then its biases;
    /// `parameters` and then `velocity`, [`Shape::parameters`] of each. What an iterator does not
    /// provide becomes zero.
    pub fn load(
        &mut self,
        parameters: impl IntoIterator<Item = Dual<Scalar<G>, P>>,
        velocity: impl IntoIterator<Item = Dual<Scalar<G>, P>>,
    ) {
        store(self.shape, self.buffers.parameters, parameters.into_iter());
        store(self.shape, self.buffers.velocity, velocity.into_iter());
    }

    /// Weights drawn from N(0, 2/inputs) (He et al. 2015) in `f32` and then widened, biases and
    /// velocity zero.
    pub fn initialise(&mut self, rng: &mut Pcg32) {
        let weights = he_normal(self.shape, rng);
        self.load(weights.map(|w| Dual::constant(Scalar::<G>::from_f32(w))), []);
    }

    /// Weights and biases in the order of [`load`](Self::load).
    pub fn parameters(&self) -> impl Iterator<Item = Dual<Scalar<G>, P>> + '_ {
        numbers(self.shape, self.buffers.parameters)
    }

    /// The velocity in the order of [`load`](Self::load).
    pub fn velocity(&self) -> impl Iterator<Item = Dual<Scalar<G>, P>> + '_ {
        numbers(self.shape, self.buffers.velocity)
    }

    /// The digest of the values: parameters, then velocity.
    pub fn digest_values(&self) -> Result<Digest, NotANumber> {
        let mut digest = Digest::default();
        for x in self.parameters().chain(self.velocity()) {
            digest.add(x.value)?;
        }
        Ok(digest)
    }

    /// The digest of the tangents: for each direction those of the parameters, then those of the
    /// velocity.
    pub fn digest_tangents(&self) -> Result<Digest, NotANumber> {
        let mut digest = Digest::default();
        for direction in 0..P {
            for x in self.parameters().chain(self.velocity()) {
                for tangent in x.tangents.iter().skip(direction).take(1) {
                    digest.add(*tangent)?;
                }
            }
        }
        Ok(digest)
    }

    /// One step of SGD with momentum on `batch`; returns the batch's mean loss before the step, in
    /// nats.
    ///
    /// `momentum` is a float, or a [`Dual`] whose tangents are carried like the learning rate's.
    ///
    /// On an error the parameters may be partly updated and are of no further use.
    pub fn step(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        learning_rate: Dual<Scalar<G>, P>,
        momentum: impl Coefficient<G::Vector, P>,
    ) -> Result<Dual<Scalar<G>, P>, NonFinite> {
        let found = self.forward(batch, true);
        let loss = found.loss.divided(Scalar::<G>::from_u32(batch.len() as u32));
        finite(loss)?;
        finite(self.backward(batch, learning_rate, momentum))?;
        Ok(loss)
    }

    /// The loss of `batch`, summed over its examples, and how many it classifies correctly.
    ///
    /// With tangents in the parameters, the tangents of the loss are its hypergradient.
    pub fn evaluate(&mut self, batch: &Batch<'_, Scalar<G>>) -> Evaluation<Scalar<G>, P> {
        self.forward(batch, false)
    }

    /// Over how many threads a step on so many examples is worth spreading.
    fn threads(&self, examples: usize) -> usize {
        self.backend.threads(self.shape.parameters().saturating_mul(examples * (P + 1)))
    }

    fn views(&mut self) -> Views<'_, G::Vector, P> {
        Views::new(self.shape.sizes(), self.batch, self.buffers.reborrow())
    }

    /// Pre-activations of every layer, and what the last ones say; with `errors` they are turned
    /// into errors.
    fn forward(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        backward: bool,
    ) -> Evaluation<Scalar<G>, P> {
        let backend = self.backend;
        let examples = batch.len().min(self.batch);
        let threads = self.threads(examples);
        let dispatch = Dispatch { backend, threads, examples, backward };
        let mut views = self.views();
        let mut below: Option<View<'_, _, P>> = None;
        while let Some(mut view) = views.lowest() {
            match &below {
                Some(below) => dispatch.forward(below, &mut view),
                None => dispatch.input_forward(batch, &mut view),
            }
            if view.by_unit.is_empty() {
                view.by_example.fill(view.layer.outputs);
            } else {
                dispatch.relu(&mut view);
            }
            below = Some(view);
        }
        let Some(top) = below else { return Evaluation { loss: Dual::default(), correct: 0 } };
        backend.run(Softmax {
            classes: top.layer.outputs,
            logits: top.activations,
            rows: top.batch,
            labels: batch.labels().get(..examples).unwrap_or_default(),
            errors: backward,
            elementary: PhantomData::<E>,
        })
    }

    /// Gradients from the top down, each layer updated as soon as the layer below no longer needs
    /// its old weights. Returns 0·(sum of everything updated): zero when all of it is finite.
    fn backward(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        learning_rate: Dual<Scalar<G>, P>,
        momentum: impl Coefficient<G::Vector, P>,
    ) -> Dual<Scalar<G>, P> {
        let backend = self.backend;
        let examples = batch.len().min(self.batch);
        let threads = self.threads(examples);
        let dispatch = Dispatch { backend, threads, examples, backward: true };
        let learning_rate = Dual::splat(learning_rate);
        let rates = Rates { learning_rate, momentum: momentum.factor() };
        let mut views = self.views();
        let mut finite_probe = Dual::default();
        let mut above = views.highest();
        while let Some(view) = above {
            let mut below = views.highest();
            let found = match &mut below {
                Some(below) => dispatch.backward(view, below, rates),
                None => dispatch.input_weight_gradient(batch, view, rates),
            };
            finite_probe = finite_probe + total(found);
            above = below;
        }
        finite_probe
    }
}

/// The sum of the lanes.
fn total<V: Vector, const P: usize>(lanes: Dual<V, P>) -> Dual<V::Scalar, P> {
    (0..V::LANES).fold(Dual::default(), |sum, lane| sum + lanes.lane(lane))
}
