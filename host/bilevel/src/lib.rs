//! Bilevel problems whose truth is known.
//!
//! - [`problem`]: quadratics and ridge regression, with their exact hypergradients;
//! - [`method`]: what people compute instead of H⁻¹, side by side with it;
//! - [`game`]: the joint dynamics of both players, their eigenvalues, noise and turning points;
//! - [`warm`]: warm and cold starts of underdetermined inner problems, dataset distillation among
//!   them;
//! - [`stn`]: linear best responses, on a quadratic and on a network;
//! - [`network`]: a multilayer perceptron written once over numbers and dual numbers.
//!
//! Everything is plain `f64` in a defined order (the numeric contract of [`myopia_core`]): solvers
//! and eigenvalues are the core's, no library of linear algebra is used, and results are the same
//! bits on every machine.

pub mod adam;
pub mod bands;
pub mod error;
pub mod game;
pub mod matrix;
pub mod method;
pub mod network;
pub mod problem;
pub mod stn;
pub mod warm;

pub use error::Error;
