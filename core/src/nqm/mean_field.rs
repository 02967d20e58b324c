//! Optimisers that divide by a second moment, in mean field: RMSprop, Adam and K-FAC.
//!
//! With s = E\[θ²\] about the optimum before the step, c = h²σ² the variance of the gradient's
//! noise, a direction's gradient g = h(θ + σξ) has the second moment h²s + c. The rule of
//! [`crate::optimizer`] keeps an average q of g², here of its expectation, from q = 0 on:
//!
//! ```text
//! RMSprop  q ← ρ q + (1 − ρ)(h²s + c),   a = α_k/(√q + ε)  or  α_k/√(q + ε)
//!          v ← μ v − a g,  θ ← θ + v
//! Adam     q ← β₂ q + (1 − β₂)(h²s + c),  a = α_k/(1 − β₁^(k+1)) / (√(q/(1 − β₂^(k+1)) + ε_root) + ε)
//!          m ← β₁ m + (1 − β₁) g,  θ ← θ − a m
//! K-FAC    q ← d q + (1 − d) f,  at k = 0 with d = 0,   a = α_k/(q + λ)
//!          v ← μ v − a g,  θ ← θ + v
//! ```
//!
//! f is what a batch shows of the curvature: of its own labels (the empirical Fisher matrix) h²s +
//! c, of labels drawn from the predictions the curvature h itself, of which the average is h from
//! the first step on, so that this K-FAC is 1/(h + λ). In both the damping is added to eigenvalues,
//! not to Kronecker factors.
//!
//! So q is a function of the state and has the same tangents as it. It is *mean field*: a run of
//! RMSprop averages the squares of its own gradients, and E\[g/(√q + ε)\] is not E\[g\]/(√E\[q\] +
//! ε). The moments here are those of infinitely many runs that share one q, and of one run where
//! nothing is random, where ε or λ hides q, or where f = h. How far off E\[θ²\] is for runs of
//! RMSprop that divide by their own average, in three directions with ε = 0.01: at rest (2,000
//! steps at 0.05, ρ = 0.9) their own is within a tenth of it; on the way there, where runs that
//! began far out divide by more, it is up to 2.1 times as large with ρ = 0.9 and 1.5 times with
//! 0.99; with ε = 30 there is no difference.
//!
//! Adam's step is that of SGD with velocity v = −a m, learning rate a(1 − β₁) and momentum β₁ a/a',
//! a' being that of the step before, 0 where that was 0. As in [`crate::optimizer`], where q is 0
//! the step and its tangents are zero.

use core::marker::PhantomData;

use super::greedy::{Ahead, NextLoss};
use super::model::{Directions, Step};
use super::precondition::Block;
use super::response::Response;
use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::kfac::Kfac;
use crate::mlp::rule::{root, where_seen};
use crate::optimizer::{Decay, Hyperparameters, Method, Rule};
use crate::real::Real;
use crate::schedule::Parameter;
use crate::vector::Vector;

/// An optimiser in mean field; its momentum, unless it is Adam, is that of each [`Step`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanField<N, T = N>(Kind<N, T>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind<N, T> {
    Elementwise(Hyperparameters<N>),
    Kfac { all: Kfac<N, T>, is_sampled: bool },
}

/// Why an optimiser has no mean field here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotInMeanField {
    /// SGD has no second moment.
    Sgd,
    /// Weight decay: its origin is not part of the model.
    WeightDecay,
    /// The norm clip of K-FAC depends on all directions.
    Clip,
    /// K-FAC keeps its factors for several steps.
    Refactor,
}

impl core::fmt::Display for NotInMeanField {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Sgd => "SGD divides by no second moment",
            Self::WeightDecay => "the quadratic has no origin for weights to decay to",
            Self::Clip => "the norm clip of K-FAC is not part of the quadratic",
            Self::Refactor => "K-FAC has new factors in every step of the quadratic",
        })
    }
}

impl core::error::Error for NotInMeanField {}

impl<N: Copy, T: Copy> MeanField<N, T> {
    /// RMSprop or Adam with these hyperparameters.
    ///
    /// # Errors
    /// Another optimiser, or weight decay.
    pub fn new(all: Hyperparameters<N>) -> Result<Self, NotInMeanField> {
        if !matches!(all.decay, Decay::None) {
            return Err(NotInMeanField::WeightDecay);
        }
        match all.method {
            Method::Sgd { .. } => Err(NotInMeanField::Sgd),
            _ => Ok(Self(Kind::Elementwise(all))),
        }
    }

    /// K-FAC with these hyperparameters, of sampled labels or of the batch's own.
    ///
    /// # Errors
    /// Weight decay, a clip, or factors that are kept.
    pub fn kfac(all: Kfac<N, T>, is_sampled: bool) -> Result<Self, NotInMeanField> {
        if !matches!(all.decay, Decay::None) {
            return Err(NotInMeanField::WeightDecay);
        }
        if all.clip.is_some() {
            return Err(NotInMeanField::Clip);
        }
        if all.refactor_every != 1 {
            return Err(NotInMeanField::Refactor);
        }
        Ok(Self(Kind::Kfac { all, is_sampled }))
    }

    /// Its name on the command line.
    pub fn name(&self) -> &'static str {
        match self.0 {
            Kind::Kfac { .. } => "kfac",
            Kind::Elementwise(all) => match all.method {
                Method::Adam { .. } => "adam",
                Method::Rmsprop { .. } | Method::Sgd { .. } => "rmsprop",
            },
        }
    }

    /// Whether its momentum is its own β₁, and that of a [`Step`] is passed over.
    pub fn has_own_momentum(&self) -> bool {
        matches!(self.0, Kind::Elementwise(Hyperparameters { method: Method::Adam { .. }, .. }))
    }
}

impl<T: Real> MeanField<T> {
    /// The value of `parameter`, if it is one of this optimiser's; the momentum is the schedule's.
    pub fn value(&self, parameter: Parameter) -> Option<T> {
        match self.0 {
            _ if parameter == Parameter::Momentum => None,
            Kind::Elementwise(all) => all.value(parameter),
            Kind::Kfac { all, .. } => all.value(parameter),
        }
    }

    /// The same with `to` in place of the value of `parameter`, if this optimiser has it.
    pub fn with(self, parameter: Parameter, to: T) -> Self {
        Self(match self.0 {
            Kind::Elementwise(all) => Kind::Elementwise(all.with(parameter, to)),
            Kind::Kfac { all, is_sampled } => {
                Kind::Kfac { all: all.with(parameter, to), is_sampled }
            }
        })
    }

    /// The same, tangent p being the derivative with respect to `directions[p]`.
    pub fn with_tangents<const P: usize>(
        self,
        directions: [Parameter; P],
    ) -> MeanField<Dual<T, P>, T> {
        MeanField(match self.0 {
            Kind::Elementwise(all) => Kind::Elementwise(all.with_tangents(directions)),
            Kind::Kfac { all, is_sampled } => {
                Kind::Kfac { all: all.with_tangents(directions), is_sampled }
            }
        })
    }
}

/// How a second moment becomes the factor on a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// By its root.
    Root,
    /// By its root, on an average of gradients: velocities go with the factor.
    RootOfAverage,
    /// By itself.
    Plain,
    /// By itself, it being an average of the curvature.
    PlainOfCurvature,
}

/// The coefficients of one step, the same for all directions: q ← `kept` q + `rest` f and
/// a = `rate`/(√(`correction` q + `inside`) + `outside`), √ where there is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanFieldStep<N> {
    form: Form,
    rate: N,
    momentum: N,
    /// The share of a gradient in what is moved along.
    share: N,
    kept: N,
    rest: N,
    correction: N,
    inside: N,
    outside: N,
}

impl<N: Copy> MeanFieldStep<N> {
    fn map<M>(&self, f: impl Fn(N) -> M) -> MeanFieldStep<M> {
        MeanFieldStep {
            form: self.form,
            rate: f(self.rate),
            momentum: f(self.momentum),
            share: f(self.share),
            kept: f(self.kept),
            rest: f(self.rest),
            correction: f(self.correction),
            inside: f(self.inside),
            outside: f(self.outside),
        }
    }
}

impl<T: Real, const P: usize> MeanField<Dual<T, P>, T> {
    /// The coefficients of step number `k`.
    pub fn step<E: Elementary<T>>(
        &self,
        k: u32,
        step: Step<Dual<T, P>>,
    ) -> MeanFieldStep<Dual<T, P>> {
        let [zero, one] = [T::ZERO, T::ONE].map(Dual::constant);
        let Step { learning_rate: rate, momentum } = step;
        let of_squares = |rate, kept, rest| MeanFieldStep {
            form: Form::Root,
            rate,
            momentum,
            share: one,
            kept,
            rest,
            correction: one,
            inside: zero,
            outside: zero,
        };
        match self.0 {
            Kind::Elementwise(all) => match all.step::<E>(k, rate).rule {
                Rule::Adam(step) => MeanFieldStep {
                    form: Form::RootOfAverage,
                    momentum: step.beta1,
                    share: step.rest1,
                    correction: step.correction,
                    inside: step.epsilon_root,
                    outside: step.epsilon,
                    ..of_squares(step.learning_rate, step.beta2, step.rest2)
                },
                Rule::Rmsprop(step) => MeanFieldStep {
                    inside: step.epsilon_root,
                    outside: step.epsilon,
                    ..of_squares(step.learning_rate, step.rho, step.rest)
                },
                // There is none in a mean field; as a step it is the learning rate itself.
                Rule::Sgd(step) => MeanFieldStep {
                    form: Form::Plain,
                    correction: zero,
                    outside: one,
                    ..of_squares(step.learning_rate, zero, one)
                },
            },
            Kind::Kfac { all, is_sampled } => {
                let kept = if k == 0 { zero } else { Dual::constant(all.kept) };
                MeanFieldStep {
                    form: if is_sampled { Form::PlainOfCurvature } else { Form::Plain },
                    outside: all.damping,
                    ..of_squares(rate, kept, one - kept)
                }
            }
        }
    }

    /// The coefficients of step number `k` with learning rate `rate`, without any momentum.
    pub fn step_at_rest<E: Elementary<T>>(
        &self,
        k: u32,
        rate: Dual<T, P>,
    ) -> MeanFieldStep<Dual<T, P>> {
        let [zero, one] = [T::ZERO, T::ONE].map(Dual::constant);
        let step = self.step::<E>(k, Step { learning_rate: rate, momentum: zero });
        MeanFieldStep { rate, momentum: zero, share: one, ..step }
    }
}

/// Where training with a mean field has got to, in a block of directions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coupled<N> {
    /// The response.
    pub response: Response<N>,
    /// q.
    pub square: N,
    /// a of the last step.
    pub scale: N,
}

impl<N: Default> Coupled<N> {
    /// The state in which training begins from `response`.
    pub fn new(response: Response<N>) -> Self {
        Self { response, square: N::default(), scale: N::default() }
    }
}

/// A block of directions without a preconditioner, trained with a mean field by the roots of `E`.
#[derive(Debug)]
pub struct InMeanField<V, E> {
    directions: Directions<V>,
    elementary: PhantomData<E>,
}

impl<V: Copy, E> Clone for InMeanField<V, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Copy, E> Copy for InMeanField<V, E> {}

impl<V: Vector, E: Elementary<V::Scalar>> InMeanField<V, E> {
    /// Of directions that have no preconditioner.
    pub fn new(directions: Directions<V>) -> Self {
        Self { directions, elementary: PhantomData }
    }

    /// q and a of one step.
    #[inline(always)]
    fn moment<const P: usize>(
        &self,
        state: &Coupled<Dual<V, P>>,
        step: &MeanFieldStep<Dual<V, P>>,
    ) -> [Dual<V, P>; 2] {
        let h = self.directions.preconditioned_curvature;
        let seen = if step.form == Form::PlainOfCurvature {
            Dual::constant(h)
        } else {
            // h²s + c, of which the direction's shares of loss and floor are 1/2h.
            let all =
                self.directions.excess(&state.response) + Dual::constant(self.directions.floor);
            all.scaled(h + h)
        };
        let square = state.square * step.kept + seen * step.rest;
        let under = square * step.correction + step.inside;
        let below = match step.form {
            Form::Root | Form::RootOfAverage => root::<V, E, P>(under),
            Form::Plain | Form::PlainOfCurvature => under,
        };
        [square, where_seen(step.rate / (below + step.outside), square)]
    }
}

impl<V: Vector, E: Elementary<V::Scalar>, const P: usize> Block<V, P> for InMeanField<V, E> {
    type Step = MeanFieldStep<Dual<V::Scalar, P>>;
    type InLanes = MeanFieldStep<Dual<V, P>>;
    type State = Coupled<Dual<V, P>>;

    #[inline(always)]
    fn in_lanes(step: &Self::Step) -> Self::InLanes {
        step.map(Dual::splat)
    }

    #[inline(always)]
    fn step(&self, state: &Self::State, step: &Self::InLanes) -> Self::State {
        let [square, scale] = self.moment(state, step);
        let momentum = match step.form {
            Form::RootOfAverage => step.momentum * where_seen(scale / state.scale, state.scale),
            _ => step.momentum,
        };
        let alpha_g = (scale * step.share).scaled(self.directions.preconditioned_curvature);
        Coupled { response: state.response.step(alpha_g, momentum), square, scale }
    }

    #[inline(always)]
    fn excess(&self, state: &Self::State) -> Dual<V, P> {
        self.directions.excess(&state.response)
    }
}

impl<V: Vector, E: Elementary<V::Scalar>> Ahead<V> for InMeanField<V, E> {
    #[inline(always)]
    fn next_loss(&self, state: &Self::State, next: &Self::InLanes) -> NextLoss<V> {
        let [_, scale] = self.moment(state, next);
        let preconditioned_curvature = self.directions.preconditioned_curvature * scale.value;
        Directions { preconditioned_curvature, ..self.directions }.next_loss_of(&state.response)
    }
}
