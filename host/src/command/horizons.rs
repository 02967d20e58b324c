//! `myopia horizons`: what each horizon chooses, and what that is worth.

use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use indicatif::ProgressBar;
use myopia_backend::awake;
use myopia_core::schedule::{InverseTime, Parameter};
use serde::{Serialize, Serializer};

use super::edge::remark_exponent;
use super::family::FamilyOptions;
use super::optimizer::Tuned;
use super::options::{Common, LongRun, Parts, ProblemOptions, afford_record, comma};
use super::outer::RuleOptions;
use super::overlay::Drawn;
use super::progress;
use super::seeds::Seeds;
use crate::command::values::{named, whole};
use myopia::checkpoint::{Experiment, Ledger};
use myopia::curve::Point;
use myopia::descent::Columns;
use myopia::failure::Failure;
use myopia::horizons::{self, Choice, Horizons, Path, Summary, Training};
use myopia::output::{OutputFolder, json, standard};
use myopia::precision::Precision;
use myopia::problem::{ObjectiveSet, Problem, Rates, Seeded};
use myopia::shown;

/// Options of `myopia horizons`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    problem: ProblemOptions,
    #[command(flatten)]
    #[serde(flatten)]
    family: FamilyOptions,
    /// Steps of the look-aheads, ascending
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "100,1000,5000,20000",
        value_name = "STEPS,…",
        allow_negative_numbers = true, value_parser = whole::<u32>)]
    horizon: Vec<u32>,
    /// Schedule to start from; give it several times to start from several
    #[arg(
        long = "from",
        value_name = "ALPHA0,K,BETA",
        default_values = ["0.02,5000,100", "0.1,5000,10", "0.02,5000,1"],
        allow_negative_numbers = true
    )]
    from: Vec<Origin>,
    /// Meta-steps to take: one number, or one for each horizon
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "100",
        value_name = "N,…",
        allow_negative_numbers = true, value_parser = whole::<u32>)]
    meta_steps: Vec<u32>,
    #[command(flatten)]
    #[serde(flatten)]
    rule: RuleOptions,
    /// What to tune, as in `myopia meta` [default: what the schedule has, but for what --fix
    /// names]; the optimiser's hyperparameters start with the values of its options
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", value_parser = named::<Tuned>())]
    #[serde(skip_serializing_if = "Option::is_none")]
    tune: Option<Vec<Tuned>>,
    /// Seeds to repeat it with: how many, from --seed on, or a range such as 1..5
    #[arg(long, value_name = "SEEDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    seeds: Option<Seeds>,
    /// Steps to train with what each horizon chose [default: the longest horizon]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u32>)]
    steps: Option<u32>,
    /// Steps between the points of a training curve [default: a hundredth of --steps]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u32>)]
    every: Option<u32>,
    /// Folder of a surface (`myopia surface --out DIR`) to draw the descents on
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    surface: Option<PathBuf>,
    #[command(flatten)]
    #[serde(skip)]
    pub parts: Parts,
    #[command(flatten)]
    #[serde(skip)]
    long: LongRun,
}

/// What the units that shards divide are called.
const UNITS: &str = "descents";

/// What is said of each of them.
const ORIGIN: [&str; 3] = ["from, as alpha0,", "from, as K,", "from, as beta,"];

/// α₀, K and β as given on the command line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Origin(pub [f64; 3]);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Result<Vec<f64>, _> = text.split(',').map(|x| x.trim().parse()).collect();
        let numbers = numbers.ok().and_then(|numbers| <[f64; 3]>::try_from(numbers).ok());
        let [alpha0, time_constant, beta] =
            numbers.ok_or("give alpha0, K and beta, such as 0.1,5000,1")?;
        InverseTime::new(alpha0, time_constant, beta).map_err(|e| e.to_string())?;
        Ok(Self([alpha0, time_constant, beta]))
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [alpha0, time_constant, beta] = self.0;
        serializer.collect_str(&format_args!("{alpha0},{time_constant},{beta}"))
    }
}

/// What the command prints as JSON and writes to `horizons.json`.
#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    version: &'static str,
    seed: u64,
    data_digest: String,
    #[serde(flatten)]
    options: &'a Options,
    /// The run was interrupted: descents are unfinished, and nothing was trained with what they
    /// chose.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    /// How each descent went.
    paths: Vec<PathReport<'a>>,
    chosen: &'a [Choice],
    /// Medians and ranges over the seeds, where there are several.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    summary: &'a [Summary],
    /// What ended a horizon's training early.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diverged: Vec<(u32, &'a str)>,
}

#[derive(Serialize)]
struct PathReport<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    horizon: u32,
    start: usize,
    meta_steps: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    diverged: Option<&'a str>,
}

impl Options {
    /// What `myopia merge` sets: the folders of the shards, and whether the run is to resume.
    pub fn joining(&mut self) -> (&mut Vec<PathBuf>, &mut bool) {
        (&mut self.parts.joined, &mut self.long.resume)
    }

    /// The file with what it prints as JSON.
    pub fn report(&self) -> &'static str {
        if self.parts.shard.is_some() { "shard.json" } else { "horizons.json" }
    }

    /// The horizons with the meta-steps at each.
    fn horizons(&self) -> Result<Vec<(u32, u32)>, Failure> {
        let ascending = self.horizon.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || self.horizon.contains(&0) {
            return Err(Failure::usage(format!(
                "--horizon {} must be ascending numbers of steps, each at least 1",
                comma(&self.horizon)
            )));
        }
        match self.meta_steps[..] {
            [count] => Ok(self.horizon.iter().map(|&horizon| (horizon, count)).collect()),
            _ if self.meta_steps.len() == self.horizon.len() => {
                Ok(self.horizon.iter().copied().zip(self.meta_steps.iter().copied()).collect())
            }
            _ => Err(Failure::usage(format!(
                "--meta-steps {} does not fit --horizon {}: give one number, or one for each horizon",
                comma(&self.meta_steps),
                comma(&self.horizon)
            ))),
        }
    }

    pub fn run(mut self, common: &Common) -> Result<(), Failure> {
        self.family.refuse_file("horizons")?;
        let (seeds, common) = Seeds::resolve(&mut self.seeds, common)?;
        let common = &common;
        let horizons = self.horizons()?;
        let longest = self.horizon.last().copied().unwrap_or(1);
        let steps = self.steps.unwrap_or(longest);
        let every = self.every.unwrap_or((steps / 100).max(1));
        if every == 0 {
            return Err(Failure::usage("--every 0 would never come to a point; give at least 1"));
        }
        let precision = self.problem.precision();
        let starts: Vec<InverseTime<f64>> =
            self.from.iter().map(|origin| rounded(precision, origin)).collect::<Result<_, _>>()?;
        let fixed = match self.tune {
            None if self.family.is_inverse_time() => {
                Some(self.rule.optimizer(precision, &starts, ORIGIN)?)
            }
            _ => None,
        };
        if self.surface.is_some() && fixed.is_none() {
            return Err(Failure::usage(
                "--surface shows alpha0, time-constant and beta, which --tune and --schedule change; leave it out",
            ));
        }
        let objective = ObjectiveSet::from(self.problem.objective);
        let loss = format!("{} loss", objective.name().replace("train", "training"));
        let count = u128::from(seeds.end() - seeds.start()) + 1;
        let points = count * horizons.len() as u128 * u128::from(steps / every);
        let records: u128 =
            horizons.iter().fold(0, |sum, &(_, meta_steps)| sum + u128::from(meta_steps));
        let records = count * records * starts.len() as u128;
        let what = format!("{records} meta-steps and {points} points of training curves");
        afford_record(&what, records + points, size_of::<Point>())?;
        self.parts.check(common)?;
        let folder = self.long.folder(common)?;
        let data = self.problem.load(common)?;
        let problem = self.family.of(self.problem.problem(common, &data)?, steps)?;
        let tuned = Tuned::named(self.tune.as_deref(), &problem)?;
        let outer = match fixed {
            Some(outer) => outer,
            None => self.rule.optimizer_from(precision, &tuned, &starts, &problem)?,
        };
        let tuned = tuned.iter().map(|tuned| tuned.parameter()).collect();
        let surface = self.surface.as_deref().map(|surface| {
            let part = common.experiment("surface", &self.problem, &problem);
            // Medians are of the seeds that they were taken over, losses of one seed of it alone.
            let part = match self.seeds {
                Some(seeds) => part.with("seeds", seeds),
                None => part,
            };
            let default = self.problem.data.default_layers(&data);
            let objective_size = problem.objective_set().len();
            let defaults = |surface: Experiment| {
                // A surface's default is that of its data, which are compared as well.
                let surface = surface.with_default("layers", &default);
                surface.with_default("objective_size", objective_size)
            };
            let surface = Drawn::read(surface)?;
            surface.is_of(&part, &defaults, &self.horizon)?;
            surface.holds(&self.rule.fix, &self.from.iter().map(|o| o.0).collect::<Vec<_>>())?;
            surface.overlays(&loss)
        });
        let surface = surface.transpose()?;
        let meta_steps: Vec<u32> = horizons.iter().map(|&(_, meta_steps)| meta_steps).collect();
        let experiment = self
            .parts
            .of(common.experiment("horizons", &self, &problem))
            .with("meta_steps", meta_steps)
            .with_default("steps", steps)
            .with_default("every", every)
            .growing(&["meta_steps"]);
        let units = Horizons::count(count as usize, horizons.len(), starts.len());
        let ledger = Ledger::open(folder.as_ref(), experiment, units, self.long.opening())?;
        let start = |problem: &Problem<'_>| self.problem.start(problem);
        let seeds = ledger.resumable(awake(|| Seeded::all(&problem, seeds, start)))?;
        let study = Horizons { seeds, horizons, starts, tuned, outer, steps, every };
        let columns = &study.columns();

        study.extend(&ledger)?;
        ledger.recall_shard()?;
        let all = study.descents();
        self.parts.join(&ledger, all, UNITS)?;
        let own: Vec<usize> = (0..all).filter(|&number| self.parts.holds(number)).collect();
        let trainings = if self.parts.shard.is_none() { all..study.units() } else { all..all };
        let (total, done) = study.steps(own.iter().copied().chain(trainings), &ledger);
        let bar = progress::bar_from(common, done, total, "horizons");
        let tick = |steps| ProgressBar::inc(&bar, steps);
        let descended = study.descend(&own, &ledger, &tick);
        if let Some(shard) = self.parts.shard {
            bar.finish_and_clear();
            // An unfinished shard is no use to anyone but the run that goes on with it.
            descended?;
            return Parts::leave(shard, &ledger, common, (all, UNITS));
        }
        let paths = study.paths(&ledger);
        let trained = descended.and_then(|()| study.train(&paths, &ledger, &tick));
        bar.finish_and_clear();

        let (trainings, early) = match trained {
            Ok(trainings) => (trainings, None),
            Err(failure) if failure.is_interruption() => {
                (study.runs().map(|_| None).collect(), Some(failure))
            }
            Err(failure) => return Err(failure),
        };
        let partial = early.is_some();
        let runs = || {
            let runs = study.runs().zip(&trainings);
            runs.map(|((seeded, horizon), training)| {
                (seeded.problem.seed, horizon, training.as_ref())
            })
        };
        let chosen: Vec<Choice> = runs()
            .map(|(seed, horizon, training)| {
                Choice::new((&paths, columns), seed, horizon, training)
            })
            .collect();
        let summary = Summary::all(&chosen, &paths);
        let report = Report {
            command: "horizons",
            version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            data_digest: data.digest().to_string(),
            options: &self,
            partial,
            paths: paths.iter().map(|path| PathReport::new(path, self.seeds.is_some())).collect(),
            chosen: &chosen,
            summary: &summary,
            diverged: runs()
                .filter_map(|(_, horizon, training)| {
                    Some((horizon, training?.diverged.as_deref()?))
                })
                .collect(),
        };
        if let Some(folder) = &folder {
            let finished: Vec<(u64, u32, &Training)> = runs()
                .filter_map(|(seed, horizon, training)| Some((seed, horizon, training?)))
                .collect();
            ledger.save()?;
            self.write(folder, partial, (&paths, columns), &finished, &report)?;
            if let Some(overlays) = &surface {
                let figure = horizons::surface(&paths, overlays, &loss, partial);
                figure.write(folder, partial, "surface-trajectories")?;
            }
        }
        if !partial {
            ledger.finish()?;
        }
        if common.json {
            json::print(&report)?;
        } else {
            standard::print(|out| print(out, &report, &paths))?;
        }
        if !partial && !common.quiet {
            self.remark_exponents(common, &study, &paths);
        }
        early.map_or(Ok(()), Err)
    }

    /// Says where the best schedule of a horizon is past the edge of chaos.
    fn remark_exponents(&self, common: &Common, study: &Horizons<'_>, paths: &[Path]) {
        for (Seeded { problem, weights }, horizon) in study.runs() {
            let Some((_, record)) = horizons::chosen(paths, problem.seed, horizon) else {
                continue;
            };
            let (problem, schedule) = (record.of(problem, &study.tuned), record.schedule());
            let exponent = awake(|| problem.exponent(weights, Rates::Schedule(&schedule), horizon));
            let seed = self.seeds.map_or(String::new(), |_| format!(", seed {}", problem.seed));
            let of = format!("training with the schedule of T = {horizon}{seed}");
            remark_exponent(common, &of, exponent.ok());
        }
    }

    fn write(
        &self,
        folder: &OutputFolder,
        partial: bool,
        (paths, columns): (&[Path], &Columns<'_>),
        trainings: &[(u64, u32, &Training)],
        report: &Report<'_>,
    ) -> Result<(), Failure> {
        folder.write_as(partial, "trajectories.csv", |w| {
            horizons::write_trajectories(w, paths, columns)
        })?;
        horizons::trajectories(paths, self.rule.clip, partial).write(
            folder,
            partial,
            "trajectories",
        )?;
        if self.tune.is_none() && self.family.is_inverse_time() {
            horizons::plane(paths, partial).write(folder, partial, "plane")?;
        }
        if !partial {
            folder.write("horizons.csv", |w| horizons::write_choices(w, report.chosen))?;
            folder.write("training.csv", |w| {
                let first = usize::from(self.seeds.is_none());
                let curves = trainings.iter().map(|(seed, horizon, training)| {
                    let names = [seed.to_string(), horizon.to_string()];
                    (names[first..].to_vec(), &training.curve[..])
                });
                Point::write(w, &["seed", "horizon"][first..], curves)
            })?;
            if !report.summary.is_empty() {
                folder.write("summary.csv", |w| {
                    horizons::write_summaries(w, report.summary, columns)
                })?;
            }
            let curves: Vec<(u32, &Training)> =
                trainings.iter().map(|&(_, horizon, training)| (horizon, training)).collect();
            horizons::curves(&curves).write(folder, partial, "training")?;
        }
        folder.write_as(partial, "horizons.json", |w| json::write(w, report))
    }
}

impl<'a> PathReport<'a> {
    fn new(path: &'a Path, several: bool) -> Self {
        Self {
            seed: several.then_some(path.seed),
            horizon: path.horizon,
            start: path.start,
            meta_steps: path.records.len().saturating_sub(1),
            diverged: path.diverged.as_deref(),
        }
    }
}

fn rounded(precision: Precision, origin: &Origin) -> Result<InverseTime<f64>, Failure> {
    let [alpha0, time_constant, beta] = origin.0;
    precision.schedule(alpha0, time_constant, beta).map_err(|e| {
        Failure::usage(format!(
            "--from {alpha0},{time_constant},{beta}: {e}, also in {}",
            precision.name()
        ))
    })
}

fn print(out: &mut dyn Write, report: &Report<'_>, paths: &[Path]) -> io::Result<()> {
    for path in paths {
        if let Some(diverged) = &path.diverged {
            let seed =
                report.options.seeds.map_or(String::new(), |_| format!(", seed {}", path.seed));
            writeln!(out, "T = {}, start {}{seed}: {diverged}", path.horizon, path.start)?;
        }
    }
    let several = report.options.seeds.is_some();
    if several {
        write!(out, "{:>6}  ", "seed")?;
    }
    write!(out, "{:>8}", "horizon")?;
    let parameters = report.chosen.iter().take(1).flat_map(|choice| choice.values.parameters());
    for parameter in parameters {
        write!(out, "  {:>9}", parameter.heading())?;
    }
    writeln!(
        out,
        "  {:>10}  {:>10}  {:>10}  {:>10}  {:>10}",
        "loss there", "last rate", "train loss", "val. loss", "test error"
    )?;
    for choice in report.chosen {
        if let Some(seed) = choice.seed {
            write!(out, "{seed:>6}  ")?;
        }
        let number = |value: Option<f64>, digits: usize| {
            value.map_or("-".to_owned(), |value| shown::number(value, digits))
        };
        let rate = choice.last_learning_rate.map_or("-".to_owned(), |rate| format!("{rate:.3e}"));
        let percent = choice.test_error.map_or("-".to_owned(), |e| format!("{:.2} %", 100.0 * e));
        write!(out, "{:>8}", choice.horizon)?;
        for parameter in choice.values.parameters() {
            let digits = match parameter {
                Parameter::TimeConstant => 1,
                Parameter::Beta => 3,
                _ => 4,
            };
            write!(out, "  {:>9}", number(choice.values.get(parameter), digits))?;
        }
        writeln!(
            out,
            "  {:>10}  {rate:>10}  {:>10}  {:>10}  {percent:>10}",
            number(choice.loss_at_horizon, 5),
            number(choice.training_loss, 6),
            number(choice.validation_loss, 5),
        )?;
    }
    for summary in report.summary {
        let Some(loss) = summary.numbers.get("training_loss") else { continue };
        writeln!(
            out,
            "T = {}: training loss {} at the median of {} seeds, from {} to {}",
            summary.horizon,
            shown::number(loss.median, 6),
            summary.seeds,
            shown::number(loss.least, 6),
            shown::number(loss.greatest, 6)
        )?;
    }
    for (horizon, diverged) in &report.diverged {
        writeln!(out, "training with the schedule of T = {horizon} diverged: {diverged}")?;
    }
    Ok(())
}
