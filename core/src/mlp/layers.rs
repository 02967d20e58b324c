//! The layers: either inputs and units that are zero are left out, or several examples at a time pass over all of them. The bits
//! are the same (contract 6).

use super::activity::{Activity, Rectified, Transpose};
use super::batch::Batch;
use super::factor::Factor;
use super::fold::Fold;
use super::mask::BITS;
use super::matrix::Matrix;
use super::pairs::{Gradient, Spread};
use super::panels::{both, panels};
use super::product::Product;
use super::target::{Backward, Descent, Forward, Rates};
use super::terms::{Active, Examples, Inputs, Units};
use super::views::View;
use crate::backend::{Backend, Scalar};
use crate::dual::Dual;

/// How many rows of a dense product share what they load of the matrix.
const ROWS: usize = 4;

/// How and where layers are computed.
#[derive(Clone, Copy)]
pub struct Layers<G> {
    pub backend: G,
    /// Over at most so many threads.
    pub threads: usize,
    /// How many examples there are.
    pub examples: usize,
    /// Whether a way back follows.
    pub errors: bool,
}

impl<G: Backend> Layers<G> {
    /// With tangents a term takes 2 + 4 P operations: it is then worth looking which are zero.
    const fn dense<const P: usize>() -> bool {
        G::DENSE && P == 0
    }

    /// Pre-activations of the lowest layer `view` from `batch`.
    pub fn first<const P: usize>(
        self,
        batch: &Batch<'_, Scalar<G>>,
        view: &mut View<'_, G::Vector, P>,
    ) {
        let Self { backend, threads, examples, .. } = self;
        let weights = Matrix { elements: &*view.parameters, rows: view.layer.inputs + 1 };
        let (pairs, rows, out) = (batch.by_pair(), view.batch, &mut *view.activations);
        let full = batch.by_example().entries(examples) == examples as u64 * pairs.len() as u64;
        if const { Self::dense::<P>() } && full {
            let target = Forward { weights, rows, out, inputs: true };
            let terms = Inputs { pairs: pairs.len(), by_example: batch.by_example() };
            let layer = Product::<_, _, _, P, ROWS>::new(examples, weights, terms, target);
            panels(backend, threads, view.blocks, layer);
        } else {
            let fold = Fold::of::<G::Vector, P>(view.layer.outputs);
            let layer = Spread { examples, pairs, weights, rows, out, fold };
            panels(backend, threads, view.blocks, layer);
        }
    }

    /// The gradient of the lowest layer `view` and the descent along it. Returns 0·(sum of everything updated).
    pub fn last<M: Factor<G::Vector, P>, const P: usize>(
        self,
        batch: &Batch<'_, Scalar<G>>,
        view: View<'_, G::Vector, P>,
        rates: Rates<G::Vector, M, P>,
    ) -> Dual<G::Vector, P> {
        let Self { backend, threads, examples, .. } = self;
        let View { layer, blocks, parameters, velocity, .. } = view;
        let errors = Matrix { elements: view.activations, rows: view.batch };
        let descent = Descent { rates, examples, rows: layer.inputs + 1, parameters, velocity };
        let (pairs, inputs) = (batch.by_pair(), layer.inputs);
        panels(backend, threads, blocks, Gradient { pairs, inputs, errors, descent })
    }

    /// Pre-activations of the layer `view` from the activations of the one `below`.
    pub fn forward<const P: usize>(
        self,
        below: &View<'_, G::Vector, P>,
        view: &mut View<'_, G::Vector, P>,
    ) {
        let Self { backend, threads, examples: rows, errors } = self;
        let matrix = Matrix { elements: &*view.parameters, rows: view.layer.inputs + 1 };
        let transpose = Transpose {
            inputs: view.layer.inputs,
            outputs: view.layer.outputs,
            weights: matrix,
            out: view.transposed,
        };
        let (weights, out) = (matrix, &mut *view.activations);
        let target = Forward { weights, rows: view.batch, out, inputs: false };
        let product = || {
            if const { Self::dense::<P>() } {
                let terms = below.units();
                let layer = Product::<_, _, _, P, ROWS>::new(rows, matrix, terms, target);
                panels(backend, threads, view.blocks, layer);
            } else {
                let terms = below.active();
                let layer = Product::<_, _, _, P, 1>::new(rows, matrix, terms, target);
                panels(backend, threads, view.blocks, layer);
            }
        };
        both(backend, threads, product, || errors.then(|| backend.run(transpose)));
    }

    /// Applies ReLU to the pre-activations of the hidden layer `view`.
    pub fn rectify<const P: usize>(self, view: &mut View<'_, G::Vector, P>) {
        let Self { backend, threads, examples, errors } = self;
        if const { Self::dense::<P>() } {
            return backend.run(Rectified { values: view.activations });
        }
        let activity = Activity {
            examples,
            values: Matrix { elements: view.activations, rows: view.batch },
            by_example: view.by_example.reborrow(),
            by_unit: errors.then_some(view.by_unit.reborrow()),
        };
        activity.on(backend, threads);
    }

    /// The gradient of the layer `view` and the descent along it, and the errors of the layer `below`.
    /// Returns 0·(sum of everything updated).
    pub fn backward<M: Factor<G::Vector, P>, const P: usize>(
        self,
        view: View<'_, G::Vector, P>,
        below: &mut View<'_, G::Vector, P>,
        rates: Rates<G::Vector, M, P>,
    ) -> Dual<G::Vector, P> {
        let Self { backend, threads, examples, .. } = self;
        let View { layer, blocks, parameters, velocity, .. } = view;
        let values = Matrix { elements: &*view.activations, rows: view.batch };
        let transposed = Matrix { elements: &*view.transposed, rows: layer.outputs };
        let descent = Descent { rates, examples, rows: layer.inputs + 1, parameters, velocity };
        if const { Self::dense::<P>() } {
            // One after the other: the errors take the place of the gradient's factors.
            let terms = Examples { examples, values: below.values() };
            let gradient = Product::<_, _, _, P, ROWS>::new(layer.inputs, values, terms, descent);
            let found = panels(backend, threads, blocks, gradient);
            let (rows, active) = (below.batch, &below.by_example);
            let target = Backward::<_, P, false>::new(rows, below.activations, active);
            let terms = Units { units: layer.outputs, values };
            let back = Product::<_, _, _, P, ROWS>::new(examples, transposed, terms, target);
            panels(backend, threads, below.blocks, back);
            return found;
        }
        // They need the same numbers and not each other.
        let gradient = Product::<_, _, _, P, 1>::new(layer.inputs, values, &below.by_unit, descent);
        let (rows, activations, active) = (below.batch, &mut *below.activations, &below.by_example);
        let (terms, columns) = (Active { mask: &view.by_example, values }, below.blocks);
        let back = || {
            // So many rows do not stay in the nearest cache: sums wait. A small device has neither the rows nor room for the code.
            if BITS > 32 && layer.outputs > 2 * BITS {
                let target = Backward::<_, P, true>::new(rows, activations, active);
                let back = Product::<_, _, _, P, 1>::new(examples, transposed, terms, target);
                panels(backend, threads / 2, columns, back)
            } else {
                let target = Backward::<_, P, false>::new(rows, activations, active);
                let back = Product::<_, _, _, P, 1>::new(examples, transposed, terms, target);
                panels(backend, threads / 2, columns, back)
            }
        };
        let descend = || panels(backend, threads.div_ceil(2), blocks, gradient);
        both(backend, threads, descend, back).0
    }
}
