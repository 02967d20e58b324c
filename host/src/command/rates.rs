//! `myopia rates`: what expresses a learning rate, tuned at several horizons.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use myopia_backend::awake;
use rayon::prelude::*;
use serde::Serialize;

use super::nqm::each_as_words;
use super::optimizer::{OptimizerName, Tuned};
use super::options::{Common, LongRun, NormName, ProblemOptions, afford_record, comma, positive};
use super::progress;
use super::seeds::Seeds;
use crate::command::values::{real, whole};
use myopia::checkpoint::Ledger;
use myopia::failure::Failure;
use myopia::memory::afford;
use myopia::output::{csv, json, standard};
use myopia::problem::{Data, Problem};
use myopia::rates::{Choice, Curve, Grid, Rates, Start, Study, figure, losses, sentences};
use myopia::shown::number;
use myopia::spread::Spread;

/// Options of `myopia rates`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    problem: ProblemOptions,
    /// What is tuned alone, between which values, at which constant learning rate, on which network
    /// if not that of --layers; the optimiser is sgd, sgd-norm (with batch normalisation), rmsprop,
    /// adam or kfac, the parameter alpha0, epsilon, weight-decay or damping
    #[arg(
        long,
        value_name = "OPTIMIZER:PARAMETER:LOW..HIGH[@ALPHA0][/N-N-…]",
        default_values = [
            "sgd:alpha0:0.01..0.64",
            "rmsprop:epsilon:0.002..1.024@0.01",
            "adam:epsilon:0.002..1.024@0.05",
            "kfac:damping:0.01..5.12@0.1",
            "sgd-norm:weight-decay:1e-6..0.005@0.02",
        ])]
    #[serde(serialize_with = "each_as_words")]
    study: Vec<StudyOf>,
    /// The factor from one value of a grid to the next; of weight decay its square, as the learning
    /// rate that it expresses goes with its root
    #[arg(long, default_value_t = 2.0, value_name = "FACTOR", value_parser = real,
        allow_negative_numbers = true)]
    spacing: f64,
    /// Steps of the look-aheads
    #[arg(
        long, value_delimiter = ',', default_value = "10,100,1000", value_name = "STEPS,…",
        allow_negative_numbers = true, value_parser = whole::<u32>)]
    horizon: Vec<u32>,
    /// Steps to train with each value [default: the longest horizon]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u32>)]
    steps: Option<u32>,
    /// Steps of pretraining, by sgd at --pretrain-rate, of each start; after none it is cold
    #[arg(
        long, value_delimiter = ',', default_value = "0,50", value_name = "STEPS,…",
        allow_negative_numbers = true, value_parser = whole::<u32>)]
    starts: Vec<u32>,
    /// Seeds to repeat it with: how many, from --seed on, or a range such as 1..5
    #[arg(long, value_name = "SEEDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    seeds: Option<Seeds>,
    #[command(flatten)]
    #[serde(skip)]
    long: LongRun,
}

/// A study as given on the command line.
#[derive(Clone, Debug, PartialEq)]
struct StudyOf {
    /// As it was written.
    words: String,
    optimizer: OptimizerName,
    is_normalised: bool,
    tuned: Tuned,
    range: [f64; 2],
    alpha0: Option<f64>,
    layers: Option<Vec<usize>>,
}

/// What follows the last `mark` in `text`, if there is one, and what comes before.
fn cut(text: &str, mark: char) -> (&str, Option<&str>) {
    text.rsplit_once(mark).map_or((text, None), |(before, after)| (before, Some(after)))
}

impl FromStr for StudyOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = text.trim();
        let (rest, layers) = cut(words, '/');
        let (rest, alpha0) = cut(rest, '@');
        let parts: Vec<&str> = rest.splitn(3, ':').collect();
        let &[optimizer, parameter, range] = &parts[..] else {
            return Err(
                "give optimiser, parameter and range, such as adam:epsilon:1e-3..1@0.05".into()
            );
        };
        let (name, is_normalised) = match optimizer.strip_suffix("-norm") {
            Some(name) => (name, true),
            None => (optimizer, false),
        };
        let optimizer = OptimizerName::from_str(name, false)
            .map_err(|_| format!("{optimizer} is none of sgd, sgd-norm, rmsprop, adam and kfac"))?;
        let tuned = Tuned::from_str(parameter, false).ok().filter(|tuned| {
            use Tuned::{Alpha0, Damping, Epsilon, WeightDecay};
            matches!(tuned, Alpha0 | Damping | Epsilon | WeightDecay)
        });
        let tuned = tuned.ok_or_else(|| {
            format!("{parameter} is none of alpha0, epsilon, weight-decay and damping")
        })?;
        let has = match tuned {
            Tuned::Epsilon => matches!(optimizer, OptimizerName::Rmsprop | OptimizerName::Adam),
            Tuned::Damping => optimizer == OptimizerName::Kfac,
            _ => true,
        };
        if !has {
            return Err(format!(
                "{name} has no {parameter}: epsilon is of rmsprop and adam, damping of kfac"
            ));
        }
        let ends = range
            .split_once("..")
            .and_then(|(low, high)| Some((real(low).ok()?, real(high).ok()?)));
        let range = ends
            .filter(|(low, high)| *low > 0.0 && low <= high && high.is_finite())
            .map(|(low, high)| [low, high])
            .ok_or_else(|| format!("{range} is no range of positive numbers, such as 1e-3..1"))?;
        let alpha0 = alpha0.map(real).transpose()?;
        match (tuned, alpha0) {
            (Tuned::Alpha0, Some(_)) => {
                return Err("alpha0 is what is tuned; leave out what follows @".into());
            }
            (Tuned::Alpha0, None) | (_, Some(_)) => {}
            _ => return Err(format!("give the learning rate as well, such as {rest}@0.05")),
        }
        let layers: Option<Vec<usize>> = layers
            .map(|layers| layers.split('-').map(whole::<usize>).collect())
            .transpose()
            .map_err(|_| "give the layers after / such as 784-30-10")?;
        let words = words.to_owned();
        Ok(Self { words, optimizer, is_normalised, tuned, range, alpha0, layers })
    }
}

impl std::fmt::Display for StudyOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

/// The most values of a grid.
const MOST_VALUES: usize = 1000;

#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    version: &'static str,
    seed: u64,
    data_digest: String,
    #[serde(flatten)]
    options: &'a Options,
    /// The run was interrupted: runs are missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    sentences: Vec<String>,
    curves: &'a [Curve],
}

/// What was found, and what every value of which diverged.
fn said(curves: &[Curve], grids: &[Grid<'_>], steps: u32) -> Vec<String> {
    let diverged = grids.iter().filter(|grid| grid.chosen.is_none()).map(|grid| {
        format!(
            "{} {}, {}, pretraining of {}, seed {}, T = {}: training diverged with every value.",
            grid.study.optimizer,
            grid.study.parameter.name(),
            grid.study.layers(),
            grid.start.pretrain,
            grid.start.seed,
            grid.horizon
        )
    });
    sentences(curves, steps).into_iter().chain(diverged).collect()
}

impl Options {
    pub fn run(mut self, common: &Common) -> Result<(), Failure> {
        let (seeds, common) = Seeds::resolve(&mut self.seeds, common)?;
        let common = &common;
        let steps = self.check()?;
        let folder = self.long.folder(common)?;
        let data = self.problem.load(common)?;
        let studies = self.study.iter().map(|of| self.study(of, common, &data));
        let studies: Vec<Study<'_>> = studies.collect::<Result<_, _>>()?;
        let origins: Vec<(u64, u32)> = self
            .starts
            .iter()
            .flat_map(|&start| seeds.clone().map(move |seed| (seed, start)))
            .collect();
        let parameters =
            studies.iter().fold(0, |sum, study| sum + study.problem.parameters() as u128);
        let bytes = u128::from(self.problem.precision().bytes());
        let count = origins.len() as u128;
        afford("the weights of all starts", count * parameters * bytes, "take fewer seeds")?;
        let runs = count * studies.iter().fold(0, |sum, study| sum + study.values.len() as u128);
        afford_record(&format!("{runs} runs"), runs, 40 * self.horizon.len() + 200)?;
        let Some(first) = studies.first() else {
            return Err(Failure::usage("--study names nothing to tune; leave it out or give one"));
        };
        let experiment = common.experiment("rates", &self, &first.problem);
        let experiment = experiment.with_default("steps", steps);
        let mut rates =
            Rates { studies, starts: Vec::new(), horizons: self.horizon.clone(), steps };
        let units = rates.units_of(origins.len());
        let ledger = Ledger::open(folder.as_ref(), experiment, units, self.long.opening())?;
        rates.starts = ledger.resumable(awake(|| self.all(&origins, &rates.studies)))?;
        let (total, done) = rates.total(&ledger);
        let bar = progress::bar_from(common, done, total, "rates");
        let went = rates.run(&ledger, &|steps| ProgressBar::inc(&bar, steps));
        bar.finish_and_clear();
        let early = Failure::interruption(ledger.resumable(went))?;
        let partial = early.is_some();
        let grids = rates.grids(&ledger);
        let choices: Vec<Choice> = grids.iter().filter_map(|grid| grid.chosen.clone()).collect();
        let curves = if partial { Vec::new() } else { Curve::all(&choices) };
        let report = Report {
            command: "rates",
            version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            data_digest: data.digest().to_string(),
            options: &self,
            partial,
            sentences: if partial { Vec::new() } else { said(&curves, &grids, steps) },
            curves: &curves,
        };
        if let Some(folder) = &folder {
            ledger.save()?;
            folder.write_as(partial, "rates.csv", |w| Choice::write(w, &choices, steps))?;
            folder.write_as(partial, "grid.csv", |w| {
                let header = [
                    "optimizer",
                    "parameter",
                    "layers",
                    "pretrain",
                    "seed",
                    "value",
                    "horizon",
                    "loss",
                ];
                let rows = grids.iter().flat_map(|grid| {
                    let (study, start) = (grid.study, grid.start);
                    grid.points.iter().map(move |&(value, loss)| {
                        let names = (&study.optimizer, study.parameter.name(), study.layers());
                        (names, start.pretrain, start.seed, value, grid.horizon, loss)
                    })
                });
                csv::write(w, &header, rows)
            })?;
            // Of half a grid nothing is chosen, and nothing is drawn.
            if !partial && !curves.is_empty() {
                figure(&curves, steps).write(folder, partial, "rates")?;
            }
            losses(&grids, partial).write(folder, partial, "grid")?;
            folder.write_as(partial, "rates.json", |w| json::write(w, &report))?;
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

    /// Refuses what makes no sense; the steps of training.
    fn check(&self) -> Result<u32, Failure> {
        let ascending = self.horizon.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || self.horizon.contains(&0) {
            return Err(Failure::usage(format!(
                "--horizon {} must be ascending numbers of steps, each at least 1",
                comma(&self.horizon)
            )));
        }
        let longest = self.horizon.last().copied().unwrap_or(1);
        let steps = self.steps.unwrap_or(longest);
        if steps < longest {
            return Err(Failure::usage(format!(
                "--steps {steps} is less than the longest --horizon {longest}; give at least as many"
            )));
        }
        if !(self.spacing > 1.0 && self.spacing.is_finite()) {
            return Err(Failure::usage(format!(
                "--spacing {:?} leads from no value of a grid to a larger one; give a factor such as 2",
                self.spacing
            )));
        }
        if self.problem.pretrain != 0 {
            return Err(Failure::usage(format!(
                "--pretrain {}: rates compares several starts; name them with --starts",
                self.problem.pretrain
            )));
        }
        if self.problem.norm.is_some() {
            return Err(Failure::usage(
                "--norm batch: a --study says what is normalised, such as sgd-norm:weight-decay:1e-5..1@0.1; leave it out",
            ));
        }
        if let Some(name) = self.problem.optimizer.name() {
            return Err(Failure::usage(format!(
                "--optimizer {name}: a --study names its optimiser, such as adam:epsilon:1e-3..1@0.05; leave it out",
            )));
        }
        for (place, study) in self.study.iter().enumerate() {
            if self.study[..place].contains(study) {
                return Err(Failure::usage(format!(
                    "--study {study} is given twice; give it once"
                )));
            }
        }
        for (place, start) in self.starts.iter().enumerate() {
            if self.starts[..place].contains(start) {
                return Err(Failure::usage(format!("--starts has {start} twice; give it once")));
            }
        }
        Ok(steps)
    }

    fn study<'a>(
        &self,
        of: &StudyOf,
        common: &Common,
        data: &'a Data,
    ) -> Result<Study<'a>, Failure> {
        let told = |failure: Failure| Failure::usage(format!("--study {of}: {failure}"));
        let precision = self.problem.precision();
        // The rate that a weight decay expresses goes with its root.
        let spacing = match of.tuned {
            Tuned::WeightDecay => self.spacing * self.spacing,
            _ => self.spacing,
        };
        let mut values = Vec::new();
        let mut value = of.range[0];
        // A value that has been rounded on the way up is still the last one.
        while value <= of.range[1] * (1.0 + 1e-9) {
            if values.len() == MOST_VALUES {
                return Err(Failure::usage(format!(
                    "--study {of} has more than {MOST_VALUES} values at --spacing {:?}; give a larger one",
                    self.spacing
                )));
            }
            values.push(positive(precision, &of.tuned.name(), value).map_err(told)?);
            value *= spacing;
        }
        let rates = of.alpha0.iter().chain(values.iter().filter(|_| of.tuned == Tuned::Alpha0));
        for &rate in rates {
            let checked = precision.schedule(rate, 1.0, 0.0);
            checked.map_err(|e| told(Failure::usage(format!("alpha0 = {rate:?}: {e}"))))?;
        }
        let alpha0 = of.alpha0.unwrap_or(values[0]);
        let mut options = self.problem.clone();
        options.optimizer = options.optimizer.of_study(of.optimizer, of.tuned, values[0]);
        options.norm = of.is_normalised.then_some(NormName::Batch);
        if of.layers.is_some() {
            options.layers.clone_from(&of.layers);
        }
        let problem = options.problem(common, data).map_err(told)?;
        Tuned::named(Some(&[of.tuned]), &problem).map_err(told)?;
        let name = of.words.split(':').next().unwrap_or_default().to_owned();
        let parameter = of.tuned.parameter();
        Ok(Study { optimizer: name, parameter, alpha0, problem, values, spacing })
    }

    /// The starts with these seeds, after so many steps of pretraining.
    fn all(&self, origins: &[(u64, u32)], studies: &[Study<'_>]) -> Result<Vec<Start>, Failure> {
        let one = |&(seed, pretrain): &(u64, u32)| {
            let options = ProblemOptions { pretrain, ..self.problem.clone() };
            let weights = studies
                .iter()
                .map(|study| options.start(&Problem { seed, ..study.problem.clone() }));
            Ok(Start { seed, pretrain, weights: weights.collect::<Result<_, Failure>>()? })
        };
        origins.par_iter().map(one).collect()
    }
}

fn print(report: &Report<'_>) -> Result<(), Failure> {
    standard::print(|out| {
        if report.partial {
            writeln!(out, "partial")?;
        }
        writeln!(
            out,
            "{:<36} {:>8} {:>7}  {:>26}  {:>20}  {:>28}",
            "", "pretrain", "horizon", "value, range", "relative rate", "loss, range"
        )?;
        for curve in report.curves {
            for of in &curve.horizons {
                let range = |ends: Spread, digits: usize| {
                    let [least, median, greatest] = ends.ends().map(|x| number(x, digits));
                    format!("{median} {least}..{greatest}")
                };
                writeln!(
                    out,
                    "{:<36} {:>8} {:>7}  {:>26}  {:>20}  {:>28}",
                    curve.name(),
                    curve.pretrain,
                    of.horizon,
                    range(of.value, 4),
                    range(of.relative_rate, 2),
                    of.loss.map_or("diverged".to_owned(), |loss| range(loss, 5)),
                )?;
            }
        }
        report.sentences.iter().try_for_each(|sentence| writeln!(out, "{sentence}"))
    })
}
