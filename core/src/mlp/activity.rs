//! What is prepared between two products: the lists of active units, and transposed weights.

use super::matrix::Matrix;
use super::sparse::{Rows, TILE};
use crate::dual::Dual;
use crate::engine::Task;
use crate::real::Real;
use crate::vector::Vector;

/// Lists the active units of each example, and for each unit the examples in which it is active.
pub struct Activity<'a, 'r, V, const P: usize> {
    pub examples: usize,
    pub units: usize,
    pub values: Matrix<'a, V, P>,
    pub by_example: &'a mut Rows<'r, u16>,
    pub by_unit: &'a mut Rows<'r, u16>,
}

impl<V: Vector, const P: usize> Task for Activity<'_, '_, V, P> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { examples, units, values, by_example, by_unit } = self;
        let mut list = by_example.filling(0);
        for example in 0..examples {
            for first in (0..units).step_by(V::LANES) {
                if first % TILE == 0 && first > 0 {
                    list.end();
                }
                let block = values.elements.get(first / V::LANES * values.rows + example);
                let value = block.map_or(V::default(), |block| block.value);
                for lane in 0..V::LANES {
                    list.offer((first + lane) as u16, value.lane(lane) > V::Scalar::ZERO);
                }
            }
            list.end();
        }
        let mut list = by_unit.filling(0);
        for unit in 0..units {
            let column = values.column(unit / V::LANES);
            for (example, block) in column.iter().take(examples).enumerate() {
                list.offer(example as u16, block.value.lane(unit) > V::Scalar::ZERO);
            }
            list.end();
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

impl<V: Vector, const P: usize> Task for Transpose<'_, V, P> {
    type Output = ();

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
