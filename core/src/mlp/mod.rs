//! The multilayer perceptron: ReLU, softmax cross-entropy averaged over the batch, SGD with
//! momentum.
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
//! A network may be normalised over the batch: each hidden z_l then goes through
//! y = γ (z − mean)/√(variance + 1e-5) + β before its ReLU, with the batch's statistics in training
//! and their running averages in evaluation; `norm.rs` has the equations and the way back. Scale γ
//! and shift β take the steps of biases.
//!
//! Every quantity is a number with P tangents, so with P = 3 the same lines are the exact
//! derivative of training with respect to the schedule. The arithmetic works on slices
//! ([`Network`]); who owns them is decided elsewhere: arrays of fixed size on a device
//! ([`fixed_network!`](crate::fixed_network)), the heap on the host.
//!
//! The order of every sum is part of the contract: a pre-activation starts at its bias and runs
//! over inputs in ascending order, a gradient starts at +0 and runs over examples in ascending
//! order, an error starts at +0 and runs over outputs in ascending order, the losses of a batch go
//! through [`Sum`](crate::sum::Sum). Terms whose factor from an example or from a ReLU unit is zero
//! are left out where that saves work (contract 6).

mod batch;
mod blocking;
mod csr;
mod dispatch;
mod ell;
mod error;
mod factor;
mod fixed_network;
mod gemm;
#[cfg(feature = "alloc")]
mod heap;
mod init;
mod input_layer;
mod kfac;
mod lane_packing;
mod layout;
mod lhs;
mod listed;
mod mask;
mod matrix;
mod model;
mod network;
mod norm;
mod products;
mod relu;
pub(crate) mod rule;
mod serial;
mod shape;
mod softmax;
mod step_back;
mod sweep;
mod tangents;
mod transpose;
mod transposed;
mod update;
mod view;

pub use batch::{Batch, Dataset, Pair, paired};
pub use csr::{Csr, Entry};
pub use error::{InvalidNetwork, KroneckerFactor, NonFinite, Quantity, finite};
pub use factor::{Coefficient, Factor};
#[cfg(feature = "alloc")]
pub use heap::{HeapBatch, HeapNetwork};
pub use init::{he_normal, he_normal_with_norm};
#[cfg(feature = "alloc")]
pub use kfac::HeapKfac;
pub use kfac::{KfacBuffers, KfacLengths, KfacNetwork};
#[doc(hidden)]
pub use layout::Element;
pub use layout::{Buffers, Lengths, Slots};
pub use model::{Evaluate, Model};
pub use network::Network;
pub use shape::{InvalidShape, Layer, Shape};
pub use softmax::Evaluation;
pub use step_back::{Adjoints, KeepGradient, KeepLinearised, Taken};
pub use transposed::{Point, Transpose, TransposedRule, Values};
pub use update::{Update, UpdateRule};
