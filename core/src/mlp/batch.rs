//! A batch of examples, as the non-zero inputs of each example and of each input.

use super::shape::WIDEST;
use super::sparse::{Rows, TILE, segments};
use crate::real::Real;

/// One non-zero input.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Entry<T> {
    /// Its position: an input in a row that belongs to an example, an example in a row that belongs to an input.
    pub position: u16,
    /// Its value, not zero.
    pub value: T,
}

/// Where examples come from. An example is a list of non-zero inputs in ascending order, and a label.
pub trait Examples<T> {
    /// Puts example number `index` at the end of `batch`.
    fn append(&self, index: u32, batch: &mut Batch<'_, T>);
}

/// Up to `capacity` examples, filled by [`Examples`].
#[derive(Debug)]
pub struct Batch<'a, T> {
    inputs: usize,
    length: usize,
    labels: &'a mut [u16],
    by_example: Rows<'a, Entry<T>>,
    by_input: Rows<'a, Entry<T>>,
}

impl<'a, T: Real> Batch<'a, T> {
    /// An empty batch for examples of `inputs` numbers, in the room that [`Lengths`](super::Lengths) asks for: `entries`
    /// twice `Lengths::inputs`, `ends` as long as `Lengths::input_ends`, `labels` as many as there are examples.
    pub fn new(
        inputs: usize,
        entries: &'a mut [Entry<T>],
        ends: &'a mut [u32],
        labels: &'a mut [u16],
    ) -> Self {
        let half = labels.len() * inputs;
        let (by_example, by_input) = entries.split_at_mut_checked(half).unwrap_or_default();
        let (example_ends, input_ends) =
            ends.split_at_mut_checked(labels.len() * segments(inputs)).unwrap_or_default();
        Self {
            inputs,
            length: 0,
            labels,
            by_example: Rows::new(by_example, example_ends, segments(inputs)),
            by_input: Rows::new(by_input, input_ends, 1),
        }
    }

    /// Fills the batch with the examples numbered `indices`, at most as many as there is room for.
    pub fn fill(&mut self, examples: &impl Examples<T>, indices: &[u32]) {
        self.length = 0;
        for &index in indices {
            examples.append(index, self);
        }
        self.by_input.transpose(&self.by_example, self.length, |example, entry| {
            (entry.position as usize, Entry { position: example as u16, value: entry.value })
        });
    }

    /// Puts one example at the end: its inputs in ascending order of position, zeros left out or not, and its label.
    /// An example beyond the capacity is not taken.
    #[inline(always)]
    pub fn push(&mut self, label: u16, inputs: impl Iterator<Item = (u16, T)>) {
        let Some(slot) = self.labels.get_mut(self.length) else { return };
        *slot = label;
        let mut list = self.by_example.filling(self.length);
        let mut tiles = (TILE..self.inputs).step_by(TILE);
        let mut tile_end = tiles.next();
        for (position, value) in inputs {
            while tile_end.is_some_and(|end| end <= position as usize) {
                list.end();
                tile_end = tiles.next();
            }
            let wanted = value != T::ZERO && (position as usize) < self.inputs;
            list.offer(Entry { position, value }, wanted);
        }
        for _ in tile_end.into_iter().chain(tiles) {
            list.end();
        }
        list.end();
        self.length += 1;
    }

    /// How many examples it holds.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How many examples it can hold.
    pub fn capacity(&self) -> usize {
        self.labels.len().min(WIDEST)
    }

    /// How many numbers an example has.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The labels, one for each example.
    pub fn labels(&self) -> &[u16] {
        self.labels.get(..self.length).unwrap_or(&[])
    }

    /// For each example its non-zero inputs.
    pub fn by_example(&self) -> &Rows<'a, Entry<T>> {
        &self.by_example
    }

    /// For each input the examples in which it is not zero.
    pub fn by_input(&self) -> &Rows<'a, Entry<T>> {
        &self.by_input
    }
}
