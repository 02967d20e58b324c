//! `myopia reruns hd`: hypergradient descent as its authors ran it.

use std::io::{self, Write};

use clap::Args;
use indicatif::ProgressBar;
use myopia_backend::awake;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{REPORT, TrainingOptions, tell};
use crate::command::options::{Common, afford_record};
use crate::command::progress;
use crate::command::seeds::Seeds;
use crate::command::source::DataOptions;
use crate::command::values::whole;
use myopia::checkpoint::{Ledger, Unit};
use myopia::failure::Failure;
use myopia::figure::{Axis, Figure, Lines, Markers, Series};
use myopia::interrupt;
use myopia::output::{OutputFolder, csv, json};
use myopia::problem::{Data, Ended, ObjectiveSet, Problem};
use myopia::reruns::Comparison;
use myopia::reruns::hypergradient_descent::{BATCH, METHODS, Method, Outcome, Run};
use myopia::reruns::look_ahead::{Ahead, LookAheads};
use myopia::shown::number;
use myopia::spread::Spread;

/// Options of `myopia reruns hd`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    data: DataOptions,
    /// Epochs; the authors took 10, their numbers are of those
    #[arg(
        long, default_value_t = 10, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    epochs: u32,
    /// Lengths of look-aheads from states of SGD-HD, ascending
    #[arg(
        long, value_delimiter = ',', default_value = "1,10,100,1000", value_name = "STEPS,…",
        allow_negative_numbers = true, value_parser = whole::<u32>
    )]
    look_ahead: Vec<u32>,
    /// Steps of SGD-HD before them, ascending
    #[arg(
        long, value_delimiter = ',', default_value = "0,14,100,469,2345", value_name = "STEP,…",
        allow_negative_numbers = true, value_parser = whole::<u32>
    )]
    after: Vec<u32>,
    #[command(flatten)]
    #[serde(flatten)]
    training: TrainingOptions,
}

/// What a unit has found.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum State {
    Run(Outcome),
    Ahead(Vec<Ahead>),
}

/// Rates of look-aheads: from 10⁻⁴ to 1, eight to a decade.
fn rates() -> Vec<f64> {
    (0..=32).map(|k| libm::pow(10.0, f64::from(k) / 8.0 - 4.0)).collect()
}

/// The most training examples that judge a look-ahead.
const JUDGED: usize = 10_000;

/// The method from whose states look-aheads start.
const LED: usize = 1;

/// Units of a seed: the methods, and the look-aheads.
const UNITS: usize = METHODS.len() + 1;

#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    version: &'static str,
    seed: u64,
    data_digest: String,
    #[serde(flatten)]
    options: &'a Options,
    /// Mean and standard deviation by which inputs are standardised.
    moments: [f64; 2],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    sentences: Vec<String>,
    comparisons: &'a [Comparison],
    look_aheads: Vec<Seen>,
}

/// The best rates of one length after one number of steps.
#[derive(Clone, Debug, Serialize)]
struct Seen {
    step: u32,
    #[serde(serialize_with = "Spread::as_ends")]
    rate: Spread,
    ahead: u32,
    #[serde(serialize_with = "Spread::as_ends")]
    best: Spread,
}

impl Options {
    pub fn run(mut self, common: &Common) -> Result<(), Failure> {
        let (seeds, common) = Seeds::resolve(&mut self.training.seeds, common)?;
        let common = &common;
        self.check()?;
        let folder = self.training.long.folder(common)?;
        let loaded =
            self.data.source()?.load(self.training.precision.into(), |said| common.remark(said))?;
        let (data, moments) = loaded.standardised();
        drop(loaded);
        let problems = problems(&data, seeds, common)?;
        let steps = self.epochs as usize * problems[0].trained_on().div_ceil(BATCH);
        let what = format!("--epochs {}", self.epochs);
        afford_record(&what, (steps * METHODS.len() * problems.len()) as u128, 8)?;
        let units = UNITS * problems.len();
        let experiment = common.experiment("reruns hd", &self, &problems[0]);
        let ledger =
            Ledger::open(folder.as_ref(), experiment, units, self.training.long.opening())?;
        let ahead = self.steps_ahead();
        let done = |unit: usize| match ledger.unit(unit).state() {
            None => 0,
            Some(State::Run(_)) => steps as u64,
            Some(State::Ahead(_)) => ahead,
        };
        let total = problems.len() as u64 * (METHODS.len() as u64 * steps as u64 + ahead);
        let done = (0..units).map(done).fold(0, |a, b| a + b);
        let bar = progress::bar_from(common, done, total, "hypergradient descent");
        let went = awake(|| {
            (0..units).into_par_iter().with_max_len(1).try_for_each(|number| {
                let made = self.one(
                    &problems[number / UNITS],
                    number % UNITS,
                    &ledger.unit(number),
                    &|| ProgressBar::inc(&bar, 1),
                );
                ledger.resumable(made)
            })
        });
        bar.finish_and_clear();
        let early = Failure::interruption(went)?;
        let partial = early.is_some();
        let states: Vec<Option<State>> = (0..units).map(|unit| ledger.unit(unit).state()).collect();
        let found = Found { seeds: problems.iter().map(|of| of.seed).collect(), states };
        let comparisons = found.comparisons(self.epochs);
        let look_aheads = found.seen();
        let report = Report {
            command: "reruns hd",
            version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            data_digest: data.digest().to_string(),
            options: &self,
            moments,
            partial,
            sentences: sentences(&comparisons, &look_aheads),
            comparisons: &comparisons,
            look_aheads,
        };
        if let Some(folder) = &folder {
            ledger.save()?;
            found.write(folder, partial)?;
            figure(&found, &report.look_aheads, partial).write(folder, partial, "reruns")?;
            folder.write_as(partial, REPORT, |w| json::write(w, &report))?;
        }
        if !partial {
            ledger.finish()?;
        }
        tell(common, &report, &report.sentences, partial)?;
        early.map_or(Ok(()), Err)
    }

    fn check(&self) -> Result<(), Failure> {
        if self.epochs == 0 {
            return Err(Failure::usage("--epochs 0 trains nothing; give one at least"));
        }
        for (name, all, least) in [("look-ahead", &self.look_ahead, 1), ("after", &self.after, 0)] {
            let ascending = all.windows(2).all(|pair| pair[0] < pair[1]);
            if !ascending || all.first().is_some_and(|&first| first < least) {
                return Err(Failure::usage(format!(
                    "--{name} has to ascend from {least} at least; give each number once, the least first"
                )));
            }
        }
        Ok(())
    }

    /// Steps of one seed's look-aheads.
    fn steps_ahead(&self) -> u64 {
        let last = |all: &[u32]| u64::from(all.last().copied().unwrap_or(0));
        let each = last(&self.look_ahead) * rates().len() as u64;
        self.after.len() as u64 * each + last(&self.after)
    }

    fn one(
        &self,
        problem: &Problem<'_>,
        number: usize,
        unit: &Unit<'_, State>,
        tick: &dyn Fn(),
    ) -> Result<(), Failure> {
        if unit.state().is_some() {
            return Ok(());
        }
        let mut go_on = || !interrupt::is_asked();
        let found = match METHODS.get(number) {
            Some(method) => {
                Run::new(problem, method).epochs(self.epochs, &mut go_on, tick).map(State::Run)
            }
            None => {
                let rates = rates();
                let judged = problem.trained_on().min(JUDGED);
                let ahead = LookAheads { lengths: &self.look_ahead, rates: &rates, judged };
                let method = &METHODS[LED];
                ahead.along(problem, method, &self.after, &mut go_on, tick).map(State::Ahead)
            }
        };
        match found {
            Ok(state) => unit.leave(state),
            Err(Ended::Stopped) => Err(Failure::Interrupted("interrupted".into())),
            Err(Ended::Diverged(diverged)) => Err(Failure::run(format!(
                "{} diverged before look-aheads: {diverged}; give smaller numbers to --after",
                METHODS[LED].name
            ))),
        }
    }
}

/// The problem with each seed: the network without hidden layers, trained on all there is.
fn problems<'a>(
    data: &'a Data,
    seeds: impl IntoIterator<Item = u64>,
    common: &Common,
) -> Result<Vec<Problem<'a>>, Failure> {
    let isa = common.isa()?;
    let problem = |seed| Problem {
        batch: BATCH,
        momentum: 0.0,
        objective: ObjectiveSet::Train,
        seed,
        isa,
        ..Problem::new(data, vec![data.inputs, data.classes])
    };
    Ok(seeds.into_iter().map(problem).collect())
}

/// What there is of all units.
struct Found {
    seeds: Vec<u64>,
    states: Vec<Option<State>>,
}

impl Found {
    /// The runs of one method that there are, with their seeds.
    fn runs(&self, method: usize) -> impl Iterator<Item = (u64, &Outcome)> {
        self.seeds.iter().zip(self.states.chunks(UNITS)).filter_map(move |(seed, units)| {
            match &units[method] {
                Some(State::Run(outcome)) => Some((*seed, outcome)),
                _ => None,
            }
        })
    }

    fn all(&self) -> impl Iterator<Item = (u64, &'static Method, &Outcome)> {
        (0..METHODS.len()).flat_map(|number| {
            self.runs(number).map(move |(seed, outcome)| (seed, &METHODS[number], outcome))
        })
    }

    fn look_aheads(&self) -> impl Iterator<Item = (u64, &Ahead)> {
        let units = self.seeds.iter().zip(self.states.chunks(UNITS));
        let of = units.filter_map(|(seed, units)| match units.last() {
            Some(Some(State::Ahead(all))) => Some((*seed, all)),
            _ => None,
        });
        of.flat_map(|(seed, all)| all.iter().map(move |ahead| (seed, ahead)))
    }

    /// Published numbers beside these, of so many epochs as they are of.
    fn comparisons(&self, epochs: u32) -> Vec<Comparison> {
        let mut all = Vec::new();
        if epochs != 10 {
            return all;
        }
        for (number, method) in METHODS.iter().enumerate() {
            let mut add = |quantity, published, of: &dyn Fn(&Outcome) -> Option<f64>| {
                let found = Spread::of(self.runs(number).filter_map(|(_, run)| of(run)));
                let method = method.name.to_owned();
                all.extend(found.map(|found| Comparison { method, quantity, published, found }));
            };
            let [training, test] = method.published;
            let last = |run: &Outcome| run.epochs.get(9).copied();
            add("training loss of the last epoch", training, &|run| Some(last(run)?.loss));
            add("test loss", test, &|run| Some(last(run)?.test_loss));
            if method.meta_rate > 0.0 {
                let names =
                    ["largest rate", "step with it", "last rate", "steps with a rate below 0"];
                for (which, name) in names.into_iter().enumerate() {
                    let published = method.published_rates[which];
                    add(name, published, &|run| Some(run.of_rates()?[which]));
                }
            }
        }
        all
    }

    /// The best rates by step and length, over the seeds.
    fn seen(&self) -> Vec<Seen> {
        let all: Vec<(u32, f64, u32, f64)> = self
            .look_aheads()
            .flat_map(|(_, of)| of.best.iter().map(|best| (of.step, of.rate, best.0, best.1)))
            .collect();
        let mut places: Vec<(u32, u32)> = all.iter().map(|of| (of.0, of.2)).collect();
        places.sort_unstable();
        places.dedup();
        let seen = |(step, ahead): (u32, u32)| {
            let own = || all.iter().filter(move |of| (of.0, of.2) == (step, ahead));
            let rate = Spread::of(own().map(|of| of.1))?;
            Some(Seen { step, rate, ahead, best: Spread::of(own().map(|of| of.3))? })
        };
        places.into_iter().filter_map(seen).collect()
    }

    fn write(&self, folder: &OutputFolder, partial: bool) -> Result<(), Failure> {
        folder.write_as(partial, "runs.csv", |w| self.table(w))?;
        let header = ["seed", "method", "epoch", "training_loss", "test_loss"];
        let epochs = self.all().flat_map(|(seed, method, run)| {
            let epochs = (1u32..).zip(&run.epochs);
            epochs.map(move |(epoch, of)| (seed, method.name, epoch, of.loss, of.test_loss))
        });
        folder.write_as(partial, "epochs.csv", |w| csv::write(w, &header, epochs))?;
        let header = ["seed", "method", "step", "learning_rate"];
        let moving = self.all().filter(|(_, method, _)| method.meta_rate > 0.0);
        let rates = moving.flat_map(|(seed, method, run)| {
            shown(&run.rates).map(move |(step, rate)| (seed, method.name, step, rate))
        });
        folder.write_as(partial, "rates.csv", |w| csv::write(w, &header, rates))?;
        let header = ["seed", "step", "learning_rate", "ahead", "best_rate", "loss"];
        let lines = self.look_aheads().flat_map(|(seed, of)| {
            of.best.iter().map(move |(ahead, best, loss)| {
                (seed, of.step, of.rate, *ahead, *best, loss.is_finite().then_some(*loss))
            })
        });
        folder.write_as(partial, "ahead.csv", |w| csv::write(w, &header, lines))
    }

    fn table(&self, to: &mut dyn Write) -> io::Result<()> {
        let header = [
            "seed",
            "method",
            "training_loss",
            "test_loss",
            "largest_rate",
            "step_with_it",
            "last_rate",
            "steps_below_zero",
            "diverged",
        ];
        let rows = self.all().map(|(seed, method, run)| {
            let last = run.epochs.last();
            let losses = [last.map(|of| of.loss), last.map(|of| of.test_loss)];
            (seed, method.name, losses, run.of_rates().map_or([None; 4], |of| of.map(Some)), {
                run.diverged.as_deref()
            })
        });
        csv::write(to, &header, rows)
    }
}

/// Steps, from 1 on, and rates: those of the first hundred, and of each tenth after them.
fn shown(rates: &[f64]) -> impl Iterator<Item = (u32, f64)> {
    let steps = (1u32..).zip(rates.iter().copied());
    steps.filter(|(step, _)| *step <= 100 || step.is_multiple_of(10))
}

fn sentences(comparisons: &[Comparison], seen: &[Seen]) -> Vec<String> {
    let mut said: Vec<String> = comparisons.iter().map(|of| of.sentence(4)).collect();
    for ends in seen.chunk_by(|a, b| a.step == b.step) {
        let best: Vec<String> = ends
            .iter()
            .map(|of| format!("{} {} ahead", number(of.best.median, 4), of.ahead))
            .collect();
        let [least, median, greatest] = ends[0].rate.ends().map(|x| number(x, 4));
        said.push(format!(
            "{} after {} steps takes {median} ({least} to {greatest}); best are {}.",
            METHODS[LED].name,
            ends[0].step,
            best.join(", ")
        ));
    }
    said
}

/// Losses by epoch; rates of the led method with what look-aheads find best.
fn figure(found: &Found, seen: &[Seen], partial: bool) -> Figure {
    let note = if partial { ", unfinished" } else { "" };
    let epoch = |title: &str, of: &dyn Fn(&Outcome, usize) -> Option<f64>| {
        let axis = Axis::log("mean loss (nats)");
        (0..METHODS.len()).fold(Lines::new(title, Axis::linear("epoch"), axis), |panel, number| {
            let at = |k: usize| Spread::of(found.runs(number).filter_map(|(_, run)| of(run, k)));
            let epochs = (0..).map_while(|k| Some(((k + 1) as f64, at(k)?.median)));
            panel.series(Series::new(METHODS[number].name, epochs))
        })
    };
    let mut rates = Lines::new(
        "SGD-HD, first seed, and median of what is best",
        Axis::log("step, from 1 on"),
        Axis::log("learning rate"),
    );
    if let Some((_, run)) = found.runs(LED).next() {
        let steps = shown(&run.rates).filter(|(_, rate)| *rate > 0.0);
        let points = steps.map(|(step, rate)| (f64::from(step), rate));
        rates = rates.series(Series::new(METHODS[LED].name, points));
    }
    let mut lengths: Vec<u32> = seen.iter().map(|of| of.ahead).collect();
    lengths.sort_unstable();
    lengths.dedup();
    for ahead in lengths {
        let own = seen.iter().filter(|of| of.ahead == ahead);
        let points = own.map(|of| (f64::from(of.step + 1), of.best.median));
        let name = format!("best {ahead} ahead");
        rates = rates.series(Series::new(name, points).markers(Markers::Points));
    }
    Figure::new(format!("Hypergradient descent, published settings{note}"))
        .columns(2)
        .panel(epoch("Training, mean over the epoch", &|run, k| Some(run.epochs.get(k)?.loss)))
        .panel(epoch("Test", &|run, k| Some(run.epochs.get(k)?.test_loss)))
        .panel(rates)
}
