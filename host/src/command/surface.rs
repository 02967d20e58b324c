//! `myopia surface`: the objective over a plane of hyperparameters.

use clap::Args;
use indicatif::ProgressBar;
use myopia_backend::awake;
use myopia_core::rng::Pcg32;
use myopia_core::schedule::{InverseTime, PARAMETERS, Parameter};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::Value;

use super::family::FamilyOptions;
use super::optimizer::Tuned;
use super::options::{Common, LongRun, Parts, ProblemOptions, ScheduleOptions};
use super::progress;
use super::ranges::Ranges;
use super::seeds::Seeds;
use crate::command::values::{named, whole, whole_up_to};
use myopia::checkpoint::Ledger;
use myopia::failure::Failure;
use myopia::memory::afford;
use myopia::output::{json, standard};
use myopia::problem::{Data, ObjectiveSet, Problem, Seeded, Stream};
use myopia::surface::{self, About, Grid, Plane, Point, Points, Row, Run, Span};

/// Options of `myopia surface`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    problem: ProblemOptions,
    /// Steps after which a schedule is judged
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "100,1000,5000,20000",
        value_name = "STEPS,…",
        allow_negative_numbers = true, value_parser = whole::<u32>)]
    horizon: Vec<u32>,
    #[command(flatten)]
    #[serde(flatten)]
    family: FamilyOptions,
    /// The two hyperparameters that vary, evenly on a logarithmic scale, or along the logit of what
    /// lies between 0 and 1 [default: alpha0,beta; of other schedules their first two]
    #[arg(
        long, visible_alias = "tune", value_delimiter = ',', value_name = "NAME,NAME",
        value_parser = named::<Tuned>()
    )]
    axes: Option<Vec<Tuned>>,
    /// Range of alpha0
    #[arg(long, value_name = "LOW,HIGH", default_value_t = ALPHA0, allow_hyphen_values = true)]
    alpha0_range: Span,
    /// Range of K
    #[arg(long, value_name = "LOW,HIGH", default_value_t = TIME_CONSTANT, allow_hyphen_values = true)]
    time_constant_range: Span,
    /// Range of beta
    #[arg(long, value_name = "LOW,HIGH", default_value_t = BETA, allow_hyphen_values = true)]
    beta_range: Span,
    #[command(flatten)]
    #[serde(flatten)]
    range: Ranges,
    /// Value of alpha0 when it is no axis
    #[arg(long, value_name = "RATE", default_value_t = 0.1, allow_negative_numbers = true)]
    alpha0: f64,
    /// Value of K when it is no axis
    #[arg(long, value_name = "STEPS", default_value_t = 5000.0, allow_negative_numbers = true)]
    time_constant: f64,
    /// Value of beta when it is no axis
    #[arg(long, value_name = "BETA", default_value_t = 1.0, allow_negative_numbers = true)]
    beta: f64,
    /// Schedules along each axis [default: 25x25]
    #[arg(long, value_name = "COLUMNSxROWS", conflicts_with = "random")]
    grid: Option<Grid>,
    /// Take this many random schedules instead of a grid
    #[arg(
        long, value_name = "N", allow_negative_numbers = true,
        value_parser = whole_up_to::<u32>(1_000_000)
    )]
    random: Option<u32>,
    /// Seeds to repeat it with: how many, from --seed on, or a range such as 1..5. The schedules
    /// are the same with each, and the surface is that of the medians
    #[arg(long, value_name = "SEEDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    seeds: Option<Seeds>,
    #[command(flatten)]
    #[serde(skip)]
    pub parts: Parts,
    #[command(flatten)]
    #[serde(skip)]
    long: LongRun,
}

/// Bytes that a row takes while it is found, kept, and written as a table and as JSON.
const ROW: u128 = 600;

/// A schedule that is trained with a seed.
struct Unit {
    /// Which of the seeds.
    seed: usize,
    /// The number of the schedule.
    cell: u32,
    point: Point,
}

/// Between which values the schedule's parameters vary unless it is said.
const ALPHA0: Span = Span { low: 0.001, high: 0.5 };
const TIME_CONSTANT: Span = Span { low: 50.0, high: 500_000.0 };
const BETA: Span = Span { low: 0.01, high: 200.0 };

/// What varies unless it is said, of a schedule that has these.
fn usual(parameters: &[Parameter]) -> Vec<Tuned> {
    let all = [Tuned::Alpha0, Tuned::Beta, Tuned::TimeConstant, Tuned::Factor, Tuned::FinalShare];
    let has = |tuned: &Tuned| parameters.contains(&tuned.parameter());
    all.into_iter().filter(has).take(2).collect()
}

/// The schedules when neither a grid nor a number is given.
const GRID: Grid = Grid { columns: 25, rows: 25 };

impl Options {
    /// The file with what it prints as JSON.
    pub fn report(&self) -> &'static str {
        if self.parts.shard.is_some() { "shard.json" } else { "surface.json" }
    }

    pub fn run(mut self, common: &Common) -> Result<(), Failure> {
        self.family.refuse_given("surface")?;
        let (seeds, common) = Seeds::resolve(&mut self.seeds, common)?;
        let common = &common;
        if self.random.is_none() {
            self.grid.get_or_insert(GRID);
        }
        self.horizon.sort_unstable();
        self.horizon.dedup();
        if self.horizon.first() == Some(&0) {
            return Err(Failure::usage(
                "--horizon 0 leaves no step to judge a schedule by; give at least one",
            ));
        }
        self.parts.check(common)?;
        let count = seeds.end() - seeds.start() + 1;
        let rows = self.cells() * self.horizon.len() as u128 * u128::from(count);
        let rows = rows / self.parts.shard.map_or(1, |shard| u128::from(shard.count()));
        let what = format!("a surface of {rows} rows");
        afford(&what, ROW * rows, "take fewer schedules or horizons, or a --shard of them")?;
        let folder = self.long.folder(common)?;
        let data = self.problem.load(common)?;
        let longest = self.horizon.last().copied().unwrap_or(1);
        let problem = self.family.of(self.problem.problem(common, &data)?, longest)?;
        let points = self.points(common, &problem)?;
        let weights = problem.parameters() as u128 * u128::from(problem.precision().bytes());
        afford(&format!("--seeds {count}"), u128::from(count) * weights, "take fewer")?;
        let about = self.about(common, &data, points.len());
        let own = |unit: &u32| self.parts.shard.is_none_or(|shard| shard.holds(*unit));
        let cells = points.len();
        let units: Vec<Unit> = (0..about.runs())
            .filter(own)
            .map(|unit| {
                let (seed, cell) = (unit as usize / cells, unit as usize % cells);
                Unit { seed, cell: cell as u32, point: points[cell].clone() }
            })
            .collect();
        let experiment =
            common.experiment("surface", &self, &problem).with("shard", self.parts.shard);
        let ledger = Ledger::open(folder.as_ref(), experiment, units.len(), self.long.opening())?;
        let start = |problem: &Problem<'_>| self.problem.start(problem);
        let seeds = ledger.resumable(awake(|| Seeded::all(&problem, seeds, start)))?;
        let ended = self.train(common, &seeds, &units, &ledger);
        let interrupted = Failure::interruption(ended)?;
        let of_unit = |(number, unit): (usize, &Unit)| {
            let seed = seeds[unit.seed].problem.seed;
            let rows = ledger.unit(number).state().unwrap_or_default();
            let others = unit.point.others.clone();
            let placed = move |row| Run { seed, row: Row { others: others.clone(), ..row } };
            rows.into_iter().map(placed)
        };
        let runs: Vec<Run> = units.iter().enumerate().flat_map(of_unit).collect();
        if let (true, Some(failure)) = (runs.is_empty(), &interrupted) {
            return Err(failure.clone());
        }
        match (self.parts.shard, &folder) {
            (Some(shard), Some(folder)) => {
                // An unfinished shard is no use to anyone but the run that goes on with it.
                if interrupted.is_none() {
                    let all = about.runs();
                    let what = if all > about.cells { "runs" } else { "schedules" };
                    ledger.save()?;
                    let report = surface::write_shard(folder, about, shard, &runs)?;
                    ledger.finish()?;
                    if common.json {
                        json::print(&report)?;
                    } else {
                        let own = units.len();
                        standard::print(|out| {
                            writeln!(out, "shard {shard}: {own} of {all} {what}")
                        })?;
                    }
                }
            }
            _ => {
                let partial = interrupted.is_some();
                ledger.save()?;
                let report = surface::write(folder.as_ref(), &about, &runs, partial)?;
                if !partial {
                    ledger.finish()?;
                }
                if common.json {
                    json::print(&report)?;
                } else {
                    standard::print(|out| report.print(out))?;
                }
            }
        }
        interrupted.map_or(Ok(()), Err)
    }

    /// How many schedules the whole surface has.
    fn cells(&self) -> u128 {
        match (self.random, self.grid) {
            (Some(count), _) => count.into(),
            (None, grid) => {
                let Grid { columns, rows } = grid.unwrap_or(GRID);
                u128::from(columns) * u128::from(rows)
            }
        }
    }

    /// The points of the whole surface; what varies and between which values is settled.
    fn points(&mut self, common: &Common, problem: &Problem<'_>) -> Result<Vec<Point>, Failure> {
        let axes = self.axes.get_or_insert_with(|| usual(problem.of_rates())).clone();
        let [first, second] = axes[..] else {
            return Err(Failure::usage(format!(
                "--axes names {} parameters; give two of the hyperparameters that this training has",
                axes.len()
            )));
        };
        if first == second {
            return Err(Failure::usage("--axes names one parameter twice; give two"));
        }
        Tuned::check(&axes, "axes", problem)?;
        let others = axes.iter().copied().filter(|axis| !PARAMETERS.contains(&axis.parameter()));
        self.range.complete(&others.collect::<Vec<_>>(), problem.precision())?;
        for (tuned, given, usual) in [
            (Tuned::Alpha0, self.alpha0_range, ALPHA0),
            (Tuned::TimeConstant, self.time_constant_range, TIME_CONSTANT),
            (Tuned::Beta, self.beta_range, BETA),
        ] {
            if given != usual && !axes.contains(&tuned) {
                let name = tuned.name();
                return Err(Failure::usage(format!(
                    "--{name}-range is of no axis here; name {name} with --axes, or leave the range out"
                )));
            }
        }
        let axis = |tuned: Tuned| {
            let range = match tuned {
                Tuned::Alpha0 => self.alpha0_range,
                Tuned::TimeConstant => self.time_constant_range,
                Tuned::Beta => self.beta_range,
                other => self.range.of(other),
            };
            (tuned.parameter(), range)
        };
        let Self { alpha0, time_constant, beta, .. } = *self;
        let given = ScheduleOptions { alpha0, time_constant, beta };
        self.family.refuse_unused(&given)?;
        let rng = Pcg32::new(common.seed, Stream::Schedules as u64);
        let plane = Plane {
            axes: [axis(first), axis(second)],
            fixed: InverseTime { alpha0, time_constant, beta },
            points: match (self.random, self.grid) {
                (Some(count), _) => Points::Random(count, rng),
                (None, grid) => Points::Grid(grid.unwrap_or(GRID)),
            },
        };
        let points = plane.points();
        for Point { schedule: InverseTime { alpha0, time_constant, beta }, .. } in &points {
            let precision = self.problem.precision();
            precision.schedule(*alpha0, *time_constant, *beta).map_err(|e| {
                Failure::usage(format!(
                    "alpha0 = {alpha0:?}, K = {time_constant:?}, beta = {beta:?} in {}: {e}",
                    precision.name()
                ))
            })?;
        }
        Ok(points)
    }

    fn about(&self, common: &Common, data: &Data, cells: usize) -> About {
        let settings = serde_json::to_value(self).expect("options are plain data");
        let Value::Object(settings) = settings else { panic!("options have names") };
        let axes = self.axes.as_deref().unwrap_or_default();
        let axis = |i: usize| axes.get(i).map(|axis| axis.name()).unwrap_or_default();
        About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: common.seed,
            data_digest: data.digest().to_string(),
            cells: cells as u32,
            loss: match ObjectiveSet::from(self.problem.objective) {
                ObjectiveSet::Validation => "validation loss",
                ObjectiveSet::Train => "training loss",
            }
            .to_owned(),
            axes: [axis(0), axis(1)],
            horizons: self.horizon.clone(),
            settings,
        }
    }
}

/// How many schedules are trained side by side.
const TOGETHER: usize = 4;

impl Options {
    fn train(
        &self,
        common: &Common,
        seeds: &[Seeded<'_>],
        units: &[Unit],
        ledger: &Ledger<'_, Vec<Row>>,
    ) -> Result<(), Failure> {
        let horizons = &self.horizon;
        let longest = u64::from(*horizons.last().expect("clap gives at least one horizon"));
        let open: Vec<usize> =
            (0..units.len()).filter(|&unit| ledger.unit(unit).state().is_none()).collect();
        let done = (units.len() - open.len()) as u64 * longest;
        let bar: ProgressBar =
            progress::bar_from(common, done, units.len() as u64 * longest, "surface");
        // As many side by side as share a batch, and no fewer groups than threads.
        let group = open.len().div_ceil(rayon::current_num_threads()).clamp(1, TOGETHER);
        let of_a_seed = open.chunk_by(|&a, &b| {
            let [a, b] = [a, b].map(|unit| &units[unit]);
            a.seed == b.seed && a.point.others == b.point.others
        });
        let groups: Vec<&[usize]> = of_a_seed.flat_map(|open| open.chunks(group)).collect();
        let ended = groups.par_iter().with_max_len(1).try_for_each(|group| {
            let Seeded { problem, weights } = &seeds[units[group[0]].seed];
            let these: Vec<_> =
                group.iter().map(|&unit| (units[unit].cell, units[unit].point.schedule)).collect();
            let others = units[group[0]].point.others.iter().copied();
            let problem = problem.clone().with_values(others);
            let rows = surface::train(&problem, weights, &these, horizons, |steps| {
                bar.inc(steps);
                ledger.check()
            })?;
            group.iter().zip(rows).try_for_each(|(&unit, rows)| ledger.unit(unit).leave(rows))
        });
        bar.finish_and_clear();
        ended
    }
}
