//! Options that several commands share.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use myopia_backend::Isa;
use myopia_core::family::Family;
use myopia_core::mlp::Shape;
use myopia_core::schedule::InverseTime;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::merge::advised;
use super::optimizer::OptimizerOptions;
use super::schedule_file;
use super::source::DataOptions;
use crate::command::values::{whole, whole_up_to};
use myopia::checkpoint::{Experiment, Ledger, Opening};
use myopia::failure::Failure;
use myopia::interrupt;
use myopia::memory::afford;
use myopia::output::{OutputFolder, json, standard};
use myopia::precision::Precision;
use myopia::problem::{Data, InitialParams, InnerOptimizer, ObjectiveSet, Problem, Set};
use myopia::shard::Shard;

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Seed of initial weights and batches
    #[arg(
        long, default_value_t = 1, global = true, allow_negative_numbers = true,
        value_parser = whole::<u64>
    )]
    pub seed: u64,
    /// Folder for results; it is made, and must not hold earlier results
    #[arg(long, value_name = "DIR", global = true)]
    pub out: Option<PathBuf>,
    /// Replace earlier results in --out
    #[arg(long, global = true)]
    pub force: bool,
    /// Print the result as JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Threads for independent runs [default: one for each processor]
    #[arg(
        long,
        value_name = "N",
        global = true,
        allow_negative_numbers = true,
        value_parser = whole_up_to::<u16>(super::threads::MOST.into())
    )]
    pub threads: Option<u16>,
    /// Instruction set to use [default: the widest that this processor has]; the bits are the same
    #[arg(long, value_enum, global = true)]
    pub isa: Option<IsaName>,
    /// Options from a TOML file, a key for each and `command` for the command, or from the
    /// manifest.json of an earlier run; what is given here as well comes from here
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// No progress and no remarks on standard error
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IsaName {
    /// What every processor of the architecture has: SSE2, NEON, …
    Baseline,
    /// AVX2
    Avx2,
    /// AVX-512
    Avx512,
}

impl From<IsaName> for Isa {
    fn from(name: IsaName) -> Self {
        match name {
            IsaName::Baseline => Self::Baseline,
            IsaName::Avx2 => Self::Avx2,
            IsaName::Avx512 => Self::Avx512,
        }
    }
}

/// Options of every command that runs for minutes.
#[derive(Args, Clone, Copy, Debug)]
pub struct LongRun {
    /// Begin the run in --out, go on with it to the same bits, or do nothing when it is finished.
    /// The other options must be the same, but --meta-steps may be more than before
    #[arg(long)]
    pub resume: bool,
    /// Seconds between two checkpoints in --out
    #[arg(
        long, default_value_t = 15, value_name = "SECONDS", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    pub checkpoint_every: u32,
}

/// Options of every command whose work can be divided among machines.
#[derive(Args, Clone, Debug)]
pub struct Parts {
    /// Do one part of the work, such as 1/4; `myopia merge` joins the parts
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// The folders of shards that `myopia merge` joins.
    #[arg(skip)]
    pub joined: Vec<PathBuf>,
}

impl Parts {
    /// Refuses a shard that has no folder.
    pub fn check(&self, common: &Common) -> Result<(), Failure> {
        if self.shard.is_some() && common.out.is_none() {
            return Err(Failure::usage("--shard needs a folder for its part; name it with --out"));
        }
        Ok(())
    }

    /// The experiment of this part, if it is one.
    pub fn of(&self, experiment: Experiment) -> Experiment {
        match self.shard {
            None => experiment,
            Some(shard) => experiment.with("shard", shard),
        }
    }

    /// Whether the unit is in this part.
    pub fn holds(&self, unit: usize) -> bool {
        self.shard.is_none_or(|shard| shard.holds(unit as u32))
    }

    /// Takes the first `units` units, which are called `name`, from the shards that are joined, if
    /// there are any.
    pub fn join<S: Serialize + DeserializeOwned>(
        &self,
        ledger: &Ledger<'_, S>,
        units: usize,
        name: &'static str,
    ) -> Result<(), Failure> {
        if self.joined.is_empty() {
            return Ok(());
        }
        ledger.join(&self.joined, units as u32, name).map_err(advised)
    }

    /// Leaves the part that is done, which is of the first `units` units, and says so.
    pub fn leave<S: Serialize + DeserializeOwned>(
        shard: Shard,
        ledger: &Ledger<'_, S>,
        common: &Common,
        (units, name): (usize, &str),
    ) -> Result<(), Failure> {
        ledger.save()?;
        let report = ledger.leave_shard(shard, units as u32)?;
        ledger.finish()?;
        if common.json {
            return json::print(&report);
        }
        let held = report.held;
        standard::print(|out| writeln!(out, "shard {shard}: {held} of {units} {name}"))
    }
}

impl LongRun {
    /// The folder for results, if there is to be one: new, or that of the run to go on with.
    pub fn folder(&self, common: &Common) -> Result<Option<OutputFolder>, Failure> {
        match (&common.out, self.resume) {
            (None, true) => {
                Err(Failure::usage("--resume needs the folder of a run; name it with --out"))
            }
            (Some(_), true) if common.force => Err(Failure::usage(
                "--resume goes on with a run and --force begins it again; give one of them",
            )),
            (Some(path), true) => OutputFolder::resume(path).map(Some),
            (Some(path), false) => OutputFolder::create(path, common.force).map(Some),
            (None, false) => Ok(None),
        }
    }

    /// How the run's ledger is opened.
    pub fn opening(&self) -> Opening {
        let every = Duration::from_secs(self.checkpoint_every.into());
        Opening { resume: self.resume, every }
    }
}

/// The float in which a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionName {
    /// Single precision
    F32,
    /// Double precision
    F64,
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::F32 => Self::F32,
            PrecisionName::F64 => Self::F64,
        }
    }
}

/// What a schedule is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectiveName {
    /// The mean loss on held-out training examples, which are not trained on
    Validation,
    /// The mean loss on the training examples, as in the paper; nothing is held out
    Train,
}

impl From<ObjectiveName> for ObjectiveSet {
    fn from(name: ObjectiveName) -> Self {
        match name {
            ObjectiveName::Validation => Self::Validation,
            ObjectiveName::Train => Self::Train,
        }
    }
}

/// A normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NormName {
    /// Over the examples of a batch, with learned scale and shift
    Batch,
}

/// Options that say what is trained.
#[derive(Args, Clone, Debug, Serialize)]
pub struct ProblemOptions {
    #[command(flatten)]
    #[serde(flatten)]
    pub data: DataOptions,
    /// Units of each layer, from inputs to classes [default: 64,32,10 for glyphs; inputs, 100, 100
    /// and classes for all other data]
    #[arg(
        long, value_delimiter = ',', value_name = "N,N,…", allow_negative_numbers = true,
        value_parser = whole::<usize>
    )]
    pub layers: Option<Vec<usize>>,
    /// Examples in a batch
    #[arg(
        long, default_value_t = 100, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<usize>
    )]
    pub batch: usize,
    /// Momentum of sgd and rmsprop, in 0..1
    #[arg(long, default_value_t = 0.9, value_name = "MU", allow_negative_numbers = true)]
    pub momentum: f64,
    #[command(flatten)]
    #[serde(flatten)]
    pub optimizer: OptimizerOptions,
    /// Normalisation before every ReLU: over the batch in training, by running averages in
    /// evaluation [default: none]
    #[arg(long, value_enum, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<NormName>,
    /// What a schedule is judged by: held-out examples or those trained on
    #[arg(long, value_enum, default_value = "validation")]
    pub objective: ObjectiveName,
    /// Judge by this many examples at most
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<usize>)]
    pub objective_size: Option<usize>,
    /// Train on this many examples at most, the first
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<usize>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training_size: Option<usize>,
    /// Float in which to train
    #[arg(long, value_enum, default_value = "f32")]
    pub precision: PrecisionName,
    /// Steps at a constant rate before the schedule starts; their momentum is then dropped
    #[arg(
        long, default_value_t = 0, value_name = "STEPS", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    pub pretrain: u32,
    /// Learning rate of those steps
    #[arg(long, default_value_t = 0.1, value_name = "RATE", allow_negative_numbers = true)]
    pub pretrain_rate: f64,
}

impl ProblemOptions {
    /// Refuses normalisation where `what` is asked for, which knows plain networks alone.
    pub fn plain_network(&self, what: &str) -> Result<(), Failure> {
        match self.norm {
            None => Ok(()),
            Some(NormName::Batch) => Err(Failure::usage(format!(
                "--norm batch: {what} knows no normalisation; leave out --norm"
            ))),
        }
    }

    /// The float in which to train.
    pub fn precision(&self) -> Precision {
        self.precision.into()
    }

    /// Loads the data, no more of them than are trained on, held out and tested on.
    pub fn load(&self, common: &Common) -> Result<Data, Failure> {
        let mut data =
            self.data.source()?.load(self.precision(), |remark| common.remark(remark))?;
        let Some(count) = self.training_size else { return Ok(data) };
        let holds_out = self.objective == ObjectiveName::Validation;
        let held_out = if holds_out { data.held_out } else { 0 };
        let most = data.len(Set::Training) - held_out;
        if count == 0 || count > most {
            return Err(Failure::usage(format!(
                "--training-size {count} must be between 1 and {most}, the examples there are to train on"
            )));
        }
        data.keep(count, holds_out);
        Ok(data)
    }

    /// The problem on loaded data.
    pub fn problem<'a>(&self, common: &Common, data: &'a Data) -> Result<Problem<'a>, Failure> {
        let layers = self.layers.clone().unwrap_or_else(|| self.data.default_layers(data));
        Shape::new(&layers)
            .map_err(|e| Failure::usage(format!("--layers {}: {e}", comma(&layers))))?;
        if layers.first() != Some(&data.inputs) || layers.last() != Some(&data.classes) {
            return Err(Failure::usage(format!(
                "--layers {} does not fit the data: it must start with {} inputs and end with {} classes",
                comma(&layers),
                data.inputs,
                data.classes
            )));
        }
        // Checked as rounded: in single precision 0.99999999 is 1.
        let precision = self.precision();
        // Of −0 it makes +0, which is the same momentum with other bits.
        let momentum = precision.round(self.momentum) + 0.0;
        if !(0.0..1.0).contains(&momentum) {
            return Err(Failure::usage(format!(
                "--momentum {} is outside 0..1 when rounded to {}: give a number from 0 up to, but not, 1",
                self.momentum,
                precision.name()
            )));
        }
        positive(precision, "pretrain-rate", self.pretrain_rate).map_err(|failure| {
            match self.pretrain {
                0 => Failure::usage(format!("{failure}; without --pretrain leave it out")),
                _ => failure,
            }
        })?;
        let optimizer = self.optimizer.hyperparameters(precision, momentum)?;
        if let Some(InnerOptimizer::Kfac { .. }) = optimizer {
            self.plain_network("kfac")?;
        }
        let problem = Problem {
            data,
            layers,
            batch: self.batch,
            momentum,
            optimizer,
            is_normalised: self.norm.is_some(),
            family: Family::InverseTime,
            warmup: 0,
            entries: None,
            objective: self.objective.into(),
            objective_size: self.objective_size,
            seed: common.seed,
            isa: common.isa()?,
        };
        let most = problem.trained_on().min(usize::from(u16::MAX));
        if self.batch == 0 || self.batch > most {
            return Err(Failure::usage(format!(
                "--batch {} must be between 1 and {most}, the most that {} training examples allow",
                self.batch,
                problem.trained_on()
            )));
        }
        if self.norm.is_some() && self.batch < 2 {
            return Err(Failure::usage(
                "--batch 1: --norm batch needs at least two examples in a batch, of one there is no variance; give more \
                 or leave out --norm",
            ));
        }
        let judged = problem.objective_set().len();
        if self.objective_size.is_some_and(|size| size == 0 || size > judged) {
            return Err(Failure::usage(format!(
                "--objective-size {} must be between 1 and {judged}, the size of the objective set",
                self.objective_size.unwrap_or(0)
            )));
        }
        fits_in_memory(&problem)?;
        Ok(problem)
    }
}

/// `x` rounded to the working precision, when it is then a positive finite number.
pub fn positive(precision: Precision, name: &str, x: f64) -> Result<f64, Failure> {
    let rounded = precision.round(x);
    match rounded > 0.0 && rounded.is_finite() {
        true => Ok(rounded),
        false => Err(Failure::usage(format!(
            "--{name} {x} must be a positive finite number, also when rounded to {}",
            precision.name()
        ))),
    }
}

/// Refuses a record of more entries than memory has room for: `what` keeps so many entries of so
/// many bytes. A record grows by doubling, and a checkpoint is a copy and its bytes.
pub fn afford_record(what: &str, entries: u128, bytes: usize) -> Result<(), Failure> {
    afford(&format!("the record of {what}"), entries * 6 * bytes as u128, "take fewer")
}

/// Refuses what the system could only answer by ending the process.
fn fits_in_memory(problem: &Problem<'_>) -> Result<(), Failure> {
    let what = format!("--layers {} --batch {}", comma(&problem.layers), problem.batch);
    afford(&what, problem.bytes().into(), "make one of them smaller")
}

impl ProblemOptions {
    /// Where training with the schedule starts: initial weights, pretrained if so asked.
    ///
    /// # Errors
    /// When pretraining diverges.
    pub fn start(&self, problem: &Problem<'_>) -> Result<InitialParams, Failure> {
        let mut go_on = || !interrupt::is_asked();
        let start = problem.start_while(self.pretrain, self.pretrain_rate, &mut go_on);
        let start = start.map_err(|diverged| {
            Failure::run(format!("pretraining diverged: {diverged}; lower --pretrain-rate"))
        })?;
        start.ok_or_else(|| {
            Failure::Interrupted("interrupted before training; nothing was written".into())
        })
    }
}

/// Numbers as they are written on the command line.
pub fn comma<T: ToString>(numbers: &[T]) -> String {
    numbers.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

/// The schedule α_k = α₀ / (1 + k/K)^β.
#[derive(Args, Clone, Debug, Serialize)]
pub struct ScheduleOptions {
    /// First learning rate
    #[arg(
        long, default_value_t = Self::default().alpha0, value_name = "RATE",
        allow_negative_numbers = true
    )]
    pub alpha0: f64,
    /// Time constant K, in steps
    #[arg(
        long, default_value_t = Self::default().time_constant, value_name = "STEPS",
        allow_negative_numbers = true
    )]
    pub time_constant: f64,
    /// Decay exponent
    #[arg(
        long, default_value_t = Self::default().beta, value_name = "BETA",
        allow_negative_numbers = true
    )]
    pub beta: f64,
}

impl Default for ScheduleOptions {
    fn default() -> Self {
        Self { alpha0: 0.1, time_constant: 5000.0, beta: 1.0 }
    }
}

impl ScheduleOptions {
    /// The schedule, rounded to the working precision.
    pub fn schedule(&self, precision: Precision) -> Result<InverseTime<f64>, Failure> {
        let Self { alpha0, time_constant, beta } = *self;
        precision.schedule(alpha0, time_constant, beta).map_err(|e| {
            let exact = InverseTime::new(alpha0, time_constant, beta).is_ok();
            let name = precision.name();
            let rounded =
                if exact { format!(", also when rounded to {name}") } else { String::new() };
            Failure::usage(format!(
                "--alpha0 {alpha0:?} --time-constant {time_constant:?} --beta {beta:?}: {e}{rounded}"
            ))
        })
    }
}

impl Common {
    /// The experiment of `command` with these options on `problem`; its defaults count as given.
    pub fn experiment(
        &self,
        command: &str,
        options: &impl Serialize,
        problem: &Problem<'_>,
    ) -> Experiment {
        let entries = problem.entries.as_deref().map(schedule_file::digest);
        Experiment::new(command, options)
            .with("seed", self.seed)
            .with("data_digest", problem.data.digest().to_string())
            .with_default("layers", &problem.layers)
            .with_default("objective_size", problem.objective_set().len())
            .with_some("schedule_digest", entries)
    }

    /// The instruction set to use.
    pub fn isa(&self) -> Result<Isa, Failure> {
        match self.isa.map(Isa::from) {
            None => Ok(Isa::widest()),
            Some(isa) if isa.available() => Ok(isa),
            Some(isa) => Err(Failure::usage(format!(
                "--isa {} is not among this processor's instructions; leave it out for the widest there is, {}",
                isa.name(),
                Isa::widest().name()
            ))),
        }
    }

    /// Says something on standard error, unless it is to be quiet.
    pub fn remark(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            // A closed pipe on standard error is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
}
