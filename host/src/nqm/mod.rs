//! The noisy quadratic laboratory.

pub mod command;
mod engine;
pub mod greedy;
pub mod optimum;
pub mod policy;
pub mod quadratic;
pub mod spectrum;
mod table;

pub use quadratic::{Quadratic, Schedule, Scratch, State};
