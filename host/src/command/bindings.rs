//! The commands' computations on data in memory, for bindings to other languages.
//!
//! Options come as words of the command line, so that their names, defaults, ranges and refusals
//! are the command's own. Whoever sets [`interrupt::asked`] ends what is computed, with
//! [`Failure::Interrupted`].

use clap::Parser;
use myopia_backend::{awake, restore_float_control};
use myopia_core::nqm::{Direction, Preconditioner, Step};

use super::nqm::options::{Chosen, RunOptions, interrupted, refused};
use super::options::{Common, ProblemOptions};
use super::{hypergrad, meta, refusal, train};
use myopia::checkpoint::Keeper;
use myopia::data::labelled::Own;
use myopia::descent::{MetaDescent, Progress};
use myopia::failure::Failure;
use myopia::interrupt;
use myopia::nqm::judge::Judge;
use myopia::nqm::policy::Policy;
use myopia::nqm::request::DEFAULT_COOLING;
use myopia::nqm::run::Run;
use myopia::nqm::spectrum::quadratic;
use myopia::precision::Numbers;
use myopia::problem::{Data, InitialParams, Problem};

/// Options of one command, and those of every command.
#[derive(Parser)]
#[command(name = "myopia")]
struct Words<T: clap::Args> {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    options: T,
}

fn parsed<T: clap::Args>(words: &[String]) -> Result<Words<T>, Failure> {
    // What follows is computed on this thread, whatever the process has done to its floats.
    let _ = restore_float_control();
    let line = ["myopia"].into_iter().chain(words.iter().map(String::as_str));
    let mut words = Words::<T>::try_parse_from(line)
        .map_err(|error| Failure::usage(refusal::sentence(error)))?;
    words.common.quiet = true;
    Ok(words)
}

/// The examples in the options' float; what is wrong with them is wrong with the call.
fn loaded(examples: &Own<'_>, options: &ProblemOptions) -> Result<Data, Failure> {
    examples.load(options.precision()).map_err(|failure| match failure {
        Failure::Run(sentence) => Failure::Usage(sentence),
        other => other,
    })
}

/// Keeps nothing, and hears when it is asked to stop.
struct Hearing;

impl<S> Keeper<S> for Hearing {
    fn pause(&self, _: impl FnOnce() -> S) -> Result<(), Failure> {
        match interrupt::is_asked() {
            true => Err(Failure::Interrupted("interrupted".into())),
            false => Ok(()),
        }
    }
}

/// What one look-ahead found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypergradient {
    /// Mean loss of the objective after the horizon, in nats.
    pub loss: f64,
    /// Share of the objective's examples classified correctly.
    pub accuracy: f64,
    /// By what it is differentiated, as on the command line.
    pub names: Vec<String>,
    /// The derivative by each of them.
    pub gradient: Vec<f64>,
    /// Digest of the final state.
    pub digest: String,
    /// Digests of its tangents, of each three directions.
    pub digest_tangents: String,
}

/// `myopia hypergrad` with the options `words` on `examples`.
///
/// # Errors
/// What the command refuses, when training diverges, and when it is interrupted.
pub fn hypergrad(words: &[String], examples: &Own<'_>) -> Result<Hypergradient, Failure> {
    let Words { common, options } = parsed::<hypergrad::Options>(words)?;
    let schedule = options.schedule()?;
    let data = loaded(examples, &options.problem)?;
    let problem = options.problem(&common, &data)?;
    let found = options.look_ahead(&common, &problem, &schedule)?;
    Ok(Hypergradient {
        loss: found.objective.loss.value,
        accuracy: found.objective.accuracy,
        names: found.by.iter().map(|(tuned, _)| tuned.name()).collect(),
        gradient: found.by.iter().map(|(_, slope)| *slope).collect(),
        digest: found.digest.to_string(),
        digest_tangents: found.tangents.unwrap_or_default(),
    })
}

/// What another program needs in order to recompute a hypergradient.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// Sizes of the layers, from inputs to classes.
    pub layers: Vec<usize>,
    /// Initial parameters: weights \[inputs, outputs\] and biases of each layer in turn.
    pub start: Numbers,
    /// Examples in a batch.
    pub batch: usize,
    /// The numbers of the examples in each batch, batch after batch.
    pub batches: Vec<u32>,
    /// The numbers of the objective's examples.
    pub objective: Vec<u32>,
}

/// What `myopia hypergrad --export` writes with the options `words` on `examples`.
///
/// # Errors
/// What the command refuses.
pub fn export(words: &[String], examples: &Own<'_>) -> Result<Exported, Failure> {
    let Words { common, options } = parsed::<hypergrad::Options>(words)?;
    let data = loaded(examples, &options.problem)?;
    let problem = options.problem(&common, &data)?;
    let InitialParams(start) = awake(|| options.problem.start(&problem))?;
    Ok(Exported {
        start,
        batch: problem.batch,
        batches: problem.batch_indices(options.horizon),
        objective: problem.objective_indices(),
        layers: problem.layers,
    })
}

/// What training came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The rate of each step.
    pub learning_rate: Vec<f64>,
    /// The mean loss of each step's batch before the update, in nats.
    pub loss: Vec<f64>,
    /// Loss and accuracy on the objective set.
    pub judged: [f64; 2],
    /// Loss and accuracy on the test set, if there is one.
    pub test: Option<[f64; 2]>,
    /// Digest of the final state.
    pub digest: String,
}

/// `myopia train` with the options `words` on `examples`.
///
/// # Errors
/// What the command refuses, when training diverges, and when it is interrupted.
pub fn train(words: &[String], examples: &Own<'_>) -> Result<Trained, Failure> {
    let Words { common, mut options } = parsed::<train::Options>(words)?;
    let course = options.course()?;
    let data = loaded(examples, &options.problem)?;
    let (problem, schedule) = options.problem(&common, &data, course)?;
    let trained = awake(|| options.train(&common, &problem, &schedule, None, &Hearing))?;
    if let Some(failure) = trained.interrupted {
        return Err(failure);
    }
    let two = |judged: train::Judged| [judged.loss, judged.accuracy];
    Ok(Trained {
        learning_rate: trained.steps.iter().map(|step| step.learning_rate).collect(),
        loss: trained.steps.iter().map(|step| step.loss).collect(),
        judged: two(trained.judged),
        test: trained.test.map(two),
        digest: trained.digest.to_string(),
    })
}

/// A meta-descent that is taken one meta-step at a time.
pub struct Descent {
    common: Common,
    options: meta::Options,
    data: Data,
    descent: MetaDescent,
    meta_steps: u32,
    start: InitialParams,
    progress: Progress,
    columns: Vec<String>,
}

impl Descent {
    /// `myopia meta` with the options `words` on `examples`, before its first look-ahead.
    ///
    /// # Errors
    /// What the command refuses.
    pub fn new(words: &[String], examples: &Own<'_>) -> Result<Self, Failure> {
        let Words { common, options } = parsed::<meta::Options>(words)?;
        options.refuse_entries("a descent in Python tunes hyperparameters")?;
        let beginning = options.beginning()?;
        let data = loaded(examples, &options.problem)?;
        let problem = options.problem(&common, &data)?;
        let descent = options.descent(beginning, &problem)?;
        let start = awake(|| options.problem.start(&problem))?;
        let meta_steps = descent.meta_steps;
        let progress = Progress::default();
        let columns = descent.columns(&problem).header();
        drop(problem);
        Ok(Self { common, options, data, descent, meta_steps, start, progress, columns })
    }

    /// The names of a record's numbers: those of the columns of `trajectory.csv`.
    pub fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    /// The next record, `None` after the last. After an interruption it goes on from the record
    /// before.
    ///
    /// # Errors
    /// When training diverges, and when it is interrupted.
    pub fn next_record(&mut self) -> Result<Option<(u32, Vec<f64>)>, Failure> {
        let _ = restore_float_control();
        let Self { common, options, data, descent, meta_steps, start, progress, .. } = self;
        let done = progress.records.len();
        if done as u64 > u64::from(*meta_steps) {
            return Ok(None);
        }
        let problem: Problem<'_> = options.problem(common, data)?;
        descent.meta_steps = done as u32;
        let (mut tick, mut observe) = (|| (), |_: &_| ());
        awake(|| descent.go_on(&problem, start, progress, &Hearing, &mut tick, &mut observe))?;
        let columns = descent.columns(&problem);
        Ok(progress.records.last().map(|record| columns.row(record)))
    }
}

/// The columns of a noisy quadratic's directions; the last two may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Spectrum<'a> {
    /// h of each direction.
    pub curvature: &'a [f64],
    /// σ² of each.
    pub noise_variance: &'a [f64],
    /// E\[θ\] before the first step, zero where they are missing.
    pub initial_mean: Option<&'a [f64]>,
    /// V\[θ\] before the first step, one where they are missing.
    pub initial_variance: Option<&'a [f64]>,
}

impl Spectrum<'_> {
    fn directions(&self) -> Result<Vec<Direction<f64>>, Failure> {
        let count = self.curvature.len();
        let given = [Some(self.noise_variance), self.initial_mean, self.initial_variance];
        let names = ["noise_variance", "initial_mean", "initial_variance"];
        for (column, name) in given.into_iter().zip(names) {
            if let Some(column) = column.filter(|column| column.len() != count) {
                return Err(Failure::usage(format!(
                    "{name} has {} directions and curvature has {count}; give one number for each",
                    column.len()
                )));
            }
        }
        let at = |column: Option<&[f64]>, i: usize, default| column.map_or(default, |c| c[i]);
        let direction = |i: usize| Direction {
            curvature: self.curvature[i],
            noise_variance: self.noise_variance[i],
            initial_mean: at(self.initial_mean, i, 0.0),
            initial_variance: at(self.initial_variance, i, 1.0),
        };
        Ok((0..count).map(direction).collect())
    }
}

/// A schedule by its name (`greedy`, `optimal`, `replan:10`, …) or by its steps.
#[derive(Clone, Copy, Debug)]
pub enum Schedule<'a> {
    /// As on the command line.
    Named(&'a str),
    /// Learning rate and momentum of each step.
    Given(&'a [f64], &'a [f64]),
}

impl Schedule<'_> {
    fn chosen(&self) -> Result<Chosen, Failure> {
        let policy: Policy = match *self {
            Self::Named(name) => {
                name.parse().map_err(|e| Failure::usage(format!("the schedule {name:?}: {e}")))?
            }
            Self::Given(rates, momenta) => {
                if rates.is_empty() || rates.len() != momenta.len() {
                    return Err(Failure::usage(format!(
                        "{} learning rates and {} momenta; give one of each for every step",
                        rates.len(),
                        momenta.len()
                    )));
                }
                if let Some(step) =
                    rates.iter().position(|&rate| !(rate >= 0.0 && rate.is_finite()))
                {
                    return Err(Failure::usage(format!(
                        "the learning rate of step {step} is {:?}; give zero or a positive number",
                        rates[step]
                    )));
                }
                let step = |(&learning_rate, &momentum)| Step { learning_rate, momentum };
                Policy::Given(rates.iter().zip(momenta).map(step).collect())
            }
        };
        let name = match self {
            Self::Named(name) => (*name).to_owned(),
            Self::Given(..) => policy.to_string(),
        };
        Ok(Chosen { name, policy })
    }
}

/// `myopia nqm` with this schedule on a quadratic with these directions.
///
/// # Errors
/// What the command refuses, when the loss leaves the finite range, and when it is interrupted.
pub fn nqm(
    spectrum: &Spectrum<'_>,
    schedule: Schedule<'_>,
    steps: Option<usize>,
    momentum: f64,
) -> Result<Run, Failure> {
    let _ = restore_float_control();
    let options = RunOptions { steps, momentum, cool: DEFAULT_COOLING, judge: Judge::Plain };
    options.check()?;
    let chosen = schedule.chosen()?;
    let quadratic =
        quadratic(spectrum.directions()?, Preconditioner::identity()).map_err(refused)?;
    options.afford(&quadratic, std::slice::from_ref(&chosen), 0)?;
    if interrupt::is_asked() {
        return Err(interrupted());
    }
    options.run(&quadratic, &chosen)
}
