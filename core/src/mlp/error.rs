//! Errors of networks: storage that does not fit, and numbers that leave the finite range.

use super::shape::InvalidShape;
use crate::dual::Dual;
use crate::real::Real;

/// Error of [`Network::new`](super::Network::new).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidNetwork {
    /// The sizes are not those of a network.
    Shape(InvalidShape),
    /// The batch is larger than 65,535 examples.
    Batch,
    /// A normalised network's batch is smaller than two examples.
    TooFew,
    /// A buffer is not as long as [`Lengths`](super::Lengths) says.
    Length,
}

impl core::fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Shape(shape) => shape.fmt(f),
            Self::Batch => f.write_str("a batch has at most 65535 examples"),
            Self::TooFew => {
                f.write_str("batch normalisation needs batches of at least two examples")
            }
            Self::Length => f.write_str("a network's buffer is not as long as Lengths says"),
        }
    }
}

impl core::error::Error for InvalidNetwork {}

impl From<InvalidShape> for InvalidNetwork {
    fn from(shape: InvalidShape) -> Self {
        Self::Shape(shape)
    }
}

/// Plane of a number: its value or one of its tangents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// The value.
    Value,
    /// The derivative along this direction.
    Tangent(u8),
    /// An adjoint: the derivative of the objective by a parameter or its state.
    Adjoint,
    /// The inverse of a damped Kronecker factor of K-FAC ([`crate::kfac`]): a pivot is not positive
    /// as far as rounding tells.
    Inverse(KroneckerFactor),
}

/// One of the two factors of a layer in K-FAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KroneckerFactor {
    /// The layer, the lowest being number 0.
    pub layer: u16,
    /// True of A, of the layer's inputs; false of S, of its errors.
    pub is_of_inputs: bool,
}

/// Error of a step that left the finite range (contract 7): the first plane of a loss or of a
/// parameter that did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonFinite(pub Quantity);

impl core::fmt::Display for NonFinite {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Quantity::Value => f.write_str("the loss or a weight left the finite range"),
            Quantity::Tangent(p) => write!(f, "a derivative (tangent {p}) left the finite range"),
            Quantity::Adjoint => f.write_str("a derivative on the way back left the finite range"),
            Quantity::Inverse(KroneckerFactor { layer, is_of_inputs }) => {
                let whose = if is_of_inputs { "inputs (A)" } else { "errors (S)" };
                let layer = u32::from(layer) + 1;
                write!(
                    f,
                    "the damped factor of the {whose} of layer {layer} is singular as far as its rounding tells"
                )
            }
        }
    }
}

impl core::error::Error for NonFinite {}

/// Checks that the value and all tangents of `x` are finite.
///
/// # Errors
/// The first plane that is not.
pub fn finite<T: Real, const P: usize>(x: Dual<T, P>) -> Result<(), NonFinite> {
    if !x.value.finite() {
        return Err(NonFinite(Quantity::Value));
    }
    for (p, tangent) in (0u8..).zip(x.tangents) {
        if !tangent.finite() {
            return Err(NonFinite(Quantity::Tangent(p)));
        }
    }
    Ok(())
}
