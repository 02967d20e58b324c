//! One layer's part of a network's buffers.

use core::mem::take;

use super::ell::Ell;
use super::layout::{Buffers, End, LayerSizes, Slots};
use super::lhs::{Dense, Masked};
use super::mask::Mask;
use super::matrix::Matrix;
use super::shape::Layer;
use crate::dual::Dual;
use crate::vector::Vector;

/// Buffers of one layer.
pub struct View<'a, V: Vector, const P: usize, const S: usize> {
    pub layer: Layer,
    /// Rows of the parameters: weights, what a normalised layer has besides, biases.
    pub parameter_rows: usize,
    /// Column panels of the weights and of the activations.
    pub panels: usize,
    /// Rows of the activations: examples of the largest batch.
    pub batch: usize,
    pub parameters: &'a mut [Dual<V, P>],
    pub state: &'a mut [Slots<Dual<V, P>, S>],
    pub activations: &'a mut [Dual<V, P>],
    /// Transposed weights; empty in the first layer.
    pub transposed: &'a mut [Dual<V, P>],
    /// Active units of each example; in the last layer all classes.
    pub by_example: Mask<'a>,
    /// For each hidden unit the examples in which it is active.
    pub by_unit: Ell<'a, Dual<V::Scalar, P>>,
    /// Normalised pre-activations, and the inverse deviation of each unit; empty where there is
    /// no normalisation.
    pub normalised: &'a mut [Dual<V, P>],
    pub inverse_deviations: &'a mut [Dual<V, P>],
}

impl<V: Vector, const P: usize, const S: usize> View<'_, V, P, S> {
    /// Activations or errors, examples × outputs.
    pub fn values(&self) -> Matrix<'_, V, P> {
        Matrix { elements: &*self.activations, rows: self.batch }
    }

    /// Activations of the active units, as left operand.
    pub fn masked(&self) -> Masked<'_, V, P> {
        Masked { mask: &self.by_example, values: self.values() }
    }

    /// Activations of all units, as left operand.
    pub fn dense(&self) -> Dense<'_, V, P> {
        Dense { columns: self.layer.outputs, values: self.values() }
    }
}

/// The layers of a network, to be taken from either end; hidden ones are normalised if N.
pub struct Views<'a, V: Vector, const P: usize, const S: usize, const N: bool> {
    /// Sizes that are left; those of the neighbouring layers, already taken, are their ends.
    sizes: &'a [usize],
    batch: usize,
    buffers: Buffers<'a, V, P, S>,
    has_first: bool,
    has_last: bool,
}

impl<'a, V: Vector, const P: usize, const S: usize, const N: bool> Views<'a, V, P, S, N> {
    /// All layers of a network with these sizes, for batches of at most `batch` examples.
    pub fn new(sizes: &'a [usize], batch: usize, buffers: Buffers<'a, V, P, S>) -> Self {
        Self { sizes, batch, buffers, has_first: true, has_last: true }
    }

    /// The lowest layer that is left.
    pub fn lowest(&mut self) -> Option<View<'a, V, P, S>> {
        let [inputs, rest @ ..] = self.sizes else { return None };
        let [outputs, above @ ..] = rest else { return None };
        self.sizes = rest;
        let is_hidden = !above.is_empty() || !self.has_last;
        let is_first = take(&mut self.has_first);
        let layer = Layer { inputs: *inputs, outputs: *outputs };
        Some(self.view(layer, is_first, is_hidden, End::Front))
    }

    /// The highest layer that is left.
    pub fn highest(&mut self) -> Option<View<'a, V, P, S>> {
        let [rest @ .., outputs] = self.sizes else { return None };
        let inputs = rest.last()?;
        self.sizes = rest;
        let is_hidden = !take(&mut self.has_last);
        let is_first = self.has_first && rest.len() == 1;
        let layer = Layer { inputs: *inputs, outputs: *outputs };
        Some(self.view(layer, is_first, is_hidden, End::Back))
    }

    fn view(
        &mut self,
        layer: Layer,
        is_first: bool,
        is_hidden: bool,
        end: End,
    ) -> View<'a, V, P, S> {
        let batch = self.batch;
        let panels = layer.outputs.div_ceil(V::LANES);
        let input_panels = layer.inputs.div_ceil(V::LANES);
        let is_normalised = N && is_hidden;
        let sizes =
            LayerSizes { layer, panels, input_panels, batch, is_first, is_hidden, is_normalised };
        let part = self.buffers.split_off(&sizes, end);
        View {
            layer,
            parameter_rows: layer.rows(is_normalised),
            panels,
            batch,
            parameters: part.parameters,
            state: part.state,
            activations: part.activations,
            transposed: part.transposed,
            by_example: Mask::new(part.active_mask, batch),
            by_unit: Ell::new(part.active_entries, part.active_counts, batch),
            normalised: part.normalised,
            inverse_deviations: part.inverse_deviations,
        }
    }
}
