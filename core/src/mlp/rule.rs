//! The update rules of [`Step`] in every lane: Nesterov, RMSprop, Adam, weight decay.

use core::marker::PhantomData;

use super::update::UpdateRule;
use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::optimizer::{Decay, Rule, Step};
use crate::vector::Vector;

/// A [`Step`] with its coefficients in every lane, and the square roots of `E`.
pub struct InLanes<V, const P: usize, E> {
    step: Step<Dual<V, P>>,
    elementary: PhantomData<E>,
}

impl<V: Copy, const P: usize, E> Clone for InLanes<V, P, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Copy, const P: usize, E> Copy for InLanes<V, P, E> {}

impl<V: Vector, const P: usize, E> InLanes<V, P, E> {
    pub fn new(step: Step<Dual<V::Scalar, P>>) -> Self {
        Self { step: step.map(Dual::splat), elementary: PhantomData }
    }
}

/// √x and its tangents x'/(2√x).
#[inline(always)]
pub fn root<V: Vector, E: Elementary<V::Scalar>, const P: usize>(x: Dual<V, P>) -> Dual<V, P> {
    let value = x.value.map_lanes(E::sqrt);
    let twice = value + value;
    Dual { value, tangents: x.tangents.map(|tangent| tangent / twice) }
}

/// `x`, value and tangents, in the lanes in which `square` is above zero, else zero: no gradient
/// has been seen there, and 0/0 is no step.
#[inline(always)]
pub fn where_seen<V: Vector, const P: usize>(x: Dual<V, P>, square: Dual<V, P>) -> Dual<V, P> {
    x.map(|plane| plane.select_positive(square.value))
}

impl<V, E, const P: usize> UpdateRule<V, P, 2> for InLanes<V, P, E>
where
    V: Vector,
    E: Elementary<V::Scalar>,
{
    /// Of Adam: seven multiplications, a division and a root of the value; with tangents about four
    /// times as many each.
    const FLOPS: u64 = 14 + 36 * P as u64;
    const IS_LONG: bool = true;

    #[inline(always)]
    fn apply(
        &self,
        theta: &mut Dual<V, P>,
        gradient: Dual<V, P>,
        [first, square]: &mut [Dual<V, P>; 2],
    ) -> Dual<V, P> {
        let before = *theta;
        let g = match self.step.decay {
            Decay::Coupled(decay) => gradient + before * decay,
            Decay::None | Decay::Decoupled(_) => gradient,
        };
        match self.step.rule {
            Rule::Sgd { learning_rate, momentum, is_nesterov } => {
                let along = g * learning_rate;
                *first = *first * momentum - along;
                *theta =
                    if is_nesterov { before + *first * momentum - along } else { before + *first };
            }
            Rule::Rmsprop { learning_rate, momentum, rho, rest, epsilon, is_inside } => {
                *square = *square * rho + g * g * rest;
                let root = if is_inside {
                    root::<V, E, P>(*square + epsilon)
                } else {
                    root::<V, E, P>(*square) + epsilon
                };
                let along = where_seen(g * learning_rate / root, *square);
                *first = *first * momentum - along;
                *theta = before + *first;
            }
            Rule::Adam {
                learning_rate,
                beta1,
                rest1,
                beta2,
                rest2,
                correction,
                epsilon,
                epsilon_root,
            } => {
                *first = *first * beta1 + g * rest1;
                *square = *square * beta2 + g * g * rest2;
                let root = root::<V, E, P>(*square * correction + epsilon_root) + epsilon;
                let along = where_seen(*first * learning_rate / root, *square);
                *theta = before - along;
            }
        }
        if let Decay::Decoupled(decay) = self.step.decay {
            *theta = *theta - before * decay;
        }
        // A mean square that overflows would stop its parameter without a word.
        *theta + *square
    }

    fn for_biases(self) -> Self {
        let step = Step { decay: Decay::None, ..self.step };
        Self { step, ..self }
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
        let rule = InLanes::<f64, 1, Libm>::new(constant.step::<Libm>(0, rate));
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
