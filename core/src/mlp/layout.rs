//! The buffers of a network, from one list: their element types, and their lengths for each layer.
//!
//! To add a buffer, add a line to [`network_buffers!`](crate::network_buffers): its name, its
//! element type, and the method of [`LayerSizes`] that gives its length for one layer. [`Lengths`],
//! [`Buffers`], storage of fixed size ([`fixed_network!`](crate::fixed_network)) and storage on the
//! heap ([`HeapNetwork`](super::HeapNetwork)) follow.

use core::mem::take;

use super::csr::Entry;
use super::mask::words;
use super::shape::{Layer, pairs};
use crate::dual::Dual;
use crate::vector::{F32x4, F32x8, F32x16, F64x4, F64x8, Vector};

/// The list of buffers: calls `$then!` with `$arguments` and each buffer, for vectors `$V`, `$P`
/// tangents and `$S` slots of state.
#[doc(hidden)]
#[macro_export]
macro_rules! network_buffers {
    ($then:path, $arguments:tt, $V:ty, $P:tt, $S:tt) => {
        $then! {
            $arguments
            /// Weights; of a normalised layer scale, shift, running mean and variance; as last
            /// row biases.
            parameters: $crate::dual::Dual<$V, $P> = weights;
            /// State of each parameter: the slots of the optimiser, of SGD the velocity.
            state: $crate::mlp::Slots<$crate::dual::Dual<$V, $P>, $S> = weights;
            /// For each example and unit its pre-activation, then activation, then error.
            activations: $crate::dual::Dual<$V, $P> = activations;
            /// Transposed weights of each layer above the first.
            transposed: $crate::dual::Dual<$V, $P> = transposed;
            /// A bit for each example and unit, set where the unit is active.
            active_mask: usize = mask_words;
            /// For each hidden unit a slot for each example: the examples in which it is active.
            /// Before these are known and once they are no longer needed, the left operand of a
            /// product: a slot for each unit in the row of an example.
            active_entries: $crate::mlp::Entry<
                $crate::dual::Dual<<$V as $crate::vector::Vector>::Scalar, $P>
            > = entries;
            /// For each hidden unit, or each example, the number of its slots that are in use.
            active_counts: u32 = counts;
            /// For each example and normalised unit its pre-activation with mean 0 and variance 1.
            normalised: $crate::dual::Dual<$V, $P> = normalised;
            /// The inverse deviation of each normalised unit.
            inverse_deviations: $crate::dual::Dual<$V, $P> = inverse_deviations;
        }
    };
}

/// Sizes from which the lengths of one layer's buffers follow.
#[derive(Clone, Copy, Debug)]
pub struct LayerSizes {
    pub layer: Layer,
    /// Column panels of the weights: ⌈outputs / lanes⌉.
    pub panels: usize,
    /// Column panels of the transposed weights: ⌈inputs / lanes⌉.
    pub input_panels: usize,
    /// Examples of the largest batch.
    pub batch: usize,
    /// True of the first layer, through which no error is propagated.
    pub is_first: bool,
    /// True of all layers but the last.
    pub is_hidden: bool,
    /// True of a hidden layer whose pre-activations are normalised.
    pub is_normalised: bool,
}

impl LayerSizes {
    const fn weights(&self) -> usize {
        self.layer.rows(self.is_normalised) * self.panels
    }
    const fn activations(&self) -> usize {
        self.batch * self.panels
    }
    const fn transposed(&self) -> usize {
        if self.is_first { 0 } else { self.layer.outputs * self.input_panels }
    }
    const fn mask_words(&self) -> usize {
        self.batch * words(self.layer.outputs)
    }
    const fn entries(&self) -> usize {
        if self.is_hidden { self.batch * self.layer.outputs } else { 0 }
    }
    const fn counts(&self) -> usize {
        let (units, batch) = (self.layer.outputs, self.batch);
        if !self.is_hidden {
            0
        } else if units > batch {
            units
        } else {
            batch
        }
    }
    const fn normalised(&self) -> usize {
        if self.is_normalised { self.activations() } else { 0 }
    }
    const fn inverse_deviations(&self) -> usize {
        if self.is_normalised { self.panels } else { 0 }
    }
}

macro_rules! declare_layout {
    (() $($(#[$doc:meta])* $name:ident: $element:ty = $length:ident;)*) => {
        /// Length of each buffer of a network and of its batch, in elements.
        ///
        /// The first four count blocks (one vector with its tangents); rows are padded to whole
        /// vectors.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Lengths {
            $($(#[$doc])* pub $name: usize,)*
            /// Pairs of inputs of a batch: by example, and as many again by pair.
            pub inputs: usize,
            /// Ends of the rows of those: by example, and by pair.
            pub input_ends: usize,
            /// Labels of a batch.
            pub labels: usize,
        }

        /// Storage of a network, each slice as long as [`Lengths`] says; its contents at first do
        /// not matter.
        #[derive(Debug)]
        pub struct Buffers<'a, V: Vector, const P: usize, const S: usize = 1> {
            $($(#[$doc])* pub $name: &'a mut [$element],)*
        }

        impl Lengths {
            /// Lengths for layers of `sizes` units, batches of at most `batch` examples, vectors of
            /// `lanes` numbers.
            pub const fn new(sizes: &[usize], batch: usize, lanes: usize) -> Self {
                Self::with_norm(sizes, batch, lanes, false)
            }

            /// The same; the hidden layers are normalised if `norm` says so.
            pub const fn with_norm(
                sizes: &[usize],
                batch: usize,
                lanes: usize,
                norm: bool,
            ) -> Self {
                let mut lengths = Self { $($name: 0,)* inputs: 0, input_ends: 0, labels: batch };
                if let [inputs, ..] = sizes {
                    lengths.inputs = batch * pairs(*inputs);
                    lengths.input_ends = batch + pairs(*inputs);
                }
                let mut rest = sizes;
                let mut is_first = true;
                while let [inputs, others @ ..] = rest {
                    rest = others;
                    let [outputs, above @ ..] = others else { break };
                    let layer = LayerSizes {
                        layer: Layer { inputs: *inputs, outputs: *outputs },
                        panels: outputs.div_ceil(lanes),
                        input_panels: inputs.div_ceil(lanes),
                        batch,
                        is_first,
                        is_hidden: !above.is_empty(),
                        is_normalised: norm && !above.is_empty(),
                    };
                    $(lengths.$name += layer.$length();)*
                    is_first = false;
                }
                lengths
            }
        }

        impl<'a, V: Vector, const P: usize, const S: usize> Buffers<'a, V, P, S> {
            /// True if every buffer has the length that `lengths` says.
            pub(super) fn fit(&self, lengths: &Lengths) -> bool {
                $(self.$name.len() == lengths.$name)&&*
            }

            /// The same buffers, borrowed for a shorter time.
            pub(super) fn reborrow(&mut self) -> Buffers<'_, V, P, S> {
                Buffers { $($name: self.$name,)* }
            }

            /// The part of `layer`, split off at one end.
            pub(super) fn split_off(&mut self, layer: &LayerSizes, end: End) -> Self {
                Self { $($name: end.split_off(&mut self.$name, layer.$length()),)* }
            }
        }
    };
}

network_buffers!(declare_layout, (), V, P, S);

/// S slots of state of one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(transparent)]
pub struct Slots<N, const S: usize>(pub [N; S]);

impl<N: Copy + Default, const S: usize> Default for Slots<N, S> {
    fn default() -> Self {
        Self([N::default(); S])
    }
}

impl<N: Element, const S: usize> Element for Slots<N, S> {
    const EMPTY: Self = Self([N::EMPTY; S]);
}

/// The end of a buffer at which a layer's part lies.
#[derive(Clone, Copy)]
pub enum End {
    Front,
    Back,
}

impl End {
    fn split_off<'a, E>(self, slice: &mut &'a mut [E], length: usize) -> &'a mut [E] {
        match self {
            Self::Front => split_front(slice, length),
            Self::Back => {
                let at = slice.len().saturating_sub(length);
                let (rest, part) = take(slice).split_at_mut_checked(at).unwrap_or_default();
                *slice = rest;
                part
            }
        }
    }
}

/// The first `length` elements of `slice`, which keeps the others.
pub fn split_front<'a, E>(slice: &mut &'a mut [E], length: usize) -> &'a mut [E] {
    let (part, rest) = take(slice).split_at_mut_checked(length).unwrap_or_default();
    *slice = rest;
    part
}

/// An element of a buffer, with the value that storage made at compile time holds at first.
#[doc(hidden)]
pub trait Element: Copy {
    /// Zeros.
    const EMPTY: Self;
}

macro_rules! element {
    ($($t:ty = $empty:expr),+) => {
        $(impl Element for $t {
            const EMPTY: Self = $empty;
        })+
    };
}

element!(u16 = 0, u32 = 0, usize = 0, f32 = 0.0, f64 = 0.0);
element!(F32x4 = F32x4::ZERO, F32x8 = F32x8::ZERO, F32x16 = F32x16::ZERO);
element!(F64x4 = F64x4::ZERO, F64x8 = F64x8::ZERO);

impl<T: Element> Element for [T; 2] {
    const EMPTY: Self = [T::EMPTY; 2];
}

impl<V: Element, const P: usize> Element for Dual<V, P> {
    const EMPTY: Self = Self { value: V::EMPTY, tangents: [V::EMPTY; P] };
}

impl<F: Element> Element for Entry<F> {
    const EMPTY: Self = Self { position: 0, factor: F::EMPTY };
}
