//! `myopia bilevel`: bilevel problems whose truth is known.

mod archive;
mod game;
mod hypergradient;
mod problem;

use clap::{Args, Subcommand};
use myopia_bilevel::Error;

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
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        match self.action {
            Action::Hypergradient(options) => options.run(common),
            Action::Game(options) => options.run(common),
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
