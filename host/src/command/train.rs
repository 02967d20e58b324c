//! `myopia train`: training with a given schedule.

use clap::Args;
use myopia_core::engine::Engine;
use myopia_core::lookahead::{Diverged, Objective};
use myopia_core::schedule::InverseTime;
use myopia_core::vector::Vector;
use serde::Serialize;

use super::options::{Common, PrecisionName, ProblemOptions, ScheduleOptions};
use super::progress;
use crate::engine::{Precision, Work};
use crate::failure::Failure;
use crate::output::{OutputFolder, csv, json};
use crate::problem::Problem;

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
    #[arg(long, default_value_t = 1000, value_name = "N")]
    steps: u32,
}

/// One line of `training.csv`.
#[derive(Clone, Copy, Serialize)]
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
        let folder = match &common.out {
            Some(path) => Some(OutputFolder::create(path, common.force)?),
            None => None,
        };
        let data = self.problem.load::<T>(common)?;
        let problem = self.problem.problem(common, &data)?;
        let trained =
            T::run(common.isa()?, Training { options: self, common, problem: &problem, schedule })?;
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            options: self,
            judged: trained.judged,
            test: trained.test,
            digest: format!("{:016x}", trained.digest),
        };
        if let Some(folder) = &folder {
            folder.write("training.csv", |w| {
                csv::write(w, &["step", "learning_rate", "loss"], &trained.steps)
            })?;
            folder.write("train.json", |w| json::write(w, &report))?;
        }
        if common.json {
            return json::print(&report);
        }
        let show = |name: &str, judged: &Judged| {
            println!(
                "{name:<11}loss {:.6} nats, {:.2} % correct",
                judged.loss,
                100.0 * judged.accuracy
            );
        };
        println!("after {} steps", self.steps);
        show(self.problem.objective.name(), &report.judged);
        show("test", &report.test);
        println!("digest     {}", report.digest);
        Ok(())
    }
}

struct Training<'a, T> {
    options: &'a Options,
    common: &'a Common,
    problem: &'a Problem<'a, T>,
    schedule: InverseTime<T>,
}

struct Trained {
    steps: Vec<Step>,
    judged: Judged,
    test: Judged,
    digest: u64,
}

impl<T: Precision> Work<T> for Training<'_, T> {
    type Output = Result<Trained, Failure>;

    fn on<G: Engine<Vector: Vector<Scalar = T>>>(self, engine: G) -> Self::Output {
        let Self { options, common, problem, schedule } = self;
        let start = options.problem.start(engine, problem)?;
        let bar = progress::bar(common, options.steps.into(), "training");
        let diverged = |diverged: Diverged| {
            Failure::run(format!("training diverged: {diverged}; lower --alpha0"))
        };
        let mut steps = Vec::new();
        let mut run = problem.run::<G, 0>(engine, &start);
        run.train(&schedule.with_tangents([]), 0..options.steps, |step, rate, loss| {
            bar.inc(1);
            steps.push(Step { step, learning_rate: rate.to_f64(), loss: loss.to_f64() });
        })
        .map_err(diverged)?;
        bar.finish_and_clear();
        let judged =
            run.judge(&problem.data.training, &problem.objective_indices()).map_err(diverged)?;
        let test: Vec<u32> = (0..problem.data.test.len() as u32).collect();
        let test = run.judge(&problem.data.test, &test).map_err(diverged)?;
        Ok(Trained {
            steps,
            judged: Judged::new(judged),
            test: Judged::new(test),
            digest: run.digests().0,
        })
    }
}
