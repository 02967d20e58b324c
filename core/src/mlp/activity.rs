//! What is prepared between two products: which units are active, and transposed weights.

use super::mask::{BITS, Mask, Tile, ones};
use super::matrix::Matrix;
use super::sparse::{Entry, Lists};
use crate::dual::Dual;
use crate::engine::Task;
use crate::real::Real;
use crate::vector::Vector;

/// Marks the active units of each example, and lists for each unit the examples in which it is active.
pub struct Activity<'a, 'r, V: Vector, const P: usize> {
    pub examples: usize,
    pub values: Matrix<'a, V, P>,
    pub by_example: &'a mut Mask<'r>,
    pub by_unit: &'a mut Lists<'r, Dual<V::Scalar, P>>,
}

impl<V: Vector, const P: usize> Task for Activity<'_, '_, V, P> {
    type Output = ();

    fn name(&self) -> &'static str {
        "active units"
    }

    #[inline(always)]
    fn run(self) {
        const { assert!(V::LANES <= MOST_LANES && BITS.is_multiple_of(V::LANES)) };
        let Self { examples, values, by_example, by_unit } = self;
        by_unit.clear();
        let blocks = values.elements.len() / values.rows.max(1);
        for (word, first) in (0..blocks).step_by(BITS / V::LANES).enumerate() {
            let some = blocks.min(first + BITS / V::LANES) - first;
            for start in (0..examples).step_by(BITS) {
                let mut tile = Tile::default();
                for (block, units) in (first..).zip(tile.rows.chunks_mut(V::LANES)).take(some) {
                    let column = values.elements.get(block * values.rows + start..);
                    let column = column.unwrap_or_default();
                    let column = column.get(..BITS.min(examples - start)).unwrap_or_default();
                    let mut found = [0; MOST_LANES];
                    for (example, z) in column.iter().enumerate() {
                        for (lane, found) in found.iter_mut().enumerate().take(V::LANES) {
                            let above = z.value.lane(lane) > V::Scalar::ZERO;
                            *found |= usize::from(above) << example;
                        }
                    }
                    for (lane, (unit, found)) in units.iter_mut().zip(found).enumerate() {
                        *unit = found;
                        let entries = ones(0, found).map_while(|example| {
                            let factor = column.get(example)?.lane(lane);
                            Some(Entry { position: (start + example) as u16, factor })
                        });
                        by_unit.extend(block * V::LANES + lane, entries);
                    }
                }
                tile.transpose();
                by_example.put(start, word, &tile);
            }
        }
    }
}

/// As many lanes as any vector has.
const MOST_LANES: usize = 16;

/// The transpose of the first `inputs` rows of a weight matrix of `outputs` columns.
pub struct Transpose<'a, V, const P: usize> {
    pub inputs: usize,
    pub outputs: usize,
    pub weights: Matrix<'a, V, P>,
    pub out: &'a mut [Dual<V, P>],
}

impl<V: Vector, const P: usize> Task for Transpose<'_, V, P> {
    type Output = ();

    fn name(&self) -> &'static str {
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
