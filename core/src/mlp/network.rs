//! The network over borrowed storage, and its training step.

use core::marker::PhantomData;

use super::batch::Batch;
use super::factor::Coefficient;
use super::layers::Layers;
use super::matrix::Matrix;
use super::shape::{InvalidShape, Layer, Lengths, Shape, WIDEST};
use super::softmax::{Evaluation, Softmax};
use super::sparse::Entry;
use super::target::Rates;
use super::views::{View, Views, front};
use crate::backend::{Backend, Scalar};
use crate::digest::{Digest, NotANumber};
use crate::dual::Dual;
use crate::elementary::{Elementary, Libm};
use crate::real::Real;
use crate::rng::Pcg32;
use crate::vector::Vector;

/// The storage of a network, each slice as long as [`Lengths`] says. What it holds at first does not matter.
#[derive(Debug)]
pub struct Buffers<'a, V: Vector, const P: usize> {
    /// `Lengths::parameters` blocks.
    pub parameters: &'a mut [Dual<V, P>],
    /// `Lengths::parameters` blocks.
    pub velocity: &'a mut [Dual<V, P>],
    /// `Lengths::activations` blocks.
    pub activations: &'a mut [Dual<V, P>],
    /// `Lengths::transposed` blocks.
    pub transposed: &'a mut [Dual<V, P>],
    /// `Lengths::active` words.
    pub active: &'a mut [usize],
    /// `Lengths::listed` entries.
    pub listed: &'a mut [Entry<Dual<V::Scalar, P>>],
    /// `Lengths::lengths` lengths.
    pub lengths: &'a mut [u32],
}

/// Why there can be no such network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidNetwork {
    /// Its sizes are wrong.
    Shape(InvalidShape),
    /// It would take batches of more than 65,535 examples.
    Batch,
    /// A buffer is not as long as [`Lengths`] says.
    Length,
}

impl core::fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Shape(shape) => shape.fmt(f),
            Self::Batch => f.write_str("a batch has at most 65535 examples"),
            Self::Length => f.write_str("a network's buffer is not as long as Lengths says"),
        }
    }
}

impl core::error::Error for InvalidNetwork {}

impl From<InvalidShape> for InvalidNetwork {
    fn from(shape: InvalidShape) -> Self {
        Self::Shape(shape)
    }
}

/// What left the finite range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// The loss of the batch, or a weight.
    Value,
    /// The derivative along this tangent, the first of several.
    Tangent(u8),
}

/// A step left the finite range of its float: its numbers are no longer defined by the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonFinite(pub Quantity);

impl core::fmt::Display for NonFinite {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Quantity::Value => f.write_str("the loss or a weight left the finite range"),
            Quantity::Tangent(p) => write!(f, "a derivative (tangent {p}) left the finite range"),
        }
    }
}

impl core::error::Error for NonFinite {}

/// Whether `x` is finite in its value and all its tangents; the first plane that is not.
pub fn finite<T: Real, const P: usize>(x: Dual<T, P>) -> Result<(), NonFinite> {
    if !x.value.finite() {
        return Err(NonFinite(Quantity::Value));
    }
    for (p, tangent) in (0u8..).zip(x.tangents) {
        if !tangent.finite() {
            return Err(NonFinite(Quantity::Tangent(p)));
        }
    }
    Ok(())
}

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
        let fits = buffers.parameters.len() == lengths.parameters
            && buffers.velocity.len() == lengths.parameters
            && buffers.activations.len() == lengths.activations
            && buffers.transposed.len() == lengths.transposed
            && buffers.active.len() == lengths.active
            && buffers.listed.len() == lengths.listed
            && buffers.lengths.len() == lengths.lengths;
        let elementary = PhantomData;
        if fits {
            Ok(Self { backend, elementary, shape, batch, buffers })
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

    /// Puts numbers into place: for each layer its weights, input by input, then its biases; `parameters` and then
    /// `velocity`, [`Shape::parameters`] of each. What an iterator does not provide becomes zero.
    pub fn load(
        &mut self,
        parameters: impl IntoIterator<Item = Dual<Scalar<G>, P>>,
        velocity: impl IntoIterator<Item = Dual<Scalar<G>, P>>,
    ) {
        place(self.shape, self.buffers.parameters, parameters.into_iter());
        place(self.shape, self.buffers.velocity, velocity.into_iter());
    }

    /// Weights drawn from N(0, 2/inputs) (He et al. 2015) in `f32` and then widened, biases and velocity zero.
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

    /// The digest of the tangents: for each direction those of the parameters, then those of the velocity.
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

    /// One step of SGD with momentum on `batch`; returns the batch's mean loss before the step, in nats.
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
        Views {
            layers: self.shape.sizes(),
            batch: self.batch,
            buffers: Buffers {
                parameters: self.buffers.parameters,
                velocity: self.buffers.velocity,
                activations: self.buffers.activations,
                transposed: self.buffers.transposed,
                active: self.buffers.active,
                listed: self.buffers.listed,
                lengths: self.buffers.lengths,
            },
            with_first: true,
            with_output: true,
        }
    }

    /// Pre-activations of every layer, and what the last ones say; with `errors` they are turned into errors.
    fn forward(&mut self, batch: &Batch<'_, Scalar<G>>, errors: bool) -> Evaluation<Scalar<G>, P> {
        let backend = self.backend;
        let examples = batch.len().min(self.batch);
        let threads = self.threads(examples);
        let layers = Layers { backend, threads, examples, errors };
        let mut views = self.views();
        let mut below: Option<View<'_, _, P>> = None;
        while let Some(mut view) = views.lowest() {
            match &below {
                Some(below) => layers.forward(below, &mut view),
                None => layers.first(batch, &mut view),
            }
            if view.by_unit.is_empty() {
                view.by_example.fill(view.layer.outputs);
            } else {
                layers.rectify(&mut view);
            }
            below = Some(view);
        }
        let Some(top) = below else { return Evaluation { loss: Dual::default(), correct: 0 } };
        backend.run(Softmax {
            classes: top.layer.outputs,
            logits: top.activations,
            rows: top.batch,
            labels: batch.labels().get(..examples).unwrap_or_default(),
            errors,
            elementary: PhantomData::<E>,
        })
    }

    /// Gradients from the top down, each layer updated as soon as the layer below no longer needs its old weights.
    /// Returns 0·(sum of everything updated): zero when all of it is finite.
    fn backward(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        learning_rate: Dual<Scalar<G>, P>,
        momentum: impl Coefficient<G::Vector, P>,
    ) -> Dual<Scalar<G>, P> {
        let backend = self.backend;
        let examples = batch.len().min(self.batch);
        let threads = self.threads(examples);
        let layers = Layers { backend, threads, examples, errors: true };
        let learning_rate = Dual::splat(learning_rate);
        let rates = Rates { learning_rate, momentum: momentum.factor() };
        let mut views = self.views();
        let mut poison = Dual::default();
        let mut above = views.highest();
        while let Some(view) = above {
            let mut below = views.highest();
            let found = match &mut below {
                Some(below) => layers.backward(view, below, rates),
                None => layers.last(batch, view, rates),
            };
            poison = poison + total(found);
            above = below;
        }
        poison
    }
}

/// The sum of the lanes.
fn total<V: Vector, const P: usize>(lanes: Dual<V, P>) -> Dual<V::Scalar, P> {
    (0..V::LANES).fold(Dual::default(), |sum, lane| sum + lanes.lane(lane))
}

/// He's initial weights for every layer, biases zero, in the order of [`Network::load`].
pub fn he_normal<'a>(shape: Shape<'a>, rng: &'a mut Pcg32) -> impl Iterator<Item = f32> + 'a {
    let of_layer = |layer: Layer| {
        let deviation = Libm::sqrt(2.0 / layer.inputs as f32);
        let weights = layer.inputs * layer.outputs;
        (0..layer.parameters()).map(move |n| if n < weights { deviation } else { 0.0 })
    };
    shape
        .layers()
        .flat_map(of_layer)
        .map(|deviation| if deviation > 0.0 { deviation * rng.normal::<f32>() } else { 0.0 })
}

/// Of each layer in turn: its sizes, and how many blocks its parameters take.
fn parts<V: Vector>(shape: Shape<'_>) -> impl Iterator<Item = (Layer, usize)> + '_ {
    // V::LANES here, not an argument: a divisor known only at run time keeps its check for zero, and that is a panic.
    shape.layers().map(|layer| (layer, (layer.inputs + 1) * layer.outputs.div_ceil(V::LANES)))
}

fn numbers<'a, V: Vector, const P: usize>(
    shape: Shape<'a>,
    mut elements: &'a [Dual<V, P>],
) -> impl Iterator<Item = Dual<V::Scalar, P>> + 'a {
    parts::<V>(shape).flat_map(move |(layer, length)| {
        let (part, rest) = elements.split_at_checked(length).unwrap_or_default();
        elements = rest;
        let matrix = Matrix { elements: part, rows: layer.inputs + 1 };
        (0..matrix.rows).flat_map(move |row| {
            (0..layer.outputs).filter_map(move |column| matrix.at(row, column))
        })
    })
}

fn place<V: Vector, const P: usize>(
    shape: Shape<'_>,
    mut elements: &mut [Dual<V, P>],
    mut numbers: impl Iterator<Item = Dual<V::Scalar, P>>,
) {
    elements.fill(Dual::default());
    for (layer, length) in parts::<V>(shape) {
        let part = front(&mut elements, length);
        for row in 0..layer.inputs + 1 {
            for column in 0..layer.outputs {
                let at = column / V::LANES * (layer.inputs + 1) + row;
                if let Some(block) = part.get_mut(at) {
                    block.set_lane(column, numbers.next().unwrap_or_default());
                }
            }
        }
    }
}
