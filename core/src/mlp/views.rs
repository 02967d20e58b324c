//! The parts of a network's buffers that belong to one layer.

use core::mem::take;

use super::mask::{Mask, words};
use super::matrix::Matrix;
use super::network::Buffers;
use super::shape::Layer;
use super::sparse::Lists;
use super::terms::{Active, Units};
use crate::dual::Dual;
use crate::vector::Vector;

/// One layer's part of the buffers.
pub struct View<'a, V: Vector, const P: usize> {
    pub layer: Layer,
    pub blocks: usize,
    pub batch: usize,
    pub parameters: &'a mut [Dual<V, P>],
    pub velocity: &'a mut [Dual<V, P>],
    pub activations: &'a mut [Dual<V, P>],
    /// The transposed weights; none of the lowest layer's.
    pub transposed: &'a mut [Dual<V, P>],
    /// The active units of each example; of the output layer every class.
    pub by_example: Mask<'a>,
    /// For each hidden unit the examples in which it is active.
    pub by_unit: Lists<'a, Dual<V::Scalar, P>>,
}

impl<V: Vector, const P: usize> View<'_, V, P> {
    /// What was computed for each example and unit.
    pub fn values(&self) -> Matrix<'_, V, P> {
        Matrix { elements: &*self.activations, rows: self.batch }
    }

    /// The active units of each example and their activations.
    pub fn active(&self) -> Active<'_, V, P> {
        Active { mask: &self.by_example, values: self.values() }
    }

    /// All units of each example and their activations.
    pub fn units(&self) -> Units<'_, V, P> {
        Units { units: self.layer.outputs, values: self.values() }
    }
}

/// The layers of a network, to be taken from either end.
pub struct Views<'a, V: Vector, const P: usize> {
    pub layers: &'a [usize],
    pub batch: usize,
    pub buffers: Buffers<'a, V, P>,
    /// The first layer has no layer below; it is still among `layers`.
    pub with_first: bool,
    /// The output layer has no ReLU; it is still among `layers`.
    pub with_output: bool,
}

impl<'a, V: Vector, const P: usize> Views<'a, V, P> {
    fn part(&mut self, layer: Layer, first: bool, hidden: bool, cut: impl Cut) -> View<'a, V, P> {
        let blocks = layer.outputs.div_ceil(V::LANES);
        let parameters = (layer.inputs + 1) * blocks;
        let transposed = if first { 0 } else { layer.outputs * layer.inputs.div_ceil(V::LANES) };
        let units = if hidden { layer.outputs } else { 0 };
        let active = cut.cut(&mut self.buffers.active, self.batch * words(layer.outputs));
        let listed = cut.cut(&mut self.buffers.listed, self.batch * units);
        let lengths = cut.cut(&mut self.buffers.lengths, units);
        View {
            layer,
            blocks,
            batch: self.batch,
            parameters: cut.cut(&mut self.buffers.parameters, parameters),
            velocity: cut.cut(&mut self.buffers.velocity, parameters),
            activations: cut.cut(&mut self.buffers.activations, self.batch * blocks),
            transposed: cut.cut(&mut self.buffers.transposed, transposed),
            by_example: Mask::new(active, self.batch),
            by_unit: Lists::new(listed, lengths, self.batch),
        }
    }

    /// The lowest layer that is left.
    pub fn lowest(&mut self) -> Option<View<'a, V, P>> {
        let [inputs, rest @ ..] = self.layers else { return None };
        let [outputs, above @ ..] = rest else { return None };
        self.layers = rest;
        let hidden = !above.is_empty() || !self.with_output;
        let first = take(&mut self.with_first);
        Some(self.part(Layer { inputs: *inputs, outputs: *outputs }, first, hidden, Front))
    }

    /// The highest layer that is left.
    pub fn highest(&mut self) -> Option<View<'a, V, P>> {
        let [rest @ .., outputs] = self.layers else { return None };
        let inputs = rest.last()?;
        self.layers = rest;
        let hidden = !self.with_output;
        self.with_output = false;
        let first = self.with_first && rest.len() == 1;
        Some(self.part(Layer { inputs: *inputs, outputs: *outputs }, first, hidden, Back))
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
        let at = slice.len().saturating_sub(length);
        let (rest, taken) = take(slice).split_at_mut_checked(at).unwrap_or_default();
        *slice = rest;
        taken
    }
}

/// Takes the first `length` elements off `slice`.
pub fn front<'a, E>(slice: &mut &'a mut [E], length: usize) -> &'a mut [E] {
    let (taken, rest) = take(slice).split_at_mut_checked(length).unwrap_or_default();
    *slice = rest;
    taken
}
