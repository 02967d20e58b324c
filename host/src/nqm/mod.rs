//! The noisy quadratic laboratory.

pub mod bands;
pub mod chart;
mod engine;
mod frame;
pub mod greedy;
mod momenta;
mod newton;
mod objective;
pub mod optimum;
pub mod policy;
pub mod quadratic;
pub mod replan;
mod ritz;
pub mod run;
pub mod spectrum;
mod starts;
mod table;
pub mod tuning;

pub use quadratic::{Quadratic, Schedule, Scratch, State};

#[cfg(test)]
mod tests;
