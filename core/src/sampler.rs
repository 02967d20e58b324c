//! Mini-batches: each epoch is one random order of the training examples, cut into batches.

use crate::rng::Pcg32;

/// Draws batches without replacement within an epoch.
///
/// An epoch is a shuffle of all examples; a batch never spans two epochs, and examples left over at
/// the end of an epoch that do not fill a batch are passed over.
#[derive(Clone, Debug)]
pub struct Sampler<O> {
    order: O,
    next: usize,
    rng: Pcg32,
}

impl<O: AsRef<[u32]> + AsMut<[u32]>> Sampler<O> {
    /// A sampler over the examples 0, 1, … as many as `order`, a slice or a vector, has room for.
    pub fn new(mut order: O, rng: Pcg32) -> Self {
        for (number, place) in (0..).zip(order.as_mut()) {
            *place = number;
        }
        let next = order.as_ref().len();
        Self { order, next, rng }
    }

    /// The next batch of `size` examples; all of them when there are fewer.
    pub fn next_batch(&mut self, size: usize) -> &[u32] {
        let length = self.order.as_ref().len();
        let size = size.min(length);
        if length - self.next < size {
            self.rng.shuffle(self.order.as_mut());
            self.next = 0;
        }
        let start = self.next;
        self.next += size;
        self.order.as_ref().get(start..self.next).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_shows_every_example_once_and_a_batch_never_spans_two() {
        let mut order = [0; 10];
        let mut sampler = Sampler::new(&mut order[..], Pcg32::new(4, 2));
        for _ in 0..3 {
            let mut seen = [0; 10];
            for _ in 0..3 {
                let batch = sampler.next_batch(3);
                assert_eq!(batch.len(), 3);
                batch.iter().for_each(|&i| seen[i as usize] += 1);
            }
            assert_eq!(seen.iter().filter(|&&n| n == 1).count(), 9, "{seen:?}");
        }
    }

    #[test]
    fn a_batch_larger_than_the_set_is_the_whole_set() {
        let mut order = [0; 4];
        let mut sampler = Sampler::new(&mut order[..], Pcg32::new(4, 2));
        let mut batch = [0; 4];
        batch.copy_from_slice(sampler.next_batch(9));
        batch.sort_unstable();
        assert_eq!(batch, [0, 1, 2, 3]);
    }
}
