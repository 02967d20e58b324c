//! `myopia remedies`: what is proposed against short-horizon bias, side by side.

use std::str::FromStr;

use clap::Args;
use indicatif::ProgressBar;
use myopia_backend::awake;
use myopia_core::online::RateAndDamping;
use myopia_core::schedule::{InverseTime, Parameter};
use serde::{Serialize, Serializer};

use super::horizons::Origin;
use super::nqm::each_as_words;
use super::options::{Common, LongRun, ProblemOptions, afford_record, positive};
use super::outer::{FIX, MOST_META_LR, within};
use super::progress;
use super::seeds::Seeds;
use crate::command::values::{real, trimmed, whole};
use myopia::checkpoint::Ledger;
use myopia::failure::Failure;
use myopia::nqm::judge::Judge;
use myopia::outer::{OuterOptimizer, OuterRule, limits};
use myopia::output::{csv, json, standard};
use myopia::plan::{Extent, Noise, Planning};
use myopia::problem::{CurvatureMatrix, Problem, Seeded};
use myopia::remedies::{
    Carry, Family, Finish, Outcome, Remedies, Row, State, Way, figure, sentences,
};
use myopia::shown::number;

/// Options of `myopia remedies`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    problem: ProblemOptions,
    /// Steps to train with each remedy
    #[arg(
        long, default_value_t = 2000, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    steps: u32,
    /// Rates of constant, linear and cosine schedules
    #[arg(
        long, value_delimiter = ',', default_value = "0.05,0.1,0.2,0.4", value_name = "RATE,…",
        allow_negative_numbers = true, value_parser = real
    )]
    rates: Vec<f64>,
    /// Lengths of look-aheads that tune a schedule, each judged at its end, after a cool-down that
    /// is half of it, and by an average of its second half or so
    #[arg(
        long, value_delimiter = ',', default_value = "20,200", value_name = "STEPS,…",
        allow_negative_numbers = true, value_parser = whole::<u32>
    )]
    look_ahead: Vec<u32>,
    /// Schedule from which look-aheads tune alpha0 and beta, and at whose alpha0 moving rates start
    #[arg(long, default_value = "0.1,500,1", value_name = "ALPHA0,K,BETA")]
    from: Origin,
    /// Meta-steps of each tuning, by Adam with a meta-learning rate of 0.1
    #[arg(
        long, default_value_t = 50, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    meta_steps: u32,
    /// How tangents of moving rates are carried: hd, rtho, marthe, marthe:NU or truncated:STEPS
    #[arg(
        long, value_delimiter = ',', value_name = "CARRY,…", value_parser = trimmed::<Carry>,
        default_value = "hd,marthe:0.99,marthe,rtho,truncated:10,truncated:100"
    )]
    #[serde(serialize_with = "each_as_words")]
    carry: Vec<Carry>,
    /// Meta-learning rates of moving rates, by Adam on their logarithm
    #[arg(
        long, value_delimiter = ',', default_value = "0.001,0.01", value_name = "RATE,…",
        allow_negative_numbers = true, value_parser = real
    )]
    meta_lr: Vec<f64>,
    /// Steps of the cool-down to zero at the end of constant and tuned schedules that are trained
    /// with one as well [default: a fifth of --steps]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u32>)]
    cool: Option<u32>,
    /// A schedule that was tuned elsewhere, T steps ahead by so many meta-steps
    #[arg(long, value_name = "T,META_STEPS,ALPHA0,K,BETA")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    given: Vec<Given>,
    /// Seeds to repeat it with: how many, from --seed on, or a range such as 1..5
    #[arg(long, value_name = "SEEDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    seeds: Option<Seeds>,
    #[command(flatten)]
    #[serde(skip)]
    long: LongRun,
}

/// A schedule that was tuned elsewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Given {
    horizon: u32,
    meta_steps: u32,
    schedule: Origin,
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.splitn(3, ',').collect();
        let &[horizon, meta_steps, schedule] = &parts[..] else {
            return Err("give T, meta-steps, alpha0, K and beta, such as 100,50,0.1,5000,1".into());
        };
        let [horizon, meta_steps] = [horizon, meta_steps].map(whole::<u32>);
        Ok(Self { horizon: horizon?, meta_steps: meta_steps?, schedule: schedule.parse()? })
    }
}

impl Serialize for Given {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { horizon, meta_steps, schedule: Origin([alpha0, time_constant, beta]) } = self;
        serializer
            .collect_str(&format_args!("{horizon},{meta_steps},{alpha0},{time_constant},{beta}"))
    }
}

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
    remedies: &'a [Family],
}

impl Options {
    pub fn run(mut self, common: &Common) -> Result<(), Failure> {
        let (seeds, common) = Seeds::resolve(&mut self.seeds, common)?;
        let common = &common;
        self.check()?;
        self.problem.plain_network("the comparison of remedies")?;
        let folder = self.long.folder(common)?;
        let data = self.problem.load(common)?;
        let problem = self.problem.problem(common, &data)?;
        if problem.optimizer.is_some() {
            return Err(Failure::usage(
                "remedies are compared on plain sgd; leave out --optimizer, --nesterov and --weight-decay",
            ));
        }
        let ways = self.ways(&problem)?;
        let cooled = self.cool.unwrap_or((self.steps / 5).max(1));
        let units = seeds.clone().count() * ways.len();
        let what = format!("{units} runs of --steps {}", self.steps);
        afford_record(&what, units as u128 * u128::from(self.steps), size_of::<f64>())?;
        let experiment =
            common.experiment("remedies", &self, &problem).with_default("cool", cooled);
        let ledger = Ledger::open(folder.as_ref(), experiment, units, self.long.opening())?;
        let start = |problem: &Problem<'_>| self.problem.start(problem);
        let seeds = ledger.resumable(awake(|| Seeded::all(&problem, seeds, start)))?;
        let remedies = Remedies {
            seeds,
            ways,
            steps: self.steps,
            cooled,
            start: self.start()?,
            meta_steps: self.meta_steps,
            outer: self.outer()?,
            mover,
            planning: self.planning(&problem),
        };
        let (total, done) = remedies.steps(&ledger);
        let bar = progress::bar_from(common, done, total, "remedies");
        let went = remedies.run(&ledger, &|steps| ProgressBar::inc(&bar, steps));
        bar.finish_and_clear();
        let early = Failure::interruption(went)?;
        let partial = early.is_some();
        let outcomes = ended(&remedies, &ledger);
        let runs: Vec<(u64, Way, Finish, &Outcome)> = outcomes
            .iter()
            .map(|(unit, finish, outcome)| {
                let seed = remedies.seeds[unit / remedies.ways.len()].problem.seed;
                (seed, remedies.ways[unit % remedies.ways.len()], *finish, outcome)
            })
            .collect();
        let row = |(seed, way, finish, outcome): &(u64, Way, Finish, &Outcome)| {
            Row::new(*seed, way, *finish, outcome)
        };
        let rows: Vec<Row> = runs.iter().map(row).collect();
        let families = Family::all(&rows);
        let report = Report {
            command: "remedies",
            version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            data_digest: data.digest().to_string(),
            options: &self,
            partial,
            sentences: sentences(&families, &remedies.ways, self.steps),
            remedies: &families,
        };
        if let Some(folder) = &folder {
            ledger.save()?;
            folder.write_as(partial, "runs.csv", |w| Row::write(w, &rows))?;
            folder.write_as(partial, "remedies.csv", |w| Family::write(w, &families))?;
            folder.write_as(partial, "courses.csv", |w| courses(w, &rows, &runs, self.steps))?;
            let drawn: Vec<_> = runs.iter().map(|(_, way, end, of)| (*way, *end, *of)).collect();
            figure(&families, &drawn, self.steps, partial).write(folder, partial, "remedies")?;
            folder.write_as(partial, "remedies.json", |w| json::write(w, &report))?;
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

    fn check(&self) -> Result<(), Failure> {
        if self.steps == 0 {
            return Err(Failure::usage("--steps 0 trains nothing; give at least one step"));
        }
        if let Some(ahead) = self.look_ahead.iter().find(|&&ahead| ahead < 4) {
            return Err(Failure::usage(format!(
                "--look-ahead has {ahead}; give at least 4 steps, half of which may be a cool-down"
            )));
        }
        if let Some(cool) = self.cool.filter(|cool| *cool == 0 || *cool > self.steps) {
            return Err(Failure::usage(format!(
                "--cool is {cool}; give a number from 1 to the {} of --steps",
                self.steps
            )));
        }
        let Origin(start) = self.from;
        let tuned = limits(&[Parameter::Alpha0, Parameter::Beta]);
        let names = ["from, as alpha0,", "from, as K,", "from, as beta,"];
        for ((name, start), limits) in names.into_iter().zip(start).zip(&tuned) {
            within((name, start), limits, FIX)?;
        }
        let precision = self.problem.precision();
        for &rate in &self.meta_lr {
            if positive(precision, "meta-lr", rate)? > MOST_META_LR {
                return Err(Failure::usage(format!(
                    "--meta-lr has {rate:?}, above {MOST_META_LR}; it is a step on logarithms, give one such as 0.01"
                )));
            }
        }
        let what = format!("--meta-steps {}", self.meta_steps);
        afford_record(&what, self.meta_steps.into(), size_of::<[f64; 20]>())
    }

    /// The schedule that descents start from, rounded.
    fn start(&self) -> Result<InverseTime<f64>, Failure> {
        let Origin([alpha0, time_constant, beta]) = self.from;
        let schedule = self.problem.precision().schedule(alpha0, time_constant, beta);
        schedule.map_err(|e| Failure::usage(format!("--from: {e}")))
    }

    fn outer(&self) -> Result<OuterOptimizer, Failure> {
        let limits = limits(&[Parameter::Alpha0, Parameter::Beta]);
        Ok(OuterOptimizer::new(self.problem.precision(), OuterRule::Adam, 0.1, limits))
    }

    /// All that are compared.
    fn ways(&self, problem: &Problem<'_>) -> Result<Vec<Way>, Failure> {
        let precision = self.problem.precision();
        for &rate in &self.rates {
            positive(precision, "rates", rate)?;
        }
        let rates = &self.rates;
        let mut ways: Vec<Way> = [Way::Constant, Way::Linear, Way::Cosine]
            .into_iter()
            .flat_map(|way| rates.iter().map(move |&rate| way(rate)))
            .collect();
        ways.extend([Way::Capped, Way::Planned]);
        for given in &self.given {
            let Origin([alpha0, time_constant, beta]) = given.schedule;
            let schedule = precision.schedule(alpha0, time_constant, beta);
            let schedule = schedule.map_err(|e| Failure::usage(format!("--given: {e}")))?;
            let batches = problem.objective_indices().len().div_ceil(problem.batch);
            let each = f64::from(given.horizon) + batches as f64 / 3.0;
            let cost = 4.0 * (f64::from(given.meta_steps) + 1.0) * each;
            ways.push(Way::Given(schedule, given.horizon, cost));
        }
        for &ahead in &self.look_ahead {
            let average = Judge::Average(1.0 - 2.0 / f64::from(ahead));
            let judges = [Judge::Plain, Judge::Cooldown(ahead as usize / 2), average];
            ways.extend(judges.map(|judge| Way::Tuned(judge, ahead)));
        }
        let carried = self.carry.iter().flat_map(|&carry| {
            self.meta_lr.iter().map(move |&meta_lr| Way::Carried(carry, meta_lr))
        });
        ways.extend(carried);
        for (number, way) in ways.iter().enumerate() {
            if ways[..number].contains(way) {
                let (name, setting) = way.named();
                let at = setting.map_or(String::new(), |setting| format!(" at {setting}"));
                return Err(Failure::usage(format!(
                    "{name}{at} is asked for twice; name each setting once"
                )));
            }
        }
        Ok(ways)
    }

    fn planning(&self, problem: &Problem<'_>) -> Planning {
        let all = problem.trained_on();
        Planning {
            extent: Extent {
                matrix: CurvatureMatrix::GaussNewton,
                products: 30.min(problem.parameters()),
                samples: 3,
                batches: 50,
                examples: all.min(1000),
            },
            steps: self.steps as usize,
            every: None,
            momentum: problem.momentum,
            cap: 0.25,
            noise: Noise::Unknown,
        }
    }
}

/// The outer optimizer of a moving rate: within 1e-6 to 10.
pub fn mover(problem: &Problem<'_>, meta_lr: f64) -> OuterOptimizer<1> {
    let [limits, _] = RateAndDamping::<f64>::default_limits();
    let limits = myopia_core::meta::Limits { greatest: 10.0, ..limits };
    OuterOptimizer::new(problem.precision(), OuterRule::Adam, meta_lr, [limits])
}

/// What has ended: the unit, how it ends, what became of it.
fn ended(remedies: &Remedies<'_>, ledger: &Ledger<'_, State>) -> Vec<(usize, Finish, Outcome)> {
    let of = |unit: usize| {
        let outcomes = match ledger.unit(unit).state() {
            Some(State::Ended(outcomes) | State::Training(_, outcomes, _)) => outcomes,
            _ => Vec::new(),
        };
        let finishes = remedies.finishes(unit % remedies.ways.len());
        finishes.into_iter().zip(outcomes).map(move |(finish, outcome)| (unit, finish, outcome))
    };
    (0..remedies.units()).flat_map(of).collect()
}

/// Writes the courses of all runs.
fn courses(
    to: &mut dyn std::io::Write,
    rows: &[Row],
    runs: &[(u64, Way, Finish, &Outcome)],
    steps: u32,
) -> std::io::Result<()> {
    let header = ["seed", "remedy", "setting", "step", "learning_rate", "batch_loss"];
    let part = steps.div_ceil(100).max(1);
    let lines = rows.iter().zip(runs).flat_map(|(row, (_, _, _, outcome))| {
        let points = (0u32..).zip(&outcome.course);
        points.map(move |(k, [rate, loss])| {
            (row.seed, &row.remedy, row.setting, k * part, *rate, *loss)
        })
    });
    csv::write(to, &header, lines)
}

fn print(report: &Report<'_>) -> Result<(), Failure> {
    standard::print(|out| {
        if report.partial {
            writeln!(out, "partial")?;
        }
        let width = report.remedies.iter().map(|of| of.remedy.chars().count()).max().unwrap_or(0);
        writeln!(
            out,
            "{:<width$}  {:>7}  {:>9}  {:>27}  {:>20}",
            "remedy", "setting", "gradients", "training loss, range", "test error, range"
        )?;
        for of in report.remedies {
            let range = |ends: Option<[f64; 3]>, scale: f64, digits: usize| match ends {
                None => "diverged".to_owned(),
                Some(ends) => {
                    let [least, median, greatest] = ends.map(|x| number(scale * x, digits));
                    format!("{median} {least}..{greatest}")
                }
            };
            writeln!(
                out,
                "{:<width$}  {:>7}  {:>9.0}  {:>27}  {:>20}",
                of.remedy,
                of.setting.map_or(String::new(), |x| x.to_string()),
                of.cost,
                range(of.training_loss.map(|loss| loss.ends()), 1.0, 6),
                range(of.test_error.map(|error| error.ends()), 100.0, 2),
            )?;
        }
        report.sentences.iter().try_for_each(|sentence| writeln!(out, "{sentence}"))
    })
}
