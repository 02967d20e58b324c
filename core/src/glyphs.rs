//! Synthetic digits: the numerals 0 to 9 drawn by strokes into 8 × 8 pixels, each example from its
//! own random stream.
//!
//! Example i of a set is a function of the set's seed and i alone, so a device draws it when it is
//! needed and no file is read. Position, size, slant, stroke width, brightness and specks of noise
//! are random.

use crate::elementary::{Elementary, Libm};
use crate::mlp::{Batch, Dataset};
use crate::real::Real;
use crate::rng::Pcg32;

/// Pixels along a side.
pub const SIDE: usize = 8;
/// Pixels of a glyph.
pub const PIXELS: usize = SIDE * SIDE;
/// Classes.
pub const CLASSES: usize = 10;

/// One numeral: the corners of a line drawn without lifting the pen, x to the right and y down, in
/// a unit square.
type Stroke = &'static [(f32, f32)];

const STROKES: [Stroke; CLASSES] = [
    &[(0.5, 0.0), (0.85, 0.2), (0.85, 0.8), (0.5, 1.0), (0.15, 0.8), (0.15, 0.2), (0.5, 0.0)],
    &[(0.3, 0.2), (0.55, 0.0), (0.55, 1.0)],
    &[(0.15, 0.2), (0.5, 0.0), (0.85, 0.25), (0.15, 1.0), (0.85, 1.0)],
    &[(0.15, 0.1), (0.5, 0.0), (0.8, 0.22), (0.45, 0.47), (0.85, 0.75), (0.5, 1.0), (0.15, 0.9)],
    &[(0.65, 1.0), (0.65, 0.0), (0.1, 0.7), (0.9, 0.7)],
    &[(0.85, 0.0), (0.2, 0.0), (0.2, 0.45), (0.6, 0.42), (0.85, 0.7), (0.55, 1.0), (0.15, 0.9)],
    &[(0.75, 0.05), (0.35, 0.3), (0.15, 0.7), (0.5, 1.0), (0.85, 0.72), (0.5, 0.48), (0.17, 0.7)],
    &[(0.15, 0.0), (0.85, 0.0), (0.4, 1.0)],
    &[
        (0.5, 0.47),
        (0.2, 0.25),
        (0.5, 0.0),
        (0.8, 0.25),
        (0.5, 0.47),
        (0.15, 0.75),
        (0.5, 1.0),
        (0.85, 0.75),
        (0.5, 0.47),
    ],
    &[(0.83, 0.3), (0.5, 0.52), (0.15, 0.28), (0.5, 0.0), (0.83, 0.3), (0.65, 0.7), (0.3, 1.0)],
];

/// A set of glyphs, as many as there are numbers to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glyphs {
    /// Two sets with different seeds share no example.
    pub seed: u64,
}

impl Glyphs {
    /// Example number `index`: its pixels row by row, in [0, 1], and its label.
    pub fn draw(self, index: u32) -> ([f32; PIXELS], u16) {
        let mut rng = Pcg32::new(self.seed, index as u64);
        let label = rng.below(CLASSES as u32);
        let mut between = |low: f32, high: f32| low + (high - low) * rng.uniform::<f32>();
        let (width, height) = (between(3.6, 5.6), between(4.8, 6.8));
        let slant = between(-0.25, 0.25);
        let (left, top) = (between(0.4, 7.6 - width), between(0.4, 7.6 - height));
        let radius = between(0.45, 0.85);
        let brightness = between(0.6, 1.0);
        let specks = between(0.0, 0.12);

        let mut pixels = [0.0; PIXELS];
        for (number, pixel) in (0u16..).zip(&mut pixels) {
            let x = f32::from(number % SIDE as u16) + 0.5;
            let y = f32::from(number / SIDE as u16) + 0.5;
            // The pixel's place in the unit square of the stroke, its slant undone.
            let v = (y - top) / height;
            let u = (x - left) / width - slant * (0.5 - v);
            let distance = distance(label, (u, v), (width, height));
            let ink = (radius + 0.5 - distance).clamped(0.0, 1.0) * brightness;
            let speck = rng.uniform::<f32>() < specks;
            let noise = rng.uniform::<f32>();
            *pixel = if speck { noise } else { ink };
        }
        (pixels, label as u16)
    }
}

/// The distance in pixels from a point to the nearest part of a numeral's stroke; `scale` is a
/// unit's length in pixels.
fn distance(label: u32, point: (f32, f32), scale: (f32, f32)) -> f32 {
    let stroke = STROKES.get(label as usize).copied().unwrap_or(&[]);
    let mut nearest = f32::INFINITY;
    for (from, to) in stroke.iter().zip(stroke.iter().skip(1)) {
        let along = ((to.0 - from.0) * scale.0, (to.1 - from.1) * scale.1);
        let offset = ((point.0 - from.0) * scale.0, (point.1 - from.1) * scale.1);
        let length = along.0 * along.0 + along.1 * along.1;
        let share = ((offset.0 * along.0 + offset.1 * along.1) / length).clamped(0.0, 1.0);
        let (dx, dy) = (offset.0 - share * along.0, offset.1 - share * along.1);
        let square = dx * dx + dy * dy;
        if square < nearest {
            nearest = square;
        }
    }
    Libm::sqrt(nearest)
}

impl<T: Real> Dataset<T> for Glyphs {
    fn append(&self, index: u32, batch: &mut Batch<'_, T>) {
        let (pixels, label) = self.draw(index);
        batch.push(label, (0..).zip(pixels.into_iter().map(T::from_f32)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn glyphs_have_ink_and_background_and_every_label() {
        let mut seen = [0u32; CLASSES];
        let (mut ink, mut background) = (0, 0);
        for index in 0..1_000 {
            let (pixels, label) = Glyphs { seed: 1 }.draw(index);
            seen[label as usize] += 1;
            assert!(pixels.iter().all(|p| (0.0..=1.0).contains(p)));
            ink += pixels.iter().filter(|&&p| p > 0.5).count();
            background += pixels.iter().filter(|&&p| p == 0.0).count();
        }
        assert!(seen.iter().all(|&n| n > 60), "{seen:?}");
        assert!((8_000..30_000).contains(&ink), "{ink}");
        assert!(background > 20_000, "{background}");
    }

    /// The bits of the first hundred glyphs: every number that trains on them starts here.
    #[test]
    fn the_first_hundred_glyphs_have_their_golden_digest() {
        let mut digest = Digest::default();
        for index in 0..100 {
            let (pixels, label) = Glyphs { seed: 1 }.draw(index);
            pixels.into_iter().for_each(|p| digest.add(p).unwrap());
            digest.byte(label as u8);
        }
        assert_eq!(std::format!("{digest}"), "d2cf4971580d7dec");
    }
}
