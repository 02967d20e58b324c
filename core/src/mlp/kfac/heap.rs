//! Storage of K-FAC on the heap.

use alloc::vec;
use alloc::vec::Vec;

use super::{KfacBuffers, KfacLengths, KfacNetwork};
use crate::backend::Backend;
use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::mlp::error::InvalidNetwork;
use crate::mlp::heap::HeapNetwork;
use crate::mlp::shape::Shape;
use crate::vector::Vector;

/// Storage of a network of P tangents that is trained by K-FAC, allocated once.
///
/// Beside the network's own it takes about 2 (P + 1) n² numbers for each factor of n rows; of A of
/// the first layer, which has no tangents, (P + 2) n².
pub struct HeapKfac<V: Vector, const P: usize> {
    network: HeapNetwork<V, P, 2>,
    first_inputs: Vec<Dual<V, 0>>,
    inputs: Vec<Dual<V, P>>,
    errors: Vec<Dual<V, P>>,
    roots: Vec<Dual<V::Scalar, P>>,
    examples: Vec<Dual<V, 0>>,
    activations: Vec<Dual<V, P>>,
    gradient: Vec<Dual<V, P>>,
    transposed: Vec<Dual<V, P>>,
    labels: Vec<u16>,
}

impl<V: Vector, const P: usize> HeapKfac<V, P> {
    /// Storage for layers of `sizes` units and batches of at most `batch` examples.
    ///
    /// # Errors
    /// Sizes that are none of a network, or a batch of more than 65,535 examples.
    pub fn new(sizes: &[usize], batch: usize) -> Result<Self, InvalidNetwork> {
        let network = HeapNetwork::new(sizes, batch)?;
        let lengths = KfacLengths::new(Shape::new(sizes)?, batch, V::LANES);
        Ok(Self {
            network,
            first_inputs: vec![Dual::default(); lengths.first_inputs],
            inputs: vec![Dual::default(); lengths.inputs],
            errors: vec![Dual::default(); lengths.errors],
            roots: vec![Dual::default(); lengths.roots],
            examples: vec![Dual::default(); lengths.examples],
            activations: vec![Dual::default(); lengths.activations],
            gradient: vec![Dual::default(); lengths.gradient],
            transposed: vec![Dual::default(); lengths.transposed],
            labels: vec![0; lengths.labels],
        })
    }

    /// The network over this storage, with the elementary functions of `E`.
    pub fn network_with<G: Backend<Vector = V>, E: Elementary<V::Scalar>>(
        &mut self,
        backend: G,
    ) -> KfacNetwork<'_, G, P, E> {
        KfacNetwork {
            network: self.network.network_with(backend),
            buffers: KfacBuffers {
                first_inputs: &mut self.first_inputs,
                inputs: &mut self.inputs,
                errors: &mut self.errors,
                roots: &mut self.roots,
                examples: &mut self.examples,
                activations: &mut self.activations,
                gradient: &mut self.gradient,
                transposed: &mut self.transposed,
                labels: &mut self.labels,
            },
        }
    }
}
