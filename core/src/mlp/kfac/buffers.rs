//! Storage of K-FAC beside a network's, and its lengths.

use crate::dual::Dual;
use crate::mlp::layout::split_front;
use crate::mlp::shape::{Layer, Shape};
use crate::vector::Vector;

/// Length of each buffer of [`KfacBuffers`], in elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KfacLengths {
    /// Blocks of A of the first layer.
    pub first_inputs: usize,
    /// Blocks of A of the other layers.
    pub inputs: usize,
    /// Blocks of S of all layers.
    pub errors: usize,
    /// Numbers of the Cholesky factors.
    pub roots: usize,
    /// Blocks of a batch's examples.
    pub examples: usize,
    /// Blocks of a batch's activations in one layer.
    pub activations: usize,
    /// Blocks of one layer's gradient, or of a panel of a factor.
    pub gradient: usize,
    /// Blocks of its transpose.
    pub transposed: usize,
    /// Labels that are drawn.
    pub labels: usize,
}

impl KfacLengths {
    /// Lengths for layers of `shape`, batches of at most `batch` examples, vectors of `lanes`
    /// numbers.
    pub fn new(shape: Shape<'_>, batch: usize, lanes: usize) -> Self {
        let mut lengths = Self { labels: batch, ..Self::default() };
        for (number, layer) in shape.layers().enumerate() {
            let sizes = LayerSizes::new(layer, lanes);
            let activations = batch * sizes.panels;
            if number == 0 {
                lengths.first_inputs = sizes.of_inputs();
                lengths.examples = activations;
            } else {
                lengths.inputs += sizes.of_inputs();
                lengths.activations = lengths.activations.max(activations);
            }
            lengths.errors += sizes.of_errors();
            lengths.roots += sizes.roots().0 + sizes.roots().1;
            let gradient = sizes.gradient().max(sizes.rows);
            lengths.gradient = lengths.gradient.max(gradient);
            lengths.transposed = lengths.transposed.max(sizes.transposed());
        }
        lengths
    }
}

/// Sizes from which the lengths of one layer's buffers follow.
#[derive(Clone, Copy)]
pub struct LayerSizes {
    /// Inputs and the 1: the size of A.
    pub rows: usize,
    /// ⌈rows / lanes⌉.
    pub panels: usize,
    /// The size of S.
    pub outputs: usize,
    /// ⌈outputs / lanes⌉.
    pub output_panels: usize,
}

impl LayerSizes {
    pub fn new(layer: Layer, lanes: usize) -> Self {
        let (rows, outputs) = (layer.inputs + 1, layer.outputs);
        let output_panels = outputs.div_ceil(lanes);
        Self { rows, panels: rows.div_ceil(lanes), outputs, output_panels }
    }

    /// Blocks of A.
    pub fn of_inputs(self) -> usize {
        self.rows * self.panels
    }

    /// Blocks of S; its last row, which a product leaves there, is no part of it.
    pub fn of_errors(self) -> usize {
        (self.outputs + 1) * self.output_panels
    }

    /// Numbers of the Cholesky factors of A and of S.
    pub fn roots(self) -> (usize, usize) {
        (self.rows * self.rows, self.outputs * self.outputs)
    }

    /// Blocks of the gradient.
    pub fn gradient(self) -> usize {
        self.rows * self.output_panels
    }

    /// Blocks of its transpose.
    pub fn transposed(self) -> usize {
        self.outputs * self.panels
    }
}

/// Storage of K-FAC, each slice as long as [`KfacLengths`] says; what it holds at first does not
/// matter.
#[derive(Debug)]
pub struct KfacBuffers<'a, V: Vector, const P: usize> {
    /// A of the first layer, which depends on no hyperparameter.
    pub first_inputs: &'a mut [Dual<V, 0>],
    /// A of the other layers.
    pub inputs: &'a mut [Dual<V, P>],
    /// S.
    pub errors: &'a mut [Dual<V, P>],
    /// For each layer the Cholesky factors of A_λ and of S_λ.
    pub roots: &'a mut [Dual<V::Scalar, P>],
    /// The batch's examples, each with a 1.
    pub examples: &'a mut [Dual<V, 0>],
    /// The activations of a layer, each with a 1.
    pub activations: &'a mut [Dual<V, P>],
    /// The gradient of a layer.
    pub gradient: &'a mut [Dual<V, P>],
    /// Its transpose.
    pub transposed: &'a mut [Dual<V, P>],
    /// Labels that were drawn.
    pub labels: &'a mut [u16],
}

impl<V: Vector, const P: usize> KfacBuffers<'_, V, P> {
    /// True if every buffer has the length that `lengths` says.
    pub(super) fn fit(&self, lengths: &KfacLengths) -> bool {
        let found = KfacLengths {
            first_inputs: self.first_inputs.len(),
            inputs: self.inputs.len(),
            errors: self.errors.len(),
            roots: self.roots.len(),
            examples: self.examples.len(),
            activations: self.activations.len(),
            gradient: self.gradient.len(),
            transposed: self.transposed.len(),
            labels: self.labels.len(),
        };
        found == *lengths
    }
}

/// What belongs to one layer.
pub struct Factors<'a, V: Vector, const P: usize> {
    /// A.
    pub inputs: Inputs<'a, V, P>,
    /// S, in column panels of one row more than it has.
    pub errors: &'a mut [Dual<V, P>],
    /// The Cholesky factors of A_λ and S_λ.
    pub roots: [&'a mut [Dual<V::Scalar, P>]; 2],
}

/// A of one layer.
pub enum Inputs<'a, V: Vector, const P: usize> {
    /// Of the first layer.
    First(&'a mut [Dual<V, 0>]),
    /// Of another one.
    Others(&'a mut [Dual<V, P>]),
}

/// The factors of the layers, to be taken from the lowest on.
pub struct Storage<'a, V: Vector, const P: usize> {
    is_first: bool,
    first_inputs: &'a mut [Dual<V, 0>],
    inputs: &'a mut [Dual<V, P>],
    errors: &'a mut [Dual<V, P>],
    roots: &'a mut [Dual<V::Scalar, P>],
}

impl<'a, V: Vector, const P: usize> Storage<'a, V, P> {
    /// Those of the lowest layer that is left, which has these sizes.
    pub fn next(&mut self, sizes: LayerSizes) -> Factors<'a, V, P> {
        let (of_inputs, of_errors) = sizes.roots();
        let inputs = if core::mem::take(&mut self.is_first) {
            Inputs::First(core::mem::take(&mut self.first_inputs))
        } else {
            Inputs::Others(split_front(&mut self.inputs, sizes.of_inputs()))
        };
        let errors = split_front(&mut self.errors, sizes.of_errors());
        let roots = [of_inputs, of_errors].map(|length| split_front(&mut self.roots, length));
        Factors { inputs, errors, roots }
    }
}

/// The batch's part of the storage.
pub struct Room<'a, V: Vector, const P: usize> {
    pub examples: &'a mut [Dual<V, 0>],
    pub activations: &'a mut [Dual<V, P>],
    pub gradient: &'a mut [Dual<V, P>],
    pub transposed: &'a mut [Dual<V, P>],
}

impl<V: Vector, const P: usize> KfacBuffers<'_, V, P> {
    /// The factors of all layers, and the room for a batch.
    pub(super) fn parts(&mut self) -> (Storage<'_, V, P>, Room<'_, V, P>) {
        let storage = Storage {
            is_first: true,
            first_inputs: self.first_inputs,
            inputs: self.inputs,
            errors: self.errors,
            roots: self.roots,
        };
        let room = Room {
            examples: self.examples,
            activations: self.activations,
            gradient: self.gradient,
            transposed: self.transposed,
        };
        (storage, room)
    }
}
