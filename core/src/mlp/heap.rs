//! Storage on the heap: buffers of a network whose sizes are chosen at run time.

use alloc::vec;
use alloc::vec::Vec;

use super::batch::{Batch, Pair};
use super::error::InvalidNetwork;
use super::layout::{Buffers, Lengths};
use super::network::{Network, batch_fits};
use super::shape::Shape;
use crate::backend::Backend;
use crate::elementary::{Elementary, Libm};
use crate::network_buffers;
use crate::real::Real;
use crate::vector::Vector;

/// Storage of a batch of examples.
pub struct HeapBatch<T> {
    inputs: usize,
    pairs: Vec<Pair<T>>,
    ends: Vec<u32>,
    labels: Vec<u16>,
}

impl<T: Real> HeapBatch<T> {
    /// Storage for at most `batch` examples of a network with layers of `sizes` units.
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

macro_rules! declare_heap_network {
    (() $($(#[$doc:meta])* $name:ident: $element:ty = $length:ident;)*) => {
        /// Storage of a network of P tangents and S slots of state, allocated once.
        ///
        /// For `n` parameters it takes about (1 + S)·(P + 1)·n numbers for parameters and state,
        /// besides one batch of activations; the horizon does not enter. On a device see
        /// [`fixed_network!`](crate::fixed_network). If N, hidden layers are normalised.
        pub struct HeapNetwork<V: Vector, const P: usize, const S: usize = 1, const N: bool = false>
        {
            sizes: Vec<usize>,
            batch: usize,
            $($name: Vec<$element>,)*
        }

        impl<V: Vector, const P: usize, const S: usize, const N: bool> HeapNetwork<V, P, S, N> {
            /// Storage for layers of `sizes` units and batches of at most `batch` examples.
            ///
            /// # Errors
            /// Sizes that are none of a network, a batch of more than 65,535 examples, or, with
            /// normalisation, of fewer than two.
            pub fn new(sizes: &[usize], batch: usize) -> Result<Self, InvalidNetwork> {
                Shape::new(sizes)?;
                batch_fits::<N>(batch)?;
                let lengths = Lengths::with_norm(sizes, batch, V::LANES, N);
                Ok(Self {
                    sizes: sizes.to_vec(),
                    batch,
                    $($name: vec![Default::default(); lengths.$name],)*
                })
            }

            /// The network over this storage.
            pub fn network<G: Backend<Vector = V>>(
                &mut self,
                backend: G,
            ) -> Network<'_, G, P, Libm, S, N>
            where
                Libm: Elementary<V::Scalar>,
            {
                self.network_with(backend)
            }

            /// The network over this storage, with the elementary functions of `E`.
            pub fn network_with<G: Backend<Vector = V>, E: Elementary<V::Scalar>>(
                &mut self,
                backend: G,
            ) -> Network<'_, G, P, E, S, N> {
                let shape = Shape::checked(&self.sizes);
                let buffers = Buffers { $($name: &mut self.$name,)* };
                Network::over(backend, shape, self.batch, buffers)
            }
        }
    };
}

network_buffers!(declare_heap_network, (), V, P, S);
