//! Training and test examples, in one of the floats.

use myopia_core::digest::Digest;
use myopia_core::real::Real;

use super::ExampleSet;
use crate::precision::Precision;

/// The examples of a training file and of a test file.
pub struct Sets<T> {
    /// The training file.
    pub training: ExampleSet<T>,
    /// The test file; it never tunes anything.
    pub test: ExampleSet<T>,
}

impl<T: Real> Sets<T> {
    /// Examples in `training` and in `test`.
    fn len(&self) -> [usize; 2] {
        [self.training.len(), self.test.len()]
    }

    fn standardised(&self, inputs: usize, moments: [f64; 2]) -> Self {
        let of = |set: &ExampleSet<T>| set.standardised(inputs, moments);
        Self { training: of(&self.training), test: of(&self.test) }
    }

    fn add_to(&self, digest: &mut Digest) {
        self.training.add_to(digest);
        self.test.add_to(digest);
    }
}

/// [`Sets`] in one of the floats.
pub enum Examples {
    /// Single.
    F32(Sets<f32>),
    /// Double.
    F64(Sets<f64>),
}

impl From<Sets<f32>> for Examples {
    fn from(sets: Sets<f32>) -> Self {
        Self::F32(sets)
    }
}

impl From<Sets<f64>> for Examples {
    fn from(sets: Sets<f64>) -> Self {
        Self::F64(sets)
    }
}

/// Which of the two sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// The training file, held-out examples among it.
    Training,
    /// The test file.
    Test,
}

/// Data and the part of it that is held out of training.
pub struct Data {
    /// What there is.
    pub examples: Examples,
    /// How many examples at the end of the training file a validation objective holds out.
    pub held_out: usize,
    /// Numbers in an example.
    pub inputs: usize,
    /// Classes.
    pub classes: usize,
}

impl Data {
    /// The float that the examples are in.
    pub fn precision(&self) -> Precision {
        match self.examples {
            Examples::F32(_) => Precision::F32,
            Examples::F64(_) => Precision::F64,
        }
    }

    /// Examples in `set`.
    pub fn len(&self, set: Set) -> usize {
        let [training, test] = match &self.examples {
            Examples::F32(sets) => sets.len(),
            Examples::F64(sets) => sets.len(),
        };
        match set {
            Set::Training => training,
            Set::Test => test,
        }
    }

    /// Leaves out what is trained on after the first `count` examples, which are no more than there
    /// are; with `holds_out` the examples that are held out stay, else they go as well.
    pub fn keep(&mut self, count: usize, holds_out: bool) {
        let last = if holds_out { self.held_out } else { 0 };
        match &mut self.examples {
            Examples::F32(sets) => sets.training.keep_ends(count, last),
            Examples::F64(sets) => sets.training.keep_ends(count, last),
        }
    }

    /// The same with all inputs standardised by mean and standard deviation of the training file's,
    /// each rounded to four decimals; and these two.
    pub fn standardised(&self) -> (Self, [f64; 2]) {
        let inputs = self.inputs;
        let moments = match &self.examples {
            Examples::F32(sets) => sets.training.moments(inputs),
            Examples::F64(sets) => sets.training.moments(inputs),
        };
        let moments = moments.map(|x| libm::round(x * 1e4) / 1e4);
        let examples = match &self.examples {
            Examples::F32(sets) => Examples::F32(sets.standardised(inputs, moments)),
            Examples::F64(sets) => Examples::F64(sets.standardised(inputs, moments)),
        };
        (Self { examples, ..*self }, moments)
    }

    /// The digest of all examples, those to train on and then those to test on.
    pub fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        match &self.examples {
            Examples::F32(sets) => sets.add_to(&mut digest),
            Examples::F64(sets) => sets.add_to(&mut digest),
        }
        digest
    }
}
