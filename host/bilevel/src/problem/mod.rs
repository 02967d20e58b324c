//! Bilevel problems with exact answers.

mod quadratic;
mod ridge;

pub use quadratic::Quadratic;
pub(crate) use quadratic::{minus, spectrum_of};
pub use ridge::{Penalty, Ridge};

use myopia_core::bilevel::linear::Operator;

use crate::Error;

/// Curvatures of H, and its unit eigenvectors unless they are the coordinates.
#[derive(Clone, Debug)]
pub struct Spectrum {
    /// In no order.
    pub curvatures: Vec<f64>,
    /// Row i belongs to curvature i; none when it is the i-th unit vector.
    pub vectors: Option<Vec<f64>>,
}

/// A bilevel problem at one λ and one inner point w.
pub trait Bilevel {
    /// H at λ.
    fn hessian(&self) -> &dyn Operator<f64>;
    /// Hyperparameters.
    fn outer_size(&self) -> usize;
    /// w, at which hypergradients are taken.
    fn point(&self) -> &[f64];
    /// Whether w is the inner optimum at λ.
    fn is_optimal(&self) -> bool;
    /// ∂f/∂w.
    fn inner_gradient(&self, w: &[f64]) -> Vec<f64>;
    /// ∂E/∂w.
    fn outer_gradient(&self, w: &[f64]) -> Vec<f64>;
    /// ∂E/∂λ at fixed w.
    fn direct(&self) -> Vec<f64>;
    /// (∂²f/∂w∂λ)ᵀ·`x` at `w`.
    fn mixed(&self, w: &[f64], x: &[f64]) -> Vec<f64>;
    /// (H + `damping`·I)⁻¹·`b` by a factorisation.
    ///
    /// # Errors
    /// When that matrix is not positive definite.
    fn solve(&self, damping: f64, b: &[f64]) -> Result<Vec<f64>, Error>;
    /// The curvatures of H, where they are within reach.
    ///
    /// # Errors
    /// When they do not converge.
    fn spectrum(&self) -> Result<Option<Spectrum>, Error>;
    /// The outer loss where the inner problem ends at λ' = λ with `place` moved by `change`: at the
    /// inner optimum w*(λ'), or, taken at another w, at w + w*(λ') − w*(λ).
    ///
    /// # Errors
    /// When there is no such optimum.
    fn value(&self, place: usize, change: f64) -> Result<f64, Error>;
    /// The outer loss after `steps` steps of inner descent from w at λ', the same.
    fn unrolled_value(&self, place: usize, change: f64, step: f64, steps: u32) -> f64;
    /// λ.
    fn lambda(&self) -> &[f64];
}
