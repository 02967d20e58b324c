//! Batches of sparse examples.

use super::csr::{Csr, Entry};
use super::shape::{WIDEST, pairs};
use crate::real::Real;

/// Two neighbouring inputs of an example, not both zero: inputs 2p and 2p + 1 at position p.
///
/// In images the neighbour of a pixel that is not zero mostly is not zero either: pairs cost few
/// useless multiplications and halve the loads and stores of everything else.
pub type Pair<T> = Entry<[T; 2]>;

/// Source of examples: non-zero inputs in ascending order, and a label.
pub trait Dataset<T> {
    /// Appends example number `index` to `batch`.
    fn append(&self, index: u32, batch: &mut Batch<'_, T>);
}

/// Batch of at most [`capacity`](Batch::capacity) examples, stored by example (CSR) and by pair of
/// inputs (CSC).
#[derive(Debug)]
pub struct Batch<'a, T> {
    inputs: usize,
    length: usize,
    labels: &'a mut [u16],
    by_example: Csr<'a, [T; 2]>,
    by_pair: Csr<'a, [T; 2]>,
}

impl<'a, T: Real> Batch<'a, T> {
    /// Empty batch for examples of `inputs` numbers over storage of the
    /// [`Lengths`](super::Lengths): 2 × `inputs` entries, `input_ends` ends, a label for each
    /// example.
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
            by_example: Csr::new(by_example, example_ends),
            by_pair: Csr::new(by_pair, pair_ends),
        }
    }

    /// Replaces the contents by the examples numbered `indices`; those beyond the capacity are left
    /// out.
    pub fn fill(&mut self, examples: &impl Dataset<T>, indices: &[u32]) {
        self.length = 0;
        for &index in indices {
            examples.append(index, self);
        }
        self.by_pair.transpose(&self.by_example, self.length);
    }

    /// Appends an example: label, and (position, input) in ascending order, zeros left out or not.
    /// Beyond the capacity it is left out.
    #[inline(always)]
    pub fn push(&mut self, label: u16, inputs: impl Iterator<Item = (u16, T)>) {
        let Some(slot) = self.labels.get_mut(self.length) else { return };
        *slot = label;
        let mut row = self.by_example.writer(self.length);
        paired(inputs, self.inputs, |pair| row.push(pair));
        row.end();
        self.length += 1;
    }

    /// Appends an example that is stored as the pairs that [`paired`] makes.
    #[inline(always)]
    pub fn push_pairs(&mut self, label: u16, pairs: &[Pair<T>]) {
        let Some(slot) = self.labels.get_mut(self.length) else { return };
        *slot = label;
        let mut row = self.by_example.writer(self.length);
        row.extend(pairs);
        row.end();
        self.length += 1;
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.length
    }

    /// True if it holds no example.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Most examples that it can hold.
    pub fn capacity(&self) -> usize {
        self.labels.len().min(WIDEST)
    }

    /// Inputs of an example.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Label of each example.
    pub fn labels(&self) -> &[u16] {
        self.labels.get(..self.length).unwrap_or(&[])
    }

    /// Rows of examples: the pairs of inputs that are not zero.
    pub(super) fn by_example(&self) -> &Csr<'a, [T; 2]> {
        &self.by_example
    }

    /// Rows of pairs of inputs: the examples in which the pair is not zero.
    pub fn by_pair(&self) -> &Csr<'a, [T; 2]> {
        &self.by_pair
    }
}

/// Calls `take` with each pair of `inputs`, (position, input) in ascending order below `count`,
/// zeros left out or not.
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
