//! What is prepared between two products: the lists of active units, and transposed weights.

use super::matrix::Matrix;
use super::sparse::Rows;
use crate::dual::Dual;
use crate::engine::Task;
use crate::real::Real;
use crate::vector::Vector;

/// Lists the active units of each example, and for each unit the examples in which it is active.
pub struct Activity<'a, 'r, V: Vector, const P: usize> {
    pub examples: usize,
    pub units: usize,
    pub values: Matrix<'a, V, P>,
    pub by_example: &'a mut Rows<'r, Dual<V::Scalar, P>>,
    pub by_unit: &'a mut Rows<'r, Dual<V::Scalar, P>>,
}

impl<V: Vector, const P: usize> Task for Activity<'_, '_, V, P> {
    type Output = ();

    fn name(&self) -> &'static str {
        "lists of active units"
    }

    #[inline(always)]
    fn run(self) {
        let Self { examples, units, values, by_example, by_unit } = self;
        for example in 0..examples {
            let column = values.elements.iter().skip(example).step_by(values.rows.max(1));
            let mut list = by_example.filling(example);
            for (first, block) in (0..units).step_by(V::LANES).zip(column) {
                for lane in 0..V::LANES {
                    list.offer((first + lane) as u16, block.value.lane(lane) > V::Scalar::ZERO);
                }
            }
            list.end();
            copy(example, values, by_example);
        }
        by_unit.transpose(by_example, examples);
    }
}

/// Puts the errors of each example's listed units into its list, in the place of their activations.
pub struct Errors<'a, 'r, V: Vector, const P: usize> {
    pub examples: usize,
    pub errors: Matrix<'a, V, P>,
    pub by_example: &'a mut Rows<'r, Dual<V::Scalar, P>>,
}

impl<V: Vector, const P: usize> Task for Errors<'_, '_, V, P> {
    type Output = ();

    fn name(&self) -> &'static str {
        "lists of errors"
    }

    #[inline(always)]
    fn run(self) {
        for example in 0..self.examples {
            copy(example, self.errors, self.by_example);
        }
    }
}

/// Gives the listed units of `example` their values.
#[inline(always)]
fn copy<V: Vector, const P: usize>(
    example: usize,
    values: Matrix<'_, V, P>,
    by_example: &mut Rows<'_, Dual<V::Scalar, P>>,
) {
    for entry in by_example.row_mut(example) {
        if let Some(value) = values.at(example, entry.position.into()) {
            entry.factor = value;
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
