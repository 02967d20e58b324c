//! `myopia reruns`: figures that others have published, run again.

mod hypergradient_descent;
mod influence;
mod persistent;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::options::{Common, LongRun, PrecisionName};
use super::seeds::Seeds;
use myopia::failure::Failure;
use myopia::output::{json, standard};

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

/// Options of reruns that train networks.
#[derive(Args, Debug, Serialize)]
struct TrainingOptions {
    /// Float in which to train
    #[arg(long, value_enum, default_value = "f32")]
    precision: PrecisionName,
    /// Seeds to repeat it with: how many, from --seed on, or a range such as 1..5
    #[arg(long, value_name = "SEEDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    seeds: Option<Seeds>,
    #[command(flatten)]
    #[serde(skip)]
    long: LongRun,
}

/// Prints what a rerun found: its report as JSON, or its sentences; of half of it there are none.
fn tell(
    common: &Common,
    report: &impl Serialize,
    sentences: &[String],
    partial: bool,
) -> Result<(), Failure> {
    if common.json {
        return json::print(report);
    }
    let told = if partial { &["partial".to_owned()][..] } else { sentences };
    standard::print(|out| told.iter().try_for_each(|said| writeln!(out, "{said}")))
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        match self.figure {
            Rerun::Hd(options) => options.run(common),
            Rerun::Pes(options) => options.run(common),
            Rerun::Influence(options) => options.run(common),
        }
    }
}
