//! Labelled images, kept as their non-zero pixels.
//!
//! Four fifths of MNIST's pixels are zero; the trainer's first layer visits the others only.

/// Rows of an image.
pub const ROWS: usize = 28;
/// Columns of an image.
pub const COLUMNS: usize = 28;
/// Pixels of an image.
pub const PIXELS: usize = ROWS * COLUMNS;
/// Classes: the digits 0–9.
pub const CLASSES: u8 = 10;

/// Images of [`PIXELS`] pixels with their labels, in compressed sparse rows: one row per image,
/// built once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Image i owns the entries `offsets[i]..offsets[i + 1]`; one more than there are images.
    offsets: Vec<u32>,
    /// The places of the non-zero pixels, ascending within an image.
    indices: Vec<u16>,
    /// Their values, 1–255.
    values: Vec<u8>,
    labels: Vec<u8>,
}

impl Images {
    /// The images whose pixels lie one after the other in `pixels`, [`PIXELS`] each, row by row.
    ///
    /// # Panics
    /// When `pixels` does not hold exactly [`PIXELS`] bytes per label, or a label is not below
    /// [`CLASSES`].
    pub fn from_dense(pixels: &[u8], labels: Vec<u8>) -> Self {
        assert_eq!(pixels.len(), labels.len() * PIXELS, "pixels and labels");
        assert!(labels.iter().all(|&l| l < CLASSES), "a label above 9");
        let nonzero = pixels.iter().filter(|&&p| p != 0).count();
        assert!(u32::try_from(nonzero).is_ok(), "more than 2^32 pixels");

        let mut offsets = Vec::with_capacity(labels.len() + 1);
        let mut indices = Vec::with_capacity(nonzero);
        let mut values = Vec::with_capacity(nonzero);
        offsets.push(0);
        for image in pixels.chunks_exact(PIXELS) {
            for (index, &value) in image.iter().enumerate() {
                if value != 0 {
                    indices.push(index as u16);
                    values.push(value);
                }
            }
            offsets.push(values.len() as u32);
        }
        Self { offsets, indices, values, labels }
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The digit image `i` shows, 0–9.
    pub fn label(&self, i: usize) -> u8 {
        self.labels[i]
    }

    /// The non-zero pixels of image `i`: their places (0–783, ascending) and their values (1–255),
    /// of equal length.
    pub fn nonzero(&self, i: usize) -> (&[u16], &[u8]) {
        let entries = self.offsets[i] as usize..self.offsets[i + 1] as usize;
        (&self.indices[entries.clone()], &self.values[entries])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::idx::tests::pattern;

    #[test]
    fn the_sparse_rows_hold_every_pixel() {
        let mut pixels = pattern(3 * PIXELS);
        pixels[PIXELS..2 * PIXELS].fill(0); // an empty image in the middle
        let images = Images::from_dense(&pixels, vec![3, 1, 4]);
        assert_eq!(images.len(), 3);
        assert!(images.nonzero(1).0.is_empty());
        for i in 0..3 {
            let (indices, values) = images.nonzero(i);
            assert_eq!(indices.len(), values.len());
            assert!(indices.is_sorted_by(|a, b| a < b));
            assert!(values.iter().all(|&v| v != 0));
            let mut dense = [0; PIXELS];
            for (&index, &value) in indices.iter().zip(values) {
                dense[usize::from(index)] = value;
            }
            assert_eq!(dense, pixels[i * PIXELS..(i + 1) * PIXELS], "image {i}");
        }
        assert_eq!([images.label(0), images.label(1), images.label(2)], [3, 1, 4]);
    }
}
