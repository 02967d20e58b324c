//! Where training data comes from.

use std::path::{Path, PathBuf};

use myopia_core::glyphs::{self, Glyphs};
use myopia_core::real::Real;

use super::{Data, ExampleSet, Examples, Sets};
use crate::data::csv::{self, Reading};
use crate::data::images::{self, Images};
use crate::data::labelled::Own;
use crate::data::mnist::{self, Mnist};
use crate::data::{idx_folder, npz};
use crate::failure::Failure;
use crate::precision::{Precision, in_precision};

/// Where training data comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Synthetic digits: 5,000 to train on, of which validation holds out 1,000, and 1,000 to test.
    Glyphs,
    /// MNIST, from this folder, or else from where it is usually kept.
    Mnist(Option<PathBuf>),
    /// Examples that somebody brought.
    Own(OwnFile),
}

/// Files with examples that somebody brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnFile {
    /// A NumPy archive.
    Npz(PathBuf),
    /// A CSV file.
    Csv(PathBuf, Reading),
    /// A folder with four IDX files.
    Idx(PathBuf),
}

impl OwnFile {
    /// The examples, not yet checked.
    ///
    /// # Errors
    /// One sentence when the file is missing or damaged.
    fn read(&self) -> Result<Own<'static>, Failure> {
        match self {
            Self::Npz(path) => npz::load(path),
            Self::Csv(path, reading) => csv::load(path, reading),
            Self::Idx(path) => idx_folder::load(path),
        }
    }
}

/// Synthetic digits are data, not chance: their seed does not follow the run's.
const GLYPHS: Glyphs = Glyphs { seed: 1 };

impl Source {
    /// Loads the data in `precision`; `remark` is told what is odd about it.
    ///
    /// # Errors
    /// One sentence when files are missing, damaged, or hold too few examples.
    pub fn load(&self, precision: Precision, remark: impl FnMut(String)) -> Result<Data, Failure> {
        match self {
            Self::Glyphs => Ok(in_precision!(precision, T => glyphs::<T>())),
            Self::Mnist(named) => {
                in_precision!(precision, T => mnist::<T>(named.as_deref(), remark))
            }
            Self::Own(file) => file.read()?.load(precision),
        }
    }
}

/// The synthetic digits.
fn glyphs<T: Real>() -> Data
where
    Examples: From<Sets<T>>,
{
    Data {
        examples: Examples::from(Sets::<T> {
            training: ExampleSet::glyphs(GLYPHS, 0..5_000),
            test: ExampleSet::glyphs(GLYPHS, 5_000..6_000),
        }),
        held_out: 1_000,
        inputs: glyphs::PIXELS,
        classes: glyphs::CLASSES,
    }
}

/// MNIST from the folder that is `named`, or else from where it is usually kept.
fn mnist<T: Real>(named: Option<&Path>, mut remark: impl FnMut(String)) -> Result<Data, Failure>
where
    Examples: From<Sets<T>>,
{
    let folder = mnist::folder(named)?;
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
        examples: Examples::from(Sets::<T> {
            training: from_images(train),
            test: from_images(test),
        }),
        held_out,
        inputs: images::PIXELS,
        classes: usize::from(images::CLASSES),
    })
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
