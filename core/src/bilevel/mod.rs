//! Bilevel optimisation: solvers and recurrences over the caller's storage.
//!
//! An inner problem min_w f(w, λ) answers an outer one, min_λ E(w*(λ), λ). Its hypergradient is
//! dE/dλ = ∂_λE − (∂²f/∂w∂λ)ᵀ H⁻¹ ∂_wE with H = ∂²f/∂w²; what differs between methods is what
//! stands for H⁻¹:
//!
//! - [`cholesky`]: H⁻¹ itself, (H + λI)⁻¹ where H is damped;
//! - [`inverse`]: a Neumann series, conjugate gradient, a Nyström approximation;
//! - [`unroll`]: T steps of inner descent and their adjoint;
//! - [`game`]: the Jacobians of the joint dynamics of both players;
//! - [`eigen`], [`lyapunov`]: whether those are stable, and how far noise spreads them;
//! - [`experiment`]: a small quadratic that runs on every target.
//!
//! Matrices are row-major. Elements of matrix products are sequential sums over ascending indices;
//! the product of a matrix with one vector and all other scalar sums have the shape of
//! [`crate::sum::Sum`] (contract 3).

pub mod cholesky;
pub mod eigen;
pub mod experiment;
pub mod game;
pub mod inverse;
pub mod linear;
pub mod lyapunov;
pub mod unroll;

#[cfg(test)]
mod tests;
