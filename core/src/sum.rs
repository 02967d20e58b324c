//! Sum of floats in fixed order: eight interleaved partial sums, then a fixed tree (contract 3).

use crate::vector::Vector;

/// Eight interleaved partial sums and a fixed tree.
///
/// Term number n is added to partial sum n mod 8; each partial sum starts at +0; the total is
/// `((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))`. Eight independent chains hide the latency
/// of an addition, and the shape is the same on every target.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum<V> {
    partial: [V; 8],
    next: u8,
}

impl<V: Copy + core::ops::Add<Output = V>> Sum<V> {
    /// Adds the next term.
    #[inline(always)]
    pub fn add(&mut self, term: V) {
        let slot = &mut self.partial[(self.next % 8) as usize];
        *slot = *slot + term;
        self.next = (self.next + 1) % 8;
    }

    /// The sum of all terms so far.
    #[inline(always)]
    pub fn total(self) -> V {
        tree(self.partial)
    }
}

/// The [`Sum`] of `terms`.
pub fn sum<V: Copy + Default + core::ops::Add<Output = V>>(
    terms: impl IntoIterator<Item = V>,
) -> V {
    let mut sum = Sum::default();
    for term in terms {
        sum.add(term);
    }
    sum.total()
}

/// The tree over eight partial sums.
#[inline(always)]
pub fn tree<V: Copy + core::ops::Add<Output = V>>(s: [V; 8]) -> V {
    ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]))
}

/// The total of the eight lanes of `lanes`, each of which is one partial sum.
#[inline(always)]
pub fn reduce_lanes<V: Vector>(lanes: V) -> V::Scalar {
    const { assert!(V::LANES == 8) }
    tree(core::array::from_fn(|lane| lanes.lane(lane)))
}
