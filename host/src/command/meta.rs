//! `myopia meta`: offline meta-descent.

use clap::Args;
use myopia_backend::awake;
use serde::Serialize;

use super::options::{Common, LongRun, OuterOptions, ProblemOptions, ScheduleOptions};
use super::progress;
use myopia::checkpoint::Ledger;
use myopia::descent::{Ended, MetaDescent, Progress, Record, best};
use myopia::failure::Failure;
use myopia::output::{json, standard};
use myopia::problem::Problem;

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
        if self.horizon == 0 {
            return Err(Failure::usage(
                "--horizon 0 leaves no step to tune; give at least one step to look ahead",
            ));
        }
        let precision = self.problem.precision();
        let schedule = self.schedule.schedule(precision)?;
        let descent = MetaDescent {
            schedule,
            outer: self.outer.rule.optimizer(precision, &[schedule])?,
            horizon: self.horizon,
            meta_steps: self.outer.meta_steps,
        };
        let folder = self.long.folder(common)?;
        let data = self.problem.load(common)?;
        let problem = self.problem.problem(common, &data)?;
        let experiment = common.experiment("meta", &self, &data);
        let ledger = Ledger::open(folder.as_ref(), experiment, 1, self.long.opening())?;
        let mut progress = ledger.unit(0).state().unwrap_or_default();
        let tuned = awake(|| self.tune(common, &problem, descent, &ledger, &mut progress));
        let early = match tuned {
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
                options: &self,
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

impl Options {
    fn tune(
        &self,
        common: &Common,
        problem: &Problem<'_>,
        descent: MetaDescent,
        ledger: &Ledger<'_, Progress>,
        progress: &mut Progress,
    ) -> Result<(), Ended> {
        let start = self.problem.start(problem)?;
        let steps = (u64::from(self.outer.meta_steps) + 1) * u64::from(self.horizon);
        let bar = progress::bar_from(common, progress.steps(self.horizon), steps, "meta-descent");
        let ended = descent.go_on(
            problem,
            &start,
            progress,
            &ledger.unit(0),
            &mut || bar.inc(1),
            &mut |record| bar.set_message(format!("loss {:.4}", record.loss)),
        );
        bar.finish_and_clear();
        ended
    }
}
