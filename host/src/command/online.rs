//! `myopia online`: learning rate and momentum adapted while training runs, beside fixed ones.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use myopia_backend::awake;
use myopia_core::online::{Batches, RateAndDamping, ShortLookAhead};
use serde::{Deserialize, Serialize};

use super::options::{Common, LongRun, Parts, ProblemOptions, afford_record, positive};
use super::outer::{FIX, Outer, outer_optimizer, within};
use super::progress;
use super::seeds::Seeds;
use crate::command::values::{named, real, whole};
use myopia::checkpoint::Ledger;
use myopia::curve::Point;
use myopia::failure::Failure;
use myopia::online::{self, Outcome, Trial, Trials, Update};
use myopia::outer::OuterOptimizer;
use myopia::output::{OutputFolder, csv, json, standard};
use myopia::problem::{Problem, Seeded};
use myopia::shown;
use myopia::spread::{self, Spread};

/// Options of `myopia online`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    problem: ProblemOptions,
    /// Steps to train
    #[arg(
        long, default_value_t = 2000, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    steps: u32,
    /// Learning rates to start adapting from; the momentum starts at --momentum
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "0.01,0.1",
        value_name = "RATE,…",
        allow_negative_numbers = true, value_parser = real)]
    from: Vec<f64>,
    /// Steps of training between two updates
    #[arg(
        long, default_value_t = 10, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    steps_per_update: u32,
    /// Steps to look ahead for an update
    #[arg(
        long, default_value_t = 5, value_name = "STEPS", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    look_ahead: u32,
    /// What look-aheads train on and are judged by
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "fresh,same",
        value_name = "KIND,…",
        value_parser = named::<BatchesName>()
    )]
    batches: Vec<BatchesName>,
    /// Outer optimizer
    #[arg(long, value_enum, default_value = "adam")]
    outer: Outer,
    /// Meta-learning rate, on the logarithms of the effective rate and of 1 - momentum
    #[arg(long, default_value_t = 0.01, value_name = "RATE", allow_negative_numbers = true)]
    meta_lr: f64,
    /// Gradients by the logarithms are held inside plus or minus this
    #[arg(long, default_value_t = 10.0, value_name = "SIZE", allow_negative_numbers = true)]
    clip: f64,
    /// What keeps its value. The other stays within 1e-6 to 100 (effective-rate) or 0 to 0.999
    /// (momentum), and starts there
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", value_parser = named::<Adapted>())]
    fix: Vec<Adapted>,
    /// Fixed learning rates to compare with: of several, the one with the lowest loss at the end
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "0.003,0.01,0.03,0.1,0.3",
        value_name = "RATE,…",
        allow_negative_numbers = true, value_parser = real)]
    fixed: Vec<f64>,
    /// What a fixed learning rate is multiplied by half-way, in the comparison with a decay
    #[arg(long, default_value_t = 0.1, value_name = "FACTOR", allow_negative_numbers = true)]
    decay: f64,
    /// Seeds to repeat it with: how many, from --seed on, or a range such as 1..5
    #[arg(long, value_name = "SEEDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    seeds: Option<Seeds>,
    /// Steps between the points of a curve [default: a hundredth of --steps]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u32>)]
    every: Option<u32>,
    #[command(flatten)]
    #[serde(skip)]
    pub parts: Parts,
    #[command(flatten)]
    #[serde(skip)]
    long: LongRun,
}

/// What the units that shards divide are called.
const UNITS: &str = "trials";

/// A number of a row, where it has it.
type Read = fn(&Row) -> Option<f64>;

/// What `summary.csv` has of each trial over the seeds.
const NUMBERS: [(&str, Read); 8] = [
    ("last_learning_rate", |row| row.last_learning_rate),
    ("last_momentum", |row| row.last_momentum),
    ("training_loss", |row| row.training_loss),
    ("training_error", |row| row.training_error),
    ("validation_loss", |row| row.validation_loss),
    ("validation_error", |row| row.validation_error),
    ("test_loss", |row| row.test_loss),
    ("test_error", |row| row.test_error),
];

/// What a look-ahead trains on and is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BatchesName {
    /// A new batch for each step and one more to judge by: it sees the noise of training
    Fresh,
    /// One batch for all of it: it sees no noise
    Same,
}

/// What adaptation moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Adapted {
    /// The effective rate, alpha / (1 - mu)
    EffectiveRate,
    /// The momentum
    Momentum,
}

/// How a trial sets learning rate and momentum, for tables.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Kind {
    /// Its name in figures and tables.
    trial: String,
    /// `fixed`, `decayed`, `fresh` or `same`.
    kind: &'static str,
    /// α at first.
    first_learning_rate: f64,
}

/// One line of `online.csv`: a trial and how it ended.
#[derive(Clone, Debug, Serialize)]
struct Row {
    /// The seed, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    trial: String,
    kind: &'static str,
    first_learning_rate: f64,
    /// The best of its kind among the fixed ones.
    tuned: bool,
    last_learning_rate: Option<f64>,
    last_momentum: Option<f64>,
    training_loss: Option<f64>,
    training_error: Option<f64>,
    validation_loss: Option<f64>,
    validation_error: Option<f64>,
    test_loss: Option<f64>,
    test_error: Option<f64>,
    digest: Option<String>,
    diverged: Option<String>,
}

const HEADER: [&str; 15] = [
    "seed",
    "trial",
    "kind",
    "first_learning_rate",
    "tuned",
    "last_learning_rate",
    "last_momentum",
    "training_loss",
    "training_error",
    "validation_loss",
    "validation_error",
    "test_loss",
    "test_error",
    "digest",
    "diverged",
];

/// What the command prints as JSON and writes to `online.json`.
#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    version: &'static str,
    seed: u64,
    data_digest: String,
    #[serde(flatten)]
    options: &'a Options,
    /// The run was interrupted: trials are unfinished.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    trials: Vec<Row>,
    /// Medians and ranges over the seeds, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    summary: Vec<Summary>,
}

/// One line of `summary.csv`: how a trial ended with several seeds.
#[derive(Serialize)]
struct Summary {
    trial: String,
    kind: &'static str,
    first_learning_rate: f64,
    tuned: bool,
    /// With how many seeds it did not diverge.
    seeds: usize,
    #[serde(flatten)]
    numbers: BTreeMap<&'static str, Spread>,
}

impl Options {
    /// Every trial: fixed rates, the same with a decay half-way, adapted ones.
    fn trials(&self) -> Result<Vec<(Kind, Trial)>, Failure> {
        for (name, value) in [
            ("steps", self.steps),
            ("steps-per-update", self.steps_per_update),
            ("look-ahead", self.look_ahead),
        ] {
            if value == 0 {
                return Err(Failure::usage(format!(
                    "--{name} 0 leaves nothing to do; give at least 1"
                )));
            }
        }
        let precision = self.problem.precision();
        let factor = positive(precision, "decay", self.decay)?;
        let outer = self.optimizer()?;
        let mut trials = Vec::new();
        for (kind, decay) in [("fixed", None), ("decayed", Some(factor))] {
            for &first_learning_rate in &self.fixed {
                let learning_rate = positive(precision, "fixed", first_learning_rate)?;
                let trial = match decay {
                    None => format!("fixed {first_learning_rate}"),
                    Some(_) => format!("fixed {first_learning_rate} × {} half-way", self.decay),
                };
                let kind = Kind { trial, kind, first_learning_rate };
                trials.push((kind, Trial::Fixed { learning_rate, decay }));
            }
        }
        for &name in &self.batches {
            for &first_learning_rate in &self.from {
                let (kind, batches) = match name {
                    BatchesName::Fresh => ("fresh", Batches::Fresh),
                    BatchesName::Same => ("same", Batches::Same),
                };
                let ahead =
                    ShortLookAhead { steps: self.look_ahead, batches, batch: self.problem.batch };
                let learning_rate = positive(precision, "from", first_learning_rate)?;
                let every = self.steps_per_update;
                let trial = format!("{kind} from {first_learning_rate}");
                let kind = Kind { trial, kind, first_learning_rate };
                trials.push((kind, Trial::Adapted { learning_rate, ahead, every, outer }));
            }
        }
        Ok(trials)
    }

    /// What `myopia merge` sets: the folders of the shards, and whether the run is to resume.
    pub fn joining(&mut self) -> (&mut Vec<PathBuf>, &mut bool) {
        (&mut self.parts.joined, &mut self.long.resume)
    }

    /// The file with what it prints as JSON.
    pub fn report(&self) -> &'static str {
        if self.parts.shard.is_some() { "shard.json" } else { "online.json" }
    }

    fn optimizer(&self) -> Result<OuterOptimizer<2>, Failure> {
        let precision = self.problem.precision();
        let mut limits = RateAndDamping::<f64>::default_limits();
        for (limits, name) in limits.iter_mut().zip([Adapted::EffectiveRate, Adapted::Momentum]) {
            limits.learned = !self.fix.contains(&name);
        }
        let momentum = self.problem.momentum;
        // What is no rate or no momentum at all is refused as such.
        let sound = |rate: &&f64| **rate > 0.0 && (0.0..1.0).contains(&momentum);
        for &rate in self.from.iter().filter(sound) {
            let start = RateAndDamping::new(rate, momentum);
            within(("from, as rate / (1 - momentum),", start.effective_rate), &limits[0], FIX)?;
            within(("momentum, as 1 - momentum,", start.damping), &limits[1], FIX)?;
        }
        outer_optimizer(precision, self.outer, [self.meta_lr, self.clip], limits)
    }

    pub fn run(mut self, common: &Common) -> Result<(), Failure> {
        let (seeds, common) = Seeds::resolve(&mut self.seeds, common)?;
        let common = &common;
        let (kinds, trials): (Vec<Kind>, Vec<Trial>) = self.trials()?.into_iter().unzip();
        let every = self.every.unwrap_or((self.steps / 100).max(1));
        if every == 0 {
            return Err(Failure::usage("--every 0 would never come to a point; give at least 1"));
        }
        let each = u128::from(self.steps / every) + u128::from(self.steps / self.steps_per_update);
        let units = seeds.clone().count() * trials.len();
        let what = format!("{units} trials of --steps {}", self.steps);
        afford_record(&what, units as u128 * each, size_of::<Point>())?;
        self.parts.check(common)?;
        self.problem.plain_network("online")?;
        let folder = self.long.folder(common)?;
        let data = self.problem.load(common)?;
        let problem = self.problem.problem(common, &data)?;
        if problem.optimizer.is_some() {
            return Err(Failure::usage(
                "online adapts the learning rate and momentum of plain sgd; leave out --optimizer, --nesterov and \
                 --weight-decay",
            ));
        }
        let experiment = common.experiment("online", &self, &problem).with_default("every", every);
        let experiment = self.parts.of(experiment);
        let ledger = Ledger::open(folder.as_ref(), experiment, units, self.long.opening())?;
        self.parts.join(&ledger, units, UNITS)?;
        let start = |problem: &Problem<'_>| self.problem.start(problem);
        let seeds = ledger.resumable(awake(|| Seeded::all(&problem, seeds, start)))?;
        let shared = Trials { seeds, steps: self.steps, every };

        let own: Vec<usize> = (0..units).filter(|&n| self.parts.holds(n)).collect();
        let (total, done) = shared.steps(&own, &ledger);
        let bar = progress::bar_from(common, done, total, "online");
        let went = shared.run(&trials, &own, &ledger, &|steps| ProgressBar::inc(&bar, steps));
        bar.finish_and_clear();
        let early = match (went, self.parts.shard) {
            (Ok(()), None) => None,
            (Ok(()), Some(shard)) => {
                return Parts::leave(shard, &ledger, common, (units, UNITS));
            }
            // An unfinished shard is no use to anyone but the run that goes on with it.
            (Err(failure), None) if failure.is_interruption() => Some(failure),
            (Err(failure), _) => return Err(failure),
        };
        let outcomes = shared.outcomes(units, &ledger);
        let partial = early.is_some();
        let named = |seed| self.seeds.is_some().then_some(seed);
        let seeds: Vec<_> = shared.seeds.iter().map(|s| named(s.problem.seed)).collect();
        let rows = rows(&kinds, &seeds, &outcomes);
        let report = Report {
            command: "online",
            version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            data_digest: data.digest().to_string(),
            options: &self,
            partial,
            summary: match &self.seeds {
                Some(_) => Summary::all(&rows, kinds.len()),
                None => Vec::new(),
            },
            trials: rows,
        };
        if let Some(folder) = &folder {
            ledger.save()?;
            write(folder, partial, &report, &outcomes)?;
        }
        if !partial {
            ledger.finish()?;
        }
        if common.json {
            json::print(&report)?;
        } else {
            standard::print(|out| print(out, &report))?;
        }
        early.map_or(Ok(()), Err)
    }
}

/// A line for each seed and trial; of the fixed ones of a kind, the best is tuned: that with the
/// lowest median of the objective over the seeds, if none of them diverged.
fn rows(kinds: &[Kind], seeds: &[Option<u64>], outcomes: &[Outcome]) -> Vec<Row> {
    let median = |number: usize| {
        let of_seeds = outcomes.iter().skip(number).step_by(kinds.len());
        let losses: Option<Vec<f64>> = of_seeds.map(Outcome::objective).collect();
        Some(Spread::of(losses?)?.median)
    };
    let best = |kind: &str| {
        let own = (0..kinds.len()).filter(|&number| kinds[number].kind == kind);
        let losses = own.filter_map(|number| Some((number, median(number)?)));
        losses.reduce(|a, b| if b.1 < a.1 { b } else { a }).map(|(number, _)| number)
    };
    let tuned = [best("fixed"), best("decayed")];
    let row = |(number, outcome): (usize, &Outcome)| {
        let (seed, number) = (seeds[number / kinds.len()], number % kinds.len());
        let kind = &kinds[number];
        let end: Option<&Point> = outcome.digest.and_then(|_| outcome.curve.last());
        Row {
            seed,
            trial: kind.trial.clone(),
            kind: kind.kind,
            first_learning_rate: kind.first_learning_rate,
            tuned: tuned.contains(&Some(number)),
            last_learning_rate: end.map(|p| p.learning_rate),
            last_momentum: end.map(|p| p.momentum),
            training_loss: end.map(|p| p.training_loss),
            training_error: end.map(|p| p.training_error),
            validation_loss: end.and_then(|p| p.validation_loss),
            validation_error: end.and_then(|p| p.validation_error),
            test_loss: end.map(|p| p.test_loss),
            test_error: end.map(|p| p.test_error),
            digest: outcome.digest.map(|digest| format!("{digest:016x}")),
            diverged: outcome.diverged.clone(),
        }
    };
    outcomes.iter().enumerate().map(row).collect()
}

impl Summary {
    /// That of each of so many trials, of which `rows` has one line after the other for each seed.
    fn all(rows: &[Row], trials: usize) -> Vec<Self> {
        let summary = |number: usize| {
            let of_seeds = || rows.iter().skip(number).step_by(trials);
            let spread =
                |(name, read): (_, Read)| Some((name, Spread::of(of_seeds().filter_map(read))?));
            let row = &rows[number];
            Self {
                trial: row.trial.clone(),
                kind: row.kind,
                first_learning_rate: row.first_learning_rate,
                tuned: row.tuned,
                seeds: of_seeds().filter(|row| row.digest.is_some()).count(),
                numbers: NUMBERS.into_iter().filter_map(spread).collect(),
            }
        };
        (0..trials).map(summary).collect()
    }

    fn write(to: &mut dyn Write, summaries: &[Self]) -> io::Result<()> {
        let names = || NUMBERS.iter().map(|&(name, _)| name);
        let first = ["trial", "kind", "first_learning_rate", "tuned", "seeds"].map(str::to_owned);
        let header: Vec<String> = first.into_iter().chain(spread::header(names())).collect();
        let rows = summaries.iter().map(|s| {
            let cells = spread::cells(&s.numbers, names());
            (&s.trial, s.kind, s.first_learning_rate, s.tuned, s.seeds, cells)
        });
        csv::write(to, &header, rows)
    }
}

impl Row {
    /// Whether it is shown in the figure and in the table: adapted trials and the best of the fixed
    /// ones.
    fn shown(&self) -> bool {
        self.tuned || !["fixed", "decayed"].contains(&self.kind)
    }
}

fn write(
    folder: &OutputFolder,
    partial: bool,
    report: &Report<'_>,
    outcomes: &[Outcome],
) -> Result<(), Failure> {
    let first = usize::from(report.options.seeds.is_none());
    let keys = &["seed", "trial"][first..];
    let named = || {
        let names = report.trials.iter().map(|row| {
            let seed = row.seed.map(|seed| seed.to_string());
            seed.into_iter().chain([row.trial.clone()]).collect::<Vec<String>>()
        });
        names.zip(outcomes)
    };
    let header = &HEADER[first..];
    folder.write_as(partial, "online.csv", |w| csv::write(w, header, &report.trials))?;
    folder.write_as(partial, "curves.csv", |w| {
        Point::write(w, keys, named().map(|(names, outcome)| (names, &outcome.curve[..])))
    })?;
    folder.write_as(partial, "updates.csv", |w| {
        let header: Vec<&str> = keys.iter().copied().chain(Update::HEADER).collect();
        let rows = named().flat_map(|(names, outcome)| {
            outcome.updates.iter().map(move |update| (names.clone(), update))
        });
        csv::write(w, &header, rows)
    })?;
    if !report.summary.is_empty() {
        folder.write_as(partial, "summary.csv", |w| Summary::write(w, &report.summary))?;
    }
    let mut shown: Vec<(String, Vec<&Outcome>)> = Vec::new();
    let rows = report.trials.iter().zip(outcomes);
    for (row, outcome) in rows.filter(|(row, _)| partial || row.shown()) {
        match shown.iter_mut().find(|(trial, _)| *trial == row.trial) {
            Some((_, seeds)) => seeds.push(outcome),
            None => shown.push((row.trial.clone(), vec![outcome])),
        }
    }
    online::figure(&shown, partial).write(folder, partial, "online")?;
    folder.write_as(partial, "online.json", |w| json::write(w, report))
}

fn print(out: &mut dyn Write, report: &Report<'_>) -> io::Result<()> {
    let several = report.options.seeds.is_some();
    let seed = |seed: Option<u64>| seed.map_or(String::new(), |seed| format!("{seed:>6}  "));
    if several {
        write!(out, "{:>6}  ", "seed")?;
    }
    let width = report.trials.iter().map(|row| row.trial.chars().count()).max().unwrap_or(0);
    writeln!(
        out,
        "{:<width$}  {:>10}  {:>9}  {:>10}  {:>10}  {:>10}",
        "trial", "last rate", "momentum", "train loss", "val. loss", "test error"
    )?;
    for row in report.trials.iter().filter(|row| report.partial || row.shown()) {
        write!(out, "{}", seed(row.seed))?;
        if let Some(diverged) = &row.diverged {
            writeln!(out, "{:<width$}  diverged: {diverged}", row.trial)?;
            continue;
        }
        let number = |value: Option<f64>, digits: usize| {
            value.map_or("-".to_owned(), |value| shown::number(value, digits))
        };
        let rate = row.last_learning_rate.map_or("-".to_owned(), |rate| format!("{rate:.3e}"));
        let percent = row.test_error.map_or("-".to_owned(), |e| format!("{:.2} %", 100.0 * e));
        writeln!(
            out,
            "{:<width$}  {rate:>10}  {:>9}  {:>10}  {:>10}  {percent:>10}",
            row.trial,
            number(row.last_momentum, 4),
            number(row.training_loss, 6),
            number(row.validation_loss, 5),
        )?;
    }
    for summary in report.summary.iter().filter(|summary| {
        report.partial || summary.tuned || !["fixed", "decayed"].contains(&summary.kind)
    }) {
        let Some(loss) = summary.numbers.get("training_loss") else { continue };
        writeln!(
            out,
            "{}: training loss {} at the median of {} seeds, from {} to {}",
            summary.trial,
            shown::number(loss.median, 6),
            summary.seeds,
            shown::number(loss.least, 6),
            shown::number(loss.greatest, 6)
        )?;
    }
    Ok(())
}
