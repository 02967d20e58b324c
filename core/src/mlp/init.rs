//! Initial weights (He et al. 2015): N(0, 2/inputs).

use super::shape::{Layer, Shape};
use crate::elementary::{Elementary, Libm};
use crate::rng::Pcg32;

/// Initial weights of every layer, biases zero, in the order of
/// [`Network::load`](super::Network::load).
pub fn he_normal<'a>(shape: Shape<'a>, rng: &'a mut Pcg32) -> impl Iterator<Item = f32> + 'a {
    let of_layer = |layer: Layer| {
        let deviation = Libm::sqrt(2.0 / layer.inputs as f32);
        let weights = layer.inputs * layer.outputs;
        (0..layer.parameters()).map(move |n| if n < weights { deviation } else { 0.0 })
    };
    shape
        .layers()
        .flat_map(of_layer)
        .map(|deviation| if deviation > 0.0 { deviation * rng.normal::<f32>() } else { 0.0 })
}
