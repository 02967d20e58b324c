//! Self-tuning networks: a linear best response that is learned beside the weights.
//!
//! Of w(λ') = w₀ + U·x the learner wants U = ∂w*/∂λ = −H⁻¹∂²f/∂w∂λ, so that one plain gradient of
//! the outer loss gives the hypergradient Uᵀ∂_wE. *STN* feeds x = λ'; *Δ-STN* feeds x = λ' − λ,
//! fits w₀ at λ alone and U to predictions that are linearised there by a tangent.

mod network;
mod quadratic;

pub use network::{Angles, Curvature, End, Point, Settings, Start, Tuning};
pub use quadratic::{Condition, Fit, FitPoint, Move, condition, conditions, fit, moves};

use serde::Serialize;

/// Which way to a hypergradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Features x = λ'.
    Stn,
    /// Features x = λ' − λ.
    DeltaStn,
    /// No response: conjugate gradient at the present weights.
    Implicit,
}

impl Method {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Stn, Self::DeltaStn, Self::Implicit];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stn => "stn",
            Self::DeltaStn => "delta-stn",
            Self::Implicit => "implicit",
        }
    }
}
