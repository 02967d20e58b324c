//! `myopia horizons`: what each horizon chooses, and what that is worth.

use std::io::{self, Write};
use std::iter;
use std::path::{Path as Place, PathBuf};
use std::str::FromStr;

use clap::{Args, Parser};
use indicatif::ProgressBar;
use myopia_core::schedule::InverseTime;
use serde::{Serialize, Serializer};

use super::options::{Common, LongRun, ProblemOptions, RuleOptions, comma};
use super::progress;
use super::{Command, Program};
use myopia::checkpoint::{self, Experiment, Ledger};
use myopia::failure::Failure;
use myopia::horizons::{self, Choice, Horizons, Overlay, Path, Training};
use myopia::output::{OutputFolder, json, standard};
use myopia::precision::Precision;
use myopia::problem::ObjectiveSet;
use myopia::published::Manifest;
use myopia::surface::{Row, panel};

/// Options of `myopia horizons`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    problem: ProblemOptions,
    /// Steps of the look-aheads, ascending
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "100,1000,5000,20000",
        value_name = "STEPS,…",
        allow_negative_numbers = true
    )]
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
        allow_negative_numbers = true
    )]
    meta_steps: Vec<u32>,
    #[command(flatten)]
    #[serde(flatten)]
    rule: RuleOptions,
    /// Steps to train with what each horizon chose [default: the longest horizon]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    steps: Option<u32>,
    /// Steps between the points of a training curve [default: a hundredth of --steps]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    every: Option<u32>,
    /// Folder of a surface (`myopia surface --out DIR`) to draw the descents on
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    surface: Option<PathBuf>,
    #[command(flatten)]
    #[serde(skip)]
    long: LongRun,
}

/// α₀, K and β as given on the command line.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Origin([f64; 3]);

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
    /// The run was interrupted: descents are unfinished, and nothing was trained with what they chose.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    /// How each descent went.
    paths: Vec<PathReport<'a>>,
    chosen: &'a [Choice],
    /// What ended a horizon's training early.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diverged: Vec<(u32, &'a str)>,
}

#[derive(Serialize)]
struct PathReport<'a> {
    horizon: u32,
    start: usize,
    meta_steps: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    diverged: Option<&'a str>,
}

impl Options {
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

    pub fn run(self, common: &Common) -> Result<(), Failure> {
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
        let outer = self.rule.optimizer(precision, &starts)?;
        let objective = ObjectiveSet::from(self.problem.objective);
        let loss = format!("{} loss", objective.name().replace("train", "training"));
        let folder = self.long.folder(common)?;
        let data = self.problem.load(common)?;
        let problem = self.problem.problem(common, &data)?;
        let surface = self.surface.as_deref().map(|surface| {
            let part = common.experiment("surface", &self.problem, &data);
            let default = self.problem.default_layers(&data);
            same_problem(surface, &part.with("layers", &problem.layers), &default, &self.horizon)?;
            overlays(surface, &loss)
        });
        let surface = surface.transpose()?;
        let experiment = common.experiment("horizons", &self, &data);
        let weights = self.problem.start(&problem)?;
        let study = Horizons { problem: &problem, weights, horizons, starts, outer, steps, every };
        let ledger = Ledger::open(folder.as_ref(), experiment, study.units(), self.long.opening())?;

        let (total, done) = study.steps(&ledger);
        let bar = progress::bar_from(common, done, total, "horizons");
        let tick = |steps| ProgressBar::inc(&bar, steps);
        let descended = study.descend(&ledger, &tick);
        let paths = study.paths(&ledger);
        let trained = descended.and_then(|()| study.train(&paths, &ledger, &tick));
        bar.finish_and_clear();

        let (trainings, early) = match trained {
            Ok(trainings) => (trainings, None),
            Err(failure) if failure.is_interruption() => {
                (vec![None; self.horizon.len()], Some(failure))
            }
            Err(failure) => return Err(failure),
        };
        let partial = early.is_some();
        let of_horizon = || self.horizon.iter().copied().zip(trainings.iter().map(Option::as_ref));
        let chosen: Vec<Choice> = of_horizon()
            .map(|(horizon, training)| Choice::new(&paths, horizon, training))
            .collect();
        let report = Report {
            command: "horizons",
            version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            data_digest: data.digest().to_string(),
            options: &self,
            partial,
            paths: paths.iter().map(PathReport::new).collect(),
            chosen: &chosen,
            diverged: of_horizon()
                .filter_map(|(horizon, training)| Some((horizon, training?.diverged.as_deref()?)))
                .collect(),
        };
        if let Some(folder) = &folder {
            let finished: Vec<(u32, &Training)> =
                of_horizon().filter_map(|(horizon, training)| Some((horizon, training?))).collect();
            ledger.save()?;
            self.write(folder, partial, &paths, &finished, &report)?;
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
        early.map_or(Ok(()), Err)
    }

    fn write(
        &self,
        folder: &OutputFolder,
        partial: bool,
        paths: &[Path],
        trainings: &[(u32, &Training)],
        report: &Report<'_>,
    ) -> Result<(), Failure> {
        folder.write_as(partial, "trajectories.csv", |w| horizons::write_trajectories(w, paths))?;
        horizons::trajectories(paths, self.rule.clip, partial).write(
            folder,
            partial,
            "trajectories",
        )?;
        horizons::plane(paths, partial).write(folder, partial, "plane")?;
        if !partial {
            folder.write("horizons.csv", |w| horizons::write_choices(w, report.chosen))?;
            folder.write("training.csv", |w| {
                let curves = trainings.iter().map(|(h, t)| (h.to_string(), &t.curve[..]));
                myopia::curve::Point::write(w, "horizon", curves)
            })?;
            horizons::curves(trainings).write(folder, partial, "training")?;
        }
        folder.write_as(partial, "horizons.json", |w| json::write(w, report))
    }
}

impl<'a> PathReport<'a> {
    fn new(path: &'a Path) -> Self {
        Self {
            horizon: path.horizon,
            start: path.start,
            meta_steps: path.records.len().saturating_sub(1),
            diverged: path.diverged.as_deref(),
        }
    }
}

/// Refuses a surface whose losses cannot be compared with those of descents on the problem `part` at these horizons.
fn same_problem(
    folder: &Place,
    part: &Experiment,
    layers: &[usize],
    horizons: &[u32],
) -> Result<(), Failure> {
    let name = folder.display();
    let Some(surface) = made_by(folder) else {
        return Err(Failure::run(format!(
            "{name} does not say with which settings it was made, so that its losses cannot be compared with these; make it \
             again with `myopia surface --out`"
        )));
    };
    // A surface's default is that of its data, which are compared as well.
    let surface = surface.with_default("layers", layers);
    if let Some(difference) = surface.departure(part, ["there", "here"]) {
        return Err(Failure::usage(format!(
            "--surface {name} is of another problem: {difference}; make a surface with the same settings"
        )));
    }
    let there = surface.numbers("horizon");
    match horizons.iter().find(|&&horizon| !there.contains(&horizon.into())) {
        Some(missing) => Err(Failure::usage(format!(
            "--surface {name} has no losses at --horizon {missing}, only at {}; make a surface with that horizon",
            comma(&there)
        ))),
        None => Ok(()),
    }
}

/// The experiment that made the surface in `folder`, by what its run noted there, or by the manifest of a published one.
fn made_by(folder: &Place) -> Option<Experiment> {
    if let Some(experiment) = checkpoint::finished(folder) {
        return Some(experiment);
    }
    let folder = folder.canonicalize().ok()?;
    let manifest = Manifest::read(folder.parent()?, folder.file_name()?.to_str()?).ok()?;
    let arguments = iter::once("myopia".to_owned()).chain(manifest.command);
    let Program { common, command: Command::Surface(options) } =
        Program::try_parse_from(arguments).ok()?
    else {
        return None;
    };
    let experiment = Experiment::new("surface", &options).with("seed", common.seed);
    Some(experiment.with("data_digest", manifest.data_digest?))
}

/// The panels of the surface whose table is in `folder`, those of each horizon: over the two parameters that vary in it.
fn overlays(folder: &Place, loss: &str) -> Result<Vec<Overlay>, Failure> {
    let path = folder.join("surface.csv");
    let bytes = std::fs::read(&path).map_err(|e| Failure::io("read", &path, &e))?;
    let damaged = |why: &dyn std::fmt::Display| {
        Failure::run(format!("{} is not a surface: {why}; make it again", path.display()))
    };
    let rows = Row::read(&bytes).map_err(|e| damaged(&e))?;
    type Read = fn(&Row) -> f64;
    let varies = |read: Read| rows.windows(2).any(|pair| read(&pair[0]) != read(&pair[1]));
    let parameters: [(&str, Read); 3] = [
        ("alpha0", |row| row.alpha0),
        ("time-constant", |row| row.time_constant),
        ("beta", |row| row.beta),
    ];
    let varying = parameters.into_iter().filter(|(_, read)| varies(*read));
    let axes: Vec<String> = varying.map(|(name, _)| name.to_owned()).collect();
    let axes = <[String; 2]>::try_from(axes)
        .map_err(|axes| damaged(&format!("{} parameters vary in it, not two", axes.len())))?;
    let mut horizons: Vec<u32> = rows.iter().map(|row| row.horizon).collect();
    horizons.sort_unstable();
    horizons.dedup();
    let overlay = |horizon| {
        let panel = panel(&rows, &axes, horizon, loss);
        Overlay { horizon, axes: axes.clone(), panel }
    };
    Ok(horizons.into_iter().map(overlay).collect())
}

fn rounded(precision: Precision, origin: &Origin) -> Result<InverseTime<f64>, Failure> {
    let [alpha0, time_constant, beta] = origin.0.map(|x| precision.round(x));
    InverseTime::new(alpha0, time_constant, beta).map_err(|e| {
        let [alpha0, time_constant, beta] = origin.0;
        Failure::usage(format!(
            "--from {alpha0},{time_constant},{beta}: {e}, also in {}",
            precision.name()
        ))
    })
}

fn print(out: &mut dyn Write, report: &Report<'_>, paths: &[Path]) -> io::Result<()> {
    for path in paths {
        if let Some(diverged) = &path.diverged {
            writeln!(out, "T = {}, start {}: {diverged}", path.horizon, path.start)?;
        }
    }
    writeln!(
        out,
        "{:>8}  {:>9}  {:>9}  {:>8}  {:>10}  {:>10}  {:>10}  {:>10}  {:>10}",
        "horizon",
        "alpha0",
        "K",
        "beta",
        "loss there",
        "last rate",
        "train loss",
        "val. loss",
        "test error"
    )?;
    for choice in report.chosen {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let rate = choice.last_learning_rate.map_or("-".to_owned(), |rate| format!("{rate:.3e}"));
        let percent = choice.test_error.map_or("-".to_owned(), |e| format!("{:.2} %", 100.0 * e));
        writeln!(
            out,
            "{:>8}  {:>9}  {:>9}  {:>8}  {:>10}  {rate:>10}  {:>10}  {:>10}  {percent:>10}",
            choice.horizon,
            number(choice.alpha0, 4),
            number(choice.time_constant, 1),
            number(choice.beta, 3),
            number(choice.loss_at_horizon, 5),
            number(choice.training_loss, 6),
            number(choice.validation_loss, 5),
        )?;
    }
    for (horizon, diverged) in &report.diverged {
        writeln!(out, "training with the schedule of T = {horizon} diverged: {diverged}")?;
    }
    Ok(())
}
