//! What the benchmarks share: the paper's network on images with MNIST's share of zeros.

pub mod nqm;
pub mod peer;

use myopia::precision::Precision;
use myopia::problem::{ExampleSet, Examples, Source};
use myopia_core::real::Real;
use myopia_core::rng::Pcg32;
use myopia_core::schedule::InverseTime;

/// 6,000 images of 784 pixels, each pixel non-zero with MNIST's probability of 0.19, and random
/// labels.
fn mnist_like() -> ExampleSet<f32> {
    let mut rng = Pcg32::new(1, 0);
    ExampleSet::collect((0..6_000).map(|_| {
        let label = rng.below(10) as u16;
        let mut pixels = Vec::new();
        for pixel in 0..784 {
            if rng.below(100) < 19 {
                pixels.push((pixel, (1 + rng.below(255)) as f32 / 255.0));
            }
        }
        (label, pixels)
    }))
}

/// MNIST's training images where `MYOPIA_MNIST` names its folder, images with its share of zeros
/// otherwise; and which it is.
pub fn images() -> (ExampleSet<f32>, &'static str) {
    let real = std::env::var_os("MYOPIA_MNIST")
        .and_then(|folder| Source::Mnist(Some(folder.into())).load(Precision::F32, |_| {}).ok());
    match real.map(|data| data.examples) {
        Some(Examples::F32(sets)) => (sets.training, "MNIST"),
        _ => (mnist_like(), "random images with MNIST's share of zeros"),
    }
}

/// The paper's network.
pub const PAPER: &[usize] = &[784, 100, 100, 10];

/// The schedule of the timed steps, that of the peers' scripts.
pub fn schedule<T: Real>() -> InverseTime<T> {
    InverseTime { alpha0: T::from_f64(0.05), time_constant: T::from_f64(100.0), beta: T::ONE }
}
