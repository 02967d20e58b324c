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
//! the gradient g with tangent H w. [`KeepGradient`] keeps both, in place of moving the parameters
//! along them.
//!
//! Where each layer has a rate α_l of its own, the tangent is α_l w, since H mixes the layers.
//!
//! A derivative by a hyperparameter is a sum over all parameters: for each unit one over its inputs
//! in ascending order and then its bias, and these go through [`Sum`](crate::sum::Sum), layer by
//! layer in ascending order of the units.

use super::batch::Batch;
use super::error::{NonFinite, Quantity};
use super::gemm::{PanelPass, run_panels};
use super::layout::{Slots, split_front};
use super::matrix::split_mut;
use super::network::Network;
use super::shape::Shape;
use super::transposed::{Point, Transpose, TransposedRule};
use super::update::{Update, UpdateRule};
use crate::backend::{Backend, Scalar};
use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::real::Real;
use crate::sum::Sum;
use crate::vector::Vector;

/// The rule that leaves parameters where they are, and their gradient in the slot of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepGradient;

impl<V: Vector, E, const P: usize> Update<V, P, 1, E> for KeepGradient {
    type Rule = Self;
    fn in_lanes(self) -> Self {
        self
    }
}

impl<V: Vector, const P: usize> UpdateRule<V, P, 1> for KeepGradient {
    const FLOPS: u64 = 0;

    #[inline(always)]
    fn apply(
        &self,
        _: &mut Dual<V, P>,
        gradient: Dual<V, P>,
        [slot]: &mut [Dual<V, P>; 1],
    ) -> Dual<V, P> {
        *slot = gradient;
        gradient
    }
}

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

/// Values of a network's parameters and of their state, in the order of its buffers.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a, V, const S: usize> {
    /// Weights and biases.
    pub parameters: &'a [Dual<V, 0>],
    /// The state of each.
    pub state: &'a [Slots<Dual<V, 0>, S>],
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
}

impl<V: Vector, const S: usize, const D: usize> Adjoints<'_, V, S, D> {
    /// Vectors of units of a network with layers of these sizes: the length of `sums`.
    pub fn units(sizes: &[usize]) -> usize {
        sizes.iter().skip(1).fold(0, |sum, outputs| sum + outputs.div_ceil(V::LANES))
    }

    /// Adds `weight` times the gradient that `network` keeps to the adjoints of the parameters.
    pub fn add_gradient<G: Backend<Vector = V>, E: Elementary<V::Scalar>>(
        &mut self,
        network: &mut Network<'_, G, 0, E, 1>,
        weight: V::Scalar,
    ) {
        let weight = V::splat(weight);
        let (_, kept) = network.storage();
        for (adjoint, Slots([gradient])) in self.parameters.iter_mut().zip(&*kept) {
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

impl<G: Backend, E: Elementary<Scalar<G>>> Network<'_, G, 1, E, 1> {
    /// One step back from `adjoints` after it to those before it; returns the derivatives by the
    /// step's hyperparameters, its learning rate the first.
    ///
    /// `at` are the values before the step on `batch`, `step` its coefficients. `plain` is a
    /// network of the same shape, of which a rule takes the gradient where it needs that beforehand
    /// (RMSprop, Adam).
    ///
    /// # Errors
    /// When a derivative leaves the finite range; the adjoints are then of no further use.
    pub fn step_back<const S: usize, const D: usize>(
        &mut self,
        plain: &mut Network<'_, G, 0, E, 1>,
        batch: &Batch<'_, Scalar<G>>,
        step: impl Transpose<G::Vector, S, D, E>,
        at: Values<'_, G::Vector, S>,
        adjoints: &mut Adjoints<'_, G::Vector, S, D>,
    ) -> Result<[Scalar<G>; D], NonFinite> {
        let mut by = [[Scalar::<G>::ZERO; D]];
        self.back(plain, batch, |_| step.transposed(), at, adjoints, &mut by)?;
        let [by] = by;
        Ok(by)
    }

    /// The same with coefficients of its own for each layer, number 0 being the lowest; `by`
    /// becomes the derivatives by them, layer after layer.
    ///
    /// # Errors
    /// When a derivative leaves the finite range; the adjoints are then of no further use.
    pub fn step_back_by_layer<U: Transpose<G::Vector, S, D, E>, const S: usize, const D: usize>(
        &mut self,
        plain: &mut Network<'_, G, 0, E, 1>,
        batch: &Batch<'_, Scalar<G>>,
        step: impl Fn(usize) -> U,
        at: Values<'_, G::Vector, S>,
        adjoints: &mut Adjoints<'_, G::Vector, S, D>,
        by: &mut [[Scalar<G>; D]],
    ) -> Result<(), NonFinite> {
        self.back(plain, batch, |layer| step(layer).transposed_in_layer(), at, adjoints, by)
    }

    /// One step back by the `rule` of each layer. `by` becomes the derivatives, layer after layer;
    /// those of layers past its end are added to its last ones.
    fn back<R: TransposedRule<G::Vector, S, D>, const S: usize, const D: usize>(
        &mut self,
        plain: &mut Network<'_, G, 0, E, 1>,
        batch: &Batch<'_, Scalar<G>>,
        rule: impl Fn(usize) -> R,
        at: Values<'_, G::Vector, S>,
        adjoints: &mut Adjoints<'_, G::Vector, S, D>,
        by: &mut [[Scalar<G>; D]],
    ) -> Result<(), NonFinite> {
        if rule(0).needs_gradient() {
            plain.load_parameters(at.parameters);
            plain.step(batch, KeepGradient)?;
        }
        let gradients = plain.storage().1;
        self.sweep::<_, S, D, SEED>(&rule, gradients, at, adjoints);
        let as_adjoint = |NonFinite(quantity)| match quantity {
            Quantity::Value => NonFinite(Quantity::Value),
            Quantity::Tangent(_) | Quantity::Adjoint => NonFinite(Quantity::Adjoint),
        };
        self.step(batch, KeepGradient).map_err(as_adjoint)?;
        let probe = self.sweep::<_, S, D, TRANSPOSE>(&rule, gradients, at, adjoints);
        if !(0..G::Vector::LANES).all(|lane| probe.lane(lane).finite()) {
            return Err(NonFinite(Quantity::Adjoint));
        }
        totals(self.shape(), adjoints.sums, by);
        Ok(())
    }

    /// One pass over all parameters, layer by layer; returns 0·(sum of the adjoints), which is NaN
    /// if one of them is not finite.
    fn sweep<R, const S: usize, const D: usize, const PASS: u8>(
        &mut self,
        rule: impl Fn(usize) -> R,
        mut gradients: &[Slots<Dual<G::Vector, 0>, 1>],
        mut at: Values<'_, G::Vector, S>,
        adjoints: &mut Adjoints<'_, G::Vector, S, D>,
    ) -> Dual<G::Vector, 0>
    where
        R: TransposedRule<G::Vector, S, D>,
    {
        let (backend, shape) = (self.backend(), self.shape());
        let work = shape.parameters().saturating_mul(R::FLOPS as usize / 2);
        let threads = backend.threads(work);
        let (mut theta, kept) = self.storage();
        let mut kept = &*kept;
        let mut parameters = &mut *adjoints.parameters;
        let (mut state, mut sums) = (&mut *adjoints.state, &mut *adjoints.sums);
        let mut probe = Dual::default();
        for (number, layer) in shape.layers().enumerate() {
            let rule = rule(number);
            let biases = rule.for_biases();
            let (rows, panels) = (layer.inputs + 1, layer.outputs.div_ceil(G::Vector::LANES));
            let length = rows * panels;
            let pass = Sweep::<_, _, S, D, PASS> {
                rules: [&rule, &biases],
                rows,
                theta: split_front(&mut theta, length),
                kept: front(&mut kept, length),
                gradients: front(&mut gradients, length),
                parameters: front(&mut at.parameters, length),
                state: front(&mut at.state, length),
                adjoints: split_front(&mut parameters, length),
                adjoints_of_state: split_front(&mut state, length),
                sums: split_front(&mut sums, panels),
            };
            probe = probe + run_panels(backend, threads, panels, pass);
        }
        probe
    }
}

/// The pass that finds the directions for the product with the Hessian.
const SEED: u8 = 0;
/// The pass that takes the adjoints through the rule.
const TRANSPOSE: u8 = 1;

/// The first `length` elements of `slice`, which keeps the others.
fn front<'a, T>(slice: &mut &'a [T], length: usize) -> &'a [T] {
    let (part, rest) = slice.split_at_checked(length).unwrap_or_default();
    *slice = rest;
    part
}

/// The first `at` elements of a slice that may be empty, and the others.
fn halves<T>(slice: &[T], at: usize) -> (&[T], &[T]) {
    slice.split_at_checked(at).unwrap_or_default()
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

/// One layer's part of a pass over parameters, state and adjoints, in column panels.
struct Sweep<'a, V: Vector, R, const S: usize, const D: usize, const PASS: u8> {
    /// The rule of the weights and that of the biases.
    rules: [&'a R; 2],
    /// Rows of the parameters: inputs + 1, the biases last.
    rows: usize,
    /// Parameters of the network with one tangent.
    theta: &'a mut [Dual<V, 1>],
    /// The gradient, with the product with the Hessian as its tangent.
    kept: &'a [Slots<Dual<V, 1>, 1>],
    /// The gradient, where the rule needs it beforehand.
    gradients: &'a [Slots<Dual<V, 0>, 1>],
    parameters: &'a [Dual<V, 0>],
    state: &'a [Slots<Dual<V, 0>, S>],
    adjoints: &'a mut [Dual<V, 0>],
    adjoints_of_state: &'a mut [Slots<Dual<V, 0>, S>],
    sums: &'a mut [[V; D]],
}

impl<V, R, const S: usize, const D: usize, const PASS: u8> PanelPass<V, 0>
    for Sweep<'_, V, R, S, D, PASS>
where
    V: Vector,
    R: TransposedRule<V, S, D>,
{
    /// More than there are: one panel at a time, since memory is what it waits for.
    const ACCUMULATORS: usize = usize::MAX;

    fn label(&self) -> &'static str {
        if PASS == SEED { "seeds of the step back" } else { "adjoints" }
    }

    fn flops(&self, panels: usize) -> u64 {
        let numbers = (self.rows * panels * V::LANES) as u64;
        if PASS == SEED { numbers } else { numbers * R::FLOPS }
    }

    fn resident_bytes(&self) -> usize {
        0
    }

    fn split(self, panels: usize) -> (Self, Self) {
        let at = panels * self.rows;
        let (theta, other_theta) = split_mut(self.theta, self.rows, panels);
        let (kept, other_kept) = halves(self.kept, at);
        let (gradients, other_gradients) = halves(self.gradients, at);
        let (parameters, other_parameters) = halves(self.parameters, at);
        let (state, other_state) = halves(self.state, at);
        let (adjoints, other_adjoints) = split_mut(self.adjoints, self.rows, panels);
        let (of_state, others_of_state) = split_mut(self.adjoints_of_state, self.rows, panels);
        let (sums, other_sums) = split_mut(self.sums, 1, panels);
        let first = Self {
            theta,
            kept,
            gradients,
            parameters,
            state,
            adjoints,
            adjoints_of_state: of_state,
            sums,
            ..self
        };
        let second = Self {
            rules: self.rules,
            rows: self.rows,
            theta: other_theta,
            kept: other_kept,
            gradients: other_gradients,
            parameters: other_parameters,
            state: other_state,
            adjoints: other_adjoints,
            adjoints_of_state: others_of_state,
            sums: other_sums,
        };
        (first, second)
    }

    #[inline(always)]
    fn compute<const NR: usize>(&mut self, panel: usize) -> Dual<V, 0> {
        let range = panel * self.rows..(panel + 1) * self.rows;
        let gradients = self.gradients.get(range.clone()).unwrap_or_default();
        let (
            Some(theta),
            Some(kept),
            Some(parameters),
            Some(state),
            Some(adjoints),
            Some(of_state),
        ) = (
            self.theta.get_mut(range.clone()),
            self.kept.get(range.clone()),
            self.parameters.get(range.clone()),
            self.state.get(range.clone()),
            self.adjoints.get_mut(range.clone()),
            self.adjoints_of_state.get_mut(range),
        )
        else {
            return Dual::default();
        };
        let [weights, biases] = self.rules;
        let values = parameters.iter().zip(state);
        let adjoints = adjoints.iter_mut().zip(of_state);
        let mut probe = V::default();
        let mut sums = [V::default(); D];
        for (row, ((parameter, Slots(state)), (adjoint, of_state))) in
            values.zip(adjoints).enumerate()
        {
            let rule = if row + 1 == self.rows { biases } else { weights };
            let at = Point { parameter: parameter.value, state: state.map(|slot| slot.value) };
            let after =
                Point { parameter: adjoint.value, state: of_state.0.map(|slot| slot.value) };
            if PASS == SEED {
                let gradient = match gradients.get(row) {
                    Some(Slots([gradient])) => gradient.value,
                    None => V::default(),
                };
                if let Some(theta) = theta.get_mut(row) {
                    let tangents = [rule.seed(at, gradient, after)];
                    *theta = Dual { value: at.parameter, tangents };
                }
                continue;
            }
            let Some(Slots([gradient])) = kept.get(row) else { break };
            let (before, by) = rule.transpose(at, *gradient, after);
            for (sum, by) in sums.iter_mut().zip(by) {
                *sum = *sum + by;
            }
            probe = before.state.into_iter().fold(probe + before.parameter, |sum, x| sum + x);
            *adjoint = Dual::constant(before.parameter);
            *of_state = Slots(before.state.map(Dual::constant));
        }
        if PASS == TRANSPOSE
            && let Some(place) = self.sums.get_mut(panel)
        {
            *place = sums;
        }
        Dual::constant(probe * V::splat(V::Scalar::ZERO))
    }
}
