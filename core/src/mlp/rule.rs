//! The update rules of [`Step`] in every lane: Nesterov, RMSprop, Adam, weight decay.

use core::marker::PhantomData;

use super::factor::{Coefficient, Constant, Factor};
use super::update::{ByRule, UpdateRule};
use crate::dual::{Dual, each};
use crate::elementary::Elementary;
use crate::optimizer::{AdamStep, Decay, RmspropStep, Rule, SgdStep, Step};
use crate::vector::Vector;

/// A [`Step`] with its coefficients in every lane, those without the learning rate in them an `F`,
/// and the square roots of `E`.
pub struct InLanes<V, const P: usize, F, E> {
    step: Step<Dual<V, P>, F>,
    elementary: PhantomData<fn() -> E>,
}

impl<V: Copy, const P: usize, F: Copy, E> Clone for InLanes<V, P, F, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Copy, const P: usize, F: Copy, E> Copy for InLanes<V, P, F, E> {}

impl<V: Vector, const P: usize, F: Factor<V, P>, E> InLanes<V, P, F, E> {
    pub fn new<M: Coefficient<V, P, Factor = F>>(step: Step<Dual<V::Scalar, P>, M>) -> Self {
        Self { step: step.map(Dual::splat, Coefficient::factor), elementary: PhantomData }
    }
}

/// √x and its tangents x'/(2√x).
#[inline(always)]
pub fn root<V: Vector, E: Elementary<V::Scalar>, const P: usize>(x: Dual<V, P>) -> Dual<V, P> {
    let value = x.value.map_lanes(E::sqrt);
    let twice = value + value;
    Dual { value, tangents: each(x.tangents, |tangent| tangent / twice) }
}

/// `x`, value and tangents, in the lanes in which `square` is above zero, else zero: no gradient
/// has been seen there, and 0/0 is no step.
#[inline(always)]
pub fn where_seen<V: Vector, const P: usize>(x: Dual<V, P>, square: Dual<V, P>) -> Dual<V, P> {
    x.map(|plane| plane.select_positive(square.value))
}

/// A rule without weight decay.
trait Formula<V: Vector, const P: usize, E>: Sync {
    /// The parameter after a step along `g` from `theta`, and its state.
    fn step(&self, theta: Dual<V, P>, g: Dual<V, P>, state: &mut [Dual<V, P>; 2]) -> Dual<V, P>;
}

impl<V: Vector, const P: usize, F: Factor<V, P>, E> Formula<V, P, E> for SgdStep<Dual<V, P>, F> {
    #[inline(always)]
    fn step(&self, theta: Dual<V, P>, g: Dual<V, P>, [v, _]: &mut [Dual<V, P>; 2]) -> Dual<V, P> {
        let along = g * self.learning_rate;
        *v = self.momentum.times(*v) - along;
        if self.is_nesterov { theta + self.momentum.times(*v) - along } else { theta + *v }
    }
}

impl<V, E, const P: usize, F> Formula<V, P, E> for RmspropStep<Dual<V, P>, F>
where
    V: Vector,
    F: Factor<V, P>,
    E: Elementary<V::Scalar>,
{
    #[inline(always)]
    fn step(
        &self,
        theta: Dual<V, P>,
        g: Dual<V, P>,
        [v, square]: &mut [Dual<V, P>; 2],
    ) -> Dual<V, P> {
        *square = self.rho.times(*square) + self.rest.times(g * g);
        let root = self.epsilon.plus(root::<V, E, P>(self.epsilon_root.plus(*square)));
        let along = where_seen(g * self.learning_rate / root, *square);
        *v = self.momentum.times(*v) - along;
        theta + *v
    }
}

impl<V, E, const P: usize, F> Formula<V, P, E> for AdamStep<Dual<V, P>, F>
where
    V: Vector,
    F: Factor<V, P>,
    E: Elementary<V::Scalar>,
{
    #[inline(always)]
    fn step(
        &self,
        theta: Dual<V, P>,
        g: Dual<V, P>,
        [first, square]: &mut [Dual<V, P>; 2],
    ) -> Dual<V, P> {
        *first = self.beta1.times(*first) + self.rest1.times(g);
        *square = self.beta2.times(*square) + self.rest2.times(g * g);
        let corrected = self.epsilon_root.plus(self.correction.times(*square));
        let root = self.epsilon.plus(root::<V, E, P>(corrected));
        theta - where_seen(*first * self.learning_rate / root, *square)
    }
}

/// Of Adam: seven multiplications, a division and a root of the value; with tangents about four
/// times as many each.
const fn flops(tangents: usize) -> u64 {
    14 + 36 * tangents as u64
}

/// A mean square that overflows would stop its parameter without a word: added to θ, it is not
/// finite then.
#[inline(always)]
fn probe<V: Vector, const P: usize>(theta: Dual<V, P>, state: &[Dual<V, P>; 2]) -> Dual<V, P> {
    let [_, square] = state;
    theta + *square
}

impl<V, E, const P: usize, F> UpdateRule<V, P, 2> for InLanes<V, P, F, E>
where
    V: Vector,
    F: Factor<V, P>,
    E: Elementary<V::Scalar>,
{
    const FLOPS: u64 = flops(P);
    const IS_LONG: bool = true;

    #[inline(always)]
    fn apply(
        &self,
        theta: &mut Dual<V, P>,
        gradient: Dual<V, P>,
        state: &mut [Dual<V, P>; 2],
    ) -> Dual<V, P> {
        let before = *theta;
        let g = match &self.step.decay {
            Decay::Coupled(decay) => gradient + before * *decay,
            Decay::None | Decay::Decoupled(_) => gradient,
        };
        *theta = match &self.step.rule {
            Rule::Sgd(rule) => Formula::<V, P, E>::step(rule, before, g, state),
            Rule::Rmsprop(rule) => Formula::<V, P, E>::step(rule, before, g, state),
            Rule::Adam(rule) => Formula::<V, P, E>::step(rule, before, g, state),
        };
        if let Decay::Decoupled(decay) = &self.step.decay {
            *theta = *theta - before * *decay;
        }
        probe(*theta, state)
    }

    fn for_biases(self) -> Self {
        let step = Step { decay: Decay::None, ..self.step };
        Self { step, ..self }
    }

    #[inline(always)]
    fn decide<W: ByRule<V, P, 2>>(&self, work: W) -> Dual<V, P> {
        match (&self.step.decay, &self.step.rule) {
            (Decay::None, Rule::Sgd(rule)) => work.by(&WithoutDecay::<_, E>::new(rule)),
            (Decay::None, Rule::Rmsprop(rule)) => work.by(&WithoutDecay::<_, E>::new(rule)),
            (Decay::None, Rule::Adam(rule)) => work.by(&WithoutDecay::<_, E>::new(rule)),
            _ => work.by(self),
        }
    }
}

/// One formula, and no decay.
struct WithoutDecay<'a, R, E>(&'a R, PhantomData<fn() -> E>);

impl<'a, R, E> WithoutDecay<'a, R, E> {
    fn new(rule: &'a R) -> Self {
        Self(rule, PhantomData)
    }
}

impl<R, E> Clone for WithoutDecay<'_, R, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, E> Copy for WithoutDecay<'_, R, E> {}

impl<V: Vector, const P: usize, R: Formula<V, P, E>, E> UpdateRule<V, P, 2>
    for WithoutDecay<'_, R, E>
{
    const FLOPS: u64 = flops(P);

    #[inline(always)]
    fn apply(
        &self,
        theta: &mut Dual<V, P>,
        gradient: Dual<V, P>,
        state: &mut [Dual<V, P>; 2],
    ) -> Dual<V, P> {
        *theta = self.0.step(*theta, gradient, state);
        probe(*theta, state)
    }
}

/// A [`TunableStep`] in every lane.
pub enum TunableInLanes<V: Vector, const P: usize, E> {
    OfRate(InLanes<V, P, Constant<V>, E>),
    OfAll(InLanes<V, P, Dual<V, P>, E>),
}

impl<V: Vector, const P: usize, E> Clone for TunableInLanes<V, P, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Vector, const P: usize, E> Copy for TunableInLanes<V, P, E> {}

impl<V: Vector, const P: usize, E: Elementary<V::Scalar>> UpdateRule<V, P, 2>
    for TunableInLanes<V, P, E>
{
    const FLOPS: u64 = flops(P);
    const IS_LONG: bool = true;

    #[inline(always)]
    fn apply(
        &self,
        theta: &mut Dual<V, P>,
        gradient: Dual<V, P>,
        state: &mut [Dual<V, P>; 2],
    ) -> Dual<V, P> {
        match self {
            Self::OfRate(rule) => rule.apply(theta, gradient, state),
            Self::OfAll(rule) => rule.apply(theta, gradient, state),
        }
    }

    fn for_biases(self) -> Self {
        match self {
            Self::OfRate(rule) => Self::OfRate(rule.for_biases()),
            Self::OfAll(rule) => Self::OfAll(rule.for_biases()),
        }
    }

    #[inline(always)]
    fn decide<W: ByRule<V, P, 2>>(&self, work: W) -> Dual<V, P> {
        match self {
            Self::OfRate(rule) => rule.decide(work),
            Self::OfAll(rule) => rule.decide(work),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementary::Libm;
    use crate::optimizer::{Hyperparameters, Method};

    fn one_step(method: Method<f64>, gradient: f64) -> Dual<f64, 1> {
        let hyperparameters = Hyperparameters { method, decay: Decay::None };
        let constant = hyperparameters.map(Dual::constant);
        let rate = Dual { value: 0.1, tangents: [1.0] };
        let rule = InLanes::<f64, 1, Dual<f64, 1>, Libm>::new(constant.step::<Libm>(0, rate));
        let mut theta = Dual::constant(1.0);
        let mut state = [Dual::default(); 2];
        rule.apply(&mut theta, Dual::constant(gradient), &mut state);
        theta
    }

    #[test]
    fn a_parameter_without_a_gradient_stays_and_so_do_its_tangents() {
        for epsilon in [0.0, 1e-8] {
            let adam = Method::Adam { beta1: 0.9, beta2: 0.99, epsilon, epsilon_root: 0.0 };
            let inside =
                |is_inside| Method::Rmsprop { rho: 0.9, momentum: 0.5, epsilon, is_inside };
            for method in [adam, inside(false), inside(true)] {
                let theta = one_step(method, 0.0);
                assert_eq!((theta.value, theta.tangents), (1.0, [0.0]), "{method:?}");
            }
        }
    }

    #[test]
    fn the_first_step_of_adam_is_the_learning_rate_whatever_the_gradient() {
        for gradient in [1e-3, 1.0, 1e6] {
            let adam = Method::Adam { beta1: 0.9, beta2: 0.999, epsilon: 0.0, epsilon_root: 0.0 };
            let theta = one_step(adam, gradient);
            assert!((theta.value - 0.9).abs() < 1e-12, "{theta:?}");
            assert!((theta.tangents[0] + 1.0).abs() < 1e-12, "{theta:?}");
        }
    }
}
