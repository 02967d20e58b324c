//! The noisy quadratic laboratory: schedules on a model whose expected loss is exact.
//!
//! ```
//! use myopia_nqm::judge::Judge;
//! use myopia_nqm::policy::Policy;
//! use myopia_nqm::run::{Settings, run};
//! use myopia_nqm::spectrum::{Noise, Setting, Spectrum, quadratic};
//! use myopia_nqm::tolerances::Control;
//! use myopia_core::nqm::Preconditioner;
//!
//! let setting = Setting {
//!     spectrum: Spectrum::Inverse,
//!     directions: 30,
//!     noise: Noise::Inverse,
//!     mean: 0.0,
//!     variance: 1.0,
//! };
//! let quadratic = quadratic(setting.directions(), Preconditioner::identity())?;
//! let settings = Settings { steps: 12, momentum: 0.0, cooling: 10, judge: Judge::Plain };
//! let greedy = run(&quadratic, &Policy::Greedy, settings, &Control::default())?;
//! let optimal = run(&quadratic, &Policy::Optimal, settings, &Control::default())?;
//! assert!(optimal.excess_loss < greedy.excess_loss);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It reads and writes no files and prints nothing. Threads are in one place, behind the feature
//! `rayon`; without it everything runs where it is called, to the same bits.

pub mod bands;
pub mod bias;
pub mod carried;
mod cholesky;
pub mod error;
pub mod expressed;
pub mod gradient;
pub mod greedy;
pub mod judge;
pub mod lanczos;
pub mod lbfgs;
pub mod mean_field;
mod native;
pub mod number;
pub mod objective;
pub mod optimum;
mod parallel;
pub mod policy;
pub mod quadratic;
pub mod receding_horizon;
pub mod reparametrization;
pub mod request;
mod ritz;
pub mod run;
pub mod spectrum;
mod starts;
pub mod tolerances;
pub mod tuning;

pub use gradient::Scratch;
pub use quadratic::{Losses, Quadratic, Schedule, State};

#[cfg(test)]
mod tests;
