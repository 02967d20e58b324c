//! A batch of examples, as the pairs of inputs that are not zero.

use super::shape::WIDEST;
use super::sparse::{Entry, Rows};
use crate::real::Real;

/// Two neighbouring inputs of an example, not both zero: inputs 2p and 2p + 1 at position p.
///
/// Where one pixel of an image is not zero, its neighbour mostly is not zero either; taking them together costs few useless
/// multiplications and halves the times that everything else is loaded and stored.
pub type Pair<T> = Entry<[T; 2]>;

/// How many pairs `inputs` numbers make; the last may lack its second.
pub const fn pairs(inputs: usize) -> usize {
    inputs.div_ceil(2)
}

/// Where examples come from. An example is a list of non-zero inputs in ascending order, and a label.
pub trait Dataset<T> {
    /// Puts example number `index` at the end of `batch`.
    fn append(&self, index: u32, batch: &mut Batch<'_, T>);
}

/// Up to `capacity` examples, filled from a [`Dataset`].
#[derive(Debug)]
pub struct Batch<'a, T> {
    inputs: usize,
    length: usize,
    labels: &'a mut [u16],
    by_example: Rows<'a, [T; 2]>,
    by_pair: Rows<'a, [T; 2]>,
}

impl<'a, T: Real> Batch<'a, T> {
    /// An empty batch for examples of `inputs` numbers, in the room that [`Lengths`](super::Lengths) asks for: `entries`
    /// twice `Lengths::inputs`, `ends` as long as `Lengths::input_ends`, `labels` as many as there are examples.
    pub fn new(
        inputs: usize,
        entries: &'a mut [Pair<T>],
        ends: &'a mut [u32],
        labels: &'a mut [u16],
    ) -> Self {
        let half = labels.len() * pairs(inputs);
        let (by_example, by_pair) = entries.split_at_mut_checked(half).unwrap_or_default();
        let (example_ends, pair_ends) = ends.split_at_mut_checked(labels.len()).unwrap_or_default();
        Self {
            inputs,
            length: 0,
            labels,
            by_example: Rows::new(by_example, example_ends),
            by_pair: Rows::new(by_pair, pair_ends),
        }
    }

    /// Fills the batch with the examples numbered `indices`, at most as many as there is room for.
    pub fn fill(&mut self, examples: &impl Dataset<T>, indices: &[u32]) {
        self.length = 0;
        for &index in indices {
            examples.append(index, self);
        }
        self.by_pair.transpose(&self.by_example, self.length);
    }

    /// Puts one example at the end: its inputs in ascending order of position, zeros left out or not, and its label.
    /// An example beyond the capacity is not taken.
    #[inline(always)]
    pub fn push(&mut self, label: u16, inputs: impl Iterator<Item = (u16, T)>) {
        let Some(slot) = self.labels.get_mut(self.length) else { return };
        *slot = label;
        let mut list = self.by_example.filling(self.length);
        paired(inputs, self.inputs, |pair| list.push(pair));
        list.end();
        self.length += 1;
    }

    /// The same for an example that lies in memory as the pairs that [`paired`] makes of its inputs.
    #[inline(always)]
    pub fn push_pairs(&mut self, label: u16, pairs: &[Pair<T>]) {
        let Some(slot) = self.labels.get_mut(self.length) else { return };
        *slot = label;
        let mut list = self.by_example.filling(self.length);
        list.extend(pairs);
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

    /// For each example the pairs of its inputs that are not zero.
    pub(super) fn by_example(&self) -> &Rows<'a, [T; 2]> {
        &self.by_example
    }

    /// For each pair of inputs the examples in which it is not zero.
    pub fn by_pair(&self) -> &Rows<'a, [T; 2]> {
        &self.by_pair
    }
}

/// Gives `take` the pairs of `inputs` (ascending positions below `count`, zeros left out or not).
#[inline(always)]
pub fn paired<T: Real>(
    inputs: impl Iterator<Item = (u16, T)>,
    count: usize,
    mut take: impl FnMut(Pair<T>),
) {
    let mut open: Option<Pair<T>> = None;
    for (position, value) in inputs {
        if value == T::ZERO || usize::from(position) >= count {
            continue;
        }
        let mut pair = match open {
            Some(pair) if pair.position == position / 2 => pair,
            _ => {
                open.into_iter().for_each(&mut take);
                Entry { position: position / 2, factor: [T::ZERO; 2] }
            }
        };
        let [first, second] = &mut pair.factor;
        *(if position.is_multiple_of(2) { first } else { second }) = value;
        open = Some(pair);
    }
    open.into_iter().for_each(take);
}
