//! What is prepared between two products: which units are active, and transposed weights.

use super::mask::{BITS, Mask, Tile, ones};
use super::matrix::{Matrix, single};
use super::sparse::{Entry, Lists};
use crate::backend::{Backend, Kernel};
use crate::dual::Dual;
use crate::vector::Vector;

/// Marks the active units of each example, and lists for each unit the examples in which it is active: factors of the gradient.
pub struct Activity<'a, V: Vector, const P: usize> {
    pub examples: usize,
    pub values: Matrix<'a, V, P>,
    pub by_example: Mask<'a>,
    pub by_unit: Option<Lists<'a, Dual<V::Scalar, P>>>,
}

impl<V: Vector, const P: usize> Activity<'_, V, P> {
    /// Does it on `backend`, over at most `threads` threads.
    pub fn on<E: Backend<Vector = V>>(self, backend: E, threads: usize) {
        let words = self.by_example.width();
        if threads < 2 || words < 2 {
            return backend.run(self);
        }
        let (here, there) = (threads.div_ceil(2), threads / 2);
        let before = words.div_ceil(2);
        let (values, of_others) = self.values.split(before * BITS / V::LANES);
        let (by_example, others) = self.by_example.split(before);
        let (by_unit, other_lists) = self.by_unit.map(|lists| lists.split(before * BITS)).unzip();
        let first = Activity { values, by_example, by_unit, ..self };
        let second =
            Activity { values: of_others, by_example: others, by_unit: other_lists, ..first };
        backend.join(|| first.on(backend, here), || second.on(backend, there));
    }
}

impl<V: Vector, const P: usize> Kernel for Activity<'_, V, P> {
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
                let mut tile = Tile::default();
                for block in 0..some {
                    let column = column(block);
                    for (example, active) in tile.rows.iter_mut().enumerate() {
                        let Some(z) = column.get(single::<V>(example)) else { break };
                        *active |= z.value.positive_mask() << (block * V::LANES);
                    }
                }
                by_example.put(start, word, &tile);
                let Some(by_unit) = &mut by_unit else { continue };
                tile.transpose();
                for (block, units) in tile.rows.chunks(V::LANES).enumerate().take(some) {
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

/// Puts zeros in the place of what ReLU switches off.
pub struct Rectified<'a, V, const P: usize> {
    /// Pre-activations.
    pub values: &'a mut [Dual<V, P>],
}

impl<V: Vector, const P: usize> Kernel for Rectified<'_, V, P> {
    type Output = ();

    fn label(&self) -> &'static str {
        "ReLU"
    }

    #[inline(always)]
    fn run(self) {
        for n in 0..self.values.len() {
            if let Some(z) = self.values.get_mut(single::<V>(n)) {
                *z = z.map(|plane| plane.select_positive(z.value));
            }
        }
    }
}

/// The transpose of the first `inputs` rows of a weight matrix of `outputs` columns.
pub struct Transpose<'a, V, const P: usize> {
    pub inputs: usize,
    pub outputs: usize,
    pub weights: Matrix<'a, V, P>,
    pub out: &'a mut [Dual<V, P>],
}

impl<V: Vector, const P: usize> Kernel for Transpose<'_, V, P> {
    type Output = ();

    fn label(&self) -> &'static str {
        "transposes"
    }

    #[inline(always)]
    fn run(self) {
        let columns = self.out.chunks_exact_mut(self.outputs.max(1));
        for (first, column) in (0..self.inputs).step_by(V::LANES).zip(columns) {
            for (output, block) in column.iter_mut().enumerate() {
                *block = Dual::default();
                for lane in 0..V::LANES.min(self.inputs - first) {
                    if let Some(weight) = self.weights.at(first + lane, output) {
                        block.set_lane(lane, weight);
                    }
                }
            }
        }
    }
}
