//! A network trained by K-FAC; the equations are those of [`crate::kfac`].
//!
//! A step is the network's own pass forward and back, which leaves the gradient in the second slot
//! of each parameter ([`KeepGradient`]); beside it come the statistics ([`statistic`]), now and
//! then their Cholesky factors, and the solutions with them ([`triangular`]). In the first slot is
//! the velocity, moved by the rule of SGD.
//!
//! The order of sums: second moments over examples, ascending, from +0; the traces in ascending
//! order through [`Sum`](crate::sum::Sum); ⟨U, G⟩ of each unit over its inputs, ascending, and the
//! bias, those of a layer's units through `Sum`, the layers ascending. S_λ is divided by first.

mod apply;
mod buffers;
#[cfg(feature = "alloc")]
mod heap;
mod labels;
mod statistic;
mod triangular;

pub use buffers::{KfacBuffers, KfacLengths};
#[cfg(feature = "alloc")]
pub use heap::HeapKfac;

use apply::{Apply, Gather, Scatter};
use buffers::{Factors, Inputs, LayerSizes, Room};
use labels::Draw;
use statistic::{ExamplesWithOne, MovingAverage, WithOne, average_of, average_of_examples};
use triangular::{Factor, Root, Solve};

use super::batch::Batch;
use super::error::{InvalidNetwork, KroneckerFactor, NonFinite, Quantity, finite};
use super::gemm::run_panels;
use super::matrix::Matrix;
use super::model::{Evaluate, Model};
use super::network::{Network, total};
use super::rule::root;
use super::softmax::Evaluation;
use super::step_back::KeepGradient;
use super::transpose::Transpose;
use super::update::Update;
use super::view::View;
use crate::backend::{Backend, Scalar};
use crate::dual::Dual;
use crate::elementary::{Elementary, Libm};
use crate::kfac::KfacStep;
use crate::optimizer::{Decay, Rule, SgdStep, Step};
use crate::real::Real;
use crate::rng::Pcg32;
use crate::sum::sum;
use crate::vector::Vector;

/// A network with the storage that K-FAC needs.
///
/// The state of a parameter are its velocity and the last U.
#[derive(Debug)]
pub struct KfacNetwork<'a, G: Backend, const P: usize, E = Libm> {
    network: Network<'a, G, P, E, 2>,
    buffers: KfacBuffers<'a, G::Vector, P>,
}

/// The coefficients of a step of a network on `G` with P tangents.
type Coefficients<G, const P: usize> = KfacStep<Dual<Scalar<G>, P>, Scalar<G>>;

impl<'a, G: Backend, const P: usize, E: Elementary<Scalar<G>>> KfacNetwork<'a, G, P, E> {
    /// `network` with these buffers, for batches as large as the network's.
    ///
    /// # Errors
    /// A buffer that is not as long as [`KfacLengths`] says.
    pub fn new(
        network: Network<'a, G, P, E, 2>,
        buffers: KfacBuffers<'a, G::Vector, P>,
    ) -> Result<Self, InvalidNetwork> {
        let lengths = KfacLengths::new(network.shape(), network.batch(), G::Vector::LANES);
        if buffers.fit(&lengths) {
            Ok(Self { network, buffers })
        } else {
            Err(InvalidNetwork::Length)
        }
    }

    /// The network.
    pub fn network(&mut self) -> &mut Network<'a, G, P, E, 2> {
        &mut self.network
    }

    /// Gives `f` the statistics and Cholesky factors one after the other, to be read or replaced:
    /// for each layer A, S, and the factors of A_λ and S_λ, of each row the numbers up to the
    /// diagonal.
    pub fn each_factor(&mut self, mut f: impl FnMut(&mut Dual<Scalar<G>, P>)) {
        let (mut storage, _) = self.buffers.parts();
        for layer in self.network.shape().layers() {
            let sizes = LayerSizes::new(layer, G::Vector::LANES);
            let factors = storage.next(sizes);
            match factors.inputs {
                Inputs::First(a) => each_of(a, sizes.rows, sizes.rows, &mut f),
                Inputs::Others(a) => each_of(a, sizes.rows, sizes.rows, &mut f),
            }
            each_of(factors.errors, sizes.outputs + 1, sizes.outputs, &mut f);
            for (root, size) in factors.roots.into_iter().zip([sizes.rows, sizes.outputs]) {
                // A number is its own vector of one lane.
                each_of(root, size, size, &mut f);
            }
        }
    }

    /// One step on `batch`, with coefficients of its own for each layer, number 0 being the lowest;
    /// all but the learning rate, the momentum and the weight decay are those of that layer.
    /// Returns the batch's mean loss before the step, in nats.
    ///
    /// # Errors
    /// When the loss, a parameter or a tangent of them is no longer finite, or a damped factor is
    /// singular as far as its rounding tells; parameters and state are then of no further use.
    pub fn step_by_layer(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        update: impl Fn(usize) -> Coefficients<G, P>,
    ) -> Result<Dual<Scalar<G>, P>, NonFinite> {
        let KfacStep { number, all, .. } = update(0);
        let examples = batch.len().min(self.network.batch());
        let kept = if number == 0 { Scalar::<G>::ZERO } else { all.kept };
        let mut probe = Dual::default();
        if let Some(mut rng) = all.labels {
            rng.skip(u64::from(number) * examples as u64);
            probe = self.drawn_errors(batch, examples, rng, kept);
        }
        let found = self.network.forward(batch, batch.labels(), true);
        let loss = found.loss.divided(Scalar::<G>::from_u32(batch.len() as u32));
        finite(loss)?;
        probe = probe + self.average_inputs(batch, examples, kept);
        probe = probe + self.network.backward(batch, |_| KeepGradient);
        if all.labels.is_none() {
            probe = probe + self.average_errors(examples, kept);
        }
        finite(probe)?;
        if number.is_multiple_of(all.refactor_every) {
            self.factorise(all.damping)?;
        }
        let along = self.precondition(&update);
        let share = clip::<_, E, P>(all.clip, along);
        finite(self.apply(&update, share))?;
        Ok(loss)
    }

    /// Moves S by the errors of labels drawn from what the network predicts.
    fn drawn_errors(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        examples: usize,
        rng: Pcg32,
        kept: Scalar<G>,
    ) -> Dual<Scalar<G>, P> {
        let Self { network, buffers } = self;
        let labels = buffers.labels.get_mut(..examples).unwrap_or_default();
        // Without a way back, the scores are left in the place of the logits.
        network.forward(batch, batch.labels(), false);
        let backend = network.backend();
        if let Some(top) = network.views().highest() {
            let classes = top.layer.outputs;
            backend.run(Draw { classes, scores: top.values(), rng, labels: &mut *labels });
        }
        network.forward(batch, labels, true);
        network.backward(batch, |_| KeepGradient);
        self.average_errors(examples, kept)
    }

    /// Moves A of every layer by the activations, which are there after the way forward.
    fn average_inputs(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        examples: usize,
        kept: Scalar<G>,
    ) -> Dual<Scalar<G>, P> {
        let (backend, threads) = (self.network.backend(), self.network.threads(examples));
        let rule = MovingAverage::of_inputs(kept, examples);
        let (mut storage, Room { examples: inputs, activations, .. }) = self.buffers.parts();
        let mut probe = Dual::default();
        let mut below: Option<View<'_, _, P, 2>> = None;
        let mut views = self.network.views();
        while let Some(view) = views.lowest() {
            let units = view.layer.inputs;
            let factors = storage.next(LayerSizes::new(view.layer, G::Vector::LANES));
            match (factors.inputs, &below) {
                (Inputs::First(average), _) => {
                    let (rows, by_example) = (view.batch, batch.by_example());
                    let to = &mut *inputs;
                    backend.run(ExamplesWithOne { inputs: units, examples, by_example, rows, to });
                    let x = Matrix { elements: &*inputs, rows };
                    let found =
                        average_of_examples(backend, threads, batch, x, units, average, rule);
                    probe = probe + Dual::constant(total(found).value);
                }
                (Inputs::Others(average), Some(below)) => {
                    let values = below.values();
                    backend.run(WithOne { units, values, to: &mut *activations });
                    let x = Matrix { elements: &*activations, rows: below.batch };
                    let found = average_of(backend, threads, examples, x, units, average, rule);
                    probe = probe + total(found);
                }
                (Inputs::Others(_), None) => {}
            }
            below = Some(view);
        }
        probe
    }

    /// Moves S of every layer by the errors, which are there after the way back.
    fn average_errors(&mut self, examples: usize, kept: Scalar<G>) -> Dual<Scalar<G>, P> {
        let (backend, threads) = (self.network.backend(), self.network.threads(examples));
        let rule = MovingAverage::of_errors(kept, examples);
        let mut probe = Dual::default();
        let (mut storage, _) = self.buffers.parts();
        let mut views = self.network.views();
        while let Some(view) = views.lowest() {
            let units = view.layer.outputs;
            let average = storage.next(LayerSizes::new(view.layer, G::Vector::LANES)).errors;
            let x = view.values();
            probe = probe + total(average_of(backend, threads, examples, x, units, average, rule));
        }
        probe
    }

    /// The Cholesky factors of A_λ and S_λ in every layer.
    fn factorise(&mut self, damping: Dual<Scalar<G>, P>) -> Result<(), NonFinite> {
        let (backend, shape) = (self.network.backend(), self.network.shape());
        let (mut storage, Room { gradient: column, .. }) = self.buffers.parts();
        for (number, layer) in shape.layers().enumerate() {
            let sizes = LayerSizes::new(layer, G::Vector::LANES);
            let LayerSizes { rows, outputs, .. } = sizes;
            let Factors { inputs, errors, roots: [of_inputs, of_errors] } = storage.next(sizes);
            let trace_of_inputs = match &inputs {
                Inputs::First(a) => Dual::constant(trace(a, rows, rows).value),
                Inputs::Others(a) => trace(a, rows, rows),
            };
            let trace_of_errors = trace(errors, outputs + 1, outputs);
            let traces = [(trace_of_inputs, rows), (trace_of_errors, outputs)];
            let [damping_of_inputs, damping_of_errors] = factored::<_, E, P>(damping, traces);
            let singular = |is_of_inputs| {
                let factor = KroneckerFactor { layer: number as u16, is_of_inputs };
                NonFinite(Quantity::Inverse(factor))
            };
            let room = (of_inputs, &mut *column);
            let is_regular = match inputs {
                Inputs::First(elements) => {
                    let a = Matrix { elements: &*elements, rows };
                    backend.run(Factor::<_, E, P, 0>::new(a, rows, damping_of_inputs, room))
                }
                Inputs::Others(elements) => {
                    let a = Matrix { elements: &*elements, rows };
                    backend.run(Factor::<_, E, P, P>::new(a, rows, damping_of_inputs, room))
                }
            };
            if !is_regular {
                return Err(singular(true));
            }
            let s = Matrix { elements: &*errors, rows: outputs + 1 };
            let room = (of_errors, &mut *column);
            if !backend.run(Factor::<_, E, P, P>::new(s, outputs, damping_of_errors, room)) {
                return Err(singular(false));
            }
        }
        Ok(())
    }

    /// Puts U in the place of the gradient; returns Σ α² ⟨U, G + ξ W⟩ over all layers.
    fn precondition(
        &mut self,
        update: &impl Fn(usize) -> Coefficients<G, P>,
    ) -> Dual<Scalar<G>, P> {
        let backend = self.network.backend();
        let (mut storage, Room { gradient, transposed, .. }) = self.buffers.parts();
        let mut along = Dual::default();
        let mut views = self.network.views();
        let mut number = 0;
        while let Some(view) = views.lowest() {
            let sizes = LayerSizes::new(view.layer, G::Vector::LANES);
            let LayerSizes { rows, panels, outputs, output_panels } = sizes;
            let Factors { roots: [of_inputs, of_errors], .. } = storage.next(sizes);
            let gradient = gradient.get_mut(..sizes.gradient()).unwrap_or_default();
            let transposed = transposed.get_mut(..sizes.transposed()).unwrap_or_default();
            let KfacStep { learning_rate, all, .. } = update(number);
            let decay = match all.decay {
                Decay::Coupled(decay) => Some(Dual::splat(decay)),
                Decay::None | Decay::Decoupled(_) => None,
            };
            let View { parameters, state, .. } = view;
            backend.run(Gather { rows, decay, parameters, state: &mut *state, to: &mut *gradient });
            let solved = |size: usize, panels, root: &mut [_], right: &mut [_]| {
                let multiply_adds = size * size * panels * G::Vector::LANES * (P + 1);
                let root = Root { elements: &*root, size };
                let threads = backend.threads(multiply_adds);
                run_panels(backend, threads, panels, Solve { root, right });
            };
            backend.run(Transpose {
                inputs: rows,
                outputs,
                weights: Matrix { elements: &*gradient, rows },
                out: &mut *transposed,
            });
            solved(outputs, panels, of_errors, transposed);
            backend.run(Transpose {
                inputs: outputs,
                outputs: rows,
                weights: Matrix { elements: &*transposed, rows: outputs },
                out: &mut *gradient,
            });
            solved(rows, output_panels, of_inputs, gradient);
            let found = backend.run(Scatter { rows, units: outputs, from: &*gradient, state });
            along = along + learning_rate * learning_rate * found;
            number += 1;
        }
        along
    }

    /// Moves velocity and parameters along `share` times U; returns 0·(sum of what was updated).
    fn apply(
        &mut self,
        update: &impl Fn(usize) -> Coefficients<G, P>,
        share: Option<Dual<Scalar<G>, P>>,
    ) -> Dual<Scalar<G>, P> {
        let backend = self.network.backend();
        let mut views = self.network.views();
        let (mut probe, mut number) = (Dual::default(), 0);
        while let Some(view) = views.lowest() {
            let KfacStep { learning_rate, all, .. } = update(number);
            let learning_rate = match share {
                Some(share) => learning_rate * share,
                None => learning_rate,
            };
            let decay = match all.decay {
                Decay::Decoupled(decay) => Decay::Decoupled(decay),
                Decay::None | Decay::Coupled(_) => Decay::None,
            };
            let momentum = all.momentum;
            let rule = Rule::Sgd(SgdStep { learning_rate, momentum, is_nesterov: false });
            let step = Step { rule, decay };
            let rule = Update::<G::Vector, P, 2, E>::in_lanes(step);
            let View { layer, parameters, state, .. } = view;
            probe = probe
                + total(backend.run(Apply { rows: layer.inputs + 1, rule, parameters, state }));
            number += 1;
        }
        probe
    }
}

impl<G, E, const P: usize> Evaluate<Scalar<G>, P> for KfacNetwork<'_, G, P, E>
where
    G: Backend,
    E: Elementary<Scalar<G>>,
{
    fn evaluate(&mut self, batch: &Batch<'_, Scalar<G>>) -> Evaluation<Scalar<G>, P> {
        self.network.evaluate(batch)
    }
}

impl<G, E, const P: usize> Model<Scalar<G>, P, Coefficients<G, P>> for KfacNetwork<'_, G, P, E>
where
    G: Backend,
    E: Elementary<Scalar<G>>,
{
    fn step(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        update: Coefficients<G, P>,
    ) -> Result<Dual<Scalar<G>, P>, NonFinite> {
        self.step_by_layer(batch, |_| update)
    }
}

/// ν, if steps are clipped: `along` is Σ α² ⟨U, G⟩.
fn clip<T: Real, E: Elementary<T>, const P: usize>(
    most: Option<T>,
    along: Dual<T, P>,
) -> Option<Dual<T, P>> {
    let most = most.filter(|most| along.value > *most)?;
    Some(root::<T, E, P>(Dual::constant(most) / along))
}

/// π √λ and √λ/π, from the traces of A and S and their sizes.
fn factored<T: Real, E: Elementary<T>, const P: usize>(
    damping: Dual<T, P>,
    [(of_inputs, rows), (of_errors, outputs)]: [(Dual<T, P>, usize); 2],
) -> [Dual<T, P>; 2] {
    let size = |n: usize| T::from_u32(n as u32);
    let pi = if of_errors.value > T::ZERO {
        root::<T, E, P>(of_inputs.scaled(size(outputs)) / of_errors.scaled(size(rows)))
    } else {
        Dual::constant(T::ONE)
    };
    let mut strength = root::<T, E, P>(damping);
    for (slope, tangent) in strength.tangents.iter_mut().zip(damping.tangents) {
        // λ = 0 that is held fixed.
        if tangent == T::ZERO {
            *slope = T::ZERO;
        }
    }
    [pi * strength, strength / pi]
}

/// The sum of the diagonal of a matrix of `size`, in column panels of `rows` rows.
fn trace<V: Vector, const P: usize>(
    elements: &[Dual<V, P>],
    rows: usize,
    size: usize,
) -> Dual<V::Scalar, P> {
    let matrix = Matrix { elements, rows };
    sum((0..size).map(|i| matrix.at(i, i).unwrap_or_default()))
}

/// Gives `f` the lower triangle of a symmetric matrix of `size`, row after row, in column panels of
/// `rows` rows.
fn each_of<V: Vector, const P: usize, const Q: usize>(
    elements: &mut [Dual<V, Q>],
    rows: usize,
    size: usize,
    f: &mut impl FnMut(&mut Dual<V::Scalar, P>),
) {
    let place = |row: usize, column: usize| column / V::LANES * rows + row;
    for i in 0..size {
        for j in 0..=i {
            let Some(block) = elements.get(place(j, i)) else { return };
            let stored = block.lane(i);
            let mut number = Dual::constant(stored.value);
            for (to, from) in number.tangents.iter_mut().zip(stored.tangents) {
                *to = from;
            }
            f(&mut number);
            let mut stored = Dual::constant(number.value);
            for (to, from) in stored.tangents.iter_mut().zip(number.tangents) {
                *to = from;
            }
            for (row, column) in [(j, i), (i, j)] {
                if let Some(block) = elements.get_mut(place(row, column)) {
                    block.set_lane(column, stored);
                }
            }
        }
    }
}
