//! `myopia reruns`: figures that others have published, run again.

mod hypergradient_descent;
mod influence;
mod persistent;

use clap::{Args, Subcommand};

use super::options::Common;
use myopia::failure::Failure;

/// Options of `myopia reruns`.
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    figure: Rerun,
}

#[derive(Subcommand, Debug)]
enum Rerun {
    /// Hypergradient descent on MNIST without hidden layers (Baydin et al. 2018), and what
    /// look-aheads from its states find best
    Hd(hypergradient_descent::Options),
    /// A schedule on MNIST tuned by windows of training, tangents dropped or carried on, as
    /// evolution strategies and persistent ones do (Vicol et al. 2021)
    Pes(persistent::Options),
    /// Influence balancing: truncated derivatives of the wrong sign, particles and what is carried
    /// on (Vicol et al. 2021)
    Influence(influence::Options),
}

/// The file with what a rerun prints as JSON.
pub const REPORT: &str = "reruns.json";

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        match self.figure {
            Rerun::Hd(options) => options.run(common),
            Rerun::Pes(options) => options.run(common),
            Rerun::Influence(options) => options.run(common),
        }
    }
}
