//! `myopia meta`: offline meta-descent.

use clap::Args;
use myopia_backend::awake;
use myopia_core::schedule::{InverseTime, Parameter};
use serde::Serialize;

use super::edge::remark_exponent;
use super::entries::EntryOptions;
use super::family::FamilyOptions;
use super::nqm::options::as_words;
use super::optimizer::Tuned;
use super::options::{Common, LongRun, ProblemOptions, ScheduleOptions, afford_record};
use super::outer::OuterOptions;
use super::progress;
use crate::command::values::{named, trimmed, whole};
use myopia::checkpoint::Ledger;
use myopia::descent::{Columns, Ended, MetaDescent, Named, Progress, Record, best};
use myopia::failure::Failure;
use myopia::nqm::judge::Judge;
use myopia::outer::OuterOptimizer;
use myopia::output::{json, standard};
use myopia::problem::{Data, Problem, Rates};
use myopia::shown::number;

/// The options that say where the descent starts.
const OPTIONS: [&str; 3] = ["alpha0", "time-constant", "beta"];

/// Options of `myopia meta`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    pub problem: ProblemOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub schedule: ScheduleOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub family: FamilyOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub outer: OuterOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub entries: EntryOptions,
    /// What to tune [default: what the schedule has, but for what --fix names]. Beside their
    /// bounds, epsilon stays within 1e-12 to 1000, weight-decay 1e-8 to 10, momentum, rho, beta1,
    /// factor and final-share 0.0001 to 0.9999, beta2 0.0001 to 0.99999
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", value_parser = named::<Tuned>())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tune: Option<Vec<Tuned>>,
    /// Steps of each look-ahead
    #[arg(
        long, default_value_t = 100, value_name = "STEPS", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    pub horizon: u32,
    /// What the end of a look-ahead is judged by: plain, the loss there; cooldown:STEPS, after so
    /// many further steps with rates that fall linearly to zero; average:GAMMA, of an exponential
    /// average of the weights
    #[arg(long, default_value_t = Judge::Plain, value_name = "JUDGE", value_parser = of_network)]
    #[serde(serialize_with = "as_words", skip_serializing_if = "is_plain")]
    pub judge: Judge,
    #[command(flatten)]
    #[serde(skip)]
    pub long: LongRun,
}

/// A judge that networks have.
pub fn of_network(text: &str) -> Result<Judge, String> {
    match trimmed::<Judge>(text) {
        Ok(Judge::SameBatch | Judge::NextBatch) | Err(_) => Err(
            "a network's judge is plain, cooldown:STEPS up to 10000000, or average:GAMMA in 0..1"
                .to_owned(),
        ),
        Ok(judge) => Ok(judge),
    }
}

fn is_plain(judge: &Judge) -> bool {
    *judge == Judge::Plain
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
    first: Named<'a>,
    /// The schedule it ended with.
    last: Named<'a>,
    /// The schedule with the lowest objective.
    best: Named<'a>,
    /// The finite-time Lyapunov exponent of training with it, per step.
    exponent: Option<f64>,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        if self.entries.every_entry {
            return self.run_entries(common);
        }
        let beginning = self.beginning()?;
        let folder = self.long.folder(common)?;
        let data = self.problem.load(common)?;
        let problem = self.problem(common, &data)?;
        let descent = self.descent(beginning, &problem)?;
        let columns = descent.columns(&problem);
        let experiment = common.experiment("meta", &self, &problem).growing(&["meta_steps"]);
        let ledger = Ledger::open(folder.as_ref(), experiment, 1, self.long.opening())?;
        let mut progress = match ledger.results("trajectory.csv")? {
            Some(table) => Progress { records: columns.read(&table)?, ..Progress::default() },
            None => ledger.unit(0).state().unwrap_or_default(),
        };
        let tuned = awake(|| self.descend(common, &problem, &descent, &ledger, &mut progress));
        let early = match tuned {
            Ok(()) => None,
            Err(Ended::Failed(failure)) if !failure.is_interruption() => return Err(failure),
            Err(ended) => Some(ended),
        };
        let (records, partial) = (progress.records, early.is_some());
        if let Some(folder) = &folder {
            ledger.save()?;
            folder.write_as(partial, "trajectory.csv", |w| columns.write(w, &records))?;
        }
        if let Some(Ended::Diverged(diverged)) = &early {
            // It would diverge again.
            ledger.finish()?;
            return Err(Failure::run(diverged.to_string()));
        }
        if let (Some(first), Some(last), Some(best)) =
            (records.first(), records.last(), best(&records))
        {
            let exponent = awake(|| best_exponent(&problem, &descent, best, &self.problem));
            let exponent = ledger.resumable(exponent)?;
            let report = Report {
                version: env!("CARGO_PKG_VERSION"),
                seed: common.seed,
                options: &self,
                partial: partial.then_some(records.len()),
                first: columns.named(first),
                last: columns.named(last),
                best: columns.named(best),
                exponent,
            };
            if let Some(folder) = &folder {
                folder.write_as(partial, "meta.json", |w| json::write(w, &report))?;
            }
            if !partial {
                ledger.finish()?;
            }
            remark_exponent(common, "training with the best schedule", exponent);
            self.print(common, &report, &columns, &records)?;
        }
        early.map_or(Ok(()), |ended| Err(ended.into()))
    }

    fn print(
        &self,
        common: &Common,
        report: &Report<'_>,
        columns: &Columns<'_>,
        records: &[Record],
    ) -> Result<(), Failure> {
        if common.json {
            return json::print(report);
        }
        let every = (records.len() / 20).max(1);
        let last = records.len().saturating_sub(1) as u32;
        let shown = records
            .iter()
            .filter(|r| (r.meta_step as usize).is_multiple_of(every) || r.meta_step == last);
        standard::print(|out| {
            if let Some(found) = report.partial {
                writeln!(
                    out,
                    "{found} of {} schedules (partial)",
                    u64::from(self.outer.meta_steps) + 1
                )?;
            }
            write!(out, "{:>9}", "meta-step")?;
            for parameter in columns.values() {
                write!(out, "  {:>10}", parameter.heading())?;
            }
            writeln!(out, "  {:>10}", "loss")?;
            for record in shown {
                write!(out, "{:>9}", record.meta_step)?;
                for parameter in columns.values() {
                    let decimals = if parameter == Parameter::TimeConstant { 2 } else { 5 };
                    write!(out, "  {:>10}", number(record.value(parameter), decimals))?;
                }
                writeln!(out, "  {:>10}", number(record.loss, 6))?;
            }
            Ok(())
        })
    }
}

/// The finite-time Lyapunov exponent of training at `record`, if it stays finite.
fn best_exponent(
    problem: &Problem<'_>,
    descent: &MetaDescent,
    record: &Record,
    options: &ProblemOptions,
) -> Result<Option<f64>, Failure> {
    // Pretraining is with the momentum of the command line.
    let start = options.start(problem)?;
    let (there, schedule) = (record.of(problem, &descent.tuned), record.schedule());
    Ok(there.exponent(&start, Rates::Schedule(&schedule), descent.horizon).ok())
}

/// Where a descent begins, and its outer optimizer where that does not depend on the problem.
pub type Beginning = (InverseTime<f64>, Option<OuterOptimizer>);

impl Options {
    /// What can be checked before there are data.
    pub fn beginning(&self) -> Result<Beginning, Failure> {
        self.check_horizon()?;
        let precision = self.problem.precision();
        let schedule = self.family.numbers(&self.schedule, precision)?;
        let fixed = match self.tune {
            None if self.family.is_inverse_time() && self.family.file().is_none() => {
                Some(self.outer.rule.optimizer(precision, &[schedule], OPTIONS)?)
            }
            _ => None,
        };
        let meta_steps = self.outer.meta_steps;
        let what = format!("--meta-steps {meta_steps}");
        afford_record(&what, meta_steps.into(), size_of::<Record>())?;
        Ok((schedule, fixed))
    }

    /// Refuses to look no step ahead.
    pub fn check_horizon(&self) -> Result<(), Failure> {
        match self.horizon {
            0 => Err(Failure::usage(
                "--horizon 0 leaves no step to tune; give at least one step to look ahead",
            )),
            _ => Ok(()),
        }
    }

    /// The problem on loaded data.
    pub fn problem<'a>(&self, common: &Common, data: &'a Data) -> Result<Problem<'a>, Failure> {
        self.family.of_or_file(self.problem.problem(common, data)?, self.horizon)
    }

    /// The descent on `problem`.
    pub fn descent(
        &self,
        (schedule, fixed): Beginning,
        problem: &Problem<'_>,
    ) -> Result<MetaDescent, Failure> {
        let tuned = Tuned::named(self.tune.as_deref(), problem)?;
        let outer = match fixed {
            Some(outer) => outer,
            None => {
                let precision = self.problem.precision();
                self.outer.rule.optimizer_from(precision, &tuned, &[schedule], problem)?
            }
        };
        Ok(MetaDescent {
            schedule,
            tuned: tuned.iter().map(|tuned| tuned.parameter()).collect(),
            outer,
            horizon: self.horizon,
            judge: self.judge,
            meta_steps: self.outer.meta_steps,
        })
    }

    fn descend(
        &self,
        common: &Common,
        problem: &Problem<'_>,
        descent: &MetaDescent,
        ledger: &Ledger<'_, Progress>,
        progress: &mut Progress,
    ) -> Result<(), Ended> {
        let start = ledger.resumable(self.problem.start(problem))?;
        let (steps, done) = descent.steps(progress);
        let bar = progress::bar_from(common, done, steps, "meta-descent");
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
