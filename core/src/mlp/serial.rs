//! The serial order of a network's numbers: layer by layer the weights, input by input, then the
//! biases.

use super::layout::split_front;
use super::matrix::Matrix;
use super::shape::{Layer, Shape};
use crate::dual::Dual;
use crate::vector::Vector;

/// Size of each layer, and the blocks of its parameters.
fn parts<V: Vector>(shape: Shape<'_>) -> impl Iterator<Item = (Layer, usize)> + '_ {
    // V::LANES here, not an argument: a divisor known only at run time keeps its check for zero,
    // and that is a panic.
    shape.layers().map(|layer| (layer, (layer.inputs + 1) * layer.outputs.div_ceil(V::LANES)))
}

/// The numbers that `elements` hold.
pub fn numbers<'a, V: Vector, const P: usize>(
    shape: Shape<'a>,
    mut elements: &'a [Dual<V, P>],
) -> impl Iterator<Item = Dual<V::Scalar, P>> + 'a {
    parts::<V>(shape).flat_map(move |(layer, length)| {
        let (part, rest) = elements.split_at_checked(length).unwrap_or_default();
        elements = rest;
        let matrix = Matrix { elements: part, rows: layer.inputs + 1 };
        (0..matrix.rows).flat_map(move |row| {
            (0..layer.outputs).filter_map(move |column| matrix.at(row, column))
        })
    })
}

/// Stores `numbers` in `elements`, zeros where there are fewer.
pub fn store<V: Vector, const P: usize>(
    shape: Shape<'_>,
    mut elements: &mut [Dual<V, P>],
    mut numbers: impl Iterator<Item = Dual<V::Scalar, P>>,
) {
    elements.fill(Dual::default());
    for (layer, length) in parts::<V>(shape) {
        let part = split_front(&mut elements, length);
        for row in 0..layer.inputs + 1 {
            for column in 0..layer.outputs {
                let at = column / V::LANES * (layer.inputs + 1) + row;
                if let Some(block) = part.get_mut(at) {
                    block.set_lane(column, numbers.next().unwrap_or_default());
                }
            }
        }
    }
}
