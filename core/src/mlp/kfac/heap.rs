//! Storage of K-FAC on the heap.

use alloc::vec;
use alloc::vec::Vec;

use super::{KfacBuffers, KfacLengths, KfacNetwork};
use crate::backend::Backend;
use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::mlp::error::InvalidNetwork;
use crate::mlp::network::Network;
use crate::mlp::shape::Shape;
use crate::vector::Vector;

/// Storage of K-FAC with P tangents, beside that of the network, allocated once.
///
/// It takes about 2 (P + 1) n² numbers for each factor of n rows; for A of the first layer, which
/// has no tangents, (P + 2) n².
pub struct HeapKfac<V: Vector, const P: usize> {
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
    /// Sizes that are none of a network.
    pub fn new(sizes: &[usize], batch: usize) -> Result<Self, InvalidNetwork> {
        let lengths = KfacLengths::new(Shape::new(sizes)?, batch, V::LANES);
        Ok(Self {
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

    /// The network that is trained in this storage.
    ///
    /// # Errors
    /// A network of other sizes or another batch.
    pub fn with<'a, G: Backend<Vector = V>, E: Elementary<V::Scalar>>(
        &'a mut self,
        network: Network<'a, G, P, E, 2>,
    ) -> Result<KfacNetwork<'a, G, P, E>, InvalidNetwork> {
        let buffers = KfacBuffers {
            first_inputs: &mut self.first_inputs,
            inputs: &mut self.inputs,
            errors: &mut self.errors,
            roots: &mut self.roots,
            examples: &mut self.examples,
            activations: &mut self.activations,
            gradient: &mut self.gradient,
            transposed: &mut self.transposed,
            labels: &mut self.labels,
        };
        KfacNetwork::new(network, buffers)
    }
}
