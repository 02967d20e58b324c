//! `myopia biases`: on a network, truncation, hysteresis and horizon apart, and perturbations as
//! estimators.

use clap::Args;
use myopia_backend::awake;
use serde::Serialize;

use super::estimators::{Moving, check};
use super::options::{Common, LongRun, ProblemOptions, positive};
use super::progress;
use super::remedies::mover;
use super::seeds::Seeds;
use super::values::{real, whole};
use myopia::checkpoint::Ledger;
use myopia::failure::Failure;
use myopia::memory::afford;
use myopia::output::{csv, json, standard};
use myopia::problem::{Problem, Seeded};
use myopia::remedies::quadratic::Particles;
use myopia::remedies::{COLUMNS, Estimator, Estimators, Found, Line};
use myopia::shown::number;
use myopia::spread::{Spread, header};

/// Options of `myopia biases`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    problem: ProblemOptions,
    /// Training steps N
    #[arg(
        long, default_value_t = 500, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    steps: u32,
    #[command(flatten)]
    #[serde(flatten)]
    moving: Moving,
    /// Meta-learning rates to choose from by the final loss, of Adam on the rate's logarithm
    #[arg(
        long, value_delimiter = ',', default_value = "0.001,0.01,0.1", value_name = "RATE,…",
        allow_negative_numbers = true, value_parser = real
    )]
    meta_lr: Vec<f64>,
    /// Meta-steps of the tuning that sees all steps each time
    #[arg(
        long, default_value_t = 20, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    meta_steps: u32,
    /// Numbers of particles, even, of evolution strategies, persistent (PES) and not (ES)
    #[arg(
        long, value_delimiter = ',', default_value = "10,100", value_name = "N,…",
        allow_negative_numbers = true, value_parser = whole::<u32>
    )]
    particles: Vec<u32>,
    /// Steps of a window of theirs
    #[arg(
        long, default_value_t = 50, value_name = "STEPS", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    window: u32,
    /// Standard deviations of their perturbations of the rate's logarithm
    #[arg(
        long, value_delimiter = ',', default_value = "0.1,0.01,0.001", value_name = "SIGMA,…",
        allow_negative_numbers = true, value_parser = real
    )]
    sigma: Vec<f64>,
    /// Pairs of particles that say what the mean and the variance of one is
    #[arg(
        long, default_value_t = 200, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    pairs: u32,
    /// Seeds to repeat it with: how many, from --seed on, or a range such as 1..5
    #[arg(long, value_name = "SEEDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    seeds: Option<Seeds>,
    #[command(flatten)]
    #[serde(skip)]
    long: LongRun,
}

#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    version: &'static str,
    seed: u64,
    data_digest: String,
    #[serde(flatten)]
    options: &'a Options,
    /// The run was interrupted: estimators are missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    estimators: Vec<Shown<'a>>,
}

/// An estimator at its best meta-learning rate.
#[derive(Serialize)]
struct Shown<'a> {
    estimator: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sigma: Option<f64>,
    meta_lr: f64,
    seeds: Vec<OfSeed<'a>>,
}

#[derive(Serialize)]
struct OfSeed<'a> {
    seed: u64,
    #[serde(flatten)]
    found: &'a Found,
}

impl Options {
    pub fn run(mut self, common: &Common) -> Result<(), Failure> {
        let (seeds, common) = Seeds::resolve(&mut self.seeds, common)?;
        let common = &common;
        let at = self.check()?;
        self.problem.plain_network("the table of biases")?;
        let folder = self.long.folder(common)?;
        let data = self.problem.load(common)?;
        let problem = self.problem.problem(common, &data)?;
        if problem.optimizer.is_some() {
            return Err(Failure::usage(
                "biases are those of plain sgd; leave out --optimizer, --nesterov and --weight-decay",
            ));
        }
        let most = self.particles.iter().fold(2, |most, &n| if n > most { n } else { most });
        // Weights, velocity and what a step needs, of each particle.
        let bytes = u128::from(most) * u128::from(problem.bytes());
        afford(&format!("--particles {most}"), bytes, "take fewer")?;
        let estimators = self.estimators();
        let units = seeds.clone().count() * estimators.len();
        let experiment = common.experiment("biases", &self, &problem).with_default("at", at);
        let ledger = Ledger::open(folder.as_ref(), experiment, units, self.long.opening())?;
        let start = |problem: &Problem<'_>| self.problem.start(problem);
        let study = Estimators {
            seeds: ledger.resumable(awake(|| Seeded::all(&problem, seeds, start)))?,
            estimators,
            meta_rates: self.meta_lr.clone(),
            steps: self.steps,
            rate: problem.precision().round(self.moving.rate),
            at,
            meta_steps: self.meta_steps,
            pairs: self.pairs,
            mover,
        };
        let bar = progress::bar(common, units as u64, "estimators");
        let went = awake(|| study.run(&ledger, &|| bar.inc(1)));
        bar.finish_and_clear();
        let early = Failure::interruption(went)?;
        let partial = early.is_some();
        let lines = study.lines(&ledger);
        let report = Report {
            command: "biases",
            version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            data_digest: data.digest().to_string(),
            options: &self,
            partial,
            estimators: lines.iter().map(shown).collect(),
        };
        if let Some(folder) = &folder {
            ledger.save()?;
            folder.write_as(partial, "biases.csv", |w| table(w, &lines))?;
            folder.write_as(partial, "biases.json", |w| json::write(w, &report))?;
        }
        if !partial {
            ledger.finish()?;
        }
        if common.json {
            json::print(&report)?;
        } else {
            print(&lines, partial)?;
        }
        early.map_or(Ok(()), Err)
    }

    /// Checks what can be checked, and says after how many steps derivatives are compared.
    fn check(&self) -> Result<u32, Failure> {
        let at = self.moving.at(self.steps)?;
        positive(self.problem.precision(), "rate", self.moving.rate)?;
        check(&self.sigma, &self.meta_lr, &self.particles, [self.window, self.pairs])?;
        Ok(at)
    }

    fn estimators(&self) -> Vec<Estimator> {
        let carried = self.moving.carry.iter().map(|&carry| Estimator::Carried(carry));
        let particles = [false, true].into_iter().flat_map(|persistent| {
            self.sigma.iter().flat_map(move |&sigma| {
                let how = Particles { persistent, window: self.window, sigma };
                self.particles.iter().map(move |&n| Estimator::Particles(how, n))
            })
        });
        std::iter::once(Estimator::Full).chain(carried).chain(particles).collect()
    }
}

fn shown(line: &Line) -> Shown<'_> {
    let seeds = line.found.iter().map(|(seed, found)| OfSeed { seed: *seed, found });
    Shown {
        estimator: &line.estimator,
        sigma: line.sigma,
        meta_lr: line.meta_rate,
        seeds: seeds.collect(),
    }
}

/// Writes `biases.csv`: the median over the seeds, and the range.
fn table(to: &mut dyn std::io::Write, lines: &[Line]) -> std::io::Result<()> {
    let names = ["estimator", "sigma", "meta_lr", "seeds", "cost_of_estimate", "cost"];
    let names: Vec<String> = names.into_iter().map(str::to_owned).chain(header(COLUMNS)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let lines = lines.iter().map(|line| {
        let spreads = line.spreads();
        let of = |column: usize| Spread::cells(spreads.map(|spreads| spreads[column]));
        let cells: Vec<Option<f64>> = (0..COLUMNS.len()).flat_map(of).collect();
        let first = line.found.first().map(|(_, found)| found);
        (
            &line.estimator,
            line.sigma,
            line.meta_rate,
            line.found.len(),
            first.map(|found| found.cost_of_estimate),
            first.map(|found| found.cost),
            cells,
        )
    });
    csv::write(to, &names, lines)
}

fn print(lines: &[Line], partial: bool) -> Result<(), Failure> {
    standard::print(|out| {
        if partial {
            writeln!(out, "partial")?;
        }
        writeln!(
            out,
            "{:<14}  {:>6}  {:>10}  {:>10}  {:>10}  {:>10}  {:>9}  {:>9}  {:>27}",
            "estimator",
            "sigma",
            "hysteresis",
            "truncation",
            "horizon",
            "bias",
            "st. dev.",
            "steps",
            "final loss, range"
        )?;
        for line in lines {
            let sigma = line.sigma.map_or(String::new(), |sigma| sigma.to_string());
            let Some(spreads) = line.spreads() else {
                writeln!(out, "{:<14}  {sigma:>6}  diverged", line.estimator)?;
                continue;
            };
            let [_, _, hysteresis, truncation, horizon, bias, deviation, _, loss] = spreads;
            let [least, median, greatest] = loss.ends().map(|loss| number(loss, 5));
            writeln!(
                out,
                "{:<14}  {sigma:>6}  {:>10}  {:>10}  {:>10}  {:>10}  {:>9}  {:>9.0}  {:>27}",
                line.estimator,
                number(hysteresis.median, 4),
                number(truncation.median, 4),
                number(horizon.median, 4),
                number(bias.median, 4),
                number(deviation.median, 4),
                line.found[0].1.cost_of_estimate,
                format!("{median} {least}..{greatest}"),
            )?;
        }
        Ok(())
    })
}
