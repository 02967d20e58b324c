//! Storage of fixed size, for devices: everything a network needs in one value without allocation.

/// Declares a type that owns the storage of a network and its batch in arrays of fixed size.
///
/// ```
/// use myopia_core::{backend::Portable, rng::Pcg32, vector::F32x4};
/// myopia_core::fixed_network! {
///     /// Sixteen inputs, eight hidden units, three classes; batches of four; three tangents.
///     pub struct Small { sizes: [16, 8, 3], batch: 4, vector: F32x4, tangents: 3 }
/// }
/// let mut storage = Small::new();
/// let (mut network, _batch) = storage.network(Portable::<F32x4>::new()).unwrap();
/// network.initialise(&mut Pcg32::new(1, 0));
/// assert_eq!(network.parameters().count(), 16 * 8 + 8 + 8 * 3 + 3);
/// ```
#[macro_export]
macro_rules! fixed_network {
    (
        $(#[$doc:meta])*
        $visibility:vis struct $name:ident {
            sizes: [$($size:expr),+ $(,)?], batch: $batch:expr, vector: $vector:ty, tangents: $tangents:expr $(,)?
        }
    ) => {
        $(#[$doc])*
        $visibility struct $name {
            parameters: [$crate::dual::Dual<$vector, { $tangents }>; $name::LENGTHS.parameters],
            velocity: [$crate::dual::Dual<$vector, { $tangents }>; $name::LENGTHS.parameters],
            activations: [$crate::dual::Dual<$vector, { $tangents }>; $name::LENGTHS.activations],
            transposed: [$crate::dual::Dual<$vector, { $tangents }>; $name::LENGTHS.transposed],
            active: [usize; $name::LENGTHS.active],
            listed: [
                $crate::mlp::Entry<$crate::dual::Dual<<$vector as $crate::vector::Vector>::Scalar, { $tangents }>>;
                $name::LENGTHS.listed
            ],
            lengths: [u32; $name::LENGTHS.lengths],
            inputs: [$crate::mlp::Pair<<$vector as $crate::vector::Vector>::Scalar>; 2 * $name::LENGTHS.inputs],
            input_ends: [u32; $name::LENGTHS.input_ends],
            labels: [u16; $name::LENGTHS.labels],
        }

        impl $name {
            /// The sizes of its layers.
            $visibility const SIZES: &'static [usize] = &[$($size),+];
            const LENGTHS: $crate::mlp::Lengths = $crate::mlp::Lengths::new(
                Self::SIZES,
                $batch,
                <$vector as $crate::vector::Vector>::LANES,
            );

            /// Storage of zeros.
            #[allow(clippy::new_without_default, reason = "a default would be built on the stack")]
            $visibility const fn new() -> Self {
                const ZERO: $crate::dual::Dual<$vector, { $tangents }> = $name::ZERO_BLOCK;
                Self {
                    parameters: [ZERO; Self::LENGTHS.parameters],
                    velocity: [ZERO; Self::LENGTHS.parameters],
                    activations: [ZERO; Self::LENGTHS.activations],
                    transposed: [ZERO; Self::LENGTHS.transposed],
                    active: [0; Self::LENGTHS.active],
                    listed: [$crate::mlp::Entry {
                        position: 0,
                        factor: $crate::dual::Dual { value: 0.0, tangents: [0.0; { $tangents }] },
                    }; Self::LENGTHS.listed],
                    lengths: [0; Self::LENGTHS.lengths],
                    inputs: [$crate::mlp::Entry { position: 0, factor: [0.0; 2] }; 2 * Self::LENGTHS.inputs],
                    input_ends: [0; Self::LENGTHS.input_ends],
                    labels: [0; Self::LENGTHS.labels],
                }
            }

            const ZERO_BLOCK: $crate::dual::Dual<$vector, { $tangents }> = $crate::dual::Dual {
                value: <$vector>::ZERO,
                tangents: [<$vector>::ZERO; $tangents],
            };

            /// The network and an empty batch over this storage.
            $visibility fn network<G: $crate::backend::Backend<Vector = $vector>>(
                &mut self,
                backend: G,
            ) -> Result<
                (
                    $crate::mlp::Network<'_, G, { $tangents }>,
                    $crate::mlp::Batch<'_, <$vector as $crate::vector::Vector>::Scalar>,
                ),
                $crate::mlp::InvalidNetwork,
            > {
                self.network_with(backend)
            }

            /// The same with the elementary functions of `E`.
            $visibility fn network_with<G, E>(
                &mut self,
                backend: G,
            ) -> Result<
                (
                    $crate::mlp::Network<'_, G, { $tangents }, E>,
                    $crate::mlp::Batch<'_, <$vector as $crate::vector::Vector>::Scalar>,
                ),
                $crate::mlp::InvalidNetwork,
            >
            where
                G: $crate::backend::Backend<Vector = $vector>,
                E: $crate::elementary::Elementary<<$vector as $crate::vector::Vector>::Scalar>,
            {
                let shape = $crate::mlp::Shape::new(Self::SIZES)?;
                let buffers = $crate::mlp::Buffers {
                    parameters: &mut self.parameters,
                    velocity: &mut self.velocity,
                    activations: &mut self.activations,
                    transposed: &mut self.transposed,
                    active: &mut self.active,
                    listed: &mut self.listed,
                    lengths: &mut self.lengths,
                };
                let network = $crate::mlp::Network::new(backend, shape, $batch, buffers)?;
                let batch = $crate::mlp::Batch::new(
                    shape.inputs(),
                    &mut self.inputs,
                    &mut self.input_ends,
                    &mut self.labels,
                );
                Ok((network, batch))
            }
        }
    };
}
