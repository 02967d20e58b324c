//! `myopia compare`: training with several schedules side by side.

use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::str::FromStr;

use clap::Args;
use indicatif::ProgressBar;
use myopia_backend::awake;
use myopia_core::family::Schedule as Falling;
use myopia_core::schedule::InverseTime;
use rayon::prelude::*;
use serde::{Serialize, Serializer};

use super::options::{Common, LongRun, ProblemOptions};
use super::progress;
use super::schedule_file::{self, GivenSchedule};
use super::seeds::Seeds;
use crate::command::values::whole;
use myopia::checkpoint::Ledger;
use myopia::compare::{Candidate, Comparison, Course, Outcome, Row, State, Summary, figure};
use myopia::failure::Failure;
use myopia::memory::afford;
use myopia::output::{json, standard};
use myopia::problem::{Entries, Problem};
use myopia::shown::number;

/// Options of `myopia compare`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    /// Schedules: file:PATH with the columns learning_rate (or learning_rate_1, learning_rate_2, …
    /// of each layer) and momentum, such as the schedule.csv of plan and of meta --every-entry,
    /// linear:RATE or cosine:RATE from RATE down to zero, or decay:ALPHA0,K,BETA
    #[arg(value_name = "SCHEDULE", required = true)]
    schedules: Vec<Schedule>,
    #[command(flatten)]
    #[serde(flatten)]
    problem: ProblemOptions,
    /// Steps to train
    #[arg(
        long, default_value_t = 1000, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    steps: u32,
    /// Stretch the schedules of files to --steps: step k takes the entry that lies as far along
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stretch: bool,
    /// Seeds to train from: how many, from --seed on, or a range such as 1..5
    #[arg(long, default_value = "1", value_name = "SEEDS", allow_negative_numbers = true)]
    seeds: Seeds,
    #[command(flatten)]
    #[serde(skip)]
    long: LongRun,
}

/// A schedule on the command line.
#[derive(Clone, Debug)]
enum Schedule {
    Given(GivenSchedule),
    Decay(InverseTime<f64>),
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(numbers) = text.strip_prefix("decay:") else {
            let given = schedule_file::named(text).map(Self::Given);
            return given.map_err(|wrong| {
                wrong.replace("give file:PATH", "give decay:ALPHA0,K,BETA, file:PATH")
            });
        };
        let numbers = numbers.split(',').map(|number| number.trim().parse().ok());
        match numbers.collect::<Option<Vec<f64>>>().as_deref() {
            Some(&[alpha0, time_constant, beta]) => InverseTime::new(alpha0, time_constant, beta)
                .map(Self::Decay)
                .map_err(|e| e.to_string()),
            _ => Err("give three numbers, such as decay:0.1,5000,1".to_owned()),
        }
    }
}

/// The name of a file with that of its folder, without those above: on another machine they are
/// others.
impl Display for Schedule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decay(InverseTime { alpha0, time_constant, beta }) => {
                write!(f, "decay:{alpha0},{time_constant},{beta}")
            }
            Self::Given(GivenSchedule::Linear(rate)) => write!(f, "linear:{rate}"),
            Self::Given(GivenSchedule::Cosine(rate)) => write!(f, "cosine:{rate}"),
            Self::Given(GivenSchedule::File(path)) => {
                let name =
                    |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
                let folder = path.parent().and_then(name);
                let parts = folder.into_iter().chain(name(path));
                write!(f, "file:{}", parts.collect::<Vec<_>>().join("/"))
            }
        }
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What the command prints as JSON and writes to `compare.json`.
#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    version: &'static str,
    seed: u64,
    data_digest: String,
    #[serde(flatten)]
    options: &'a Options,
    partial: bool,
    /// Each schedule over its seeds.
    summary: Vec<Summary>,
    /// What ended training early: the schedule, the seed, why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diverged: Vec<(&'a str, u64, &'a str)>,
}

impl Options {
    pub fn run(mut self, common: &Common) -> Result<(), Failure> {
        let (seeds, common) = self.seeds.counted(common);
        let common = &common;
        if self.steps == 0 {
            return Err(Failure::usage("--steps 0 trains nothing; give at least one step"));
        }
        let candidates = self.candidates()?;
        let folder = self.long.folder(common)?;
        let data = self.problem.load(common)?;
        let problem = self.problem.problem(common, &data)?;
        for Candidate { name, course } in &candidates {
            if let Course::Entries(entries) = course {
                schedule_file::fits(entries, &problem)
                    .map_err(|failure| Failure::usage(format!("{name}: {failure}")))?;
            }
        }
        let units = self.schedules.len() * seeds as usize;
        let kept = problem.bytes() + 3 * 8 * problem.parameters() as u64;
        let what = format!("{units} training runs");
        afford(&what, units as u128 * u128::from(kept), "take fewer seeds or schedules")?;
        let digests = candidates.iter().filter_map(|candidate| match &candidate.course {
            Course::Formula(_) => None,
            // The same file may hold something else by now.
            Course::Entries(entries) => Some(schedule_file::digest(entries)),
        });
        let experiment = common
            .experiment("compare", &self, &problem)
            .with("schedule_digests", digests.collect::<Vec<_>>());
        let ledger = Ledger::open(folder.as_ref(), experiment, units, self.long.opening())?;
        let problems: Vec<Problem<'_>> = (0..seeds)
            .map(|more| Problem { seed: common.seed.wrapping_add(more), ..problem.clone() })
            .collect();
        let starts = awake(|| {
            let starts = problems.par_iter().map(|problem| self.problem.start(problem));
            ledger.resumable(starts.collect())
        })?;
        let comparison = Comparison { problems, starts, steps: self.steps };
        let (all, done) = comparison.progress(candidates.len(), &ledger);
        let bar = progress::bar_from(common, done, all, "compare");
        let tick = |steps| ProgressBar::inc(&bar, steps);
        let early = Failure::interruption(awake(|| comparison.run(&candidates, &ledger, &tick)))?;
        bar.finish_and_clear();
        let partial = early.is_some();
        let ended: Vec<(&Candidate, u64, Outcome)> = (0..units)
            .filter_map(|unit| match ledger.unit(unit).state() {
                Some(State::Ended(outcome)) => {
                    let seed = comparison.problems[unit % seeds as usize].seed;
                    Some((&candidates[unit / seeds as usize], seed, outcome))
                }
                _ => None,
            })
            .collect();
        let rows: Vec<Row> = ended
            .iter()
            .map(|(candidate, seed, outcome)| Row::new(candidate, *seed, self.steps, outcome))
            .collect();
        let diverged = ended.iter().filter_map(|(candidate, seed, outcome)| {
            Some((&*candidate.name, *seed, outcome.diverged.as_deref()?))
        });
        let report = Report {
            command: "compare",
            version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            data_digest: data.digest().to_string(),
            options: &self,
            partial,
            summary: Summary::all(&rows),
            diverged: diverged.collect(),
        };
        if let Some(folder) = &folder {
            ledger.save()?;
            folder.write_as(partial, "compare.csv", |w| Row::write(w, &rows))?;
            figure(&candidates, self.steps, partial).write(folder, partial, "compare")?;
            folder.write_as(partial, "compare.json", |w| json::write(w, &report))?;
        }
        if !partial {
            ledger.finish()?;
        }
        if common.json {
            json::print(&report)?;
        } else {
            print(&report)?;
        }
        early.map_or(Ok(()), Err)
    }

    /// The schedules with their names, rounded to the working precision.
    fn candidates(&self) -> Result<Vec<Candidate>, Failure> {
        let precision = self.problem.precision();
        let mut candidates: Vec<Candidate> = Vec::new();
        for schedule in &self.schedules {
            let name = schedule.to_string();
            if candidates.iter().any(|candidate| candidate.name == name) {
                return Err(Failure::usage(format!("{name} is named twice; name it once")));
            }
            let course = match schedule {
                Schedule::Decay(InverseTime { alpha0, time_constant, beta }) => {
                    let rounded = precision.schedule(*alpha0, *time_constant, *beta);
                    Course::Formula(rounded.map_err(|e| Failure::usage(format!("{name}: {e}")))?)
                }
                Schedule::Given(given) => {
                    let steps = self.steps as usize;
                    let momentum = self.problem.momentum;
                    let entries = match given {
                        GivenSchedule::File(path) => schedule_file::read_by_layer(path, None)?,
                        GivenSchedule::Linear(rate) => {
                            Entries::of(Falling::linear(*rate, self.steps), momentum, steps)
                        }
                        GivenSchedule::Cosine(rate) => {
                            Entries::of(Falling::cosine(*rate, self.steps), momentum, steps)
                        }
                    };
                    let entries = match (self.stretch, entries.steps()) {
                        (true, _) => entries.stretched(steps),
                        (false, own) if own == steps => entries,
                        (false, own) => {
                            return Err(Failure::usage(format!(
                                "--steps is {steps} but {name} has {own} steps; with --stretch it is stretched to them"
                            )));
                        }
                    };
                    Course::Entries(entries.map(|number| precision.round(number)))
                }
            };
            candidates.push(Candidate { name, course });
        }
        Ok(candidates)
    }
}

fn print(report: &Report<'_>) -> Result<(), Failure> {
    let width = report.summary.iter().map(|row| row.schedule.chars().count()).max().unwrap_or(0);
    standard::print(|out| {
        if report.partial {
            writeln!(out, "partial")?;
        }
        writeln!(
            out,
            "{:<width$}  {:>5}  {:>27}  {:>20}",
            "schedule", "seeds", "training loss, range", "test error, range"
        )?;
        for row in &report.summary {
            let loss = |x: f64| number(x, 5);
            let percent = |x: f64| format!("{:.2}", 100.0 * x);
            let [low, middle, high] = row.training_loss.ends().map(loss);
            let losses = format!("{middle} {low}..{high}");
            let [low, middle, high] = row.test_error.ends().map(percent);
            let errors = format!("{middle} % {low}..{high}");
            writeln!(
                out,
                "{:<width$}  {:>5}  {losses:>27}  {errors:>20}",
                row.schedule, row.seeds
            )?;
        }
        for (schedule, seed, why) in &report.diverged {
            writeln!(out, "{schedule} from seed {seed} diverged: {why}")?;
        }
        Ok(())
    })
}
