//! The sizes of a network and the lengths of the buffers it needs.

use super::batch::pairs;
use super::mask::words;

/// The sizes of the layers, from inputs to classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape<'a> {
    sizes: &'a [usize],
}

/// One layer's sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Rows of its weight matrix.
    pub inputs: usize,
    /// Columns of its weight matrix.
    pub outputs: usize,
}

impl Layer {
    /// Weights and biases together.
    pub const fn parameters(self) -> usize {
        (self.inputs + 1) * self.outputs
    }
}

/// What is wrong with the sizes of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidShape {
    /// Fewer than two sizes.
    TooFew,
    /// A layer of no units.
    Empty,
    /// A layer of more than 65,535 units.
    TooWide,
}

impl core::fmt::Display for InvalidShape {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::TooFew => "a network needs at least two sizes, inputs and classes",
            Self::Empty => "a layer needs at least one unit",
            Self::TooWide => "a layer has at most 65535 units",
        })
    }
}

impl core::error::Error for InvalidShape {}

/// The widest layer and the largest batch: positions are kept in 16 bits.
pub const WIDEST: usize = u16::MAX as usize;

impl<'a> Shape<'a> {
    /// The shape with these sizes, for example `[784, 100, 100, 10]`: at least two, each in 1..=65535.
    pub const fn new(sizes: &'a [usize]) -> Result<Self, InvalidShape> {
        if sizes.len() < 2 {
            return Err(InvalidShape::TooFew);
        }
        let mut rest = sizes;
        while let [size, others @ ..] = rest {
            if *size == 0 {
                return Err(InvalidShape::Empty);
            }
            if *size > WIDEST {
                return Err(InvalidShape::TooWide);
            }
            rest = others;
        }
        Ok(Self { sizes })
    }

    /// The shape with sizes that [`new`](Self::new) has accepted before.
    #[cfg(feature = "alloc")]
    pub(super) const fn checked(sizes: &'a [usize]) -> Self {
        Self { sizes }
    }

    /// The sizes it was made from.
    pub const fn sizes(self) -> &'a [usize] {
        self.sizes
    }

    /// How many numbers an example has.
    pub fn inputs(self) -> usize {
        self.sizes.first().copied().unwrap_or(0)
    }

    /// How many classes there are.
    pub fn classes(self) -> usize {
        self.sizes.last().copied().unwrap_or(0)
    }

    /// The layers, from the inputs up.
    pub fn layers(self) -> impl DoubleEndedIterator<Item = Layer> + ExactSizeIterator + Clone + 'a {
        self.sizes
            .iter()
            .zip(self.sizes.iter().skip(1))
            .map(|(&inputs, &outputs)| Layer { inputs, outputs })
    }

    /// How many weights and biases there are.
    pub fn parameters(self) -> usize {
        self.layers().map(Layer::parameters).fold(0, |n, layer| n + layer)
    }
}

/// How many elements each buffer of a network must have.
///
/// The first three count blocks (a vector of `lanes` numbers with its tangents); rows are padded to whole blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// Weights and biases, and as many again for the velocity.
    pub parameters: usize,
    /// Pre-activations, later errors, of every layer for every example of a batch.
    pub activations: usize,
    /// The transposed weight matrices above the first layer.
    pub transposed: usize,
    /// Words that hold a bit for each example and unit: whether it is active.
    pub active: usize,
    /// Entries for each hidden unit and example.
    pub listed: usize,
    /// Lengths of those lists, one for each hidden unit.
    pub lengths: usize,
    /// Pairs of inputs of a batch: by example, and as many again by pair.
    pub inputs: usize,
    /// Ends of the rows of those: by example, and by pair.
    pub input_ends: usize,
    /// Labels of a batch.
    pub labels: usize,
}

impl Lengths {
    /// The lengths for `sizes`, batches of at most `batch` examples and vectors of `lanes` numbers.
    pub const fn new(sizes: &[usize], batch: usize, lanes: usize) -> Self {
        let mut l = Self {
            parameters: 0,
            activations: 0,
            transposed: 0,
            active: 0,
            listed: 0,
            lengths: 0,
            inputs: 0,
            input_ends: 0,
            labels: batch,
        };
        if let [inputs, ..] = sizes {
            l.inputs = batch * pairs(*inputs);
            l.input_ends = batch + pairs(*inputs);
        }
        let mut rest = sizes;
        let mut first = true;
        while let [inputs, others @ ..] = rest {
            rest = others;
            let [outputs, above @ ..] = others else { break };
            l.parameters += (*inputs + 1) * outputs.div_ceil(lanes);
            l.activations += batch * outputs.div_ceil(lanes);
            if !first {
                l.transposed += *outputs * inputs.div_ceil(lanes);
            }
            l.active += batch * words(*outputs);
            if !above.is_empty() {
                l.listed += batch * *outputs;
                l.lengths += *outputs;
            }
            first = false;
        }
        l
    }
}
