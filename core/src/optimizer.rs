//! Optimisers of the inner training: hyperparameters, and the coefficients of each step.
//!
//! With g the gradient, α_k the learning rate of step k = 0, 1, … and v, m, s zero at first:
//!
//! ```text
//! SGD       v ← μ v − α_k g,  θ ← θ + v          Nesterov  θ ← θ + μ v − α_k g with the new v
//! RMSprop   s ← ρ s + (1 − ρ) g²,  v ← μ v − α_k g/(√s + ε)  or  g/√(s + ε),  θ ← θ + v
//! Adam      m ← β₁ m + (1 − β₁) g,  s ← β₂ s + (1 − β₂) g²,
//!           θ ← θ − α_k m̂/(√(ŝ + ε_root) + ε),  m̂ = m/(1 − β₁^(k+1)),  ŝ = s/(1 − β₂^(k+1))
//! decay ξ   coupled: g ← g + ξ θ;  decoupled: θ ← θ − α_k ξ θ;  of weights, not of biases
//! ```
//!
//! Where s is 0, the step and its tangents are zero. The bias corrections are taken together with
//! α_k and s once for each step: a factor α_k/(1 − β₁^(k+1)) of m, a factor 1/(1 − β₂^(k+1)) of s.

use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::real::Real;
use crate::schedule::Parameter;

/// One step of SGD with momentum: α with its tangents, and μ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd<N, M> {
    /// α.
    pub learning_rate: N,
    /// μ: a constant, or a [`Dual`] with its tangents.
    pub momentum: M,
}

/// What the inner loop asks of an optimiser: the coefficients of each step.
pub trait Optimizer<T: Real, const P: usize>: Copy {
    /// The coefficients of one step.
    type Update: Copy;
    /// The coefficients of step number `k` at this learning rate.
    fn update<E: Elementary<T>>(&self, k: u32, learning_rate: Dual<T, P>) -> Self::Update;
}

/// SGD with this momentum: a constant, or a [`Dual`] with its tangents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Momentum<M>(pub M);

/// Numbers for each parameter that a rule of two slots depends on: θ, two slots of state, g.
pub const LOCAL: usize = 4;
/// Derivatives of a step back: by α_k, and by at most four hyperparameters.
pub const DERIVATIVES: usize = 5;
/// Tangents with which a rule of two slots steps back.
pub const BACK: usize = LOCAL + DERIVATIVES;

/// What the step back asks of an optimiser.
pub trait Reverse<T: Real>: Optimizer<T, 0> {
    /// The coefficients of one step back.
    type Back: Copy;
    /// True if adjoints depend on the state before the step; if not, only the derivatives by
    /// [`directions`](Self::directions) do.
    const ADJOINTS_TAKE_STATE: bool;
    /// The coefficients of step number `k` back at this learning rate.
    fn back<E: Elementary<T>>(&self, k: u32, learning_rate: T) -> Self::Back;
    /// The hyperparameters by which a step back differentiates after α_k, in order.
    fn directions(&self) -> [Option<Parameter>; DERIVATIVES - 1];
}

impl<T: Real> Reverse<T> for Momentum<T> {
    type Back = Sgd<T, T>;
    const ADJOINTS_TAKE_STATE: bool = false;
    fn back<E: Elementary<T>>(&self, _: u32, learning_rate: T) -> Sgd<T, T> {
        Sgd { learning_rate, momentum: self.0 }
    }
    fn directions(&self) -> [Option<Parameter>; DERIVATIVES - 1] {
        [Some(Parameter::Momentum), None, None, None]
    }
}

impl<T: Real> Reverse<T> for Hyperparameters<Dual<T, 0>> {
    type Back = Step<Dual<T, BACK>>;
    const ADJOINTS_TAKE_STATE: bool = true;
    fn back<E: Elementary<T>>(&self, k: u32, learning_rate: T) -> Self::Back {
        let directions = self.directions();
        let varied = self.map_named(|name, number| {
            let mut varied = Dual::constant(number.value);
            let tangents = varied.tangents.iter_mut().skip(LOCAL + 1);
            for (tangent, direction) in tangents.zip(directions) {
                if name.is_some() && direction == name {
                    *tangent = T::ONE;
                }
            }
            varied
        });
        let mut rate = Dual::constant(learning_rate);
        rate.tangents.iter_mut().skip(LOCAL).take(1).for_each(|tangent| *tangent = T::ONE);
        varied.step::<E>(k, rate)
    }
    fn directions(&self) -> [Option<Parameter>; DERIVATIVES - 1] {
        use Parameter::{Beta1, Beta2, Epsilon, Momentum, Rho, WeightDecay};
        match self.method {
            Method::Sgd { .. } => [Some(Momentum), Some(WeightDecay), None, None],
            Method::Rmsprop { .. } => [Some(Momentum), Some(WeightDecay), Some(Epsilon), Some(Rho)],
            Method::Adam { .. } => [Some(Beta1), Some(WeightDecay), Some(Epsilon), Some(Beta2)],
        }
    }
}

impl<T: Real, M: Copy, const P: usize> Optimizer<T, P> for Momentum<M> {
    type Update = Sgd<Dual<T, P>, M>;
    fn update<E: Elementary<T>>(&self, _: u32, learning_rate: Dual<T, P>) -> Self::Update {
        Sgd { learning_rate, momentum: self.0 }
    }
}

/// How a gradient becomes a step, with its hyperparameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method<N> {
    /// SGD with momentum.
    Sgd {
        /// μ, in 0..1.
        momentum: N,
        /// Whether the step looks ahead along the new velocity.
        is_nesterov: bool,
    },
    /// RMSprop.
    Rmsprop {
        /// ρ, in 0..1.
        rho: N,
        /// μ, in 0..1.
        momentum: N,
        /// ε, at least 0.
        epsilon: N,
        /// Whether ε stands under the root.
        is_inside: bool,
    },
    /// Adam (Kingma & Ba 2015).
    Adam {
        /// β₁, in 0..1.
        beta1: N,
        /// β₂, in 0..1.
        beta2: N,
        /// ε, at least 0.
        epsilon: N,
        /// ε_root, at least 0.
        epsilon_root: N,
    },
}

/// Weight decay: none, or by the number given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay<N> {
    /// ξ = 0.
    None,
    /// ξ, added to the gradient as ξ θ.
    Coupled(N),
    /// ξ, taken off the weights as α_k ξ θ; in a [`Step`] α_k ξ.
    Decoupled(N),
}

impl<N> Decay<N> {
    /// `f` of the number.
    pub fn map<M>(self, f: impl Fn(N) -> M) -> Decay<M> {
        match self {
            Self::None => Decay::None,
            Self::Coupled(decay) => Decay::Coupled(f(decay)),
            Self::Decoupled(decay) => Decay::Decoupled(f(decay)),
        }
    }
}

/// An optimiser's hyperparameters besides the learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyperparameters<N> {
    /// How a gradient becomes a step.
    pub method: Method<N>,
    /// Weight decay.
    pub decay: Decay<N>,
}

impl<N: Copy> Hyperparameters<N> {
    /// `f` of each number.
    pub fn map<M>(self, f: impl Fn(N) -> M) -> Hyperparameters<M> {
        self.map_named(|_, number| f(number))
    }

    /// `f` of each number and which it is; ε_root is none that can be tuned.
    fn map_named<M>(self, f: impl Fn(Option<Parameter>, N) -> M) -> Hyperparameters<M> {
        let named = |parameter, number| f(Some(parameter), number);
        let method = match self.method {
            Method::Sgd { momentum, is_nesterov } => {
                Method::Sgd { momentum: named(Parameter::Momentum, momentum), is_nesterov }
            }
            Method::Rmsprop { rho, momentum, epsilon, is_inside } => Method::Rmsprop {
                rho: named(Parameter::Rho, rho),
                momentum: named(Parameter::Momentum, momentum),
                epsilon: named(Parameter::Epsilon, epsilon),
                is_inside,
            },
            Method::Adam { beta1, beta2, epsilon, epsilon_root } => Method::Adam {
                beta1: named(Parameter::Beta1, beta1),
                beta2: named(Parameter::Beta2, beta2),
                epsilon: named(Parameter::Epsilon, epsilon),
                epsilon_root: f(None, epsilon_root),
            },
        };
        Hyperparameters { method, decay: self.decay.map(|x| named(Parameter::WeightDecay, x)) }
    }
}

impl<T: Real> Hyperparameters<T> {
    /// The same, tangent p being the derivative with respect to `directions[p]`.
    pub fn with_tangents<const P: usize>(
        self,
        directions: [Parameter; P],
    ) -> Hyperparameters<Dual<T, P>> {
        self.map_named(|parameter, value| Dual {
            value,
            tangents: directions.map(|d| if Some(d) == parameter { T::ONE } else { T::ZERO }),
        })
    }

    /// The same with `to` in place of the value of `parameter`, if this optimiser has it.
    pub fn with(self, parameter: Parameter, to: T) -> Self {
        self.map_named(|name, value| if name == Some(parameter) { to } else { value })
    }

    /// The value of `parameter`, if this optimiser has it.
    pub fn value(self, parameter: Parameter) -> Option<T> {
        let found = core::cell::Cell::new(None);
        self.map_named(|name, value| {
            if name == Some(parameter) {
                found.set(Some(value));
            }
        });
        found.get()
    }
}

/// One step of SGD: α_k, and μ and whether it looks ahead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep<N, M> {
    /// α_k.
    pub learning_rate: N,
    /// μ.
    pub momentum: M,
    /// Whether the step looks ahead along the new velocity.
    pub is_nesterov: bool,
}

/// One step of RMSprop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmspropStep<N, M> {
    /// α_k.
    pub learning_rate: N,
    /// μ.
    pub momentum: M,
    /// ρ.
    pub rho: M,
    /// 1 − ρ.
    pub rest: M,
    /// ε, zero where it stands under the root.
    pub epsilon: M,
    /// ε where it stands under the root, otherwise zero.
    pub epsilon_root: M,
}

/// One step of Adam.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep<N, M> {
    /// α_k/(1 − β₁^(k+1)).
    pub learning_rate: N,
    /// β₁.
    pub beta1: M,
    /// 1 − β₁.
    pub rest1: M,
    /// β₂.
    pub beta2: M,
    /// 1 − β₂.
    pub rest2: M,
    /// 1/(1 − β₂^(k+1)).
    pub correction: M,
    /// ε.
    pub epsilon: M,
    /// ε_root.
    pub epsilon_root: M,
}

/// The rule of one step, with its coefficients: those with the learning rate in them are an `N`,
/// the others an `M`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule<N, M = N> {
    /// SGD with momentum.
    Sgd(SgdStep<N, M>),
    /// RMSprop.
    Rmsprop(RmspropStep<N, M>),
    /// Adam.
    Adam(AdamStep<N, M>),
}

/// The coefficients of one step of an optimiser, computed once for all parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step<N, M = N> {
    /// The rule.
    pub rule: Rule<N, M>,
    /// Weight decay.
    pub decay: Decay<N>,
}

impl<N, M> Step<N, M> {
    /// `f` of each number with the learning rate in it and of the decay, `g` of each other one.
    pub fn map<A, B>(self, f: impl Fn(N) -> A, g: impl Fn(M) -> B) -> Step<A, B> {
        let rule = match self.rule {
            Rule::Sgd(SgdStep { learning_rate, momentum, is_nesterov }) => Rule::Sgd(SgdStep {
                learning_rate: f(learning_rate),
                momentum: g(momentum),
                is_nesterov,
            }),
            Rule::Rmsprop(step) => Rule::Rmsprop(RmspropStep {
                learning_rate: f(step.learning_rate),
                momentum: g(step.momentum),
                rho: g(step.rho),
                rest: g(step.rest),
                epsilon: g(step.epsilon),
                epsilon_root: g(step.epsilon_root),
            }),
            Rule::Adam(step) => Rule::Adam(AdamStep {
                learning_rate: f(step.learning_rate),
                beta1: g(step.beta1),
                rest1: g(step.rest1),
                beta2: g(step.beta2),
                rest2: g(step.rest2),
                correction: g(step.correction),
                epsilon: g(step.epsilon),
                epsilon_root: g(step.epsilon_root),
            }),
        };
        Step { rule, decay: self.decay.map(f) }
    }
}

impl<T: Real, const P: usize> Hyperparameters<Dual<T, P>> {
    /// The coefficients of step number `k` at this learning rate.
    pub fn step<E: Elementary<T>>(&self, k: u32, learning_rate: Dual<T, P>) -> Step<Dual<T, P>> {
        let one = Dual::constant(T::ONE);
        let rule = match self.method {
            Method::Sgd { momentum, is_nesterov } => {
                Rule::Sgd(SgdStep { learning_rate, momentum, is_nesterov })
            }
            Method::Rmsprop { rho, momentum, epsilon, is_inside } => {
                let zero = Dual::constant(T::ZERO);
                let [epsilon, epsilon_root] =
                    if is_inside { [zero, epsilon] } else { [epsilon, zero] };
                let rest = one - rho;
                Rule::Rmsprop(RmspropStep {
                    learning_rate,
                    momentum,
                    rho,
                    rest,
                    epsilon,
                    epsilon_root,
                })
            }
            Method::Adam { beta1, beta2, epsilon, epsilon_root } => {
                let steps = k.saturating_add(1);
                Rule::Adam(AdamStep {
                    learning_rate: learning_rate / (one - beta1.power::<E>(steps)),
                    beta1,
                    rest1: one - beta1,
                    beta2,
                    rest2: one - beta2,
                    correction: one / (one - beta2.power::<E>(steps)),
                    epsilon,
                    epsilon_root,
                })
            }
        };
        let decay = match self.decay {
            Decay::Decoupled(decay) => Decay::Decoupled(learning_rate * decay),
            other => other,
        };
        Step { rule, decay }
    }
}

impl<T: Real, const P: usize> Optimizer<T, P> for Hyperparameters<Dual<T, P>> {
    type Update = Step<Dual<T, P>>;
    fn update<E: Elementary<T>>(&self, k: u32, learning_rate: Dual<T, P>) -> Self::Update {
        self.step::<E>(k, learning_rate)
    }
}

/// Hyperparameters of which some are tuned, or none: then they are constants, and only numbers with
/// the learning rate in them have tangents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tunable<T, const P: usize> {
    all: Hyperparameters<Dual<T, P>>,
    is_tuned: bool,
}

/// The coefficients of a step of [`Tunable`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TunableStep<T, const P: usize> {
    /// The learning rate alone has tangents.
    OfRate(Step<Dual<T, P>, T>),
    /// All numbers have tangents.
    OfAll(Step<Dual<T, P>>),
}

impl<T: Real, const P: usize> Tunable<T, P> {
    /// These hyperparameters, tangent p being the derivative with respect to `directions[p]`.
    pub fn new(all: Hyperparameters<T>, directions: [Parameter; P]) -> Self {
        let is_tuned = directions.iter().any(|direction| all.value(*direction).is_some());
        Self { all: all.with_tangents(directions), is_tuned }
    }

    /// The hyperparameters with their tangents.
    pub fn all(&self) -> Hyperparameters<Dual<T, P>> {
        self.all
    }

    /// The same with others in place of the hyperparameters.
    pub fn with_all(self, all: Hyperparameters<Dual<T, P>>) -> Self {
        Self { all, ..self }
    }
}

impl<T: Real, const P: usize> Optimizer<T, P> for Tunable<T, P> {
    type Update = TunableStep<T, P>;
    fn update<E: Elementary<T>>(&self, k: u32, learning_rate: Dual<T, P>) -> Self::Update {
        let step = self.all.step::<E>(k, learning_rate);
        match self.is_tuned {
            true => TunableStep::OfAll(step),
            false => TunableStep::OfRate(step.map(|number| number, |number| number.value)),
        }
    }
}
