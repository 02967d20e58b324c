//! Initial weights (He et al. 2015): N(0, 2/inputs).

use super::shape::{Layer, NORM_ROWS, Shape};
use crate::elementary::{Elementary, Libm};
use crate::rng::Pcg32;

/// Initial weights of every layer, biases zero, in the order of
/// [`Network::load`](super::Network::load).
pub fn he_normal<'a>(shape: Shape<'a>, rng: &'a mut Pcg32) -> impl Iterator<Item = f32> + 'a {
    initial::<false>(shape, rng)
}

/// The same weights of a network whose hidden layers are normalised: scale and running variance
/// one, shift, running mean and biases zero.
pub fn he_normal_with_norm<'a>(
    shape: Shape<'a>,
    rng: &'a mut Pcg32,
) -> impl Iterator<Item = f32> + 'a {
    initial::<true>(shape, rng)
}

pub(super) fn initial<'a, const N: bool>(
    shape: Shape<'a>,
    rng: &'a mut Pcg32,
) -> impl Iterator<Item = f32> + 'a {
    let of_layer = |(layer, rows): (Layer, usize)| {
        let deviation = Libm::sqrt(2.0 / layer.inputs as f32);
        let weights = layer.inputs * layer.outputs;
        // The first and the last row between weights and biases.
        let rest = rows - (layer.inputs + 1);
        let is_one = move |n| {
            let row = |number: usize| weights + number * layer.outputs;
            rest > 0 && (n < row(1) || (row(NORM_ROWS - 1)..row(NORM_ROWS)).contains(&n))
        };
        (0..rows * layer.outputs).map(move |n| match n < weights {
            true => (deviation, 0.0),
            false => (0.0, if N && is_one(n) { 1.0 } else { 0.0 }),
        })
    };
    shape.with_rows::<N>().flat_map(of_layer).map(|(deviation, constant)| {
        if deviation > 0.0 { deviation * rng.normal::<f32>() } else { constant }
    })
}
