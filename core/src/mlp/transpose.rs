//! Transposes of weight matrices, through which errors are propagated.

use super::matrix::Matrix;
use crate::backend::Kernel;
use crate::dual::Dual;
use crate::vector::Vector;

/// Writes the transpose of the first `inputs` rows of a weight matrix of `outputs` columns to
/// `out`.
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
