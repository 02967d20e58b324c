//! `myopia bilevel warm`: warm and cold starts of the inner problem.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use myopia_bilevel::matrix::Matrix;
use myopia_bilevel::warm::{Moving, MovingEnd, Still, StillEnd};
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::rng::Pcg32;
use rayon::prelude::*;

use super::{distill, failure, short};
use crate::command::options::Common;
use crate::command::seeds::Seeds;
use crate::command::values::{real, whole};
use myopia::data::archive::Archive;
use myopia::failure::Failure;
use myopia::figure::{Axis, Figure, Lines, Reference, Series};
use myopia::output::{OutputFolder, csv, json, standard};

/// Options of `myopia bilevel warm`.
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    study: Study,
}

#[derive(Subcommand, Debug)]
enum Study {
    /// Solutions that share a flat: both ends have a closed form
    Quadratic(QuadraticOptions),
    /// A linear map distilled into fewer examples than it has rank
    Map(MapOptions),
    /// Images distilled into a few learned ones
    Distill(distill::Options),
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        match self.study {
            Study::Quadratic(options) => options.run(common),
            Study::Map(options) => options.run(common),
            Study::Distill(options) => options.run(common),
        }
    }
}

/// Options of `myopia bilevel warm quadratic`.
#[derive(Args, Debug)]
struct QuadraticOptions {
    /// NumPy archive with H (some of whose curvatures may be zero), A and w_star
    #[arg(long, value_name = "FILE.npz")]
    problem: Option<PathBuf>,
    /// Directions of a drawn problem, curvatures from 1 down to 1/20 in equal ratios
    #[arg(
        long,
        default_value_t = 12,
        value_name = "N",
        allow_negative_numbers = true,
        conflicts_with = "problem", value_parser = whole::<u32>)]
    dim: u32,
    /// Flat ones besides
    #[arg(
        long,
        default_value_t = 6,
        value_name = "N",
        allow_negative_numbers = true,
        conflicts_with = "problem", value_parser = whole::<u32>)]
    flat: u32,
    /// Its hyperparameters, at least as many as curved directions
    #[arg(
        long,
        default_value_t = 20,
        value_name = "P",
        allow_negative_numbers = true,
        conflicts_with = "problem", value_parser = whole::<u32>)]
    hyperparameters: u32,
    /// Rate of the inner steps
    #[arg(long, default_value_t = 0.5, value_name = "A", allow_negative_numbers = true)]
    inner_rate: f64,
    /// Inner steps before each outer step
    #[arg(
        long, default_value_t = 5, value_name = "T", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    inner_steps: u32,
    /// Rate of the outer steps
    #[arg(long, default_value_t = 0.3, value_name = "B", allow_negative_numbers = true)]
    outer_rate: f64,
    /// Outer steps
    #[arg(
        long, default_value_t = 20_000, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    outer_steps: u32,
}

/// The most directions or hyperparameters of a drawn problem.
const MOST: u32 = 1_000;

impl QuadraticOptions {
    fn problem(&self, seed: u64) -> Result<(Vec<f64>, Matrix, Vec<f64>), Failure> {
        if let Some(path) = &self.problem {
            let mut archive = Archive::open(path)?;
            let (h, a) = (archive.matrix("H")?, archive.matrix("A")?);
            let target = archive.vector("w_star")?;
            return Still::diagonalised(&h, &a, &target)
                .map_err(|e| Failure::run(format!("{}: {e}", path.display())));
        }
        let all = [("dim", self.dim), ("hyperparameters", self.hyperparameters)];
        if let Some((name, number)) = all.into_iter().find(|(_, n)| *n == 0 || *n > MOST) {
            return Err(Failure::usage(format!(
                "--{name} is {number}; give a number from 1 to {MOST}"
            )));
        }
        if self.flat > MOST {
            return Err(Failure::usage(format!("--flat may be {MOST} at most")));
        }
        let (curved, flat) = (self.dim as usize, self.flat as usize);
        let p = self.hyperparameters as usize;
        let last = if curved > 1 { curved - 1 } else { 1 };
        let curvature = |i: usize| Libm::exp(-(i as f64) / last as f64 * Libm::ln(20.0_f64));
        let mut curvatures: Vec<f64> = (0..curved).map(curvature).collect();
        curvatures.extend(std::iter::repeat_n(0.0, flat));
        let mut rng = Pcg32::new(seed, 44);
        let scale = 1.0 / Libm::sqrt(p as f64);
        let entries = (0..(curved + flat) * p).map(|_| scale * rng.normal::<f64>()).collect();
        let a = Matrix::Dense { rows: curved + flat, columns: p, entries };
        let target = (0..curved + flat).map(|_| rng.normal()).collect();
        Ok((curvatures, a, target))
    }

    fn run(self, common: &Common) -> Result<(), Failure> {
        let folder = folder(common)?;
        let (curvatures, a, target) = self.problem(common.seed)?;
        let still = Still::new(curvatures, a, target, self.inner_rate, self.inner_steps)
            .map_err(failure)?;
        let run = |warm| still.run(warm, self.outer_rate, self.outer_steps).map_err(failure);
        let ends = [run(false)?, run(true)?];
        if let Some(folder) = folder {
            let header = ["start", "norm", "from_closed_form", "loss", "retrained", "converged"];
            let rows = ends.iter().map(|e| {
                (name(e.warm), e.norm, e.from_closed_form, e.loss, e.retrained, e.converged)
            });
            folder.write("warm.csv", |w| csv::write(w, &header, rows))?;
            let header = ["start", "hyperparameter", "value"];
            let rows = ends
                .iter()
                .flat_map(|e| e.lambda.iter().enumerate().map(|(i, l)| (name(e.warm), i + 1, *l)));
            folder.write("values.csv", |w| csv::write(w, &header, rows))?;
            folder.write("warm.json", |w| {
                json::write(w, &serde_json::json!({ "command": "bilevel", "study": "quadratic", "ends": ends }))
            })?;
            folder.finish()?;
        }
        match common.json {
            true => json::print(&ends),
            false => standard::print(|out| still_table(out, &ends)),
        }
    }
}

fn still_table(out: &mut dyn std::io::Write, ends: &[StillEnd]) -> std::io::Result<()> {
    writeln!(
        out,
        "{:<5}  {:>9}  {:>16}  {:>9}  {:>9}  {:>9}",
        "start", "norm", "from closed form", "loss", "retrained", "converged"
    )?;
    for e in ends {
        writeln!(
            out,
            "{:<5}  {:>9}  {:>16}  {:>9}  {:>9}  {:>9}",
            name(e.warm),
            short(Some(e.norm)),
            short(Some(e.from_closed_form)),
            short(Some(e.loss)),
            short(Some(e.retrained)),
            short(Some(e.converged))
        )?;
    }
    writeln!(
        out,
        "Losses of the same hyperparameters: with the weights that descent ended with, after T steps from zero, and\n\
         trained from zero to the end."
    )
}

/// What a start is called.
pub fn name(warm: bool) -> &'static str {
    if warm { "warm" } else { "cold" }
}

/// The folder of --out.
pub fn folder(common: &Common) -> Result<Option<OutputFolder>, Failure> {
    common.out.as_ref().map(|path| OutputFolder::create_at_once(path, common.force)).transpose()
}

/// Options of `myopia bilevel warm map`.
#[derive(Args, Debug)]
struct MapOptions {
    /// Inputs of the map
    #[arg(
        long, default_value_t = 6, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    inputs: u32,
    /// Its singular values, in descending order
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "2,1.5,1",
        value_name = "S,…",
        allow_negative_numbers = true, value_parser = real)]
    singular: Vec<f64>,
    /// Learned examples
    #[arg(
        long, default_value_t = 1, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    examples: u32,
    /// Rate of the inner steps
    #[arg(long, default_value_t = 0.1, value_name = "A", allow_negative_numbers = true)]
    inner_rate: f64,
    /// Inner steps before each outer step
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1,5,20",
        value_name = "T,…",
        allow_negative_numbers = true, value_parser = whole::<u32>)]
    inner_steps: Vec<u32>,
    /// Adam's rate
    #[arg(long, default_value_t = 0.02, value_name = "B", allow_negative_numbers = true)]
    outer_rate: f64,
    /// Outer steps
    #[arg(
        long, default_value_t = 3_000, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    outer_steps: u32,
    /// Random inputs that an outer step sees the map through
    #[arg(
        long, default_value_t = 8, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    batch: u32,
    /// Repetitions, each with a seed: how many, from --seed on, or a range such as 1..5
    #[arg(long, default_value = "5", value_name = "SEEDS", allow_negative_numbers = true)]
    seeds: Seeds,
}

/// A run of the map's study.
struct MapRun {
    steps: u32,
    seed: u64,
    end: MovingEnd,
}

impl MapOptions {
    fn run(self, common: &Common) -> Result<(), Failure> {
        if self.batch == 0 || [self.inputs, self.examples, self.batch].iter().any(|n| *n > MOST) {
            return Err(Failure::usage(format!(
                "--inputs, --examples and --batch may be {MOST} at most, and --batch 1 at least"
            )));
        }
        let folder = folder(common)?;
        let (seeds, common) = &Seeds::resolve(&mut Some(self.seeds), common)?;
        let mut settings = Vec::new();
        for steps in &self.inner_steps {
            for seed in seeds.clone() {
                settings.extend([false, true].map(|warm| (*steps, seed, warm)));
            }
        }
        let run = |(steps, seed, warm): &(u32, u64, bool)| {
            let moving = Moving::new(
                self.inputs as usize,
                &self.singular,
                self.examples as usize,
                self.inner_rate,
                *steps,
            )?;
            let batch = self.batch as usize;
            let end = moving.run(*warm, self.outer_rate, self.outer_steps, batch, *seed)?;
            Ok(MapRun { steps: *steps, seed: *seed, end })
        };
        let runs: Vec<MapRun> =
            settings.par_iter().map(run).collect::<Result<_, _>>().map_err(failure)?;
        let rows = || {
            runs.iter().map(|r| {
                let e = &r.end;
                (r.steps, r.seed, name(e.warm), e.loss, e.retrained, e.bound)
            })
        };
        if let Some(folder) = folder {
            let header = ["inner_steps", "seed", "start", "loss", "retrained", "bound"];
            folder.write("warm.csv", |w| csv::write(w, &header, rows()))?;
            let ends: Vec<_> = runs
                .iter()
                .map(
                    |r| serde_json::json!({ "inner_steps": r.steps, "seed": r.seed, "end": r.end }),
                )
                .collect();
            folder.write("warm.json", |w| {
                json::write(
                    w,
                    &serde_json::json!({ "command": "bilevel", "study": "map", "runs": ends }),
                )
            })?;
            figure(&runs).write(&folder, false, "warm")?;
            folder.finish()?;
        }
        if common.json {
            let ends: Vec<_> = rows()
                .map(|(steps, seed, start, loss, retrained, bound)| {
                    serde_json::json!({ "inner_steps": steps, "seed": seed, "start": start, "loss": loss,
                                        "retrained": retrained, "bound": bound })
                })
                .collect();
            return json::print(&ends);
        }
        standard::print(|out| {
            writeln!(out, "steps  seed  start       loss  retrained      bound")?;
            for (steps, seed, start, loss, again, bound) in rows() {
                writeln!(
                    out,
                    "{steps:>5}  {seed:>4}  {start:<5}  {:>9}  {:>9}  {:>9}",
                    short(Some(loss)),
                    short(Some(again)),
                    short(Some(bound))
                )?;
            }
            Ok(())
        })
    }
}

/// The first seed's losses, one panel for each number of inner steps.
fn figure(runs: &[MapRun]) -> Figure {
    let mut figure = Figure::new("A linear map distilled: cold and warm starts").columns(3);
    let mut steps: Vec<u32> = runs.iter().map(|r| r.steps).collect();
    steps.dedup();
    let first = runs.first().map_or(0, |r| r.seed);
    for count in steps {
        let loss = Axis::log("outer loss");
        let title = format!("{count} inner steps");
        let mut panel = Lines::new(title, Axis::linear("outer step"), loss);
        if let Some(run) = runs.first() {
            panel = panel.reference(Reference::Horizontal(run.end.bound, "bound by rank".into()));
        }
        for run in runs.iter().filter(|r| r.steps == count && r.seed == first) {
            panel = panel.series(Series::steps(name(run.end.warm), run.end.losses.iter().copied()));
        }
        figure = figure.panel(panel);
    }
    figure
}
