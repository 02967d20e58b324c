//! Why a bilevel question has no answer.

/// One sentence: what was wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A matrix or vector of another size.
    #[error("{name} has shape {found} where {expected} is needed; make the shapes agree")]
    Shape {
        /// Which.
        name: &'static str,
        /// Its shape.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// A number that is not finite.
    #[error("entry {place} of {name} is not finite; give finite numbers")]
    NotFinite {
        /// Where.
        name: &'static str,
        /// Counted from 1, row by row.
        place: usize,
    },
    /// A matrix that should be symmetric.
    #[error(
        "{name} is not symmetric: entry ({row}, {column}) differs from entry ({column}, {row}) by \
         {difference:e}; give a symmetric matrix"
    )]
    NotSymmetric {
        /// Which.
        name: &'static str,
        /// Counted from 1.
        row: usize,
        /// Counted from 1.
        column: usize,
        /// Their difference.
        difference: f64,
    },
    /// H has no positive definite inverse.
    #[error(
        "{name} is singular or indefinite: {reason}; the inner problem has no single minimum and no \
         hypergradient by H⁻¹, so remove flat directions or add a penalty"
    )]
    NotPositiveDefinite {
        /// Which matrix.
        name: String,
        /// The pivot.
        reason: String,
    },
    /// Conjugate gradient stopped short of its tolerance.
    #[error(
        "conjugate gradient did not converge: after {products} products the residual is {residual:e} of \
         the right-hand side, above {tolerance:e}; use exact, or give cg:K to stop after K products"
    )]
    NoConvergence {
        /// Products with H.
        products: u32,
        /// |v − Hx|/|v|.
        residual: f64,
        /// What it should be below.
        tolerance: f64,
    },
    /// Numbers left the finite range.
    #[error("{what} left the finite range: {reason}")]
    Overflow {
        /// Which computation.
        what: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Dynamics that do not converge.
    #[error("{0}")]
    Unstable(String),
    /// A number out of its range.
    #[error("{name} is {value:?}; give {expected}")]
    Range {
        /// Which.
        name: &'static str,
        /// The number.
        value: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// Too much work.
    #[error("{what} would take about {operations:.0e} operations; {advice}")]
    TooLarge {
        /// Which computation.
        what: &'static str,
        /// Multiplications and additions.
        operations: f64,
        /// What to do instead.
        advice: &'static str,
    },
}

/// Refuses a `value` that is not finite and positive.
pub(crate) fn positive(name: &'static str, value: f64) -> Result<f64, Error> {
    match value > 0.0 && value.is_finite() {
        true => Ok(value),
        false => Err(Error::Range { name, value, expected: "a positive finite number" }),
    }
}
