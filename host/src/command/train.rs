//! `myopia train`: training with a given schedule.

use std::io::{self, Write};

use clap::Args;
use myopia_backend::awake;
use myopia_core::digest::Digest;
use myopia_core::schedule::InverseTime;
use myopia_core::unroll::{Diverged, Objective};
use serde::{Deserialize, Serialize};

use super::family::FamilyOptions;
use super::hypergrad::told_diverged;
use super::options::{Common, LongRun, ProblemOptions, ScheduleOptions, afford_record};
use super::progress;
use super::schedule_file;
use crate::command::values::whole;
use myopia::checkpoint::{Keeper, Ledger};
use myopia::entries::columns;
use myopia::failure::Failure;
use myopia::output::{csv, json, standard};
use myopia::problem::{Data, Entries, ObjectiveSet, Problem, Set, Snapshot, Tangents};
use myopia::shown::number;

/// Options of `myopia train`.
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
    /// Stretch the schedule's file to --steps: step k takes the entry that lies as far along it
    #[arg(long, requires = "schedule", requires = "steps")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stretch: bool,
    /// Steps to train [default: 1000, or as many as the schedule's file has]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u32>)]
    steps: Option<u32>,
    #[command(flatten)]
    #[serde(skip)]
    long: LongRun,
}

/// One line of `training.csv`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Step {
    /// From 0.
    pub step: u32,
    /// Where layers have rates of their own, that of the lowest.
    pub learning_rate: f64,
    /// Mean loss of the step's batch before the update, in nats.
    pub loss: f64,
}

/// Loss in nats and accuracy on one set.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Judged {
    pub loss: f64,
    pub accuracy: f64,
}

impl From<Objective<f64, 3>> for Judged {
    fn from(found: Objective<f64, 3>) -> Self {
        Self { loss: found.loss.value, accuracy: found.accuracy }
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
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<Judged>,
    digest: String,
}

impl Options {
    pub fn run(mut self, common: &Common) -> Result<(), Failure> {
        let course = self.course()?;
        let folder = self.long.folder(common)?;
        let data = self.problem.load(common)?;
        let (problem, schedule) = self.problem(common, &data, course)?;
        let experiment = common.experiment("train", &self, &problem);
        let ledger = Ledger::open(folder.as_ref(), experiment, 1, self.long.opening())?;
        let unit = ledger.unit(0);
        let trained = awake(|| self.train(common, &problem, &schedule, unit.state(), &unit));
        let trained = trained.map_err(|ended| match ended {
            // It would diverge again.
            Ended::Diverged(diverged) => {
                ledger.finish().err().unwrap_or_else(|| match self.family.file() {
                    None => ended.into(),
                    Some(_) => told_diverged(&diverged, "lower the rates of --schedule"),
                })
            }
            Ended::Failed(failure) => ledger.told(failure),
        })?;
        let partial = trained.interrupted.is_some();
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            options: &self,
            partial: partial.then_some(trained.steps.len()),
            judged: trained.judged,
            test: trained.test,
            digest: trained.digest.to_string(),
        };
        if let Some(folder) = &folder {
            ledger.save()?;
            folder.write_as(partial, "training.csv", |w| {
                write(w, problem.entries.as_deref(), &trained.steps)
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
        let all = self.steps.unwrap_or_default();
        standard::print(|out| {
            match report.partial {
                None => writeln!(out, "after {all} steps"),
                Some(steps) => writeln!(out, "after {steps} of {all} steps (partial)"),
            }?;
            let judged = (ObjectiveSet::from(self.problem.objective).name(), &report.judged);
            let test = report.test.iter().map(|test| ("test", test));
            for (name, Judged { loss, accuracy }) in [judged].into_iter().chain(test) {
                let percent = 100.0 * accuracy;
                writeln!(out, "{name:<11}loss {} nats, {percent:.2} % correct", number(*loss, 6))?;
            }
            writeln!(out, "digest     {}", report.digest)
        })
    }
}

/// What training takes its learning rates from: α₀, K and β, or a file in their place.
pub struct Course {
    schedule: InverseTime<f64>,
    entries: Option<Entries>,
}

/// Writes the steps that were trained, with the rate of each layer where they have their own.
fn write(to: &mut dyn Write, entries: Option<&Entries>, steps: &[Step]) -> io::Result<()> {
    match entries {
        Some(entries) if entries.rates_of_a_step() > 1 => {
            let rates = columns("learning_rate", entries.rates_of_a_step());
            let header = [&["step".to_owned()][..], &rates, &["loss".to_owned()]].concat();
            let row = |step: &Step| (step.step, entries.step(step.step as usize).0, step.loss);
            csv::write(to, &header, steps.iter().map(row))
        }
        _ => csv::write(to, &["step", "learning_rate", "loss"], steps),
    }
}

/// How far training has come.
#[derive(Clone, Serialize, Deserialize)]
pub struct State {
    steps: Vec<Step>,
    run: Snapshot,
}

/// What training came to.
pub struct Trained {
    pub steps: Vec<Step>,
    /// Why there are fewer steps than asked for.
    pub interrupted: Option<Failure>,
    /// On the objective set.
    pub judged: Judged,
    /// On the test set, if there is one.
    pub test: Option<Judged>,
    /// Of the final state.
    pub digest: Digest,
}

/// Why training ended without a result.
pub enum Ended {
    Diverged(Diverged),
    Failed(Failure),
}

impl From<Diverged> for Ended {
    fn from(diverged: Diverged) -> Self {
        Self::Diverged(diverged)
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Diverged(diverged) => told_diverged(&diverged, "lower --alpha0"),
            Ended::Failed(failure) => failure,
        }
    }
}

impl Options {
    /// The course of training, α₀, K and β rounded to the working precision; from now on it is
    /// known how many steps there are.
    pub fn course(&mut self) -> Result<Course, Failure> {
        // A record of so many steps is refused before it is filled.
        let asked = self.steps.unwrap_or(1000);
        afford_record(&format!("--steps {asked}"), asked.into(), size_of::<Step>())?;
        if self.stretch && self.family.file().is_none() {
            return Err(Failure::usage(
                "--stretch: this schedule has as many steps as --steps says; leave it out",
            ));
        }
        let entries = self.family.file().map(|path| -> Result<Entries, Failure> {
            let steps = self.steps.map(|steps| steps as usize);
            Ok(match steps.filter(|_| self.stretch) {
                None => schedule_file::read_by_layer(path, steps)?,
                Some(steps) => schedule_file::read_by_layer(path, None)?.stretched(steps),
            })
        });
        let entries = entries.transpose()?;
        let schedule = self.family.numbers(&self.schedule, self.problem.precision())?;
        self.steps = Some(entries.as_ref().map_or(asked, |entries| entries.steps() as u32));
        Ok(Course { schedule, entries })
    }

    /// The problem on loaded data, with the rates of a course where they are a file's, and α₀, K
    /// and β.
    pub fn problem<'a>(
        &self,
        common: &Common,
        data: &'a Data,
        Course { schedule, entries }: Course,
    ) -> Result<(Problem<'a>, InverseTime<f64>), Failure> {
        let problem = self.problem.problem(common, data)?;
        let problem = self.family.of(problem, self.steps.unwrap_or_default())?;
        let problem = match entries {
            Some(entries) => schedule_file::given(problem, entries)?,
            None => problem,
        };
        Ok((problem, schedule))
    }

    /// Trains on `problem`, from where `state` says if it is one of such a run; between two steps
    /// the state is left with `keeper`.
    pub fn train(
        &self,
        common: &Common,
        problem: &Problem<'_>,
        schedule: &InverseTime<f64>,
        state: Option<State>,
        keeper: &impl Keeper<State>,
    ) -> Result<Trained, Ended> {
        let resumed = state
            .and_then(|state| Some((state.steps, problem.restore(Tangents::None, &state.run)?)));
        let (mut steps, mut run) = match resumed {
            Some(resumed) => resumed,
            None => {
                let start = self.problem.start(problem)?;
                (Vec::new(), problem.run(Tangents::None, &start))
            }
        };
        let all = self.steps.unwrap_or_default();
        let bar = progress::bar_from(common, run.steps().into(), all.into(), "training");
        let mut interrupted = None;
        while run.steps() < all && interrupted.is_none() {
            let step = run.steps();
            let mut observe = |step, learning_rate, loss| {
                bar.inc(1);
                steps.push(Step { step, learning_rate, loss });
            };
            run.train(schedule, step..step + 1, &mut observe)?;
            let state = || State { steps: steps.clone(), run: run.snapshot() };
            interrupted = match keeper.pause(state) {
                Err(failure @ Failure::Interrupted(_)) => Some(failure),
                paused => paused.map(|()| None)?,
            };
        }
        bar.finish_and_clear();
        let judged = run.evaluate(Set::Training, &problem.objective_indices())?;
        let test: Vec<u32> = (0..problem.data.len(Set::Test) as u32).collect();
        let test = match test.is_empty() {
            true => None,
            false => Some(run.evaluate(Set::Test, &test)?.into()),
        };
        let [digest, _] = run.digests();
        Ok(Trained { steps, interrupted, judged: judged.into(), test, digest })
    }
}
