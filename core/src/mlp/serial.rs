//! The serial order of a network's numbers: layer by layer the weights, input by input, of a
//! normalised layer scale, shift, running mean and variance, then the biases.

use super::layout::Slots;
use super::shape::Shape;
use crate::dual::Dual;
use crate::vector::Vector;

/// Block and lane of each parameter, in serial order.
fn places<V: Vector, const N: bool>(shape: Shape<'_>) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut first = 0;
    shape.with_rows::<N>().flat_map(move |(layer, rows)| {
        let start = first;
        // V::LANES here, not an argument: a divisor known only at run time keeps its check for
        // zero, and that is a panic.
        first += rows * layer.outputs.div_ceil(V::LANES);
        (0..rows).flat_map(move |row| {
            let block = move |column| start + column / V::LANES * rows + row;
            (0..layer.outputs).map(move |column| (block(column), column % V::LANES))
        })
    })
}

/// The numbers that `elements` hold.
pub fn numbers<'a, V: Vector, const P: usize, const N: bool>(
    shape: Shape<'a>,
    elements: &'a [Dual<V, P>],
) -> impl Iterator<Item = Dual<V::Scalar, P>> + 'a {
    places::<V, N>(shape).filter_map(|(at, lane)| elements.get(at).map(|block| block.lane(lane)))
}

/// The numbers that `slots` hold: all slots of a parameter, then those of the next.
pub fn state<'a, V: Vector, const P: usize, const S: usize, const N: bool>(
    shape: Shape<'a>,
    slots: &'a [Slots<Dual<V, P>, S>],
) -> impl Iterator<Item = Dual<V::Scalar, P>> + 'a {
    places::<V, N>(shape).flat_map(|(at, lane)| {
        let blocks = slots.get(at).into_iter().flat_map(|slots| &slots.0);
        blocks.map(move |block| block.lane(lane))
    })
}

/// Stores `numbers` in `elements`, zeros where there are fewer.
pub fn store<V: Vector, const P: usize, const N: bool>(
    shape: Shape<'_>,
    elements: &mut [Dual<V, P>],
    mut numbers: impl Iterator<Item = Dual<V::Scalar, P>>,
) {
    elements.fill(Dual::default());
    for (at, lane) in places::<V, N>(shape) {
        if let Some(block) = elements.get_mut(at) {
            block.set_lane(lane, numbers.next().unwrap_or_default());
        }
    }
}

/// Stores `numbers` in `slots`, zeros where there are fewer.
pub fn store_state<V: Vector, const P: usize, const S: usize, const N: bool>(
    shape: Shape<'_>,
    slots: &mut [Slots<Dual<V, P>, S>],
    mut numbers: impl Iterator<Item = Dual<V::Scalar, P>>,
) {
    slots.fill(Slots::default());
    for (at, lane) in places::<V, N>(shape) {
        for block in slots.get_mut(at).into_iter().flat_map(|slots| &mut slots.0) {
            block.set_lane(lane, numbers.next().unwrap_or_default());
        }
    }
}
