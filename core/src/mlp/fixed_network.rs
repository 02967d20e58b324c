//! `fixed_network!`: declares a network and its batch in arrays of fixed size.

/// Declares a type that owns the storage of a network and its batch in arrays of fixed size. After
/// the tangents `slots: 2` may follow, for optimisers other than SGD with momentum, and then
/// `norm: true`, for batch normalisation of the hidden layers.
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
            sizes: [$($size:expr),+ $(,)?],
            batch: $batch:expr,
            vector: $vector:ty,
            tangents: $tangents:expr $(,)?
        }
    ) => {
        $crate::fixed_network! {
            $(#[$doc])*
            $visibility struct $name {
                sizes: [$($size),+], batch: $batch, vector: $vector, tangents: $tangents, slots: 1
            }
        }
    };
    (
        $(#[$doc:meta])*
        $visibility:vis struct $name:ident {
            sizes: [$($size:expr),+ $(,)?],
            batch: $batch:expr,
            vector: $vector:ty,
            tangents: $tangents:expr,
            slots: $slots:expr $(,)?
        }
    ) => {
        $crate::fixed_network! {
            $(#[$doc])*
            $visibility struct $name {
                sizes: [$($size),+],
                batch: $batch,
                vector: $vector,
                tangents: $tangents,
                slots: $slots,
                norm: false
            }
        }
    };
    (
        $(#[$doc:meta])*
        $visibility:vis struct $name:ident {
            sizes: [$($size:expr),+ $(,)?],
            batch: $batch:expr,
            vector: $vector:ty,
            tangents: $tangents:expr,
            slots: $slots:expr,
            norm: $norm:expr $(,)?
        }
    ) => {
        $crate::network_buffers! {
            $crate::declare_fixed_network,
            ($(#[$doc])* $visibility struct $name, [$($size),+], $batch, $vector, $tangents, $slots,
                $norm),
            $vector,
            { $tangents },
            { $slots }
        }
    };
}

/// Declares the type of [`fixed_network!`](crate::fixed_network) for the buffers of
/// `network_buffers!`.
#[doc(hidden)]
#[macro_export]
macro_rules! declare_fixed_network {
    (
        ($(#[$doc:meta])* $visibility:vis struct $name:ident,
            [$($size:expr),+], $batch:expr, $vector:ty, $tangents:expr, $slots:expr,
            $norm:expr)
        $($(#[$buffer_doc:meta])* $buffer:ident: $element:ty = $length:ident;)*
    ) => {
        $(#[$doc])*
        $visibility struct $name {
            $($buffer: [$element; $name::LENGTHS.$buffer],)*
            inputs: [
                $crate::mlp::Pair<<$vector as $crate::vector::Vector>::Scalar>;
                2 * $name::LENGTHS.inputs
            ],
            input_ends: [u32; $name::LENGTHS.input_ends],
            labels: [u16; $name::LENGTHS.labels],
        }

        impl $name {
            /// Sizes of its layers, in units.
            $visibility const SIZES: &'static [usize] = &[$($size),+];
            const LENGTHS: $crate::mlp::Lengths = $crate::mlp::Lengths::with_norm(
                Self::SIZES,
                $batch,
                <$vector as $crate::vector::Vector>::LANES,
                $norm,
            );

            /// Storage of zeros.
            #[allow(clippy::new_without_default, reason = "a default would be built on the stack")]
            $visibility const fn new() -> Self {
                use $crate::mlp::Element;
                Self {
                    $($buffer: [Element::EMPTY; Self::LENGTHS.$buffer],)*
                    inputs: [Element::EMPTY; 2 * Self::LENGTHS.inputs],
                    input_ends: [Element::EMPTY; Self::LENGTHS.input_ends],
                    labels: [Element::EMPTY; Self::LENGTHS.labels],
                }
            }

            /// The network and an empty batch over this storage.
            $visibility fn network<G: $crate::backend::Backend<Vector = $vector>>(
                &mut self,
                backend: G,
            ) -> Result<
                (
                    $crate::mlp::Network<
                        '_, G, { $tangents }, $crate::elementary::Libm, { $slots }, { $norm }
                    >,
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
                    $crate::mlp::Network<'_, G, { $tangents }, E, { $slots }, { $norm }>,
                    $crate::mlp::Batch<'_, <$vector as $crate::vector::Vector>::Scalar>,
                ),
                $crate::mlp::InvalidNetwork,
            >
            where
                G: $crate::backend::Backend<Vector = $vector>,
                E: $crate::elementary::Elementary<<$vector as $crate::vector::Vector>::Scalar>,
            {
                let shape = $crate::mlp::Shape::new(Self::SIZES)?;
                let buffers = $crate::mlp::Buffers { $($buffer: &mut self.$buffer,)* };
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
