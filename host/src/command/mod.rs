//! The program's commands: each a set of options, and what it does with them.

mod bench;
mod bilevel;
mod data;
mod horizons;
mod hypergrad;
mod merge;
mod meta;
mod nqm;
mod online;
mod options;
mod progress;
mod refusal;
mod report;
mod reproduce;
mod surface;
mod threads;
mod tour;
mod train;
mod verify;

use clap::{Parser, Subcommand};

use myopia::failure::Failure;
use myopia::remark;
use options::Common;

/// Studies short-horizon bias: which learning-rate schedule does meta-descent choose, and what is it worth in the long run?
///
/// The same seed gives the same bits on any machine, with any number of threads.
#[derive(Parser, Debug)]
#[command(name = "myopia", version, propagate_version = true, max_term_width = 100)]
pub struct Program {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show short-horizon bias on built-in problems, with tables and figures (under two minutes)
    Tour(tour::Options),
    /// One look-ahead: train, then print the objective and its derivatives by alpha0, K and beta
    Hypergrad(hypergrad::Options),
    /// Offline meta-descent: tune alpha0, K and beta by repeated look-aheads
    Meta(meta::Options),
    /// The objective over a plane of schedules, at several horizons
    Surface(surface::Options),
    /// Join the parts of a surface that `surface --shard` made on several machines
    Merge(merge::Options),
    /// Train with a given schedule and report loss and accuracy
    Train(train::Options),
    /// Meta-descent at several horizons, then training with what each of them chose
    Horizons(horizons::Options),
    /// Train while learning rate and momentum follow short look-aheads, beside fixed ones
    Online(online::Options),
    /// Evaluate a schedule on the noisy quadratic
    Nqm(nqm::Options),
    /// Bilevel problems whose truth is known: hypergradients, games, warm starts, self-tuning networks
    Bilevel(bilevel::Options),
    /// Write one page about a folder of results: figures, tables, settings, and what they show
    Report(report::Options),
    /// Run a published result again and compare the bits
    Reproduce(reproduce::Options),
    /// Time each kernel and the whole step on this processor's instruction sets
    Bench(bench::Options),
    /// Check that this machine, emulated boards and real ones compute the same bits
    Verify(verify::Options),
    /// Fetch the MNIST files
    #[command(subcommand)]
    Data(data::Action),
}

impl Program {
    /// Starts the threads of this process and carries out the command.
    pub fn start(self) -> Result<(), Failure> {
        if self.common.quiet {
            remark::be_quiet();
        }
        threads::start(self.common.threads)?;
        self.run()
    }

    /// Carries out the command, on the threads that there are.
    pub fn run(self) -> Result<(), Failure> {
        let Self { command, common } = self;
        if common.quiet {
            remark::be_quiet();
        }
        match command {
            Command::Tour(options) => options.run(&common),
            Command::Nqm(options) => options.run(&common),
            Command::Bilevel(options) => options.run(&common),
            Command::Horizons(options) => options.run(&common),
            Command::Online(options) => options.run(&common),
            Command::Report(options) => options.run(&common),
            Command::Reproduce(options) => options.run(&common),
            Command::Hypergrad(options) => options.run(&common),
            Command::Meta(options) => options.run(&common),
            Command::Surface(options) => options.run(&common),
            Command::Merge(options) => options.run(&common),
            Command::Train(options) => options.run(&common),
            Command::Bench(options) => options.run(&common),
            Command::Verify(options) => options.run(&common),
            Command::Data(action) => action.run(&common),
        }
    }
}
