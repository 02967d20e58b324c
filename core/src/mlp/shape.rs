//! Sizes of a network's layers.

/// Sizes of the layers in units, inputs first, classes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape<'a> {
    sizes: &'a [usize],
}

/// Size of one layer, in units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Rows of its weight matrix.
    pub inputs: usize,
    /// Columns of its weight matrix.
    pub outputs: usize,
}

impl Layer {
    /// Number of weights and biases.
    pub const fn parameters(self) -> usize {
        (self.inputs + 1) * self.outputs
    }

    /// Rows of its parameters: weights; where it is normalised scale, shift, running mean and
    /// variance; biases.
    pub const fn rows(self, is_normalised: bool) -> usize {
        self.inputs + 1 + if is_normalised { NORM_ROWS } else { 0 }
    }
}

/// Rows of a normalised layer's parameters between its weights and its biases: scale, shift,
/// running mean and variance.
pub const NORM_ROWS: usize = 4;

/// Error of [`Shape::new`].
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

/// Largest number of units of a layer and of examples of a batch: positions are stored in 16 bits.
pub const WIDEST: usize = u16::MAX as usize;

/// Number of pairs of neighbouring inputs; the last pair of an odd number has one input.
pub const fn pairs(inputs: usize) -> usize {
    inputs.div_ceil(2)
}

impl<'a> Shape<'a> {
    /// Shape with `sizes` in units, for example `[784, 100, 100, 10]`.
    ///
    /// # Errors
    /// Fewer than two sizes, or one outside 1..=65535.
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

    /// Shape with sizes that [`new`](Self::new) has accepted.
    #[cfg(feature = "alloc")]
    pub(super) const fn checked(sizes: &'a [usize]) -> Self {
        Self { sizes }
    }

    /// Sizes in units, inputs first.
    pub const fn sizes(self) -> &'a [usize] {
        self.sizes
    }

    /// Inputs of an example.
    pub fn inputs(self) -> usize {
        self.sizes.first().copied().unwrap_or(0)
    }

    /// Classes.
    pub fn classes(self) -> usize {
        self.sizes.last().copied().unwrap_or(0)
    }

    /// Layers, from the inputs up.
    pub fn layers(self) -> impl DoubleEndedIterator<Item = Layer> + ExactSizeIterator + Clone + 'a {
        self.sizes
            .iter()
            .zip(self.sizes.iter().skip(1))
            .map(|(&inputs, &outputs)| Layer { inputs, outputs })
    }

    /// Number of weights and biases of all layers.
    pub fn parameters(self) -> usize {
        self.layers().map(Layer::parameters).fold(0, |n, layer| n + layer)
    }

    /// The same with scale, shift, running mean and variance of every hidden unit: of a network
    /// whose hidden layers are normalised.
    pub fn parameters_with_norm(self) -> usize {
        self.with_rows::<true>().fold(0, |n, (layer, rows)| n + rows * layer.outputs)
    }

    /// Layers with the rows of their parameters, hidden ones being normalised if N.
    pub(super) fn with_rows<const N: bool>(self) -> impl Iterator<Item = (Layer, usize)> + 'a {
        let hidden = self.sizes.len().saturating_sub(2);
        self.layers().enumerate().map(move |(l, layer)| (layer, layer.rows(N && l < hidden)))
    }
}
