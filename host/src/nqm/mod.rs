//! The noisy quadratic laboratory.

pub mod chart;
pub mod command;
mod engine;
pub mod greedy;
mod newton;
mod objective;
pub mod optimum;
pub mod policy;
pub mod quadratic;
pub mod replan;
mod ritz;
pub mod spectrum;
mod starts;
mod table;

pub use quadratic::{Quadratic, Schedule, Scratch, State};

#[cfg(test)]
mod tests;
