//! `myopia bilevel`: bilevel problems whose truth is known.

mod distill;
mod game;
mod hypergradient;
mod images;
mod problem;
mod stn;
mod warm;

use clap::{Args, Subcommand};
use myopia_bilevel::Error;
use myopia_core::elementary::{Elementary, Libm};

use super::options::Common;
use myopia::failure::Failure;

/// Options of `myopia bilevel`.
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Hypergradients side by side: what approximating the inverse Hessian does
    Hypergradient(hypergradient::Options),
    /// Both players' dynamics: eigenvalues, turning points, trajectories, noise
    Game(game::Options),
    /// Warm and cold starts of inner problems with many solutions, dataset distillation among them
    Warm(warm::Options),
    /// Self-tuning networks: best responses that are learned beside the weights
    Stn(stn::Options),
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        match self.action {
            Action::Hypergradient(options) => options.run(common),
            Action::Game(options) => options.run(common),
            Action::Warm(options) => options.run(common),
            Action::Stn(options) => options.run(common),
        }
    }
}

/// What the laboratory refused, as a failure of the program.
fn failure(error: Error) -> Failure {
    match error {
        Error::Range { .. } => Failure::usage(error.to_string()),
        _ => Failure::run(error.to_string()),
    }
}

/// A number for a table: some digits, or a dash where there is none.
fn short(x: Option<f64>) -> String {
    match x {
        None => "-".to_owned(),
        Some(x) if x == 0.0 || (1e-3..1e4).contains(&x.abs()) => format!("{x:.5}"),
        Some(x) => format!("{x:.3e}"),
    }
}

/// Mean and standard deviation, the latter zero for one number.
fn mean_spread(x: &[f64]) -> (f64, f64) {
    let count = x.len() as f64;
    let mean = myopia_core::sum::sum(x.iter().copied()) / count;
    let square = myopia_core::sum::sum(x.iter().map(|x| (x - mean) * (x - mean)));
    (mean, if x.len() > 1 { Libm::sqrt(square / (count - 1.0)) } else { 0.0 })
}
