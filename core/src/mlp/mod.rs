//! The multilayer perceptron: ReLU, softmax cross-entropy averaged over the batch, SGD with momentum.
//!
//! For layer l with weights W_l [inputs × outputs], biases b_l and batch size B:
//!
//! ```text
//! z_l = h_{l-1} W_l + b_l,   h_l = z_l where z_l > 0, else 0,   h_0 = the examples
//! loss = 1/B Σ_b ( ln Σ_j exp(z_bj − m_b) − (z_b,label − m_b) ),   m_b = max_j z_bj
//! δ_L = (softmax(z_L) − onehot) / B,   δ_{l-1} = (δ_l W_lᵀ) where z_{l-1} > 0, else 0
//! g_l = h_{l-1}ᵀ δ_l,   v ← μ v − α g,   θ ← θ + v
//! ```
//!
//! Every quantity is a number with P tangents, so with P = 3 the same lines are the exact derivative of training
//! with respect to the schedule. The arithmetic works on slices ([`Network`]); who owns them is decided elsewhere:
//! arrays of fixed size on a device ([`fixed_network!`](crate::fixed_network)), the heap on the host.
//!
//! The order of every sum is part of the contract: a pre-activation starts at its bias and runs over inputs in
//! ascending order, a gradient starts at +0 and runs over examples in ascending order, an error starts at +0
//! and runs over outputs in ascending order, the losses of a batch go through [`Sum`](crate::sum::Sum). Terms whose
//! factor from an example or from a ReLU unit is zero are left out where that saves work (contract 6).

mod activity;
mod batch;
mod factor;
mod fold;
#[cfg(feature = "alloc")]
mod heap;
mod layers;
mod mask;
mod matrix;
mod model;
mod network;
mod pairs;
mod panels;
mod product;
mod shape;
mod softmax;
mod sparse;
mod storage;
mod target;
mod terms;
mod views;

pub use batch::{Batch, Dataset, Pair, paired};
pub use factor::{Coefficient, Factor};
#[cfg(feature = "alloc")]
pub use heap::{HeapBatch, HeapNetwork};
pub use model::{Evaluate, Model};
pub use network::{Buffers, InvalidNetwork, Network, NonFinite, Quantity, finite, he_normal};
pub use shape::{InvalidShape, Layer, Lengths, Shape};
pub use softmax::Evaluation;
pub use sparse::{Entry, Rows};
