//! Where training data comes from.

use std::path::PathBuf;

use myopia_core::digest::Digest;
use myopia_core::glyphs::{self, Glyphs};
use myopia_core::real::Real;

use super::examples::ExampleSet;
use crate::data::images::{self, Images};
use crate::data::mnist::{self, Mnist};
use crate::failure::Failure;

/// Data and the part of it that is held out of training.
pub struct Data<T> {
    /// The training file.
    pub training: ExampleSet<T>,
    /// The test file; it never tunes anything.
    pub test: ExampleSet<T>,
    /// How many examples at the end of the training file a validation objective holds out.
    pub held_out: usize,
    /// Numbers in an example.
    pub inputs: usize,
    /// Classes.
    pub classes: usize,
}

impl<T: Real> Data<T> {
    /// The digest of all examples, those to train on and then those to test on.
    pub fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        self.training.add_to(&mut digest);
        self.test.add_to(&mut digest);
        digest
    }
}

/// Where training data comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Synthetic digits: 5,000 to train on, of which validation holds out 1,000, and 1,000 to test.
    Glyphs,
    /// MNIST, from this folder, or else from where it is usually kept.
    Mnist(Option<PathBuf>),
}

/// Synthetic digits are data, not chance: their seed does not follow the run's.
const GLYPHS: Glyphs = Glyphs { seed: 1 };

impl Source {
    /// Loads the data; `remark` is told what is odd about it.
    pub fn load<T: Real>(&self, mut remark: impl FnMut(String)) -> Result<Data<T>, Failure> {
        match self {
            Self::Glyphs => Ok(Data {
                training: ExampleSet::glyphs(GLYPHS, 0..5_000),
                test: ExampleSet::glyphs(GLYPHS, 5_000..6_000),
                held_out: 1_000,
                inputs: glyphs::PIXELS,
                classes: glyphs::CLASSES,
            }),
            Self::Mnist(named) => {
                let folder = mnist::folder(named.as_deref())?;
                let mnist = Mnist::load(&folder)?;
                mnist.warnings.iter().for_each(|warning| remark(warning.to_string()));
                let (train, test) = (&mnist.train, &mnist.test);
                // A sixth, as in the lecture: 10,000 of MNIST's 60,000.
                let held_out = train.len() / 6;
                if held_out == 0 || test.is_empty() {
                    return Err(Failure::run(format!(
                        "{} holds {} training and {} test images, too few to train on; use the published files, which \
                         `myopia data fetch` installs",
                        folder.display(),
                        train.len(),
                        test.len()
                    )));
                }
                Ok(Data {
                    training: from_images(train),
                    test: from_images(test),
                    held_out,
                    inputs: images::PIXELS,
                    classes: usize::from(images::CLASSES),
                })
            }
        }
    }
}

/// Pixels as floats: p/255, by division (contract 8).
fn from_images<T: Real>(images: &Images) -> ExampleSet<T> {
    let scale = T::from_u32(255);
    ExampleSet::collect((0..images.len()).map(|i| {
        let (places, pixels) = images.nonzero(i);
        let values = pixels.iter().map(move |&pixel| T::from_u32(pixel.into()) / scale);
        (images.label(i).into(), places.iter().copied().zip(values))
    }))
}
