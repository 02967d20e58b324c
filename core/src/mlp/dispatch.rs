//! One layer's forward and backward pass: chooses dense or sparse products and the thread split.
//!
//! Dense products multiply by zeros too, several rows at a time; sparse ones leave out inputs and
//! units that are zero. The bits are the same (contract 6).

use core::marker::PhantomData;

use super::batch::Batch;
use super::blocking::{BLOCKED_OUTPUTS, MR};
use super::gemm::{both, run_panels};
use super::input_layer::{SparseForward, SparseWeightGradient};
use super::lane_packing::LanePacking;
use super::lhs::{Dense, Inputs, Masked, Transposed};
use super::listed::listed;
use super::matrix::Matrix;
use super::norm::{Normalise, NormaliseBack};
use super::products::{BlockedInputGradient, Forward, InputGradient, WeightGradient};
use super::relu::{ActiveUnits, Relu};
use super::transpose::Transpose;
use super::update::{LayerUpdate, UpdateRule};
use super::view::View;
use crate::backend::{Backend, Scalar};
use crate::dual::Dual;
use crate::elementary::Elementary;

/// Settings of all passes of a step.
#[derive(Clone, Copy)]
pub struct Dispatch<G> {
    pub backend: G,
    /// Most threads that a pass is divided among.
    pub threads: usize,
    /// Examples of the batch.
    pub examples: usize,
    /// True if a backward pass follows.
    pub backward: bool,
}

impl<G: Backend> Dispatch<G> {
    /// True if products multiply by zeros too. With tangents a term takes 2 + 4 P operations, and
    /// skipping zeros pays.
    const fn dense<const P: usize>() -> bool {
        G::DENSE && P == 0
    }

    /// Pre-activations of the first layer, `view`, from `batch`.
    pub fn input_forward<const P: usize, const S: usize>(
        self,
        batch: &Batch<'_, Scalar<G>>,
        view: &mut View<'_, G::Vector, P, S>,
    ) {
        let Self { backend, threads, examples, .. } = self;
        let weights = Matrix { elements: &*view.parameters, rows: view.parameter_rows };
        let (by_example, by_pair) = (batch.by_example(), batch.by_pair());
        let (rows, out) = (view.batch, &mut *view.activations);
        let is_full = by_example.entries(examples) == examples as u64 * by_pair.len() as u64;
        if const { Self::dense::<P>() } && is_full {
            let a = Inputs { pairs: by_pair.len(), by_example };
            let label = "inputs forward";
            let pass = Forward::<_, _, P, MR> { label, examples, a, weights, rows, out };
            run_panels(backend, threads, view.panels, pass);
        } else {
            let packing = LanePacking::of::<G::Vector, P>(view.layer.outputs);
            let pass = SparseForward { examples, by_pair, weights, rows, out, packing };
            run_panels(backend, threads, view.panels, pass);
        }
    }

    /// Updates the first layer, `view`, by its weight gradient. Returns the finite probe.
    pub fn input_weight_gradient<R: UpdateRule<G::Vector, P, S>, const P: usize, const S: usize>(
        self,
        batch: &Batch<'_, Scalar<G>>,
        view: View<'_, G::Vector, P, S>,
        rule: R,
    ) -> Dual<G::Vector, P> {
        let Self { backend, threads, examples, .. } = self;
        let View { layer, parameter_rows, panels, parameters, state, .. } = view;
        let errors = Matrix { elements: view.activations, rows: view.batch };
        let update = LayerUpdate { backend, rule, rows: parameter_rows, parameters, state };
        let (by_pair, inputs) = (batch.by_pair(), layer.inputs);
        let pass = SparseWeightGradient { by_pair, inputs, examples, errors, update };
        run_panels(backend, threads, panels, pass)
    }

    /// Pre-activations of the layer `view` from the activations of the one `below`; beside them the
    /// transposed weights that the backward pass needs.
    pub fn forward<const P: usize, const S: usize>(
        self,
        below: &View<'_, G::Vector, P, S>,
        view: &mut View<'_, G::Vector, P, S>,
    ) {
        let Self { backend, threads, examples, backward } = self;
        let weights = Matrix { elements: &*view.parameters, rows: view.parameter_rows };
        let transpose = Transpose {
            inputs: view.layer.inputs,
            outputs: view.layer.outputs,
            weights,
            out: view.transposed,
        };
        let (label, rows, out) = ("hidden forward", view.batch, &mut *view.activations);
        // In the place of the active examples of each unit, which are found later.
        let (room, sizes) = (&mut view.by_unit, [examples, view.layer.inputs]);
        let lists = if const { Self::dense::<P>() } {
            None
        } else {
            listed(backend, threads, below.masked(), sizes, view.panels, room)
        };
        let product = || {
            if const { Self::dense::<P>() } {
                let a = below.dense();
                let pass = Forward::<_, _, P, MR> { label, examples, a, weights, rows, out };
                run_panels(backend, threads, view.panels, pass);
            } else if let Some(a) = &lists {
                let pass = Forward::<_, _, P, 1> { label, examples, a, weights, rows, out };
                run_panels(backend, threads, view.panels, pass);
            } else {
                let a = below.masked();
                let pass = Forward::<_, _, P, 1> { label, examples, a, weights, rows, out };
                run_panels(backend, threads, view.panels, pass);
            }
        };
        both(backend, threads, product, || backward.then(|| backend.run(transpose)));
    }

    /// Normalises the pre-activations of the hidden layer `view`: by the statistics of the batch if
    /// a backward pass follows, else by the running ones.
    pub fn normalise<E: Elementary<Scalar<G>>, const P: usize, const S: usize>(
        self,
        view: &mut View<'_, G::Vector, P, S>,
    ) {
        let Self { backend, threads, examples, backward } = self;
        let pass = Normalise {
            examples,
            is_training: backward,
            parameters: view.parameters,
            parameter_rows: view.parameter_rows,
            rows: view.batch,
            activations: view.activations,
            normalised: view.normalised,
            inverse_deviations: view.inverse_deviations,
            elementary: PhantomData::<E>,
        };
        run_panels(backend, threads, view.panels, pass);
    }

    /// Updates scale and shift of the hidden layer `view`, and takes its errors from after to
    /// before normalisation. Returns the finite probe.
    pub fn normalise_back<R: UpdateRule<G::Vector, P, S>, const P: usize, const S: usize>(
        self,
        view: &mut View<'_, G::Vector, P, S>,
        rule: R,
    ) -> Dual<G::Vector, P> {
        let Self { backend, threads, examples, .. } = self;
        // Before normalisation the error of a unit that is not active is not zero.
        view.by_example.fill(view.layer.outputs);
        let pass = NormaliseBack {
            examples,
            rows: view.batch,
            normalised: view.normalised,
            inverse_deviations: view.inverse_deviations,
            errors: view.activations,
            update: LayerUpdate {
                backend,
                rule: rule.for_biases(),
                rows: view.parameter_rows,
                parameters: view.parameters,
                state: view.state,
            },
        };
        run_panels(backend, threads, view.panels, pass)
    }

    /// Prepares the activations of the hidden layer `view` as left operand: zeros in place (dense),
    /// or which are not zero.
    pub fn relu<const P: usize, const S: usize>(self, view: &mut View<'_, G::Vector, P, S>) {
        let Self { backend, threads, examples, backward } = self;
        if const { Self::dense::<P>() } {
            return backend.run(Relu { values: view.activations });
        }
        let active_units = ActiveUnits {
            examples,
            values: Matrix { elements: view.activations, rows: view.batch },
            by_example: view.by_example.reborrow(),
            by_unit: backward.then_some(view.by_unit.reborrow()),
        };
        active_units.find(backend, threads);
    }

    /// Updates the layer `view` by its weight gradient and computes the errors of the layer
    /// `below`. Returns the finite probe.
    pub fn backward<R: UpdateRule<G::Vector, P, S>, const P: usize, const S: usize>(
        self,
        view: View<'_, G::Vector, P, S>,
        below: &mut View<'_, G::Vector, P, S>,
        rule: R,
    ) -> Dual<G::Vector, P> {
        let Self { backend, threads, examples, .. } = self;
        let View { layer, parameter_rows, panels, parameters, state, mut by_unit, .. } = view;
        let inputs = layer.inputs;
        let errors = Matrix { elements: &*view.activations, rows: view.batch };
        let transposed = Matrix { elements: &*view.transposed, rows: layer.outputs };
        let update = LayerUpdate { backend, rule, rows: parameter_rows, parameters, state };
        let rows = below.batch;
        if const { Self::dense::<P>() } {
            // One after the other: the errors take the place of the activations, which the gradient
            // needs.
            let a = Transposed { examples, values: below.values() };
            let pass = WeightGradient::<_, _, _, P, S, MR> { inputs, examples, a, errors, update };
            let finite_probe = run_panels(backend, threads, panels, pass);
            let a = Dense { columns: layer.outputs, values: errors };
            let activations = &mut *below.activations;
            let pass = InputGradient::<_, _, P, MR> { examples, a, transposed, rows, activations };
            run_panels(backend, threads, below.panels, pass);
            return finite_probe;
        }
        // In the place of the active examples of each unit, which the layer above needed last.
        let masked = Masked { mask: &view.by_example, values: errors };
        let sizes = [examples, layer.outputs];
        let lists = listed(backend, threads, masked, sizes, below.panels, &mut by_unit);
        // At the same time: the gradient takes the activations from `by_unit`.
        let a = &below.by_unit;
        let pass = WeightGradient::<_, _, _, P, S, 1> { inputs, examples, a, errors, update };
        let gradient = || run_panels(backend, threads.div_ceil(2), panels, pass);
        let (activations, active) = (&mut *below.activations, &below.by_example);
        let panels = below.panels;
        let propagate = || {
            if BLOCKED_OUTPUTS < usize::MAX && layer.outputs > BLOCKED_OUTPUTS {
                let a = masked;
                let pass = BlockedInputGradient {
                    examples,
                    a,
                    transposed,
                    rows,
                    activations,
                    active,
                    first_unit: 0,
                };
                run_panels(backend, threads / 2, panels, pass)
            } else if let Some(a) = &lists {
                let pass =
                    InputGradient::<_, _, P, 1> { examples, a, transposed, rows, activations };
                run_panels(backend, threads / 2, panels, pass)
            } else {
                let a = masked;
                let pass =
                    InputGradient::<_, _, P, 1> { examples, a, transposed, rows, activations };
                run_panels(backend, threads / 2, panels, pass)
            }
        };
        both(backend, threads, gradient, propagate).0
    }
}
