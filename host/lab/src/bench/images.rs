//! Images that need no files.

use myopia_core::rng::Pcg32;

use super::Images;
use crate::problem::ExampleSet;

/// Images of 784 pixels with random labels: 1,000 without zeros, or 6,000 with MNIST's share of
/// them, the others in strokes as long as MNIST's are wide.
pub fn synthetic(images: Images) -> ExampleSet<f32> {
    let count = if images == Images::Sparse { 6_000 } else { 1_000 };
    let mut rng = Pcg32::new(1, 0);
    ExampleSet::collect((0..count).map(|_| {
        let label = rng.below(10) as u16;
        let mut pixels = Vec::new();
        let (mut gap, mut stroke) = (0, 0);
        for place in 0..784 {
            if images == Images::Sparse {
                if stroke == 0 && gap == 0 {
                    (gap, stroke) = (1 + rng.below(33), 1 + rng.below(7));
                }
                if gap > 0 {
                    gap -= 1;
                    continue;
                }
                stroke -= 1;
            }
            pixels.push((place, (1 + rng.below(255)) as f32 / 255.0));
        }
        (label, pixels)
    }))
}
