//! Storage on the heap for a network whose sizes are chosen at run time.

use alloc::vec;
use alloc::vec::Vec;

use super::batch::{Batch, Pair};
use super::network::{Buffers, InvalidNetwork, Network};
use super::shape::{Lengths, Shape, WIDEST};
use super::sparse::Entry;
use crate::backend::Backend;
use crate::dual::Dual;
use crate::elementary::{Elementary, Libm};
use crate::real::Real;
use crate::vector::Vector;

/// The heap's answer to [`fixed_network!`](crate::fixed_network): the storage of a network of P tangents,
/// allocated once.
///
/// For `n` parameters it takes about 2·(P + 1)·n numbers for the parameters and their velocity, besides one batch of
/// activations; the horizon does not enter.
pub struct HeapNetwork<V: Vector, const P: usize> {
    sizes: Vec<usize>,
    batch: usize,
    parameters: Vec<Dual<V, P>>,
    velocity: Vec<Dual<V, P>>,
    activations: Vec<Dual<V, P>>,
    transposed: Vec<Dual<V, P>>,
    active: Vec<usize>,
    listed: Vec<Entry<Dual<V::Scalar, P>>>,
    lengths: Vec<u32>,
}

/// Storage for a batch of examples.
pub struct HeapBatch<T> {
    inputs: usize,
    pairs: Vec<Pair<T>>,
    ends: Vec<u32>,
    labels: Vec<u16>,
}

impl<T: Real> HeapBatch<T> {
    /// Storage for at most `batch` examples of a network with layers of these sizes.
    pub fn new(sizes: &[usize], batch: usize) -> Self {
        let lengths = Lengths::new(sizes, batch, 1);
        Self {
            inputs: sizes.first().copied().unwrap_or(0),
            pairs: vec![Pair::default(); 2 * lengths.inputs],
            ends: vec![0; lengths.input_ends],
            labels: vec![0; lengths.labels],
        }
    }

    /// The batch over this storage, empty.
    pub fn batch(&mut self) -> Batch<'_, T> {
        Batch::new(self.inputs, &mut self.pairs, &mut self.ends, &mut self.labels)
    }
}

impl<V: Vector, const P: usize> HeapNetwork<V, P> {
    /// Storage for layers of these sizes and batches of at most `batch` examples.
    pub fn new(sizes: &[usize], batch: usize) -> Result<Self, InvalidNetwork> {
        Shape::new(sizes)?;
        if batch > WIDEST {
            return Err(InvalidNetwork::Batch);
        }
        let lengths = Lengths::new(sizes, batch, V::LANES);
        let zeros = |length| vec![Dual::default(); length];
        Ok(Self {
            sizes: sizes.to_vec(),
            batch,
            parameters: zeros(lengths.parameters),
            velocity: zeros(lengths.parameters),
            activations: zeros(lengths.activations),
            transposed: zeros(lengths.transposed),
            active: vec![0; lengths.active],
            listed: vec![Entry::default(); lengths.listed],
            lengths: vec![0; lengths.lengths],
        })
    }

    /// The network over this storage.
    pub fn network<G: Backend<Vector = V>>(&mut self, backend: G) -> Network<'_, G, P>
    where
        Libm: Elementary<V::Scalar>,
    {
        self.network_with(backend)
    }

    /// The network over this storage, with the elementary functions of `E`.
    pub fn network_with<G: Backend<Vector = V>, E: Elementary<V::Scalar>>(
        &mut self,
        backend: G,
    ) -> Network<'_, G, P, E> {
        let shape = Shape::checked(&self.sizes);
        let buffers = Buffers {
            parameters: &mut self.parameters,
            velocity: &mut self.velocity,
            activations: &mut self.activations,
            transposed: &mut self.transposed,
            active: &mut self.active,
            listed: &mut self.listed,
            lengths: &mut self.lengths,
        };
        Network::over(backend, shape, self.batch, buffers)
    }
}
