//! K-FAC (Martens & Grosse 2015): hyperparameters, and the coefficients of each step.
//!
//! In each layer, with ā the inputs of an example and a 1, δ the derivatives of its own loss by the
//! layer's pre-activations (not divided by the batch size B) and G = 1/B Σ_b ā δᵀ the gradient of
//! weights and, as last row, biases, step k = 0, 1, … is
//!
//! ```text
//! A ← d A + (1 − d) 1/B Σ_b ā āᵀ,   S ← d S + (1 − d) 1/B Σ_b δ δᵀ;   at k = 0 with d = 0
//! π = √(tr A · dim S / (tr S · dim A)),  or 1 where tr S = 0
//! A_λ = A + π √λ I,   S_λ = S + √λ/π I,   of each step with k mod N = 0, kept until the next such
//! U = A_λ⁻¹ (G + ξ W) S_λ⁻¹
//! ν = min(1, √(C / (Σ α_k² ⟨U, G + ξ W⟩))) over all layers, or 1 without a clip
//! v ← μ v − α_k ν U,   θ ← θ + v − α_k ξ' W
//! ```
//!
//! So the Fisher matrix of the mean loss is taken for E[ā āᵀ] ⊗ E[δ δᵀ] in each layer. ξ is the
//! coupled weight decay and ξ' the decoupled one, of which at most one is not zero; W are the
//! weights before the step, and biases do not decay. As U = F⁻¹ G with F = A_λ ⊗ S_λ, ⟨U, G⟩ is
//! uᵀ F u: the clip bounds the norm of the step in the metric by which the gradient was divided.
//! A and S of step k, the batch's own, are in the factors of step k when it makes them anew.
//!
//! The errors δ of S belong to the batch's labels (the empirical Fisher matrix) or to labels drawn
//! from what the network predicts: for example b of step k, y is the first class with
//! Σ_{j ≤ y} e^(z_j − m) > u Σ_j e^(z_j − m), m = max z, else the last class, where u is number
//! k B + b of [`Pcg32::uniform`] of a stream of its own. A drawn label has no derivative.

use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::optimizer::{Decay, Optimizer};
use crate::real::Real;
use crate::rng::Pcg32;
use crate::schedule::Parameter;

/// Hyperparameters of K-FAC besides the learning rate: numbers N, with tangents or without, and
/// constants T.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kfac<N, T = N> {
    /// μ, in 0..1.
    pub momentum: N,
    /// λ, at least 0.
    pub damping: N,
    /// Weight decay, ξ or ξ'.
    pub decay: Decay<N>,
    /// d, in 0..1: the share of A and S that is kept.
    pub kept: T,
    /// C, above 0, if steps are clipped.
    pub clip: Option<T>,
    /// N, at least 1: steps between two factorisations.
    pub refactor_every: u32,
    /// The stream from which labels are drawn, at its start; none where S is of the batch's own.
    pub labels: Option<Pcg32>,
}

impl<N: Copy, T: Copy> Kfac<N, T> {
    /// `f` of each number, `g` of each constant.
    pub fn map<M, C>(self, f: impl Fn(N) -> M, g: impl Fn(T) -> C) -> Kfac<M, C> {
        self.map_named(|_, number| f(number), g)
    }

    fn map_named<M, C>(self, f: impl Fn(Parameter, N) -> M, g: impl Fn(T) -> C) -> Kfac<M, C> {
        Kfac {
            momentum: f(Parameter::Momentum, self.momentum),
            damping: f(Parameter::Damping, self.damping),
            decay: self.decay.map(|number| f(Parameter::WeightDecay, number)),
            kept: g(self.kept),
            clip: self.clip.map(g),
            refactor_every: self.refactor_every,
            labels: self.labels,
        }
    }

    /// The value of `parameter`, if it is one of these.
    pub fn value(&self, parameter: Parameter) -> Option<N> {
        match (parameter, self.decay) {
            (Parameter::Momentum, _) => Some(self.momentum),
            (Parameter::Damping, _) => Some(self.damping),
            (Parameter::WeightDecay, Decay::Coupled(decay) | Decay::Decoupled(decay)) => {
                Some(decay)
            }
            _ => None,
        }
    }

    /// The same with `to` in place of the value of `parameter`, if it is one of these.
    pub fn with(self, parameter: Parameter, to: N) -> Self {
        self.map_named(|name, value| if name == parameter { to } else { value }, |x| x)
    }
}

impl<T: Real> Kfac<T> {
    /// The same, tangent p being the derivative with respect to `directions[p]`.
    pub fn with_tangents<const P: usize>(self, directions: [Parameter; P]) -> Kfac<Dual<T, P>, T> {
        let varied = |parameter, value| Dual {
            value,
            tangents: directions.map(|d| if d == parameter { T::ONE } else { T::ZERO }),
        };
        self.map_named(varied, |x| x)
    }
}

/// The coefficients of one step of K-FAC.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KfacStep<N, T> {
    /// k.
    pub number: u32,
    /// α_k.
    pub learning_rate: N,
    /// μ, λ and what else does not change; the decoupled weight decay is α_k ξ'.
    pub all: Kfac<N, T>,
}

impl<T: Real, const P: usize> Optimizer<T, P> for Kfac<Dual<T, P>, T> {
    type Update = KfacStep<Dual<T, P>, T>;
    fn update<E: Elementary<T>>(&self, k: u32, learning_rate: Dual<T, P>) -> Self::Update {
        let decay = match self.decay {
            Decay::Decoupled(decay) => Decay::Decoupled(learning_rate * decay),
            other => other,
        };
        KfacStep { number: k, learning_rate, all: Self { decay, ..*self } }
    }
}
