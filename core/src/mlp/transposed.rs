//! The step back of an update rule: its Jacobian for one parameter, transposed.
//!
//! A rule takes a parameter θ, its gradient g and its state s to θ' and s'. From the adjoints of θ'
//! and s' (the derivatives of the objective by them) follow those of θ, g, s and of the rule's
//! hyperparameters. Of SGD they are written out; of other rules the Jacobian is the rule itself on
//! numbers with a tangent for each of θ, g, s and the hyperparameters.

use core::ops::Range;

use super::factor::Constant;
use super::layout::Slots;
use super::rule::InLanes;
use super::update::UpdateRule;
use crate::dual::{Dual, each};
use crate::elementary::Elementary;
use crate::optimizer::{BACK, DERIVATIVES, LOCAL, Rule, Sgd, Step};
use crate::real::Real;
use crate::vector::Vector;

/// A parameter with its S slots of state, or their adjoints.
#[derive(Clone, Copy, Debug)]
pub struct Point<V, const S: usize> {
    /// Of the parameter.
    pub parameter: V,
    /// Of its state.
    pub state: [V; S],
}

/// Values of a network's parameters and of their state, in the order of its buffers.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a, V, const S: usize> {
    /// Weights and biases.
    pub parameters: &'a [Dual<V, 0>],
    /// The state of each. Before a step back it may be empty, and counts as zero: of SGD only the
    /// derivative by the momentum depends on it.
    pub state: &'a [Slots<Dual<V, 0>, S>],
}

impl<V: Vector, const S: usize> Values<'_, V, S> {
    /// The first `at` of them, and the others.
    pub(super) fn split(self, at: usize) -> (Self, Self) {
        let (parameters, others) = halves(self.parameters, at);
        let (state, rest) = halves(self.state, at);
        (Self { parameters, state }, Self { parameters: others, state: rest })
    }

    /// Those numbered `range`.
    pub(super) fn range(self, range: Range<usize>) -> Self {
        let parameters = self.parameters.get(range.clone()).unwrap_or_default();
        Self { parameters, state: self.state.get(range).unwrap_or_default() }
    }

    /// Number `row`.
    #[inline(always)]
    pub(super) fn point(self, row: usize) -> Point<V, S> {
        let parameter = self.parameters.get(row).copied().unwrap_or_default();
        let Slots(state) = self.state.get(row).copied().unwrap_or_default();
        Point { parameter: parameter.value, state: each(state, |slot| slot.value) }
    }
}

/// The first `at` elements of a slice that may be empty, and the others.
pub fn halves<T>(slice: &[T], at: usize) -> (&[T], &[T]) {
    slice.split_at_checked(at).unwrap_or_default()
}

/// The step back of one update rule with S slots of state, and D derivatives by its
/// hyperparameters, α_k the first.
pub trait TransposedRule<V: Vector, const S: usize, const D: usize>: Copy + Send + Sync {
    /// Float operations for each parameter.
    const FLOPS: u64;
    /// True if the gradient's adjoint depends on the gradient, which [`seed`](Self::seed) is then
    /// given.
    fn needs_gradient(&self) -> bool;
    /// The direction along which the Hessian is multiplied: the gradient's adjoint up to a factor
    /// that [`transpose`](Self::transpose) knows.
    fn seed(&self, at: Point<V, S>, gradient: V, adjoint: Point<V, S>) -> V;
    /// The adjoints before the step from those after it, and the derivatives by the
    /// hyperparameters; the tangent of `gradient` is the Hessian times the seed.
    fn transpose(
        &self,
        at: Point<V, S>,
        gradient: Dual<V, 1>,
        adjoint: Point<V, S>,
    ) -> (Point<V, S>, [V; D]);
    /// The rule for biases, which do not decay.
    fn for_biases(self) -> Self;
}

/// The coefficients of one step back, from which the rule in every lane is made.
pub trait Transpose<V: Vector, const S: usize, const D: usize, E>: Copy + Send {
    /// The rule in every lane.
    type Rule: TransposedRule<V, S, D>;
    /// The rule where other layers have other coefficients: the Hessian mixes layers, so a seed is
    /// the gradient's adjoint itself.
    type LayerRule: TransposedRule<V, S, D>;
    /// The rule in every lane.
    fn transposed(self) -> Self::Rule;
    /// The rule in every lane of one layer.
    fn transposed_in_layer(self) -> Self::LayerRule;
}

impl<V: Vector, E> Transpose<V, 1, 2, E> for Sgd<V::Scalar, V::Scalar> {
    type Rule = Sgd<V, V>;
    type LayerRule = SgdOfLayer<V>;
    fn transposed(self) -> Sgd<V, V> {
        Sgd { learning_rate: V::splat(self.learning_rate), momentum: V::splat(self.momentum) }
    }
    fn transposed_in_layer(self) -> SgdOfLayer<V> {
        SgdOfLayer(<Self as Transpose<V, 1, 2, E>>::transposed(self))
    }
}

/// The step back of SGD in one layer, whose rate is not that of the others.
#[derive(Clone, Copy, Debug)]
pub struct SgdOfLayer<V>(Sgd<V, V>);

/// With α_l the layer's rate: the seed is α_l w, and λ_θ ← λ_θ − H(α w).
impl<V: Vector> TransposedRule<V, 1, 2> for SgdOfLayer<V> {
    const FLOPS: u64 = 9;

    fn needs_gradient(&self) -> bool {
        false
    }

    #[inline(always)]
    fn seed(&self, at: Point<V, 1>, gradient: V, adjoint: Point<V, 1>) -> V {
        self.0.learning_rate * self.0.seed(at, gradient, adjoint)
    }

    #[inline(always)]
    fn transpose(
        &self,
        at: Point<V, 1>,
        gradient: Dual<V, 1>,
        adjoint: Point<V, 1>,
    ) -> (Point<V, 1>, [V; 2]) {
        let unscaled = Sgd { learning_rate: V::splat(V::Scalar::ONE), ..self.0 };
        unscaled.transpose(at, gradient, adjoint)
    }

    fn for_biases(self) -> Self {
        self
    }
}

/// w = λ_v + λ_θ,  dα = −w·g,  dμ = w·v,  λ_v ← μ w,  λ_θ ← λ_θ − α H w.
impl<V: Vector> TransposedRule<V, 1, 2> for Sgd<V, V> {
    const FLOPS: u64 = 9;

    fn needs_gradient(&self) -> bool {
        false
    }

    #[inline(always)]
    fn seed(&self, _: Point<V, 1>, _: V, adjoint: Point<V, 1>) -> V {
        let [velocity] = adjoint.state;
        velocity + adjoint.parameter
    }

    #[inline(always)]
    fn transpose(
        &self,
        at: Point<V, 1>,
        gradient: Dual<V, 1>,
        adjoint: Point<V, 1>,
    ) -> (Point<V, 1>, [V; 2]) {
        let along = self.seed(at, gradient.value, adjoint);
        let ([velocity], [product]) = (at.state, gradient.tangents);
        let before = Point {
            parameter: adjoint.parameter - self.learning_rate * product,
            state: [self.momentum * along],
        };
        (before, [V::default() - along * gradient.value, along * velocity])
    }

    fn for_biases(self) -> Self {
        self
    }
}

/// The step back of a [`Step`]: the rule with a tangent for its gradient alone, and with one for
/// each number that it depends on.
pub struct TransposedStep<V, E> {
    by_gradient: InLanes<V, 1, Constant<V>, E>,
    by_all: InLanes<V, BACK, Dual<V, BACK>, E>,
    needs_gradient: bool,
}

impl<V: Copy, E> Clone for TransposedStep<V, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Copy, E> Copy for TransposedStep<V, E> {}

impl<V: Vector, E: Elementary<V::Scalar>> Transpose<V, 2, DERIVATIVES, E>
    for Step<Dual<V::Scalar, BACK>>
{
    type Rule = TransposedStep<V, E>;
    type LayerRule = Self::Rule;
    fn transposed_in_layer(self) -> TransposedStep<V, E> {
        self.transposed()
    }
    fn transposed(self) -> TransposedStep<V, E> {
        TransposedStep {
            by_gradient: InLanes::new(
                self.map(|number| Dual::constant(number.value), |number| number.value),
            ),
            by_all: InLanes::new(self),
            needs_gradient: !matches!(self.rule, Rule::Sgd(_)),
        }
    }
}

/// `value` with a one as the tangent of number `direction`.
#[inline(always)]
fn variable<V: Vector, const P: usize>(value: V, direction: usize) -> Dual<V, P> {
    let mut number = Dual::constant(value);
    if let Some(tangent) = number.tangents.get_mut(direction) {
        *tangent = V::splat(V::Scalar::ONE);
    }
    number
}

impl<V: Vector, E: Elementary<V::Scalar>> TransposedRule<V, 2, DERIVATIVES>
    for TransposedStep<V, E>
{
    /// Of Adam: the rule with [`BACK`] tangents, and its three results times their adjoints.
    const FLOPS: u64 = 14 + (36 + 6) * BACK as u64;

    fn needs_gradient(&self) -> bool {
        self.needs_gradient
    }

    #[inline(always)]
    fn seed(&self, at: Point<V, 2>, gradient: V, adjoint: Point<V, 2>) -> V {
        let mut theta = Dual::constant(at.parameter);
        let mut state = each(at.state, Dual::constant);
        self.by_gradient.apply(&mut theta, variable(gradient, 0), &mut state);
        let [along] = along(theta, state, adjoint);
        along
    }

    #[inline(always)]
    fn transpose(
        &self,
        at: Point<V, 2>,
        gradient: Dual<V, 1>,
        adjoint: Point<V, 2>,
    ) -> (Point<V, 2>, [V; DERIVATIVES]) {
        let [first, second] = at.state;
        let mut theta = variable(at.parameter, 0);
        let mut state = [variable(first, 1), variable(second, 2)];
        self.by_all.apply(&mut theta, variable(gradient.value, 3), &mut state);
        let [parameter, first, second, _, by @ ..] = along(theta, state, adjoint);
        const { assert!(BACK == LOCAL + DERIVATIVES) };
        let [product] = gradient.tangents;
        (Point { parameter: parameter + product, state: [first, second] }, by)
    }

    fn for_biases(self) -> Self {
        Self {
            by_gradient: self.by_gradient.for_biases(),
            by_all: self.by_all.for_biases(),
            ..self
        }
    }
}

/// The derivative of the objective along each tangent of a rule's results: Σ adjoint × tangent.
#[inline(always)]
fn along<V: Vector, const P: usize>(
    theta: Dual<V, P>,
    [first, second]: [Dual<V, P>; 2],
    adjoint: Point<V, 2>,
) -> [V; P] {
    let [by_first, by_second] = adjoint.state;
    let mut sums = each(theta.tangents, |tangent| tangent * adjoint.parameter);
    let others = first.tangents.into_iter().zip(second.tangents);
    for (sum, (first, second)) in sums.iter_mut().zip(others) {
        *sum = *sum + first * by_first + second * by_second;
    }
    sums
}
