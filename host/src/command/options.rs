//! Options that several commands share.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use myopia_core::backend::Backend;
use myopia_core::meta::{Limits, MetaDescent, Rule};
use myopia_core::mlp::Shape;
use myopia_core::real::Real;
use myopia_core::schedule::InverseTime;
use myopia_core::vector::Vector;
use serde::Serialize;

use crate::checkpoint::{Experiment, Opening};
use crate::engine::{Isa, Precision, Work};
use crate::failure::Failure;
use crate::memory::afford;
use crate::output::OutputFolder;
use crate::problem::{Data, ObjectiveSet, Problem, Source, Start};

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Seed of initial weights and batches
    #[arg(long, default_value_t = 1, global = true, allow_negative_numbers = true)]
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
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    pub threads: Option<u16>,
    /// Instruction set to use [default: the widest that this processor has]; the bits are the same
    #[arg(long, value_enum, global = true)]
    pub isa: Option<Isa>,
    /// No progress and no remarks on standard error
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// Options of every command that runs for minutes.
#[derive(Args, Clone, Copy, Debug)]
pub struct LongRun {
    /// Go on with the unfinished run in --out, to the same bits; the other options must be the same
    #[arg(long)]
    pub resume: bool,
    /// Seconds between two checkpoints in --out
    #[arg(long, default_value_t = 15, value_name = "SECONDS", allow_negative_numbers = true)]
    pub checkpoint_every: u32,
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

/// Which data is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DataName {
    /// Synthetic 8x8 digits, built in
    Glyphs,
    /// MNIST, from --mnist-dir, MYOPIA_MNIST or the cache that `myopia data fetch` fills
    Mnist,
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

/// Options that say what is trained.
#[derive(Args, Clone, Debug, Serialize)]
pub struct ProblemOptions {
    /// What to train on
    #[arg(long, value_enum, default_value = "glyphs")]
    pub data: DataName,
    /// Folder with the four MNIST files, gzipped or not
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub mnist_dir: Option<PathBuf>,
    /// Units of each layer, from inputs to classes [default: 64,32,10 for glyphs, 784,100,100,10 for mnist]
    #[arg(long, value_delimiter = ',', value_name = "N,N,…", allow_negative_numbers = true)]
    pub layers: Option<Vec<usize>>,
    /// Examples in a batch
    #[arg(long, default_value_t = 100, value_name = "N", allow_negative_numbers = true)]
    pub batch: usize,
    /// Momentum of SGD, in 0..1
    #[arg(long, default_value_t = 0.9, value_name = "MU", allow_negative_numbers = true)]
    pub momentum: f64,
    /// What a schedule is judged by: held-out examples or those trained on
    #[arg(long, value_enum, default_value = "validation")]
    pub objective: ObjectiveSet,
    /// Judge by this many examples at most
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub objective_size: Option<usize>,
    /// Float in which to train
    #[arg(long, value_enum, default_value = "f32")]
    pub precision: PrecisionName,
    /// Steps at a constant rate before the schedule starts; their momentum is then dropped
    #[arg(long, default_value_t = 0, value_name = "STEPS", allow_negative_numbers = true)]
    pub pretrain: u32,
    /// Learning rate of those steps
    #[arg(long, default_value_t = 0.1, value_name = "RATE", allow_negative_numbers = true)]
    pub pretrain_rate: f64,
}

impl ProblemOptions {
    /// Loads the data.
    pub fn load<T: Precision>(&self, common: &Common) -> Result<Data<T>, Failure> {
        let source = match self.data {
            DataName::Glyphs => Source::Glyphs,
            DataName::Mnist => Source::Mnist(self.mnist_dir.clone()),
        };
        source.load(|remark| common.remark(remark))
    }

    /// The problem on loaded data.
    pub fn problem<'a, T: Precision>(
        &self,
        common: &Common,
        data: &'a Data<T>,
    ) -> Result<Problem<'a, T>, Failure> {
        let layers = self.layers.clone().unwrap_or_else(|| match self.data {
            DataName::Glyphs => vec![data.inputs, 32, data.classes],
            DataName::Mnist => vec![data.inputs, 100, 100, data.classes],
        });
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
        let momentum = T::from_f64(self.momentum);
        // Of −0 it makes +0, which is the same momentum with other bits.
        let momentum = momentum + T::ZERO;
        if !(momentum >= T::ZERO && momentum < T::ONE) {
            return Err(Failure::usage(format!(
                "--momentum {} is outside 0..1 when rounded to {}: give a number from 0 up to, but not, 1",
                self.momentum,
                T::NAME
            )));
        }
        positive::<T>("pretrain-rate", self.pretrain_rate)?;
        let problem = Problem {
            data,
            layers,
            batch: self.batch,
            momentum,
            objective: self.objective,
            objective_size: self.objective_size,
            seed: common.seed,
        };
        let most = problem.trained_on().min(usize::from(u16::MAX));
        if self.batch == 0 || self.batch > most {
            return Err(Failure::usage(format!(
                "--batch {} must be between 1 and {most}, the most that {} training examples allow",
                self.batch,
                problem.trained_on()
            )));
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
pub fn positive<T: Real>(name: &str, x: f64) -> Result<T, Failure> {
    let rounded = T::from_f64(x);
    match rounded > T::ZERO && rounded.finite() {
        true => Ok(rounded),
        false => Err(Failure::usage(format!(
            "--{name} {x} must be a positive finite number, also when rounded to {}",
            T::NAME
        ))),
    }
}

/// Refuses what the system could only answer by ending the process.
fn fits_in_memory<T: Real>(problem: &Problem<'_, T>) -> Result<(), Failure> {
    let what = format!("--layers {} --batch {}", comma(&problem.layers), problem.batch);
    afford(&what, problem.bytes().into(), "make one of them smaller")
}

impl ProblemOptions {
    /// Where training with the schedule starts: initial weights, pretrained if so asked.
    pub fn start<T: Precision, G>(
        &self,
        engine: G,
        problem: &Problem<'_, T>,
    ) -> Result<Start<T>, Failure>
    where
        G: Backend<Vector: Vector<Scalar = T>>,
    {
        let rate = T::from_f64(self.pretrain_rate);
        problem.start(engine, self.pretrain, rate).map_err(|diverged| {
            Failure::run(format!("pretraining diverged: {diverged}; lower --pretrain-rate"))
        })
    }
}

/// The weights from which training starts, on whichever engine.
pub struct Weights<'a, T> {
    pub options: &'a ProblemOptions,
    pub problem: &'a Problem<'a, T>,
}

impl<T: Precision> Work<T> for Weights<'_, T> {
    type Output = Result<Start<T>, Failure>;

    fn on<G: Backend<Vector: Vector<Scalar = T>>>(self, engine: G) -> Self::Output {
        self.options.start(engine, self.problem)
    }
}

fn comma(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// The schedule α_k = α₀ / (1 + k/K)^β.
#[derive(Args, Clone, Debug, Serialize)]
pub struct ScheduleOptions {
    /// First learning rate
    #[arg(long, default_value_t = 0.1, value_name = "RATE", allow_negative_numbers = true)]
    pub alpha0: f64,
    /// Time constant K, in steps
    #[arg(long, default_value_t = 5000.0, value_name = "STEPS", allow_negative_numbers = true)]
    pub time_constant: f64,
    /// Decay exponent
    #[arg(long, default_value_t = 1.0, value_name = "BETA", allow_negative_numbers = true)]
    pub beta: f64,
}

impl ScheduleOptions {
    /// The schedule, rounded to the working precision.
    pub fn schedule<T: Real>(&self) -> Result<InverseTime<T>, Failure> {
        let Self { alpha0, time_constant, beta } = *self;
        InverseTime::new(T::from_f64(alpha0), T::from_f64(time_constant), T::from_f64(beta))
            .map_err(|e| {
                let exact = InverseTime::new(alpha0, time_constant, beta).is_ok();
                let rounded =
                    if exact { format!(", also when rounded to {}", T::NAME) } else { String::new() };
                Failure::usage(format!(
                    "--alpha0 {alpha0:?} --time-constant {time_constant:?} --beta {beta:?}: {e}{rounded}"
                ))
            })
    }
}

/// The outer optimizer's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outer {
    /// Adam
    Adam,
    /// SGD with momentum 0.9
    Momentum,
}

/// Options of the outer optimizer.
#[derive(Args, Clone, Debug, Serialize)]
pub struct OuterOptions {
    /// Meta-steps to take
    #[arg(long, default_value_t = 100, value_name = "N", allow_negative_numbers = true)]
    pub meta_steps: u32,
    #[command(flatten)]
    #[serde(flatten)]
    pub rule: RuleOptions,
}

/// How meta-steps are taken.
#[derive(Args, Clone, Debug, Serialize)]
pub struct RuleOptions {
    /// Outer optimizer
    #[arg(long, value_enum, default_value = "adam")]
    pub outer: Outer,
    /// Meta-learning rate, on the logarithms of the parameters
    #[arg(long, default_value_t = 0.1, value_name = "RATE", allow_negative_numbers = true)]
    pub meta_lr: f64,
    /// Gradients by the logarithms are held inside plus or minus this
    #[arg(long, default_value_t = 10.0, value_name = "SIZE", allow_negative_numbers = true)]
    pub clip: f64,
    /// Parameters that keep their value
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,…")]
    pub fix: Vec<ParameterName>,
}

/// A parameter of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParameterName {
    /// The first learning rate
    Alpha0,
    /// The time constant
    TimeConstant,
    /// The decay exponent
    Beta,
}

impl RuleOptions {
    /// The optimizer.
    pub fn optimizer<T: Real>(&self) -> Result<MetaDescent<T>, Failure> {
        let rate = positive("meta-lr", self.meta_lr)?;
        let clip = positive("clip", self.clip)?;
        let rule = match self.outer {
            Outer::Adam => Rule::adam(),
            Outer::Momentum => Rule::momentum(),
        };
        let names = [ParameterName::Alpha0, ParameterName::TimeConstant, ParameterName::Beta];
        let mut limits = MetaDescent::default_limits();
        for (limits, name) in limits.iter_mut().zip(names) {
            *limits = Limits { clip, learned: !self.fix.contains(&name), ..*limits };
        }
        Ok(MetaDescent::new(rule, rate, limits))
    }
}

impl Common {
    /// The experiment of `command` with these options on these data.
    pub fn experiment<T: Real>(
        &self,
        command: &str,
        options: &impl Serialize,
        data: &Data<T>,
    ) -> Experiment {
        Experiment::new(command, options)
            .with("seed", self.seed)
            .with("data_digest", data.digest().to_string())
    }

    /// The instruction set to use.
    pub fn isa(&self) -> Result<Isa, Failure> {
        Isa::choose(self.isa)
    }

    /// Says something on standard error, unless it is to be quiet.
    pub fn remark(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            // A closed pipe on standard error is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
}
