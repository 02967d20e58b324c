//! Labelled examples in memory, zeros left out.

use std::ops::Range;

use myopia_core::digest::Digest;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::glyphs::Glyphs;
use myopia_core::mlp::{Batch, Dataset, Pair, paired};
use myopia_core::real::Real;
use myopia_core::sum::sum;

/// Examples in the order of a file: number i has its non-zero inputs, in pairs, and its label.
pub struct ExampleSet<T> {
    ends: Vec<usize>,
    inputs: Vec<Pair<T>>,
    labels: Vec<u16>,
}

impl<T: Real> ExampleSet<T> {
    /// A set from each example's label and non-zero inputs in ascending order.
    pub fn collect<I: IntoIterator<Item = (u16, T)>>(
        examples: impl IntoIterator<Item = (u16, I)>,
    ) -> Self {
        Self::with_room(0, examples)
    }

    /// The same with room for so many pairs from the start.
    pub fn with_room<I: IntoIterator<Item = (u16, T)>>(
        pairs: usize,
        examples: impl IntoIterator<Item = (u16, I)>,
    ) -> Self {
        let inputs = Vec::with_capacity(pairs);
        let mut set = Self { ends: Vec::new(), inputs, labels: Vec::new() };
        for (label, inputs) in examples {
            paired(inputs.into_iter(), usize::from(u16::MAX), |pair| set.inputs.push(pair));
            set.ends.push(set.inputs.len());
            set.labels.push(label);
        }
        set
    }

    /// The synthetic digits numbered `numbers`.
    pub fn glyphs(glyphs: Glyphs, numbers: Range<u32>) -> Self {
        Self::collect(numbers.map(|number| {
            let (pixels, label) = glyphs.draw(number);
            (label, (0..).zip(pixels.into_iter().map(T::from_f32)))
        }))
    }

    /// Keeps the first `first` examples and the last `last`, which are no more than there are.
    pub fn keep_ends(&mut self, first: usize, last: usize) {
        let left_out = first..self.len() - last;
        let end = |count: usize| if count == 0 { 0 } else { self.ends[count - 1] };
        let inputs = end(left_out.start)..end(left_out.end);
        self.ends[left_out.end..].iter_mut().for_each(|end| *end -= inputs.len());
        self.inputs.drain(inputs);
        self.ends.drain(left_out.clone());
        self.labels.drain(left_out);
    }

    /// All inputs of example number `index`, zeros among them, the first `inputs` places.
    fn dense(&self, index: usize, inputs: usize) -> Vec<T> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        let mut row = vec![T::ZERO; inputs.next_multiple_of(2)];
        for pair in &self.inputs[start..self.ends[index]] {
            let place = 2 * usize::from(pair.position);
            row[place..place + 2].copy_from_slice(&pair.factor);
        }
        row.truncate(inputs);
        row
    }

    /// Mean and standard deviation of all of its inputs, of which each example has so many.
    pub fn moments(&self, inputs: usize) -> [f64; 2] {
        let count = (self.len() * inputs) as f64;
        let all = || self.inputs.iter().flat_map(|pair| pair.factor).map(Real::to_f64);
        let mean = sum(all()) / count;
        // Zeros that are left out are inputs as well.
        let square = sum(all().map(|x| x * x)) / count;
        [mean, <Libm as Elementary<f64>>::sqrt(square - mean * mean)]
    }

    /// The same examples with x ← (x − mean)/deviation, zeros among them.
    pub fn standardised(&self, inputs: usize, [mean, deviation]: [f64; 2]) -> Self {
        let [mean, deviation] = [mean, deviation].map(T::from_f64);
        let room = self.len() * inputs.div_ceil(2);
        let example = |index: usize| {
            let row = self.dense(index, inputs).into_iter();
            (self.labels[index], (0..).zip(row.map(move |x| (x - mean) / deviation)))
        };
        Self::with_room(room, (0..self.len()).map(example))
    }

    /// How many examples there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Takes every example into `digest`: its label, and the place and value of each non-zero
    /// input.
    pub fn add_to(&self, digest: &mut Digest) {
        let mut start = 0;
        for (&end, label) in self.ends.iter().zip(&self.labels) {
            label.to_le_bytes().into_iter().for_each(|byte| digest.byte(byte));
            for pair in &self.inputs[start..end] {
                for (place, value) in (2 * pair.position..).zip(pair.factor) {
                    if value != T::ZERO {
                        place.to_le_bytes().into_iter().for_each(|byte| digest.byte(byte));
                        digest.add(value).expect("pixels are numbers");
                    }
                }
            }
            start = end;
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

impl<T: Real> Dataset<T> for ExampleSet<T> {
    #[inline]
    fn append(&self, index: u32, batch: &mut Batch<'_, T>) {
        let index = index as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        batch.push_pairs(self.labels[index], &self.inputs[start..self.ends[index]]);
    }
}

#[cfg(test)]
mod tests {
    use myopia_core::digest::Digest;

    use super::*;

    #[test]
    fn standardised_inputs_have_mean_zero_and_deviation_one() {
        let set = ExampleSet::<f64>::glyphs(Glyphs { seed: 1 }, 0..40);
        let [mean, deviation] = set.moments(64);
        let of = set.standardised(64, [mean, deviation]);
        let [zero, one] = of.moments(64);
        assert!(zero.abs() < 1e-12 && (one - 1.0).abs() < 1e-12, "{zero} {one}");
        let (before, after) = (set.dense(7, 64), of.dense(7, 64));
        let expected: Vec<f64> = before.iter().map(|x| (x - mean) / deviation).collect();
        assert!(after == expected && before.contains(&0.0) && of.labels == set.labels);
    }

    #[test]
    fn what_is_kept_is_the_same_as_never_having_had_more() {
        let glyphs = |numbers: &[u32]| {
            ExampleSet::<f32>::collect(numbers.iter().map(|number| {
                let (pixels, label) = Glyphs { seed: 1 }.draw(*number);
                (label, (0..).zip(pixels))
            }))
        };
        for (first, last, kept) in [
            (2, 3, &[0, 1, 4, 5, 6][..]),
            (0, 1, &[6]),
            (3, 0, &[0, 1, 2]),
            (4, 3, &[0, 1, 2, 3, 4, 5, 6]),
        ] {
            let mut all = glyphs(&[0, 1, 2, 3, 4, 5, 6]);
            all.keep_ends(first, last);
            let digest = |set: &ExampleSet<f32>| {
                let mut digest = Digest::default();
                set.add_to(&mut digest);
                digest.to_string()
            };
            let expected = glyphs(kept);
            assert_eq!((all.len(), digest(&all)), (kept.len(), digest(&expected)));
            assert_eq!(all.ends, expected.ends);
        }
    }
}
