//! The network over borrowed storage, and its training step.

use core::mem::take;

use super::activity::{Activity, Transpose};
use super::batch::Batch;
use super::matrix::Matrix;
use super::product::Product;
use super::shape::{InvalidShape, Layer, Lengths, Shape, WIDEST};
use super::softmax::{self, Logits};
use super::sparse::{Rows, segments};
use super::target::{Backward, Descent, Forward};
use super::terms::{All, Coefficient, Inputs, Ones, Terms, UnitExamples, Units};
use crate::digest::{Digest, NotANumber};
use crate::dual::Dual;
use crate::elementary::{Elementary, Libm};
use crate::engine::{Engine, Scalar};
use crate::real::Real;
use crate::rng::Pcg32;
use crate::sum::Sum;
use crate::vector::Vector;

/// The storage of a network, each slice as long as [`Lengths`] says. What it holds at first does not matter.
#[derive(Debug)]
pub struct Buffers<'a, V, const P: usize> {
    /// `Lengths::parameters` blocks.
    pub parameters: &'a mut [Dual<V, P>],
    /// `Lengths::parameters` blocks.
    pub velocity: &'a mut [Dual<V, P>],
    /// `Lengths::activations` blocks.
    pub activations: &'a mut [Dual<V, P>],
    /// `Lengths::transposed` blocks.
    pub transposed: &'a mut [Dual<V, P>],
    /// `Lengths::active` positions.
    pub active: &'a mut [u16],
    /// `Lengths::ends` ends.
    pub ends: &'a mut [u32],
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

/// What a network says of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation<T, const P: usize> {
    /// The sum of the examples' losses, in nats.
    pub loss: Dual<T, P>,
    /// How many examples have their largest logit at their label.
    pub correct: u32,
}

/// A multilayer perceptron of P tangents on engine `G`.
#[derive(Debug)]
pub struct Network<'a, G: Engine, const P: usize> {
    engine: G,
    shape: Shape<'a>,
    batch: usize,
    buffers: Buffers<'a, G::Vector, P>,
}

/// One layer's part of the buffers.
struct View<'a, V, const P: usize> {
    layer: Layer,
    blocks: usize,
    batch: usize,
    parameters: &'a mut [Dual<V, P>],
    velocity: &'a mut [Dual<V, P>],
    activations: &'a mut [Dual<V, P>],
    by_example: Rows<'a, u16>,
    by_unit: Rows<'a, u16>,
}

impl<V: Vector, const P: usize> View<'_, V, P> {
    fn values(&self) -> Matrix<'_, V, P> {
        Matrix { elements: self.activations, rows: self.batch }
    }

    /// The weights and, in one more row, the biases.
    fn weights(&self) -> Matrix<'_, V, P> {
        Matrix { elements: self.parameters, rows: self.layer.inputs + 1 }
    }
}

/// The layers of a network, to be taken from either end.
struct Views<'a, V, const P: usize> {
    layers: &'a [usize],
    batch: usize,
    buffers: Buffers<'a, V, P>,
    /// The output layer has no ReLU; it is still among `layers`.
    with_output: bool,
}

fn front<'a, E>(slice: &mut &'a mut [E], length: usize) -> &'a mut [E] {
    let (taken, rest) = take(slice).split_at_mut_checked(length).unwrap_or_default();
    *slice = rest;
    taken
}

fn back<'a, E>(slice: &mut &'a mut [E], length: usize) -> &'a mut [E] {
    let at = slice.len().saturating_sub(length);
    let (rest, taken) = take(slice).split_at_mut_checked(at).unwrap_or_default();
    *slice = rest;
    taken
}

impl<'a, V: Vector, const P: usize> Views<'a, V, P> {
    fn part(&mut self, layer: Layer, hidden: bool, cut: impl Cut) -> View<'a, V, P> {
        let blocks = layer.outputs.div_ceil(V::LANES);
        let parameters = (layer.inputs + 1) * blocks;
        let (active, example_ends, unit_ends) = match hidden {
            true => {
                (self.batch * layer.outputs, self.batch * segments(layer.outputs), layer.outputs)
            }
            false => (0, 0, 0),
        };
        let both = cut.cut(&mut self.buffers.active, 2 * active);
        let (example, unit) = both.split_at_mut_checked(active).unwrap_or_default();
        let ends = cut.cut(&mut self.buffers.ends, example_ends + unit_ends);
        let (example_ends, unit_ends) = ends.split_at_mut_checked(example_ends).unwrap_or_default();
        View {
            layer,
            blocks,
            batch: self.batch,
            parameters: cut.cut(&mut self.buffers.parameters, parameters),
            velocity: cut.cut(&mut self.buffers.velocity, parameters),
            activations: cut.cut(&mut self.buffers.activations, self.batch * blocks),
            by_example: Rows::new(example, example_ends, segments(layer.outputs)),
            by_unit: Rows::new(unit, unit_ends, 1),
        }
    }

    /// The lowest layer that is left.
    fn lowest(&mut self) -> Option<View<'a, V, P>> {
        let [inputs, rest @ ..] = self.layers else { return None };
        let [outputs, above @ ..] = rest else { return None };
        self.layers = rest;
        let hidden = !above.is_empty() || !self.with_output;
        Some(self.part(Layer { inputs: *inputs, outputs: *outputs }, hidden, Front))
    }

    /// The highest layer that is left.
    fn highest(&mut self) -> Option<View<'a, V, P>> {
        let [rest @ .., outputs] = self.layers else { return None };
        let inputs = rest.last()?;
        self.layers = rest;
        let hidden = !self.with_output;
        self.with_output = false;
        Some(self.part(Layer { inputs: *inputs, outputs: *outputs }, hidden, Back))
    }
}

/// From which end of a buffer a layer's part is taken.
trait Cut {
    fn cut<'a, E>(&self, slice: &mut &'a mut [E], length: usize) -> &'a mut [E];
}

struct Front;
struct Back;

impl Cut for Front {
    fn cut<'a, E>(&self, slice: &mut &'a mut [E], length: usize) -> &'a mut [E] {
        front(slice, length)
    }
}

impl Cut for Back {
    fn cut<'a, E>(&self, slice: &mut &'a mut [E], length: usize) -> &'a mut [E] {
        back(slice, length)
    }
}

impl<'a, G: Engine, const P: usize> Network<'a, G, P> {
    /// The network over these buffers, for batches of at most `batch` examples (at most 65,535).
    pub fn new(
        engine: G,
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
            && buffers.ends.len() == lengths.ends;
        if fits { Ok(Self { engine, shape, batch, buffers }) } else { Err(InvalidNetwork::Length) }
    }

    /// Its shape.
    pub fn shape(&self) -> Shape<'a> {
        self.shape
    }

    /// The engine it runs on.
    pub fn engine(&self) -> G {
        self.engine
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
        let examples = Scalar::<G>::from_u32(batch.len() as u32);
        let mut losses = Sum::default();
        self.forward(batch, |mut row, label| {
            let scored = softmax::score::<G::Elementary, _, P>(&mut row, label);
            softmax::error(&mut row, label, &scored, examples);
            losses.add(scored.loss);
        });
        let loss = losses.total().divided(examples);
        finite(loss)?;
        finite(self.backward(batch, learning_rate, momentum))?;
        Ok(loss)
    }

    /// The loss of `batch`, summed over its examples, and how many it classifies correctly.
    ///
    /// With tangents in the parameters, the tangents of the loss are its hypergradient.
    pub fn evaluate(&mut self, batch: &Batch<'_, Scalar<G>>) -> Evaluation<Scalar<G>, P> {
        let mut losses = Sum::default();
        let mut correct = 0;
        self.forward(batch, |mut row, label| {
            let scored = softmax::score::<G::Elementary, _, P>(&mut row, label);
            losses.add(scored.loss);
            correct += (scored.predicted == label) as u32;
        });
        Evaluation { loss: losses.total(), correct }
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
                ends: self.buffers.ends,
            },
            with_output: true,
        }
    }

    /// Pre-activations of every layer; `output` sees the logits of each example, and its label.
    fn forward(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        mut output: impl FnMut(Logits<'_, G::Vector, P>, usize),
    ) {
        let engine = self.engine;
        let rows = batch.len().min(self.batch);
        let mut views = self.views();
        let mut below: Option<View<'_, _, P>> = None;
        while let Some(mut view) = views.lowest() {
            match &below {
                None => {
                    for segment in 0..batch.by_example().segments() {
                        let terms = Inputs { rows: batch.by_example(), segment };
                        forward_layer(engine, rows, terms, segment == 0, &mut view);
                    }
                }
                Some(below) => {
                    let terms = Units { active: &below.by_example, values: below.values() };
                    forward_layer(engine, rows, terms, true, &mut view);
                }
            }
            engine.run(Activity {
                examples: rows,
                units: view.layer.outputs,
                values: Matrix { elements: view.activations, rows: view.batch },
                by_example: &mut view.by_example,
                by_unit: &mut view.by_unit,
            });
            below = Some(view);
        }
        if let Some(top) = below {
            for (example, label) in batch.labels().iter().enumerate() {
                let logits = Logits {
                    elements: &mut *top.activations,
                    rows: top.batch,
                    example,
                    classes: top.layer.outputs,
                };
                output(logits, *label as usize);
            }
        }
    }

    /// Gradients from the top down, each layer updated as soon as the layer below no longer needs its old weights.
    /// Returns 0·(sum of everything updated): zero when all of it is finite.
    fn backward(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        learning_rate: Dual<Scalar<G>, P>,
        momentum: impl Coefficient<G::Vector, P>,
    ) -> Dual<Scalar<G>, P> {
        let engine = self.engine;
        let rows = batch.len().min(self.batch);
        let mut views = self.views();
        let mut poison = Dual::constant(Scalar::<G>::ZERO);
        let mut above = views.highest();
        let mut output = true;
        while let Some(view) = above {
            let mut below = views.highest();
            let transposed = &mut *views.buffers.transposed;
            if below.is_some() {
                engine.run(Transpose {
                    inputs: view.layer.inputs,
                    outputs: view.layer.outputs,
                    weights: view.weights(),
                    out: transposed,
                });
            }
            let descent = Step { engine, rows, learning_rate, momentum };
            let errors = Matrix { elements: &*view.activations, rows: view.batch };
            let (parameters, velocity) = (view.parameters, view.velocity);
            let (layer, blocks) = (view.layer, view.blocks);
            let found = match &below {
                None => {
                    let terms = Inputs { rows: batch.by_input(), segment: 0 };
                    descent.layer(layer, blocks, terms, errors, parameters, velocity)
                }
                Some(below) => {
                    let terms = UnitExamples { active: &below.by_unit, values: below.values() };
                    descent.layer(layer, blocks, terms, errors, parameters, velocity)
                }
            };
            poison = poison + found;
            if let Some(below) = &mut below {
                let blocks = below.blocks;
                let matrix = Matrix { elements: transposed, rows: layer.outputs };
                let target =
                    &mut Backward { rows: below.batch, activations: &mut *below.activations };
                if output {
                    let terms = All { count: layer.outputs, values: errors };
                    Product { rows, blocks, matrix, terms, target }.on(engine);
                } else {
                    let terms = Units { active: &view.by_example, values: errors };
                    Product { rows, blocks, matrix, terms, target }.on(engine);
                }
            }
            output = false;
            above = below;
        }
        poison
    }
}

fn forward_layer<G: Engine, T, const P: usize>(
    engine: G,
    rows: usize,
    terms: T,
    first: bool,
    view: &mut View<'_, G::Vector, P>,
) where
    T: Terms<G::Vector, P>,
{
    let matrix = Matrix { elements: &*view.parameters, rows: view.layer.inputs + 1 };
    let bias = first.then_some((matrix, view.layer.inputs));
    let target = &mut Forward { bias, rows: view.batch, out: &mut *view.activations };
    Product { rows, blocks: view.blocks, matrix, terms, target }.on(engine);
}

/// What the update of every layer shares.
struct Step<G: Engine, M, const P: usize> {
    engine: G,
    rows: usize,
    learning_rate: Dual<Scalar<G>, P>,
    momentum: M,
}

impl<G: Engine, M: Coefficient<G::Vector, P>, const P: usize> Step<G, M, P> {
    /// Updates one layer's weights and biases by the gradient Σ terms × errors.
    fn layer<T>(
        &self,
        layer: Layer,
        blocks: usize,
        terms: T,
        errors: Matrix<'_, G::Vector, P>,
        parameters: &mut [Dual<G::Vector, P>],
        velocity: &mut [Dual<G::Vector, P>],
    ) -> Dual<Scalar<G>, P>
    where
        T: Terms<G::Vector, P>,
    {
        let mut target = Descent {
            learning_rate: Dual::splat(self.learning_rate),
            momentum: self.momentum.factor(),
            rows: layer.inputs + 1,
            first: 0,
            parameters,
            velocity,
            poison: Dual::default(),
        };
        let (engine, matrix) = (self.engine, errors);
        let weights = Product { rows: layer.inputs, blocks, matrix, terms, target: &mut target };
        weights.on(engine);
        target.first = layer.inputs;
        let terms = Ones { count: self.rows };
        Product { rows: 1, blocks, matrix, terms, target: &mut target }.on(engine);
        let poison = target.poison;
        let mut total = Dual::constant(Scalar::<G>::ZERO);
        for lane in 0..G::Vector::LANES {
            total = total + poison.lane(lane);
        }
        total
    }
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
