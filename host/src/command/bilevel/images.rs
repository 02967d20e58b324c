//! Images for a small network in double precision.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use myopia_bilevel::network::{Examples, Network};
use myopia_core::glyphs::{self, Glyphs};

use crate::command::options::Common;
use crate::command::values::whole;
use myopia::data::images::{self, Images};
use myopia::data::mnist::{self, Mnist};
use myopia::failure::Failure;

/// Which images are learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DataName {
    /// Synthetic 8x8 digits, built in
    Glyphs,
    /// MNIST, from --mnist-dir, MYOPIA_MNIST or the cache that `myopia data fetch` fills
    Mnist,
}

/// Which images, and how many.
#[derive(Args, Clone, Debug)]
pub struct ImageOptions {
    /// Images to learn from
    #[arg(long, value_enum, default_value = "glyphs")]
    data: DataName,
    /// Folder with the four MNIST files, gzipped or not
    #[arg(long, value_name = "DIR")]
    mnist_dir: Option<PathBuf>,
    /// Images to train on, the first of the training file
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u32>)]
    training: Option<u32>,
    /// Images to judge by: of the training file those that follow, or those of the test file
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u32>)]
    judged: Option<u32>,
    /// Units of the hidden layer; 0 for none, which is softmax regression
    #[arg(
        long, default_value_t = 32, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    hidden: u32,
}

/// Two sets of images and a network for them.
pub struct Loaded {
    pub network: Network,
    pub training: Examples,
    pub judged: Examples,
}

/// Which images judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// The rest of the training file.
    HeldOut,
    /// Those of the test file.
    Test,
}

/// The most images, and hidden units.
const MOST: u32 = 60_000;

impl ImageOptions {
    /// The images, `training` of them to train on and `judged` to judge by unless the options say
    /// otherwise.
    pub fn load(
        &self,
        common: &Common,
        which: Judged,
        training: u32,
        judged: u32,
    ) -> Result<Loaded, Failure> {
        let training = self.training.unwrap_or(training);
        let judged = self.judged.unwrap_or(judged);
        let counts = [("training", training, 1), ("judged", judged, 1), ("hidden", self.hidden, 0)];
        for (option, count, least) in counts {
            if count < least || count > MOST {
                return Err(Failure::usage(format!(
                    "--{option} is {count}; give a number from {least} to {MOST}"
                )));
            }
        }
        let first = match which {
            Judged::HeldOut => training,
            Judged::Test => 0,
        };
        if self.data == DataName::Glyphs {
            // Numbers that no training set reaches are the test file.
            let first = if which == Judged::Test { 1_000_000 } else { first };
            return Ok(Loaded {
                network: self.network(glyphs::PIXELS, glyphs::CLASSES),
                training: drawn(common.seed, 0, training),
                judged: drawn(common.seed, first, judged),
            });
        }
        let folder = mnist::folder(self.mnist_dir.as_deref())?;
        let mnist = Mnist::load(&folder)?;
        mnist.warnings.iter().for_each(|warning| common.remark(warning));
        let file = if which == Judged::Test { &mnist.test } else { &mnist.train };
        for (set, last) in
            [(&mnist.train, u64::from(training)), (file, u64::from(first) + u64::from(judged))]
        {
            if last > set.len() as u64 {
                return Err(Failure::run(format!(
                    "the MNIST file has {} images where {last} are needed; lower --training or --judged",
                    set.len()
                )));
            }
        }
        Ok(Loaded {
            network: self.network(images::PIXELS, images::CLASSES.into()),
            training: part(&mnist.train, 0, training),
            judged: part(file, first, judged),
        })
    }

    fn network(&self, inputs: usize, classes: usize) -> Network {
        match self.hidden {
            0 => Network::new(&[inputs, classes]),
            hidden => Network::new(&[inputs, hidden as usize, classes]),
        }
    }
}

fn drawn(seed: u64, first: u32, count: u32) -> Examples {
    let (mut inputs, mut labels) = (Vec::new(), Vec::new());
    for (pixels, label) in (first..first + count).map(|i| Glyphs { seed }.draw(i)) {
        inputs.extend(pixels.map(f64::from));
        labels.push(usize::from(label));
    }
    Examples::labelled(inputs, &labels, glyphs::CLASSES)
}

/// Pixels from 0 to 1.
fn part(set: &Images, first: u32, count: u32) -> Examples {
    let mut inputs = vec![0.0; count as usize * images::PIXELS];
    let mut labels = Vec::new();
    for (row, i) in inputs.chunks_exact_mut(images::PIXELS).zip(first as usize..) {
        let (places, values) = set.nonzero(i);
        for (place, value) in places.iter().zip(values) {
            row[usize::from(*place)] = f64::from(*value) / 255.0;
        }
        labels.push(usize::from(set.label(i)));
    }
    Examples::labelled(inputs, &labels, usize::from(images::CLASSES))
}
