//! `myopia edge`: up to which value of a hyperparameter the exact derivative means anything.

use clap::Args;
use myopia_backend::awake;
use myopia_core::schedule::geometric;
use rayon::prelude::*;
use serde::Serialize;

use super::optimizer::Tuned;
use super::options::{Common, LongRun, ProblemOptions, ScheduleOptions, afford_record};
use super::progress;
use super::seeds::Seeds;
use crate::command::values::{once, real, whole};
use myopia::checkpoint::Ledger;
use myopia::edge::{Measurement, Row, Study, figure, sentence};
use myopia::failure::Failure;
use myopia::interrupt;
use myopia::memory::afford;
use myopia::output::{json, standard};
use myopia::problem::Problem;
use myopia::shown::number;

/// Options of `myopia edge`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    problem: ProblemOptions,
    #[command(flatten)]
    #[serde(flatten)]
    schedule: ScheduleOptions,
    /// Steps to look ahead, each measured
    #[arg(
        long, default_value = "100", value_delimiter = ',', value_name = "STEPS,…",
        allow_negative_numbers = true, value_parser = whole::<u32>
    )]
    horizon: Vec<u32>,
    /// Which hyperparameter to vary
    #[arg(long, value_enum, default_value = "alpha0", value_name = "NAME")]
    parameter: Tuned,
    /// Its least value
    #[arg(long, default_value_t = 0.05, value_name = "VALUE", allow_negative_numbers = true)]
    from: f64,
    /// Its greatest value
    #[arg(long, default_value_t = 1.0, value_name = "VALUE", allow_negative_numbers = true)]
    to: f64,
    /// How many values, evenly on a logarithmic scale
    #[arg(
        long, default_value_t = 9, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<usize>
    )]
    points: usize,
    /// Relative changes of the hyperparameter to compare the derivative with; the sentence and the
    /// figure take the first
    #[arg(
        long,
        default_value = "0.01,0.1,0.001,0.0001",
        value_delimiter = ',',
        value_name = "DELTA,…",
        allow_negative_numbers = true,
        value_parser = real
    )]
    ladder: Vec<f64>,
    /// Seeds over which the derivative's signal and noise are taken: how many, from --seed on, or
    /// a range such as 1..5
    #[arg(long, default_value = "3", value_name = "SEEDS", allow_negative_numbers = true)]
    seeds: Seeds,
    /// Training examples, from the first, over which the two are taken
    #[arg(
        long, default_value_t = 1000, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<usize>
    )]
    sharpness_examples: usize,
    /// Products with the Hessian, and with the Gauss-Newton matrix, for the largest eigenvalue
    #[arg(
        long, default_value_t = 20, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<usize>
    )]
    products: usize,
    #[command(flatten)]
    #[serde(skip)]
    long: LongRun,
}

/// Says where the derivative of the run `of` is past the edge of chaos, at this finite-time
/// Lyapunov exponent of it; one that is unknown left the finite range.
pub fn remark_exponent(common: &Common, of: &str, exponent: Option<f64>) {
    let what = match exponent {
        Some(exponent) if exponent <= 0.0 => return,
        Some(exponent) => format!("is {exponent:.2e} per step, above zero"),
        None => "leaves the finite range".to_owned(),
    };
    common.remark(format!(
        "the Lyapunov exponent of {of} {what}: derivatives may not foretell what a change does; `myopia edge` says up to \
         which rate they do"
    ));
}

#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    seed: u64,
    #[serde(flatten)]
    options: &'a Options,
    /// The points that were measured, when the run was interrupted before the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<usize>,
    /// For each horizon, up to which value the derivative means anything.
    sentences: Vec<String>,
    rows: &'a [Row],
}

impl Options {
    pub fn run(mut self, common: &Common) -> Result<(), Failure> {
        let (seeds, common) = self.seeds.counted(common);
        let common = &common;
        self.check()?;
        self.problem.plain_network("the curvature that edge measures")?;
        let folder = self.long.folder(common)?;
        let data = self.problem.load(common)?;
        let problem = self.problem.problem(common, &data)?;
        let parameter = Tuned::named(Some(&[self.parameter]), &problem)?[0].parameter();
        if self.sharpness_examples > problem.trained_on() {
            return Err(Failure::usage(format!(
                "--sharpness-examples {} must be between 1 and {}, the examples trained on",
                self.sharpness_examples,
                problem.trained_on()
            )));
        }
        let points = self.measurements(&problem)?;
        self.fits_in_memory(&problem, seeds)?;
        let experiment = common.experiment("edge", &self, &problem);
        let ledger = Ledger::open(folder.as_ref(), experiment, points.len(), self.long.opening())?;
        let problems: Vec<Problem<'_>> = (0..seeds)
            .map(|more| Problem { seed: common.seed.wrapping_add(more), ..problem.clone() })
            .collect();
        let ended = awake(|| {
            let starts = problems.par_iter().map(|problem| self.problem.start(problem));
            let study = Study {
                starts: ledger.resumable(starts.collect())?,
                problems: problems.clone(),
                schedule: self.schedule.schedule(self.problem.precision())?,
                parameter,
                ladder: self.ladder.clone(),
                examples: self.sharpness_examples,
                products: self.products,
            };
            self.measure(common, &study, &points, &ledger)
        });
        let interrupted = Failure::interruption(ended)?;
        let rows: Vec<Row> = (0..points.len()).filter_map(|n| ledger.unit(n).state()).collect();
        if let (true, Some(failure)) = (rows.is_empty(), &interrupted) {
            return Err(failure.clone());
        }
        let partial = interrupted.is_some();
        let name = self.parameter.name();
        let rung = (0, self.ladder[0]);
        let sentences = self.horizon.iter().map(|horizon| {
            let rows: Vec<&Row> = rows.iter().filter(|row| row.horizon == *horizon).collect();
            sentence(&name, &rows, rung)
        });
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            options: &self,
            partial: partial.then_some(rows.len()),
            sentences: sentences.filter(|sentence| !sentence.is_empty()).collect(),
            rows: &rows,
        };
        if let Some(folder) = &folder {
            ledger.save()?;
            folder.write_as(partial, "edge.csv", |w| {
                Row::write(w, &name.replace('-', "_"), &self.ladder, &rows)
            })?;
            figure(&name, &self.horizon, &rows, rung, partial).write(folder, partial, "edge")?;
            folder.write_as(partial, "edge.json", |w| json::write(w, &report))?;
        }
        if !partial {
            ledger.finish()?;
        }
        if common.json {
            json::print(&report)?;
        } else {
            self.print(&report)?;
        }
        interrupted.map_or(Ok(()), Err)
    }

    /// Refuses numbers without sense.
    fn check(&self) -> Result<(), Failure> {
        if self.horizon.contains(&0) {
            return Err(Failure::usage(
                "--horizon 0 leaves no step to differentiate; give at least one",
            ));
        }
        once("horizon", &self.horizon)?;
        let (from, to) = (self.from, self.to);
        // Values between are found by the ratio: both ends finite is not enough.
        if !(from > 0.0 && from < to && to.is_finite() && (to / from).is_finite()) {
            return Err(Failure::usage(format!(
                "--from {from:?} --to {to:?}: give two positive numbers, the smaller one first and less than 1e308 times \
                 below the other"
            )));
        }
        for (option, number, least) in [
            ("points", self.points, 2),
            ("sharpness-examples", self.sharpness_examples, 1),
            ("products", self.products, 1),
        ] {
            if number < least {
                return Err(Failure::usage(format!(
                    "--{option} {number} must be at least {least}"
                )));
            }
        }
        for delta in &self.ladder {
            if !(*delta > 0.0 && *delta < 1.0) {
                return Err(Failure::usage(format!(
                    "--ladder {delta:?}: a relative change must be between 0 and 1"
                )));
            }
        }
        Ok(())
    }

    /// The points, horizon by horizon, each ascending in the hyperparameter; rounded to the float
    /// of the run.
    fn measurements(&self, problem: &Problem<'_>) -> Result<Vec<Measurement>, Failure> {
        let precision = problem.precision();
        let (from, to, float) = (self.from, self.to, precision.name());
        let widest = self.ladder.iter().fold(0.0, |a: f64, b| if *b > a { *b } else { a });
        let (nearest, farthest) = (from * (1.0 - widest), to * (1.0 + widest));
        if precision.round(nearest) <= 0.0 || !precision.round(farthest).is_finite() {
            return Err(Failure::usage(format!(
                "--from {from:?} --to {to:?} with the widest step of --ladder reach {nearest:?} and {farthest:?}, and \
                 {float} has no such numbers; give values that are nearer to one"
            )));
        }
        if let Some(delta) = self.ladder.iter().find(|delta| precision.round(1.0 + **delta) == 1.0)
        {
            return Err(Failure::usage(format!(
                "--ladder {delta:?}: {float} does not tell a value from one that is so near; give a larger change"
            )));
        }
        // A list takes 16 bytes a point, its rows and the checkpoint of them more.
        let entries = self.points as u128 * self.horizon.len() as u128;
        let row = size_of::<Row>() + 16 * self.ladder.len();
        afford_record(&format!("--points {}", self.points), entries, row)?;
        let values: Vec<f64> = (0..self.points)
            .map(|n| geometric(from, to, n as f64 / (self.points - 1) as f64))
            .map(|value| precision.round(value))
            .collect();
        if values.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(Failure::usage(format!(
                "--points {} from {from:?} to {to:?}: {float} does not tell them apart; give fewer",
                self.points
            )));
        }
        let is_below_one =
            matches!(self.parameter, Tuned::Momentum | Tuned::Rho | Tuned::Beta1 | Tuned::Beta2);
        if is_below_one && precision.round(farthest) >= 1.0 {
            return Err(Failure::usage(format!(
                "--to {:?} with the widest step of --ladder reaches {farthest:?}, and {} must stay below 1; lower one of them",
                self.to,
                self.parameter.name()
            )));
        }
        let horizons = self.horizon.iter();
        Ok(horizons
            .flat_map(|&horizon| values.iter().map(move |&value| Measurement { value, horizon }))
            .collect())
    }

    /// Refuses more starts, or a larger basis of Lanczos's method, than memory has room for.
    fn fits_in_memory(&self, problem: &Problem<'_>, seeds: u64) -> Result<(), Failure> {
        let parameters = problem.parameters() as u128;
        let products = parameters.min(self.products as u128);
        let start = parameters * u128::from(problem.precision().bytes());
        let seed = start + (size_of::<Problem<'_>>() + 64) as u128;
        afford(&format!("--seeds {seeds}"), u128::from(seeds) * seed, "take fewer")?;
        let basis = 8 * (products * parameters + 2 * products * products);
        afford(&format!("--products {}", self.products), basis, "take fewer")
    }

    fn measure(
        &self,
        common: &Common,
        study: &Study<'_>,
        points: &[Measurement],
        ledger: &Ledger<'_, Row>,
    ) -> Result<(), Failure> {
        let open: Vec<usize> =
            (0..points.len()).filter(|&unit| ledger.unit(unit).state().is_none()).collect();
        let steps = |points: &mut dyn Iterator<Item = usize>, all: &[Measurement]| {
            points.fold(0, |sum, n| sum + study.unrolls() * u64::from(all[n].horizon))
        };
        let all = steps(&mut (0..points.len()), points);
        let done = all - steps(&mut open.iter().copied(), points);
        let bar = progress::bar_from(common, done, all, "edge");
        let ended = open.par_iter().with_max_len(1).try_for_each(|&unit| {
            let point = points[unit];
            let mut go_on = || !interrupt::is_asked();
            let row = study.measure(point, &mut go_on, |steps| {
                bar.inc(steps.into());
                ledger.check()
            })?;
            ledger.unit(unit).leave(row)
        });
        bar.finish_and_clear();
        ended
    }

    fn print(&self, report: &Report<'_>) -> Result<(), Failure> {
        standard::print(|out| {
            let name = self.parameter.name();
            writeln!(
                out,
                "{:>7} {name:>13} {:>10} {:>11} {:>9} {:>9} {:>9} {:>9}",
                "horizon",
                "objective",
                "derivative",
                "exponent",
                "stability",
                "agreement",
                "signal"
            )?;
            for row in report.rows {
                let shown = |x: Option<f64>| x.map_or("-".to_owned(), |x| number(x, 3));
                writeln!(
                    out,
                    "{:>7} {:>13} {:>10} {:>11} {:>9} {:>9} {:>9} {:>9}",
                    row.horizon,
                    number(row.value, 4),
                    shown(row.loss),
                    shown(row.derivative),
                    shown(row.exponent),
                    shown(row.edge_of_stability),
                    shown(row.agreement.first().copied().flatten()),
                    shown(row.signal_to_noise),
                )?;
            }
            report.sentences.iter().try_for_each(|sentence| writeln!(out, "{sentence}"))
        })
    }
}
