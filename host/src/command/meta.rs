//! `myopia meta`: offline meta-descent.

use clap::Args;
use myopia_core::engine::Engine;
use myopia_core::vector::Vector;
use serde::Serialize;

use super::options::{Common, OuterOptions, PrecisionName, ProblemOptions, ScheduleOptions};
use super::progress;
use crate::descent::{Descent, DivergedAt, Record, best};
use crate::engine::{Precision, Work};
use crate::failure::Failure;
use crate::output::{OutputFolder, json};
use crate::problem::Problem;

/// Options of `myopia meta`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    problem: ProblemOptions,
    #[command(flatten)]
    #[serde(flatten)]
    schedule: ScheduleOptions,
    #[command(flatten)]
    #[serde(flatten)]
    outer: OuterOptions,
    /// Steps of each look-ahead
    #[arg(long, default_value_t = 100, value_name = "STEPS")]
    horizon: u32,
}

/// What the command prints as JSON and writes to `meta.json`.
#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    seed: u64,
    #[serde(flatten)]
    options: &'a Options,
    /// The schedule the descent started from, and its objective.
    first: Record,
    /// The schedule it ended with.
    last: Record,
    /// The schedule with the lowest objective.
    best: Record,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        match self.problem.precision {
            PrecisionName::F32 => self.at::<f32>(common),
            PrecisionName::F64 => self.at::<f64>(common),
        }
    }

    fn at<T: Precision>(&self, common: &Common) -> Result<(), Failure> {
        let descent = Descent {
            schedule: self.schedule.schedule::<T>()?,
            outer: self.outer.optimizer::<T>()?,
            horizon: self.horizon,
            meta_steps: self.outer.meta_steps,
        };
        let folder = match &common.out {
            Some(path) => Some(OutputFolder::create(path, common.force)?),
            None => None,
        };
        let data = self.problem.load::<T>(common)?;
        let problem = self.problem.problem(common, &data)?;
        let mut records = Vec::new();
        let ended = T::run(
            common.isa()?,
            Tuning { options: self, common, problem: &problem, descent, records: &mut records },
        )?;
        if let Err(diverged) = ended {
            if let Some(folder) = &folder {
                Record::write(folder, "trajectory.partial.csv", &records)?;
            }
            return Err(Failure::run(diverged.to_string()));
        }
        let (Some(first), Some(last), Some(best)) =
            (records.first(), records.last(), best(&records))
        else {
            return Ok(());
        };
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            options: self,
            first: *first,
            last: *last,
            best: *best,
        };
        if let Some(folder) = &folder {
            Record::write(folder, "trajectory.csv", &records)?;
            folder.write("meta.json", |w| json::write(w, &report))?;
        }
        if common.json {
            return json::print(&report);
        }
        println!(
            "{:>9}  {:>10}  {:>10}  {:>10}  {:>10}",
            "meta-step", "alpha0", "K", "beta", "loss"
        );
        let every = (records.len() / 20).max(1);
        for record in
            records.iter().filter(|r| (r.meta_step as usize).is_multiple_of(every) || *r == last)
        {
            let Record { meta_step, alpha0, time_constant, beta, loss, .. } = record;
            println!(
                "{meta_step:>9}  {alpha0:>10.5}  {time_constant:>10.2}  {beta:>10.5}  {loss:>10.6}"
            );
        }
        Ok(())
    }
}

struct Tuning<'a, T> {
    options: &'a Options,
    common: &'a Common,
    problem: &'a Problem<'a, T>,
    descent: Descent<T>,
    records: &'a mut Vec<Record>,
}

impl<T: Precision> Work<T> for Tuning<'_, T> {
    type Output = Result<Result<(), DivergedAt>, Failure>;

    fn on<G: Engine<Vector: Vector<Scalar = T>>>(self, engine: G) -> Self::Output {
        let Self { options, common, problem, descent, records } = self;
        let start = options.problem.start(engine, problem)?;
        let steps = (u64::from(options.outer.meta_steps) + 1) * u64::from(options.horizon);
        let bar = progress::bar(common, steps, "meta-descent");
        let ended = descent.run(
            engine,
            problem,
            &start,
            || bar.inc(1),
            |record| {
                bar.set_message(format!("loss {:.4}", record.loss));
                records.push(*record);
            },
        );
        bar.finish_and_clear();
        Ok(ended)
    }
}
