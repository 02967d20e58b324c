//! What is measured.

use myopia_core::schedule::InverseTime;

/// Which images a case is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// A fifth of the pixels are not zero, in strokes: MNIST, or drawn like it.
    Sparse,
    /// No pixel is zero.
    Dense,
}

/// A network, its images, and how many steps of it are timed.
#[derive(Debug)]
pub struct Case {
    /// Units of each layer.
    pub layers: &'static [usize],
    /// Its images.
    pub images: Images,
    /// Examples in a batch.
    pub batch: usize,
    /// Steps that are timed.
    pub steps: u32,
    /// The first learning rate.
    pub alpha0: f32,
    /// Digests after these steps on [`synthetic`](super::synthetic) images: of the values, and of
    /// three tangents.
    pub digests: [&'static str; 2],
}

impl Case {
    /// The schedule of its steps.
    pub fn schedule(&self) -> InverseTime<f32> {
        InverseTime { alpha0: self.alpha0, time_constant: 100.0, beta: 1.0 }
    }
}

const PAPER: &[usize] = &[784, 100, 100, 10];
const LARGE: &[usize] = &[784, 1_000, 1_000, 1_000, 1_000, 10];

/// The paper's network and one of four layers of 1,000 units, on images with MNIST's share of zeros
/// and on images without any.
pub const CASES: [Case; 4] = [
    Case {
        layers: PAPER,
        images: Images::Sparse,
        batch: 100,
        steps: 200,
        alpha0: 0.05,
        digests: ["a6092b0432093350", "d1d2ffd7d51ef865"],
    },
    Case {
        layers: PAPER,
        images: Images::Dense,
        batch: 100,
        steps: 200,
        alpha0: 0.001,
        digests: ["fb847da7e3a61b9a", "cbdda5a3d7d91bcc"],
    },
    Case {
        layers: LARGE,
        images: Images::Sparse,
        batch: 100,
        steps: 5,
        alpha0: 0.01,
        digests: ["01464dd999d97261", "2af8004d4b92a080"],
    },
    Case {
        layers: LARGE,
        images: Images::Dense,
        batch: 100,
        steps: 5,
        alpha0: 0.0001,
        digests: ["f970b0ae00dcd4ab", "46bdf8842241f517"],
    },
];
