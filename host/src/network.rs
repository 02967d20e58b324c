//! Storage on the heap for a network whose sizes are chosen at run time: the core's.

pub use myopia_core::mlp::{HeapBatch, HeapNetwork};
