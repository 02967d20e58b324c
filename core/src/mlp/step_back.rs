//! One training step back: the adjoints of parameters and state before a step from those after it.
//!
//! With g(θ) the gradient of the step's batch, H(θ) its Hessian and λ the derivatives of the
//! objective by parameters and state, the step back of SGD with momentum is
//!
//! ```text
//! w = λ_v + λ_θ,  dα = −w·g,  dμ = w·v,  λ_v ← μ w,  λ_θ ← λ_θ − α H w
//! ```
//!
//! The product H w is the training step itself with one tangent: parameters θ with tangent w have
//! the gradient g with tangent H w. [`KeepGradient`] puts both in the place of the parameters, from
//! where the adjoints are found, and in the same pass θ and w of the step before.
//!
//! Where each layer has a rate α_l of its own, the tangent is α_l w, since H mixes the layers.
//!
//! A derivative by a hyperparameter is a sum over all parameters: for each unit one over its inputs
//! in ascending order and then its bias, and these go through [`Sum`](crate::sum::Sum), layer by
//! layer in ascending order of the units.

use super::batch::Batch;
use super::error::{NonFinite, Quantity};
use super::gemm::run_panels;
use super::layout::{Slots, split_front};
use super::network::Network;
use super::shape::Shape;
use super::sweep::{BOTH, SEED, Sweep, TRANSPOSE};
use super::transposed::{Transpose, TransposedRule, Values};
use super::update::{Update, UpdateRule};
use crate::backend::{Backend, Scalar};
use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::real::Real;
use crate::sum::Sum;
use crate::vector::Vector;

/// The rule that keeps the gradient and moves nothing along it: in the last slot of each parameter,
/// or in the parameter's own place where it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepGradient;

macro_rules! keep_gradient {
    ($slots:literal, $theta:pat, $slot:pat => $place:ident) => {
        impl<V: Vector, E, const P: usize> Update<V, P, $slots, E> for KeepGradient {
            type Rule = Self;
            fn in_lanes(self) -> Self {
                self
            }
        }

        impl<V: Vector, const P: usize> UpdateRule<V, P, $slots> for KeepGradient {
            const FLOPS: u64 = 0;

            #[inline(always)]
            fn apply(
                &self,
                $theta: &mut Dual<V, P>,
                gradient: Dual<V, P>,
                $slot: &mut [Dual<V, P>; $slots],
            ) -> Dual<V, P> {
                *$place = gradient;
                gradient
            }
        }
    };
}

keep_gradient!(0, theta, _ => theta);
keep_gradient!(1, _, [slot] => slot);
keep_gradient!(2, _, [_, slot] => slot);

/// [`KeepGradient`] of the network as it is linear in its parameters around θ: parameters θ with
/// tangent w have the gradient g with tangent G w, G being the Gauss-Newton matrix.
///
/// ```text
/// G = 1/B Σ_b J_bᵀ (diag p_b − p_b p_bᵀ) J_b,   J_b = dz_L/dθ of example b,  p_b = softmax(z_L)
/// ```
///
/// The tangents of the errors are then (diag p − p pᵀ) J w at the top, and the way back is Jᵀ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepLinearised;

impl<V: Vector, E, const P: usize> Update<V, P, 1, E> for KeepLinearised {
    type Rule = KeepGradient;
    const LINEARISED: bool = true;
    fn in_lanes(self) -> KeepGradient {
        KeepGradient
    }
}

/// A step that is taken back: what its coefficients are, and the values before it.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'a, C, V, const S: usize> {
    /// Its coefficients.
    pub step: C,
    /// The values before it.
    pub at: Values<'a, V, S>,
}

/// Adjoints of a network's parameters and of their state, in the order of its buffers, and storage
/// for the derivatives by D hyperparameters.
#[derive(Debug)]
pub struct Adjoints<'a, V, const S: usize, const D: usize> {
    /// Of weights and biases.
    pub parameters: &'a mut [Dual<V, 0>],
    /// Of the state of each.
    pub state: &'a mut [Slots<Dual<V, 0>, S>],
    /// For each vector of units ([`units`](Self::units)) D sums; their contents do not matter.
    pub sums: &'a mut [[V; D]],
    /// True if the network with one tangent already has the directions of the step that is taken
    /// back next; false at first.
    pub seeded: &'a mut bool,
}

impl<V: Vector, const S: usize, const D: usize> Adjoints<'_, V, S, D> {
    /// Vectors of units of a network with layers of these sizes: the length of `sums`.
    pub fn units(sizes: &[usize]) -> usize {
        sizes.iter().skip(1).fold(0, |sum, outputs| sum + outputs.div_ceil(V::LANES))
    }

    /// Adds `weight` times the gradient that stands in the place of `network`'s parameters to the
    /// adjoints of the parameters.
    pub fn add_gradient<G: Backend<Vector = V>, E: Elementary<V::Scalar>>(
        &mut self,
        network: &mut Network<'_, G, 0, E, 0>,
        weight: V::Scalar,
    ) {
        let weight = V::splat(weight);
        let (kept, _) = network.storage();
        for (adjoint, gradient) in self.parameters.iter_mut().zip(&*kept) {
            *adjoint = *adjoint + gradient.scaled(weight);
        }
    }
}

impl<G: Backend, E: Elementary<Scalar<G>>, const S: usize> Network<'_, G, 0, E, S> {
    /// The values of parameters and state.
    pub fn values(&mut self) -> Values<'_, G::Vector, S> {
        let (parameters, state) = self.storage();
        Values { parameters, state }
    }

    /// Puts values of parameters and state into place.
    pub fn load_values(&mut self, values: Values<'_, G::Vector, S>) {
        let (parameters, state) = self.storage();
        copy(parameters, values.parameters);
        copy(state, values.state);
    }

    /// Puts values of parameters into place.
    pub fn load_parameters(&mut self, values: &[Dual<G::Vector, 0>]) {
        copy(self.storage().0, values);
    }
}

/// Copies as many elements as both have.
fn copy<T: Copy>(to: &mut [T], from: &[T]) {
    let length = to.len().min(from.len());
    if let (Some(to), Some(from)) = (to.get_mut(..length), from.get(..length)) {
        to.copy_from_slice(from);
    }
}

impl<G: Backend, E: Elementary<Scalar<G>>> Network<'_, G, 1, E, 0> {
    /// One step back from `adjoints` after it to those before it; returns the derivatives by the
    /// step's hyperparameters, its learning rate the first.
    ///
    /// `this` is the step on `batch`; `next`, where it is known, the step that is taken back by the
    /// next call: its directions are then found in the same pass over memory. `plain` is a network
    /// of the same shape, of which a rule takes the gradient where it needs that beforehand
    /// (RMSprop, Adam).
    ///
    /// # Errors
    /// When a derivative leaves the finite range; the adjoints are then of no further use.
    pub fn step_back<U: Transpose<G::Vector, S, D, E>, const S: usize, const D: usize>(
        &mut self,
        plain: &mut Network<'_, G, 0, E, 0>,
        batch: &Batch<'_, Scalar<G>>,
        this: Taken<'_, U, G::Vector, S>,
        next: Option<Taken<'_, U, G::Vector, S>>,
        adjoints: &mut Adjoints<'_, G::Vector, S, D>,
    ) -> Result<[Scalar<G>; D], NonFinite> {
        let rules = |taken: Taken<'_, U, _, S>| move |_| taken.step.transposed();
        let next = next.map(|next| (rules(next), next.at));
        let mut by = [[Scalar::<G>::ZERO; D]];
        self.back(plain, batch, (rules(this), this.at), next, adjoints, &mut by)?;
        let [by] = by;
        Ok(by)
    }

    /// The same with coefficients of its own for each layer, number 0 being the lowest; `by`
    /// becomes the derivatives by them, layer after layer.
    ///
    /// # Errors
    /// When a derivative leaves the finite range; the adjoints are then of no further use.
    pub fn step_back_by_layer<U, C, const S: usize, const D: usize>(
        &mut self,
        plain: &mut Network<'_, G, 0, E, 0>,
        batch: &Batch<'_, Scalar<G>>,
        this: Taken<'_, C, G::Vector, S>,
        next: Option<Taken<'_, C, G::Vector, S>>,
        adjoints: &mut Adjoints<'_, G::Vector, S, D>,
        by: &mut [[Scalar<G>; D]],
    ) -> Result<(), NonFinite>
    where
        U: Transpose<G::Vector, S, D, E>,
        C: Fn(usize) -> U,
    {
        let rules =
            |taken: Taken<'_, C, _, S>| move |layer| (taken.step)(layer).transposed_in_layer();
        let next = next.map(|next| {
            let at = next.at;
            (rules(next), at)
        });
        let at = this.at;
        self.back(plain, batch, (rules(this), at), next, adjoints, by)
    }

    /// One step back by the rule of each layer. `by` becomes the derivatives, layer after layer;
    /// those of layers past its end are added to its last ones.
    fn back<F, R, const S: usize, const D: usize>(
        &mut self,
        plain: &mut Network<'_, G, 0, E, 0>,
        batch: &Batch<'_, Scalar<G>>,
        this: Stage<'_, F, G::Vector, S>,
        next: Option<Stage<'_, F, G::Vector, S>>,
        adjoints: &mut Adjoints<'_, G::Vector, S, D>,
        by: &mut [[Scalar<G>; D]],
    ) -> Result<(), NonFinite>
    where
        F: Fn(usize) -> R,
        R: TransposedRule<G::Vector, S, D>,
    {
        let (rule, at) = &this;
        if !*adjoints.seeded {
            if rule(0).needs_gradient() {
                plain.load_parameters(at.parameters);
                plain.step(batch, KeepGradient)?;
            }
            let gradients = plain.storage().0;
            self.sweep::<_, _, S, D, SEED>([&this, &this], gradients, adjoints);
        }
        let as_adjoint = |NonFinite(quantity)| match quantity {
            Quantity::Value => NonFinite(Quantity::Value),
            Quantity::Tangent(_) | Quantity::Adjoint => NonFinite(Quantity::Adjoint),
            inverse @ Quantity::Inverse(_) => NonFinite(inverse),
        };
        self.step(batch, KeepGradient).map_err(as_adjoint)?;
        // A gradient that is needed beforehand is not there yet.
        let next = next.filter(|(rule, _)| !rule(0).needs_gradient());
        *adjoints.seeded = next.is_some();
        let probe = match &next {
            Some(next) => self.sweep::<_, _, S, D, BOTH>([&this, next], &[], adjoints),
            None => self.sweep::<_, _, S, D, TRANSPOSE>([&this, &this], &[], adjoints),
        };
        if !(0..G::Vector::LANES).all(|lane| probe.lane(lane).finite()) {
            return Err(NonFinite(Quantity::Adjoint));
        }
        totals(self.shape(), adjoints.sums, by);
        Ok(())
    }

    /// One pass over all parameters, layer by layer; returns 0·(sum of the adjoints), which is NaN
    /// if one of them is not finite.
    fn sweep<F, R, const S: usize, const D: usize, const PASS: u8>(
        &mut self,
        [(this, at), (next, at_next)]: [&Stage<'_, F, G::Vector, S>; 2],
        mut gradients: &[Dual<G::Vector, 0>],
        adjoints: &mut Adjoints<'_, G::Vector, S, D>,
    ) -> Dual<G::Vector, 0>
    where
        F: Fn(usize) -> R,
        R: TransposedRule<G::Vector, S, D>,
    {
        let (backend, shape) = (self.backend(), self.shape());
        let work = shape.parameters().saturating_mul(R::FLOPS as usize / 2);
        let threads = backend.threads(work);
        let (mut theta, _) = self.storage();
        let (mut at, mut at_next) = (*at, *at_next);
        let mut parameters = &mut *adjoints.parameters;
        let (mut state, mut sums) = (&mut *adjoints.state, &mut *adjoints.sums);
        let mut probe = Dual::default();
        for (number, layer) in shape.layers().enumerate() {
            let (this, next) = (this(number), next(number));
            let of_biases = [this.for_biases(), next.for_biases()];
            let (rows, panels) = (layer.inputs + 1, layer.outputs.div_ceil(G::Vector::LANES));
            let length = rows * panels;
            let (here, others) = at.split(length);
            let (here_next, others_next) = at_next.split(length);
            (at, at_next) = (others, others_next);
            let pass = Sweep::<_, _, S, D, PASS> {
                rules: [[&this, &next], of_biases.each_ref()],
                rows,
                theta: split_front(&mut theta, length),
                gradients: front(&mut gradients, length),
                at: [here, here_next],
                adjoints: split_front(&mut parameters, length),
                adjoints_of_state: split_front(&mut state, length),
                sums: split_front(&mut sums, panels),
            };
            probe = probe + run_panels(backend, threads, panels, pass);
        }
        probe
    }
}

/// The rule of each layer, and the values before the step.
type Stage<'a, F, V, const S: usize> = (F, Values<'a, V, S>);

/// The first `length` elements of `slice`, which keeps the others.
fn front<'a, T>(slice: &mut &'a [T], length: usize) -> &'a [T] {
    let (part, rest) = slice.split_at_checked(length).unwrap_or_default();
    *slice = rest;
    part
}

/// The sums over all units, for each hyperparameter, into `by`: a layer's units into its own
/// element, or the last.
fn totals<V: Vector, const D: usize>(
    shape: Shape<'_>,
    mut sums: &[[V; D]],
    by: &mut [[V::Scalar; D]],
) {
    let (last, mut totals) = (by.len().saturating_sub(1), [Sum::default(); D]);
    for (number, layer) in shape.layers().enumerate() {
        let units = front(&mut sums, layer.outputs.div_ceil(V::LANES));
        for (unit, block) in (0..layer.outputs).step_by(V::LANES).zip(units) {
            for lane in 0..V::LANES.min(layer.outputs - unit) {
                for (total, sums) in totals.iter_mut().zip(block) {
                    total.add(sums.lane(lane));
                }
            }
        }
        if let Some(by) = by.get_mut(number.min(last)) {
            *by = totals.map(Sum::total);
        }
        if number < last {
            totals = [Sum::default(); D];
        }
    }
}
