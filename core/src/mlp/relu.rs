//! ReLU: zeros in place of negative pre-activations, or lists of the units that are active.

use super::csr::Entry;
use super::ell::Ell;
use super::mask::{BITS, BitTile, Mask, ones};
use super::matrix::{Matrix, opaque_index};
use crate::backend::{Backend, Kernel};
use crate::dual::Dual;
use crate::vector::Vector;

/// Finds the active units of each example (a bit mask) and, for a backward pass, the active
/// examples of each unit.
pub struct ActiveUnits<'a, V: Vector, const P: usize> {
    pub examples: usize,
    pub values: Matrix<'a, V, P>,
    pub by_example: Mask<'a>,
    pub by_unit: Option<Ell<'a, Dual<V::Scalar, P>>>,
}

impl<V: Vector, const P: usize> ActiveUnits<'_, V, P> {
    /// Runs on `backend`, divided among at most `threads` threads, a mask word of units at least.
    pub fn find<E: Backend<Vector = V>>(self, backend: E, threads: usize) {
        let words = self.by_example.width();
        if threads < 2 || words < 2 {
            return backend.run(self);
        }
        let (here, there) = (threads.div_ceil(2), threads / 2);
        let before = words.div_ceil(2);
        let (values, other_values) = self.values.split(before * BITS / V::LANES);
        let (by_example, others) = self.by_example.split(before);
        let (by_unit, others_by_unit) = self.by_unit.map(|rows| rows.split(before * BITS)).unzip();
        let first = ActiveUnits { values, by_example, by_unit, ..self };
        let second = ActiveUnits {
            values: other_values,
            by_example: others,
            by_unit: others_by_unit,
            ..first
        };
        backend.join(|| first.find(backend, here), || second.find(backend, there));
    }
}

impl<V: Vector, const P: usize> Kernel for ActiveUnits<'_, V, P> {
    type Output = ();

    fn label(&self) -> &'static str {
        "active units"
    }

    #[inline(always)]
    fn run(self) {
        const { assert!(BITS.is_multiple_of(V::LANES)) };
        let Self { examples, values, mut by_example, mut by_unit } = self;
        if let Some(by_unit) = &mut by_unit {
            by_unit.clear();
        }
        let blocks = values.elements.len() / values.rows.max(1);
        for (word, first) in (0..blocks).step_by(BITS / V::LANES).enumerate() {
            let some = blocks.min(first + BITS / V::LANES) - first;
            for start in (0..examples).step_by(BITS) {
                let column = |block: usize| {
                    let column = values.elements.get((first + block) * values.rows + start..);
                    let column = column.unwrap_or_default();
                    column.get(..BITS.min(examples - start)).unwrap_or_default()
                };
                let mut bits = BitTile::default();
                for block in 0..some {
                    let column = column(block);
                    for (example, active) in bits.rows.iter_mut().enumerate() {
                        let Some(z) = column.get(opaque_index::<V>(example)) else { break };
                        *active |= z.value.positive_mask() << (block * V::LANES);
                    }
                }
                by_example.put(start, word, &bits);
                let Some(by_unit) = &mut by_unit else { continue };
                bits.transpose();
                for (block, units) in bits.rows.chunks(V::LANES).enumerate().take(some) {
                    let column = column(block);
                    for (lane, found) in units.iter().enumerate() {
                        let entries = ones(0, *found).map_while(|example| {
                            let factor = column.get(example)?.lane(lane);
                            Some(Entry { position: (start + example) as u16, factor })
                        });
                        by_unit.extend((first + block) * V::LANES + lane, entries);
                    }
                }
            }
        }
    }
}

/// Writes +0 in place of every pre-activation that is not above zero.
pub struct Relu<'a, V, const P: usize> {
    /// Pre-activations.
    pub values: &'a mut [Dual<V, P>],
}

impl<V: Vector, const P: usize> Kernel for Relu<'_, V, P> {
    type Output = ();

    fn label(&self) -> &'static str {
        "ReLU"
    }

    #[inline(always)]
    fn run(self) {
        for n in 0..self.values.len() {
            if let Some(z) = self.values.get_mut(opaque_index::<V>(n)) {
                *z = z.map(|plane| plane.select_positive(z.value));
            }
        }
    }
}
