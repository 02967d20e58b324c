//! `myopia meta`: offline meta-descent.

use clap::Args;
use myopia_core::backend::Backend;
use myopia_core::vector::Vector;
use serde::Serialize;

use super::options::{
    Common, LongRun, OuterOptions, PrecisionName, ProblemOptions, ScheduleOptions,
};
use super::progress;
use crate::checkpoint::Ledger;
use crate::descent::{Descent, Ended, Progress, Record, best};
use crate::engine::{Precision, Work};
use crate::failure::Failure;
use crate::output::{json, standard};
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
    #[arg(long, default_value_t = 100, value_name = "STEPS", allow_negative_numbers = true)]
    horizon: u32,
    #[command(flatten)]
    #[serde(skip)]
    long: LongRun,
}

/// What the command prints as JSON and writes to `meta.json`.
#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    seed: u64,
    #[serde(flatten)]
    options: &'a Options,
    /// How many schedules were looked at, when the run was interrupted before the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<usize>,
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
        if self.horizon == 0 {
            return Err(Failure::usage(
                "--horizon 0 leaves no step to tune; give at least one step to look ahead",
            ));
        }
        let descent = Descent {
            schedule: self.schedule.schedule::<T>()?,
            outer: self.outer.rule.optimizer::<T>()?,
            horizon: self.horizon,
            meta_steps: self.outer.meta_steps,
        };
        let folder = self.long.folder(common)?;
        let data = self.problem.load::<T>(common)?;
        let problem = self.problem.problem(common, &data)?;
        let experiment = common.experiment("meta", self, &data);
        let ledger = Ledger::open(folder.as_ref(), experiment, 1, self.long.opening())?;
        let mut progress = ledger.unit(0).state().unwrap_or_default();
        let tuning = Tuning {
            options: self,
            common,
            problem: &problem,
            descent,
            ledger: &ledger,
            progress: &mut progress,
        };
        let early = match T::spread(common.isa()?, tuning) {
            Ok(()) => None,
            Err(Ended::Failed(failure)) if !failure.is_interruption() => return Err(failure),
            Err(ended) => Some(ended),
        };
        let (records, partial) = (progress.records, early.is_some());
        if let Some(folder) = &folder {
            ledger.save()?;
            folder.write_as(partial, "trajectory.csv", |w| Record::write(w, &records))?;
        }
        if let Some(Ended::Diverged(diverged)) = &early {
            // It would diverge again.
            ledger.finish()?;
            return Err(Failure::run(diverged.to_string()));
        }
        if let (Some(first), Some(last), Some(best)) =
            (records.first(), records.last(), best(&records))
        {
            let report = Report {
                version: env!("CARGO_PKG_VERSION"),
                seed: common.seed,
                options: self,
                partial: partial.then_some(records.len()),
                first: *first,
                last: *last,
                best: *best,
            };
            if let Some(folder) = &folder {
                folder.write_as(partial, "meta.json", |w| json::write(w, &report))?;
            }
            if !partial {
                ledger.finish()?;
            }
            self.print(common, &report, &records)?;
        }
        early.map_or(Ok(()), |ended| Err(ended.into()))
    }

    fn print(
        &self,
        common: &Common,
        report: &Report<'_>,
        records: &[Record],
    ) -> Result<(), Failure> {
        if common.json {
            return json::print(report);
        }
        let every = (records.len() / 20).max(1);
        let shown = records
            .iter()
            .filter(|r| (r.meta_step as usize).is_multiple_of(every) || **r == report.last);
        standard::print(|out| {
            if let Some(found) = report.partial {
                writeln!(
                    out,
                    "{found} of {} schedules (partial)",
                    u64::from(self.outer.meta_steps) + 1
                )?;
            }
            writeln!(
                out,
                "{:>9}  {:>10}  {:>10}  {:>10}  {:>10}",
                "meta-step", "alpha0", "K", "beta", "loss"
            )?;
            for Record { meta_step, alpha0, time_constant, beta, loss, .. } in shown {
                writeln!(
                    out,
                    "{meta_step:>9}  {alpha0:>10.5}  {time_constant:>10.2}  {beta:>10.5}  {loss:>10.6}"
                )?;
            }
            Ok(())
        })
    }
}

struct Tuning<'a, T> {
    options: &'a Options,
    common: &'a Common,
    problem: &'a Problem<'a, T>,
    descent: Descent<T>,
    ledger: &'a Ledger<'a, Progress<T>>,
    progress: &'a mut Progress<T>,
}

impl<T: Precision> Work<T> for Tuning<'_, T> {
    type Output = Result<(), Ended>;

    fn on<G: Backend<Vector: Vector<Scalar = T>>>(self, engine: G) -> Self::Output {
        let Self { options, common, problem, descent, ledger, progress } = self;
        let start = options.problem.start(engine, problem)?;
        let steps = (u64::from(options.outer.meta_steps) + 1) * u64::from(options.horizon);
        let done = progress.steps(options.horizon);
        let bar = progress::bar_from(common, done, steps, "meta-descent");
        let ended = descent.go_on(
            engine,
            problem,
            &start,
            progress,
            &ledger.unit(0),
            || bar.inc(1),
            |record| bar.set_message(format!("loss {:.4}", record.loss)),
        );
        bar.finish_and_clear();
        ended
    }
}
