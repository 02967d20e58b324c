//! The program's commands: each a set of options, and what it does with them.

mod bench;
mod biases;
mod bilevel;
pub mod bindings;
mod compare;
pub mod config;
mod data;
mod edge;
mod entries;
mod estimators;
mod explore;
mod family;
mod horizons;
mod hypergrad;
mod manual;
mod merge;
mod meta;
mod nqm;
mod online;
mod optimizer;
mod options;
mod outer;
mod overlay;
mod plan;
mod progress;
mod ranges;
mod rates;
mod refusal;
mod remedies;
mod report;
mod reproduce;
mod reruns;
mod schedule_file;
mod seeds;
mod slurm;
mod source;
mod surface;
mod threads;
mod tour;
mod train;
mod values;
mod verify;

use std::io;
use std::path::Path;

use clap::{Parser, Subcommand};

use myopia::failure::Failure;
use myopia::input::read_regular;
use myopia::output::standard;
use myopia::remark;
use myopia::shard::Shard;
use options::Common;

/// Studies short-horizon bias: which learning-rate schedule does meta-descent choose, and what is
/// it worth in the long run?
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
    /// Join the parts of a run that `--shard` made on several machines
    Merge(merge::Options),
    /// Do a run as a job array of Slurm: write its batch scripts, or send them
    Slurm(slurm::Options),
    /// Train with a given schedule and report loss and accuracy
    Train(train::Options),
    /// Train with several schedules side by side, from several seeds
    Compare(compare::Options),
    /// Meta-descent at several horizons, then training with what each of them chose
    Horizons(horizons::Options),
    /// Where the exact derivative ends: Lyapunov exponent, sharpness, agreement with differences
    Edge(edge::Options),
    /// The optimal schedule for the curvature and the noise measured at one point of training
    Plan(plan::Options),
    /// Train while learning rate and momentum follow short look-aheads, beside fixed ones
    Online(online::Options),
    /// What expresses a learning rate (alpha0, epsilon, damping, weight decay), at each horizon
    Rates(rates::Options),
    /// What is proposed against short-horizon bias, side by side: judges, tangents, plans
    Remedies(remedies::Options),
    /// Truncation, hysteresis and horizon of a network's online hypergradients apart, beside
    /// evolution strategies
    Biases(biases::Options),
    /// Figures that others have published, run again: do the numbers agree?
    Reruns(reruns::Options),
    /// Evaluate a schedule on the noisy quadratic
    Nqm(nqm::Options),
    /// Explore short-horizon bias in a browser: one page that computes what this program does
    Explore(explore::Options),
    /// Bilevel problems whose truth is known: hypergradients, games, warm starts, self-tuning
    /// networks
    Bilevel(bilevel::Options),
    /// Write one page about a folder of results: figures, tables, settings, and what they show
    Report(report::Options),
    /// Run a published result again and compare the bits
    Reproduce(reproduce::Options),
    /// Time each kernel and the whole step on this processor's instruction sets
    Bench(bench::Options),
    /// Check that this machine, emulated boards and real ones compute the same bits
    Verify(verify::Options),
    /// Print a script that completes commands and options in a shell
    Completions(manual::Completions),
    /// Print a manual page, or write those of all commands into --out
    Man(manual::Manual),
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
        let report = common.json.then(|| command.report()).flatten();
        let done = match command {
            Command::Tour(options) => options.run(&common),
            Command::Nqm(options) => options.run(&common),
            Command::Explore(options) => options.run(&common),
            Command::Bilevel(options) => options.run(&common),
            Command::Horizons(options) => options.run(&common),
            Command::Online(options) => options.run(&common),
            Command::Rates(options) => options.run(&common),
            Command::Remedies(options) => options.run(&common),
            Command::Biases(options) => options.run(&common),
            Command::Reruns(options) => options.run(&common),
            Command::Report(options) => options.run(&common),
            Command::Reproduce(options) => options.run(&common),
            Command::Hypergrad(options) => options.run(&common),
            Command::Meta(options) => options.run(&common),
            Command::Surface(options) => options.run(&common),
            Command::Edge(options) => options.run(&common),
            Command::Compare(options) => options.run(&common),
            Command::Plan(options) => options.run(&common),
            Command::Merge(options) => options.run(&common),
            Command::Slurm(options) => options.run(&common),
            Command::Train(options) => options.run(&common),
            Command::Bench(options) => options.run(&common),
            Command::Verify(options) => options.run(&common),
            Command::Completions(options) => options.run(&common),
            Command::Man(options) => options.run(&common),
            Command::Data(action) => action.run(&common),
        };
        if let (Err(Failure::Done(_)), Some(report), Some(folder)) = (&done, report, &common.out) {
            again(&folder.join(report))?;
        }
        done
    }
}

impl Command {
    /// The shard that is asked for, of a command that has shards.
    fn shard(&self) -> Option<Option<Shard>> {
        match self {
            Self::Surface(options) => Some(options.parts.shard),
            Self::Horizons(options) => Some(options.parts.shard),
            Self::Online(options) => Some(options.parts.shard),
            _ => None,
        }
    }

    /// The file with what a run that may be finished before prints as JSON.
    fn report(&self) -> Option<&'static str> {
        match self {
            Self::Train(_) => Some("train.json"),
            Self::Meta(_) => Some("meta.json"),
            Self::Horizons(options) => Some(options.report()),
            Self::Online(options) => Some(options.report()),
            Self::Edge(_) => Some("edge.json"),
            Self::Compare(_) => Some("compare.json"),
            Self::Plan(_) => Some("plan.json"),
            Self::Rates(_) => Some("rates.json"),
            Self::Remedies(_) => Some("remedies.json"),
            Self::Biases(_) => Some("biases.json"),
            Self::Reruns(_) => Some(reruns::REPORT),
            Self::Surface(options) => Some(options.report()),
            // The shards of anything else print what is there themselves.
            Self::Merge(_) => Some("surface.json"),
            _ => None,
        }
    }
}

/// Prints the report at `path` again; a run that diverged has left none.
fn again(path: &Path) -> Result<(), Failure> {
    match read_regular(path, LARGEST) {
        Ok(bytes) => standard::print(|out| out.write_all(&bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Failure::io("read", path, &e)),
    }
}

/// More bytes than any report has.
const LARGEST: u64 = 1 << 34;
