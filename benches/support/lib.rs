//! What the benchmarks share: the paper's network on images with MNIST's share of zeros.

pub mod nqm;
pub mod peer;

use myopia::problem::{Data, ExampleSet, Source};
use myopia_core::real::Real;
use myopia_core::rng::Pcg32;
use myopia_core::schedule::InverseTime;

/// 6,000 images of 784 pixels, each pixel non-zero with MNIST's probability of 0.19, and random labels.
pub fn mnist_like<T: Real>() -> Data<T> {
    let mut rng = Pcg32::new(1, 0);
    let mut images = |count: u32| {
        ExampleSet::collect((0..count).map(|_| {
            let label = rng.below(10) as u16;
            let mut pixels = Vec::new();
            for pixel in 0..784 {
                if rng.below(100) < 19 {
                    pixels.push((pixel, T::from_u32(1 + rng.below(255)) / T::from_u32(255)));
                }
            }
            (label, pixels)
        }))
    };
    let training = images(6_000);
    Data { training, test: images(100), held_out: 1_000, inputs: 784, classes: 10 }
}

/// MNIST where `MYOPIA_MNIST` names its folder, images with its share of zeros otherwise; and which it is.
pub fn images() -> (Data<f32>, &'static str) {
    let real = std::env::var_os("MYOPIA_MNIST")
        .and_then(|folder| Source::Mnist(Some(folder.into())).load(|_| {}).ok());
    match real {
        Some(data) => (data, "MNIST"),
        None => (mnist_like(), "random images with MNIST's share of zeros"),
    }
}

/// The paper's network.
pub const PAPER: &[usize] = &[784, 100, 100, 10];

/// The schedule of the timed steps, that of the peers' scripts.
pub fn schedule<T: Real>() -> InverseTime<T> {
    InverseTime { alpha0: T::from_f64(0.05), time_constant: T::from_f64(100.0), beta: T::ONE }
}
