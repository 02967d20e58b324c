//! Options that several commands share.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use myopia_backend::Isa;
use myopia_core::meta::{Limits, MetaDescent};
use myopia_core::mlp::Shape;
use myopia_core::schedule::InverseTime;
use serde::Serialize;

use myopia::checkpoint::{Experiment, Opening};
use myopia::failure::Failure;
use myopia::interrupt;
use myopia::memory::afford;
use myopia::outer::{OuterOptimizer, OuterRule};
use myopia::output::OutputFolder;
use myopia::precision::Precision;
use myopia::problem::{Data, InitialParams, ObjectiveSet, Problem, Source};

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
        value_parser = clap::value_parser!(u16).range(1..=i64::from(super::threads::MOST))
    )]
    pub threads: Option<u16>,
    /// Instruction set to use [default: the widest that this processor has]; the bits are the same
    #[arg(long, value_enum, global = true)]
    pub isa: Option<IsaName>,
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
    pub objective: ObjectiveName,
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
    /// The float in which to train.
    pub fn precision(&self) -> Precision {
        self.precision.into()
    }

    /// Loads the data.
    pub fn load(&self, common: &Common) -> Result<Data, Failure> {
        let source = match self.data {
            DataName::Glyphs => Source::Glyphs,
            DataName::Mnist => Source::Mnist(self.mnist_dir.clone()),
        };
        source.load(self.precision(), |remark| common.remark(remark))
    }

    /// The layers where none are given.
    pub fn default_layers(&self, data: &Data) -> Vec<usize> {
        match self.data {
            DataName::Glyphs => vec![data.inputs, 32, data.classes],
            DataName::Mnist => vec![data.inputs, 100, 100, data.classes],
        }
    }

    /// The problem on loaded data.
    pub fn problem<'a>(&self, common: &Common, data: &'a Data) -> Result<Problem<'a>, Failure> {
        let layers = self.layers.clone().unwrap_or_else(|| self.default_layers(data));
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
        positive(precision, "pretrain-rate", self.pretrain_rate)?;
        let problem = Problem {
            data,
            layers,
            batch: self.batch,
            momentum,
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
            Failure::Interrupted("interrupted while pretraining; nothing was written".into())
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
    pub fn schedule(&self, precision: Precision) -> Result<InverseTime<f64>, Failure> {
        let Self { alpha0, time_constant, beta } = *self;
        let round = |x| precision.round(x);
        InverseTime::new(round(alpha0), round(time_constant), round(beta)).map_err(|e| {
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

/// The outer optimizer's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outer {
    /// Adam
    Adam,
    /// SGD with momentum 0.9
    Momentum,
}

impl From<Outer> for OuterRule {
    fn from(name: Outer) -> Self {
        match name {
            Outer::Adam => Self::Adam,
            Outer::Momentum => Self::Momentum,
        }
    }
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
    /// Parameters that keep their value. The others stay within 0.0001 to 10 (alpha0), 1 to 1e6 steps (time-constant), 0.0001 to
    /// 1000 (beta), and start there
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
    /// The optimizer, for descents from these α₀, K and β.
    pub fn optimizer(
        &self,
        precision: Precision,
        starts: &[InverseTime<f64>],
    ) -> Result<OuterOptimizer, Failure> {
        let names = [ParameterName::Alpha0, ParameterName::TimeConstant, ParameterName::Beta];
        let mut limits = MetaDescent::<f64>::default_limits();
        for (limits, name) in limits.iter_mut().zip(names) {
            limits.learned = !self.fix.contains(&name);
        }
        for start in starts {
            let named = ["alpha0", "time-constant", "beta"].into_iter().zip(start.parameters());
            for (start, limits) in named.zip(&limits) {
                within(start, limits)?;
            }
        }
        outer_optimizer(precision, self.outer, [self.meta_lr, self.clip], limits)
    }
}

/// Refuses a start outside the bounds between which the outer optimizer keeps what it learns.
pub fn within((name, start): (&str, f64), limits: &Limits<f64>) -> Result<(), Failure> {
    let Limits { learned, least, greatest, .. } = *limits;
    // A start on a bound may have been rounded to the float of the run.
    let (low, high) = (least * (1.0 - 1e-6), greatest * (1.0 + 1e-6));
    if !learned || (low..=high).contains(&start) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "--{name} is {start:?} where the descent starts, outside {least:?} to {greatest:?}, in which it is learned; start inside, \
         or keep it with --fix"
    )))
}

/// The largest meta-learning rate: e¹⁰ is a factor of 22,000 in one step.
const MOST_META_LR: f64 = 10.0;

/// The outer optimizer with this meta-learning rate and clip on what `limits` say is learned.
pub fn outer_optimizer<const N: usize>(
    precision: Precision,
    outer: Outer,
    [meta_lr, clip]: [f64; 2],
    limits: [Limits<f64>; N],
) -> Result<OuterOptimizer<N>, Failure> {
    let rate = positive(precision, "meta-lr", meta_lr)?;
    if rate > MOST_META_LR {
        return Err(Failure::usage(format!(
            "--meta-lr {meta_lr:?} is above {MOST_META_LR}; it is a step on logarithms, give one such as 0.1"
        )));
    }
    if limits.iter().all(|limits| !limits.learned) {
        return Err(Failure::usage(
            "--fix names everything, so that nothing is learned; leave one out",
        ));
    }
    let clip = positive(precision, "clip", clip)?;
    let limits = limits.map(|limits| Limits { clip, ..limits });
    Ok(OuterOptimizer::new(precision, outer.into(), rate, limits))
}

impl Common {
    /// The experiment of `command` with these options on these data.
    pub fn experiment(&self, command: &str, options: &impl Serialize, data: &Data) -> Experiment {
        Experiment::new(command, options)
            .with("seed", self.seed)
            .with("data_digest", data.digest().to_string())
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Program;

    fn refusal(arguments: &str) -> String {
        let line = format!("myopia --quiet {arguments} --objective-size 10 --layers 64,2,10");
        let program = Program::try_parse_from(line.split(' ')).unwrap();
        program.run().expect_err(arguments).to_string()
    }

    #[test]
    fn starts_outside_the_bounds_and_settings_without_sense_are_refused_by_name() {
        let meta = "meta --horizon 2 --meta-steps 1";
        for (arguments, words) in [
            (format!("{meta} --alpha0 1e-8"), "--alpha0 is"),
            (format!("{meta} --alpha0 20"), "outside 0.0001 to 10.0"),
            (format!("{meta} --time-constant 1e9"), "--time-constant is 1000000000.0"),
            (format!("{meta} --beta 0"), "--beta is 0.0"),
            (format!("{meta} --meta-lr 1e30"), "--meta-lr 1e30 is above 10"),
            (format!("{meta} --fix alpha0,time-constant,beta"), "nothing is learned"),
            (
                "horizons --horizon 2 --meta-steps 1 --from 0.1,0.5,1".into(),
                "--time-constant is 0.5",
            ),
            ("online --steps 2 --from 1e-9".into(), "--from, as rate / (1 - momentum), is 1.0"),
            ("online --steps 2 --momentum 0.9999".into(), "--momentum, as 1 - momentum,"),
            ("online --steps 2 --fix effective-rate,momentum".into(), "nothing is learned"),
        ] {
            let said = refusal(&arguments);
            assert!(said.contains(words) && said.lines().count() == 1, "{arguments}: {said}");
        }
    }

    #[test]
    fn what_keeps_its_value_may_have_any_and_bounds_may_be_starts() {
        for arguments in [
            "meta --horizon 2 --meta-steps 1 --beta 0 --fix beta",
            "meta --horizon 2 --meta-steps 1 --alpha0 0.0001 --time-constant 1 --beta 1000",
            "online --steps 2 --momentum 0.9999 --fix momentum --from 0.001 --fixed 0.01 --every 1",
        ] {
            let line = format!("myopia --quiet {arguments} --objective-size 10 --layers 64,2,10");
            let program = Program::try_parse_from(line.split(' ')).unwrap();
            program.run().unwrap_or_else(|e| panic!("{arguments}: {e}"));
        }
    }
}
