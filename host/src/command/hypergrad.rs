//! `myopia hypergrad`: one look-ahead, one objective, three derivatives.

use std::io;

use clap::{Args, ValueEnum};
use myopia_backend::awake;
use myopia_core::digest::Digest;
use myopia_core::dual::Dual;
use myopia_core::mlp::Quantity;
use myopia_core::schedule::{InverseTime, Parameter};
use myopia_core::unroll::{Diverged, Objective};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::edge::remark_exponent;
use super::family::FamilyOptions;
use super::optimizer::Tuned;
use super::options::{Common, ProblemOptions, ScheduleOptions};
use super::progress;
use crate::command::values::{named, trimmed, whole};
use myopia::failure::Failure;
use myopia::interrupt;
use myopia::memory::{afford, told};
use myopia::output::npy;
use myopia::output::npz::Npz;
use myopia::output::{OutputFolder, json, standard};
use myopia::precision::Numbers;
use myopia::problem::{
    Data, Hypergradient, InitialParams, MEAN, Problem, Rates, ReversePlan, Tangents, TooLittle,
    VARIANCE, Wanted,
};
use myopia::remedies::Carry;
use myopia::shown::number;

/// Options of `myopia hypergrad`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    pub problem: ProblemOptions,
    #[command(flatten)]
    #[serde(flatten)]
    schedule: ScheduleOptions,
    #[command(flatten)]
    #[serde(flatten)]
    family: FamilyOptions,
    /// Steps to look ahead
    #[arg(
        long, default_value_t = 100, value_name = "STEPS", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    pub horizon: u32,
    /// By which hyperparameters to differentiate [default: those of the schedule]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", value_parser = named::<Tuned>())]
    #[serde(skip_serializing_if = "Option::is_none")]
    tune: Option<Vec<Tuned>>,
    /// How to differentiate: forward with tangents, three derivatives to a pass, or in reverse, all
    /// at the cost of one
    #[arg(long, value_enum, default_value = "forward", value_name = "MODE")]
    #[serde(skip_serializing_if = "Mode::is_forward")]
    mode: Mode,
    /// How tangents are carried from step to step: rtho, which is all of them, hd, marthe:NU or
    /// truncated:STEPS, of which the last steps alone are seen
    #[arg(long, value_name = "CARRY", value_parser = trimmed::<Carry>)]
    #[serde(serialize_with = "as_words_if_any", skip_serializing_if = "Option::is_none")]
    carry: Option<Carry>,
    /// Most memory that reverse mode may take besides the data [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    #[serde(skip)]
    memory: Option<u64>,
    /// Leave out the run's Lyapunov exponent, which takes another run with one tangent
    #[arg(long)]
    #[serde(skip)]
    no_exponent: bool,
    /// Write settings, initial and final weights, batches and objective here, for another program
    /// to recompute
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    export: Option<std::path::PathBuf>,
}

/// How to differentiate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Tangents carried along with training; memory does not depend on the horizon
    Forward,
    /// Training, then its steps back, with checkpoints where memory is short
    Reverse,
}

fn as_words_if_any<S: Serializer>(carry: &Option<Carry>, serializer: S) -> Result<S::Ok, S::Error> {
    carry.map(|carry| carry.to_string()).serialize(serializer)
}

impl Mode {
    fn is_forward(&self) -> bool {
        *self == Self::Forward
    }
}

/// What the command prints.
#[derive(Serialize)]
struct Report {
    /// Mean loss of the objective after the horizon, in nats.
    loss: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    d_alpha0: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    d_time_constant: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    d_beta: Option<f64>,
    /// By each hyperparameter that is tuned, by its name on the command line.
    derivatives: Map<String, Value>,
    /// Share of the objective's examples classified correctly.
    accuracy: f64,
    /// The finite-time Lyapunov exponent of training, per step; nothing where it leaves the finite
    /// range.
    #[serde(skip_serializing_if = "Option::is_none")]
    exponent: Option<Option<f64>>,
    /// Digest of the values of the final state.
    digest: String,
    /// Digests of its tangents, of each three directions.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest_tangents: Option<String>,
    /// Digest of the adjoints of the initial state.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest_adjoints: Option<String>,
}

/// What either mode finds.
pub struct Found {
    /// Mean loss, and share of examples classified correctly.
    pub objective: Objective<f64, 0>,
    /// The derivative by each hyperparameter that is tuned.
    pub by: Vec<(Tuned, f64)>,
    /// Of the values of the final state.
    pub digest: Digest,
    /// Digests of its tangents, of each three directions.
    pub tangents: Option<String>,
    start: InitialParams,
    parameters: Numbers,
    adjoints: Option<String>,
    /// For each of the derivatives by every step's own value a name and the steps.
    by_step: Vec<(&'static str, Vec<f64>)>,
}

/// `meta.json`: every setting, and what came of it.
#[derive(Serialize)]
struct Meta<'a> {
    version: &'static str,
    seed: u64,
    /// With the layers that were trained, given or not.
    #[serde(flatten)]
    options: Map<String, Value>,
    trained_on: usize,
    #[serde(flatten)]
    report: &'a Report,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        if self.memory.is_some() && self.mode == Mode::Forward {
            return Err(Failure::usage(
                "--memory limits reverse mode; give --mode reverse too, or leave it out",
            ));
        }
        let unknown = |carry: &Carry| self.mode == Mode::Reverse || carry.share(0).is_none();
        if let Some(carry) = self.carry.filter(unknown) {
            return Err(Failure::usage(format!(
                "--carry {carry}: give rtho, hd, marthe:NU or truncated:STEPS, and no --mode reverse"
            )));
        }
        let precision = self.problem.precision();
        let chosen = self.problem.optimizer.hyperparameters(precision, 0.0)?;
        if self.carry.is_some() && self.family.file().is_some() {
            return Err(Failure::usage(
                "--carry is of tangents by a schedule's parameters, of which --schedule file: has none; leave it out",
            ));
        }
        if self.carry.is_some() && (chosen.is_some() || self.problem.norm.is_some()) {
            return Err(Failure::usage(
                "--carry is of plain sgd, whose velocity goes with the rate; leave out --optimizer, --nesterov, \
                 --weight-decay and --norm",
            ));
        }
        let schedule = self.schedule()?;
        let folder = match (&self.export, &common.out) {
            (Some(_), Some(_)) => {
                return Err(Failure::usage(
                    "--export and --out both name a folder; give one of them",
                ));
            }
            (Some(path), None) | (None, Some(path)) => {
                Some(OutputFolder::create_at_once(path, common.force)?)
            }
            (None, None) => None,
        };
        interrupt::listen()?;
        let data = self.problem.load(common)?;
        let problem = self.problem(common, &data)?;
        let found = self.look_ahead(common, &problem, &schedule)?;
        let exponent = match self.no_exponent {
            true => None,
            false => Some(exponent(&problem, &found.start, &schedule, self.horizon)?),
        };
        let by = &found.by;
        let along = |name| by.iter().find(|(tuned, _)| *tuned == name).map(|(_, slope)| *slope);
        let report = Report {
            loss: found.objective.loss.value,
            d_alpha0: along(Tuned::Alpha0),
            d_time_constant: along(Tuned::TimeConstant),
            d_beta: along(Tuned::Beta),
            derivatives: by.iter().map(|(tuned, slope)| (tuned.name(), (*slope).into())).collect(),
            accuracy: found.objective.accuracy,
            exponent,
            digest: found.digest.to_string(),
            digest_tangents: found.tangents.clone(),
            digest_adjoints: found.adjoints.clone(),
        };
        if let Some(folder) = folder {
            let unwritable = |e| Failure::run(format!("the settings cannot be written: {e}"));
            let Value::Object(mut options) = serde_json::to_value(&self).map_err(unwritable)?
            else {
                unreachable!("options are an object")
            };
            options.insert("layers".into(), problem.layers.clone().into());
            let meta = Meta {
                version: env!("CARGO_PKG_VERSION"),
                seed: common.seed,
                options,
                trained_on: problem.trained_on(),
                report: &report,
            };
            export(&folder, &problem, self.horizon, &found)?;
            folder.write("meta.json", |w| json::write(w, &meta))?;
            folder.finish()?;
        }
        if let Some(exponent) = report.exponent {
            remark_exponent(common, "this run", exponent);
        }
        if common.json {
            return json::print(&report);
        }
        let Report { loss, digest, .. } = &report;
        let others = match (&report.digest_tangents, &report.digest_adjoints) {
            (Some(tangents), _) => format!("tangents {tangents}"),
            (None, adjoints) => format!("adjoints {}", adjoints.as_deref().unwrap_or_default()),
        };
        let percent = 100.0 * report.accuracy;
        standard::print(|out| {
            let steps = self.horizon;
            let loss = number(*loss, 6);
            writeln!(out, "objective after {steps} steps  {loss} nats, {percent:.2} % correct")?;
            for (tuned, slope) in by {
                let (name, unit) = match tuned {
                    Tuned::TimeConstant => ("K".to_owned(), " per step"),
                    other => (other.name(), ""),
                };
                writeln!(out, "{:<27}{slope:+.6e}{unit}", format!("d loss / d {name}"))?;
            }
            if let Some(exponent) = report.exponent {
                let exponent = exponent.map_or("-".to_owned(), |x| format!("{x:+.6e} per step"));
                writeln!(out, "{:<27}{exponent}", "Lyapunov exponent")?;
            }
            writeln!(out, "digest                     {digest} ({others})")
        })
    }

    /// α₀, K and β, rounded to the working precision.
    pub fn schedule(&self) -> Result<InverseTime<f64>, Failure> {
        self.family.numbers(&self.schedule, self.problem.precision())
    }

    /// The problem on loaded data.
    pub fn problem<'a>(&self, common: &Common, data: &'a Data) -> Result<Problem<'a>, Failure> {
        self.family.of_or_file(self.problem.problem(common, data)?, self.horizon)
    }

    /// The hypergradient of training on `problem` by what is tuned.
    pub fn look_ahead(
        &self,
        common: &Common,
        problem: &Problem<'_>,
        schedule: &InverseTime<f64>,
    ) -> Result<Found, Failure> {
        if self.mode == Mode::Reverse {
            self.problem.plain_network("the way back of --mode reverse")?;
        }
        let tuned = Tuned::named(self.tune.as_deref(), problem)?;
        if self.mode == Mode::Reverse {
            needs_steps_back("--mode reverse", problem)?;
        }
        let start = awake(|| self.problem.start(problem))?;
        awake(|| match self.mode {
            Mode::Forward => self.unroll(common, problem, start, schedule, &tuned),
            Mode::Reverse => self.back(common, problem, start, schedule, &tuned),
        })
    }

    /// By tangents from `start`, three at a time: the values are the same in each pass.
    fn unroll(
        &self,
        common: &Common,
        problem: &Problem<'_>,
        start: InitialParams,
        schedule: &InverseTime<f64>,
        tuned: &[Tuned],
    ) -> Result<Found, Failure> {
        let parameters: Vec<Parameter> = tuned.iter().map(|tuned| tuned.parameter()).collect();
        let passes = Tangents::passes(&parameters);
        let steps = passes.len() as u64 * u64::from(self.horizon);
        let bar = progress::bar(common, steps, "look-ahead");
        let mut go_on = || {
            bar.inc(1);
            !interrupt::is_asked()
        };
        let mut pass = |tangents| {
            let share = |k: u32| self.carry.and_then(|carry| carry.share(k)).unwrap_or(1.0);
            let (horizon, go_on) = (self.horizon, &mut go_on);
            let found =
                problem.hypergradient_carried(tangents, &start, schedule, horizon, &share, go_on);
            found.map_err(diverged)?.ok_or_else(interrupted)
        };
        let found: Vec<Hypergradient> =
            passes.into_iter().map(&mut pass).collect::<Result<_, _>>()?;
        bar.finish_and_clear();
        let slopes = found.iter().flat_map(|pass| pass.objective.loss.tangents);
        let by = tuned.iter().copied().zip(slopes).collect();
        let tangents: Vec<String> = found.iter().map(|pass| pass.digests[1].to_string()).collect();
        let Some(Hypergradient { objective, parameters, digests }) = found.into_iter().next()
        else {
            unreachable!("something is tuned")
        };
        let Objective { loss, accuracy } = objective;
        Ok(Found {
            objective: Objective { loss: Dual::constant(loss.value), accuracy },
            by,
            digest: digests[0],
            tangents: Some(tangents.join(" ")),
            start,
            parameters,
            adjoints: None,
            by_step: Vec::new(),
        })
    }

    /// The same by steps back, in the memory that is allowed.
    fn back(
        &self,
        common: &Common,
        problem: &Problem<'_>,
        start: InitialParams,
        schedule: &InverseTime<f64>,
        tuned: &[Tuned],
    ) -> Result<Found, Failure> {
        let mut run = problem.reverse(&start);
        let memory = self.memory.unwrap_or(1 << 30);
        let of_schedule = problem.of_rates();
        let of_rates = |tuned: &Tuned| of_schedule.contains(&tuned.parameter());
        let is_exported = self.export.is_some() || common.out.is_some();
        let wanted = match !is_exported && tuned.iter().all(of_rates) {
            true => Wanted::Rates,
            false => Wanted::All,
        };
        let plan = run
            .plan(self.horizon, memory, wanted)
            .map_err(|least| too_little(memory, 1, &least))?;
        afford("reverse mode", plan.bytes.into(), "give a smaller --memory")?;
        common.remark(sentence(&plan));
        let steps = plan.forward_steps + u64::from(self.horizon);
        let bar = progress::bar(common, steps, "reverse mode");
        let mut go_on = || {
            bar.inc(1);
            !interrupt::is_asked()
        };
        let rates = match &problem.entries {
            Some(entries) => Rates::Entries(entries),
            None => Rates::Schedule(schedule),
        };
        let found = run.run(rates, &plan, &mut go_on).map_err(diverged)?;
        bar.finish_and_clear();
        let found = found.ok_or_else(interrupted)?;
        let whole = problem.schedule(schedule);
        let slope = |tuned: &Tuned| (*tuned, found.derivative(&whole, tuned.parameter()));
        let by = tuned.iter().map(slope).collect();
        let by_momentum = found.by_others.into_iter().find(|(by, _)| *by == Parameter::Momentum);
        let by_momentum = by_momentum.map(|(_, steps)| ("d_momentum.npy", steps));
        Ok(Found {
            objective: found.objective,
            by,
            digest: found.digests[0],
            tangents: None,
            start,
            parameters: found.parameters,
            adjoints: Some(found.digests[1].to_string()),
            by_step: [("d_learning_rate.npy", found.by_rate)]
                .into_iter()
                .chain(by_momentum)
                .collect(),
        })
    }
}

/// The Lyapunov exponent of the run, or nothing where it leaves the finite range.
fn exponent(
    problem: &Problem<'_>,
    start: &InitialParams,
    schedule: &InverseTime<f64>,
    horizon: u32,
) -> Result<Option<f64>, Failure> {
    let mut go_on = || !interrupt::is_asked();
    let rates = Rates::Schedule(schedule);
    match awake(|| problem.exponent_while(start, rates, horizon, &mut go_on)) {
        Ok(None) => Err(interrupted()),
        Ok(exponent) => Ok(exponent),
        Err(_) => Ok(None),
    }
}

fn interrupted() -> Failure {
    Failure::Interrupted("interrupted; nothing was found".into())
}

fn diverged(diverged: Diverged) -> Failure {
    told_diverged(&diverged, "lower --alpha0 or --horizon")
}

/// That training diverged, with what helps: `otherwise`, or more damping where a factor of K-FAC is
/// singular.
pub fn told_diverged(diverged: &Diverged, otherwise: &str) -> Failure {
    match diverged.quantity {
        Quantity::Inverse(_) => {
            Failure::run(format!("K-FAC stopped: {diverged}; give a larger --damping"))
        }
        _ => Failure::run(format!("training diverged: {diverged}; {otherwise}")),
    }
}

/// Refuses `what` with an optimiser whose steps cannot be taken back.
pub fn needs_steps_back(what: &str, problem: &Problem<'_>) -> Result<(), Failure> {
    match problem.is_reversible() {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "{what} takes steps back, which is not there for kfac; choose another --optimizer"
        ))),
    }
}

/// Refuses less than a run takes.
pub fn too_little(memory: u64, runs: u32, TooLittle { least }: &TooLittle) -> Failure {
    let (asked, least) = (told(memory.into()), told_up(least.saturating_mul(runs.into())));
    let of_runs = match runs {
        1 => "this run".to_owned(),
        _ => format!("each of {runs} runs"),
    };
    Failure::usage(format!(
        "--memory allows {asked}, and one point of {of_runs} with all else takes {least}; give at least that"
    ))
}

/// What a plan of reverse mode costs, in a sentence.
pub fn sentence(plan: &ReversePlan) -> String {
    let ReversePlan { horizon, points, forward_steps, .. } = plan;
    let (of_points, all) = (told(plan.bytes_of_points.into()), told(plan.bytes.into()));
    let how = match plan.stores_everything() {
        true => format!("stores all {points} points"),
        false => format!("keeps {points} binomial checkpoints"),
    };
    format!(
        "reverse mode {how} ({of_points}, {all} in all): {forward_steps} steps forward, {horizon} back"
    )
}

/// A size that is at least `bytes`, as `told` says it.
fn told_up(bytes: u64) -> String {
    // A tenth of the unit is what is told.
    let tenth = if bytes < 1 << 30 { (1 << 20) / 10 } else { (1 << 30) / 10 };
    told(u128::from(bytes) + tenth)
}

/// A size in bytes, as people write it.
pub fn size(text: &str) -> Result<u64, &'static str> {
    let found: Result<bytesize::ByteSize, _> = text.trim().parse();
    found.map(|size| size.as_u64()).map_err(|_| "give a size, such as 512MiB or 1GiB")
}

/// Writes what another program needs in order to recompute the number.
fn export(
    folder: &OutputFolder,
    problem: &Problem<'_>,
    horizon: u32,
    found: &Found,
) -> Result<(), Failure> {
    let batches = problem.batch_indices(horizon);
    let objective = problem.objective_indices();
    folder.write("init.npz", |w| weights(problem, &found.start.0, false)?.finish(w))?;
    folder.write("final.npz", |w| weights(problem, &found.parameters, true)?.finish(w))?;
    folder.write("batches.npy", |w| npy::write(w, &[horizon as usize, problem.batch], &batches))?;
    folder.write("objective.npy", |w| npy::write(w, &[objective.len()], &objective))?;
    for (name, steps) in &found.by_step {
        folder.write(name, |w| npy::write(w, &[steps.len()], steps))?;
    }
    Ok(())
}

/// The arrays w0, b0, w1, b1, …; w is [inputs, outputs]; with normalisation scale0, shift0, …,
/// and, if `with_averages`, mean0, variance0, ….
fn weights(problem: &Problem<'_>, numbers: &Numbers, with_averages: bool) -> io::Result<Npz> {
    match numbers {
        Numbers::F32(numbers) => weights_of(problem, numbers, with_averages),
        Numbers::F64(numbers) => weights_of(problem, numbers, with_averages),
    }
}

fn weights_of<T: npy::Element>(
    problem: &Problem<'_>,
    mut numbers: &[T],
    with_averages: bool,
) -> io::Result<Npz> {
    let mut npz = Npz::new();
    for (name, shape) in problem.arrays() {
        let (array, rest) = numbers.split_at(shape.iter().fold(1, |n, length| n * length));
        numbers = rest;
        let is_average = [MEAN, VARIANCE].iter().any(|average| name.starts_with(average));
        if with_averages || !is_average {
            npz.array(&name, &shape, array)?;
        }
    }
    Ok(npz)
}
