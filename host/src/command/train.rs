//! `myopia train`: training with a given schedule.

use clap::Args;
use myopia_core::backend::Backend;
use myopia_core::schedule::InverseTime;
use myopia_core::unroll::{Diverged, Objective};
use myopia_core::vector::Vector;
use serde::{Deserialize, Serialize};

use super::options::{Common, LongRun, PrecisionName, ProblemOptions, ScheduleOptions};
use super::progress;
use crate::checkpoint::{Keeper, Ledger};
use crate::engine::{Precision, Work};
use crate::failure::Failure;
use crate::output::{csv, json, standard};
use crate::problem::{Problem, Snapshot};

/// Options of `myopia train`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    problem: ProblemOptions,
    #[command(flatten)]
    #[serde(flatten)]
    schedule: ScheduleOptions,
    /// Steps to train
    #[arg(long, default_value_t = 1000, value_name = "N", allow_negative_numbers = true)]
    steps: u32,
    #[command(flatten)]
    #[serde(skip)]
    long: LongRun,
}

/// One line of `training.csv`.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Step {
    step: u32,
    learning_rate: f64,
    /// Mean loss of the step's batch before the update, in nats.
    loss: f64,
}

/// Loss in nats and accuracy on one set.
#[derive(Serialize)]
struct Judged {
    loss: f64,
    accuracy: f64,
}

impl Judged {
    fn new<T: Precision>(found: Objective<T, 0>) -> Self {
        Self { loss: found.loss.value.to_f64(), accuracy: found.accuracy.to_f64() }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    seed: u64,
    #[serde(flatten)]
    options: &'a Options,
    /// The steps that were trained, when the run was interrupted before the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<usize>,
    /// The objective set: held-out examples, or those trained on.
    judged: Judged,
    test: Judged,
    digest: String,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        match self.problem.precision {
            PrecisionName::F32 => self.at::<f32>(common),
            PrecisionName::F64 => self.at::<f64>(common),
        }
    }

    fn at<T: Precision>(&self, common: &Common) -> Result<(), Failure> {
        let schedule = self.schedule.schedule::<T>()?;
        let folder = self.long.folder(common)?;
        let data = self.problem.load::<T>(common)?;
        let problem = self.problem.problem(common, &data)?;
        let experiment = common.experiment("train", self, &data);
        let ledger = Ledger::open(folder.as_ref(), experiment, 1, self.long.opening())?;
        let training =
            Training { options: self, common, problem: &problem, schedule, ledger: &ledger };
        let trained = T::spread(common.isa()?, training)?;
        let partial = trained.interrupted.is_some();
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            options: self,
            partial: partial.then_some(trained.steps.len()),
            judged: trained.judged,
            test: trained.test,
            digest: format!("{:016x}", trained.digest),
        };
        if let Some(folder) = &folder {
            ledger.save()?;
            folder.write_as(partial, "training.csv", |w| {
                csv::write(w, &["step", "learning_rate", "loss"], &trained.steps)
            })?;
            folder.write_as(partial, "train.json", |w| json::write(w, &report))?;
        }
        if !partial {
            ledger.finish()?;
        }
        self.print(common, &report)?;
        trained.interrupted.map_or(Ok(()), Err)
    }

    fn print(&self, common: &Common, report: &Report<'_>) -> Result<(), Failure> {
        if common.json {
            return json::print(report);
        }
        standard::print(|out| {
            match report.partial {
                None => writeln!(out, "after {} steps", self.steps),
                Some(steps) => writeln!(out, "after {steps} of {} steps (partial)", self.steps),
            }?;
            let judged = (self.problem.objective.name(), &report.judged);
            for (name, Judged { loss, accuracy }) in [judged, ("test", &report.test)] {
                let percent = 100.0 * accuracy;
                writeln!(out, "{name:<11}loss {loss:.6} nats, {percent:.2} % correct")?;
            }
            writeln!(out, "digest     {}", report.digest)
        })
    }
}

struct Training<'a, T> {
    options: &'a Options,
    common: &'a Common,
    problem: &'a Problem<'a, T>,
    schedule: InverseTime<T>,
    ledger: &'a Ledger<'a, State<T>>,
}

/// How far training has come.
#[derive(Clone, Serialize, Deserialize)]
struct State<T> {
    steps: Vec<Step>,
    run: Snapshot<T>,
}

struct Trained {
    steps: Vec<Step>,
    /// Why there are fewer steps than asked for.
    interrupted: Option<Failure>,
    judged: Judged,
    test: Judged,
    digest: u64,
}

impl<T: Precision> Work<T> for Training<'_, T> {
    type Output = Result<Trained, Failure>;

    fn on<G: Backend<Vector: Vector<Scalar = T>>>(self, engine: G) -> Self::Output {
        let Self { options, common, problem, schedule, ledger } = self;
        let diverged = |diverged: Diverged| match ledger.finish() {
            Ok(()) => Failure::run(format!("training diverged: {diverged}; lower --alpha0")),
            Err(failure) => failure,
        };
        let unit = ledger.unit(0);
        let (mut steps, mut run) = match unit.state() {
            Some(state) => (state.steps, problem.restore::<G, 0>(engine, &state.run)),
            None => {
                let start = options.problem.start(engine, problem)?;
                (Vec::new(), problem.run::<G, 0>(engine, &start))
            }
        };
        let bar = progress::bar_from(common, run.steps().into(), options.steps.into(), "training");
        let schedule = schedule.with_tangents([]);
        let mut interrupted = None;
        while run.steps() < options.steps && interrupted.is_none() {
            let step = run.steps()..run.steps() + 1;
            run.train(&schedule, step, |step, rate, loss| {
                bar.inc(1);
                steps.push(Step { step, learning_rate: rate.to_f64(), loss: loss.to_f64() });
            })
            .map_err(diverged)?;
            interrupted = match unit.pause(|| State { steps: steps.clone(), run: run.snapshot() }) {
                Err(failure @ Failure::Interrupted(_)) => Some(failure),
                paused => paused.map(|()| None)?,
            };
        }
        bar.finish_and_clear();
        let judged =
            run.judge(&problem.data.training, &problem.objective_indices()).map_err(diverged)?;
        let test: Vec<u32> = (0..problem.data.test.len() as u32).collect();
        let test = run.judge(&problem.data.test, &test).map_err(diverged)?;
        Ok(Trained {
            steps,
            interrupted,
            judged: Judged::new(judged),
            test: Judged::new(test),
            digest: run.digests().0,
        })
    }
}
