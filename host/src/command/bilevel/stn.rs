//! `myopia bilevel stn`: best responses that are learned.

use clap::{Args, Subcommand};
use myopia_bilevel::stn::{
    Condition, End, Fit, Method, Move, Settings, Tuning, conditions, fit, moves,
};
use rayon::prelude::*;
use serde::Serialize;

use super::images::{ImageOptions, Judged};
use super::problem::ProblemOptions;
use super::warm::folder;
use super::{failure, mean_spread, short};
use crate::command::options::Common;
use crate::command::seeds::Seeds;
use crate::command::values::whole;
use myopia::failure::Failure;
use myopia::figure::{Axis, Figure, Lines, Series};
use myopia::output::{OutputFolder, csv, json, standard};

/// Options of `myopia bilevel stn`.
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    study: Study,
}

#[derive(Subcommand, Debug)]
enum Study {
    /// On a quadratic, where the condition of the response problem has a closed form
    Quadratic(QuadraticOptions),
    /// On a small network whose layers' weight decays are tuned while it trains
    Network(NetworkOptions),
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        match self.study {
            Study::Quadratic(options) => options.run(common),
            Study::Network(options) => options.run(common),
        }
    }
}

/// Options of `myopia bilevel stn quadratic`.
#[derive(Args, Debug)]
struct QuadraticOptions {
    #[command(flatten)]
    problem: ProblemOptions,
    /// s, the standard deviation of perturbed hyperparameters
    #[arg(long, default_value_t = 1.0, value_name = "S", allow_negative_numbers = true)]
    spread: f64,
    /// Steps of learning the response while the hyperparameters stand still
    #[arg(
        long, default_value_t = 20_000, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    steps: u32,
    /// Rate of outer descent
    #[arg(long, default_value_t = 0.05, value_name = "B", allow_negative_numbers = true)]
    outer_rate: f64,
    /// Outer steps
    #[arg(
        long, default_value_t = 300, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    outer_steps: u32,
}

/// What is said of a quadratic.
#[derive(Serialize)]
struct Report {
    conditions: Vec<Condition>,
    fits: Vec<Fit>,
    moves: Vec<Move>,
}

/// The most weights, and hyperparameters: eigenvalues take their cube, products their square.
const MOST: usize = 600;

impl QuadraticOptions {
    fn run(self, common: &Common) -> Result<(), Failure> {
        let folder = folder(common)?;
        let problem = self.problem.quadratic(common.seed)?;
        if problem.w.len() > MOST || problem.lambda.len() > MOST {
            return Err(Failure::run(format!(
                "the problem has {} weights and {} hyperparameters; responses are learned up to {MOST} of each",
                problem.w.len(),
                problem.lambda.len()
            )));
        }
        let run = || -> Result<Report, myopia_bilevel::Error> {
            Ok(Report {
                conditions: conditions(&problem, self.spread)?,
                fits: [Method::Stn, Method::DeltaStn]
                    .into_iter()
                    .map(|method| fit(&problem, method, self.spread, self.steps))
                    .collect::<Result<_, _>>()?,
                moves: Method::ALL
                    .into_iter()
                    .map(|m| moves(&problem, m, self.spread, self.outer_rate, self.outer_steps))
                    .collect::<Result<_, _>>()?,
            })
        };
        let report = run().map_err(failure)?;
        if let Some(folder) = folder {
            write_quadratic(&folder, &report)?;
            folder.finish()?;
        }
        match common.json {
            true => json::print(&report),
            false => standard::print(|out| quadratic_table(out, &report)),
        }
    }
}

fn write_quadratic(folder: &OutputFolder, report: &Report) -> Result<(), Failure> {
    let header = ["method", "features", "response", "within_a_hundredth"];
    let rows = report
        .conditions
        .iter()
        .zip(&report.fits)
        .map(|(c, f)| (c.method.name(), c.features, c.response, f.within_a_hundredth));
    folder.write("stn.csv", |w| csv::write(w, &header, rows))?;
    let header = ["method", "step", "relative_error", "cosine"];
    let rows = report.fits.iter().flat_map(|f| {
        f.points.iter().map(|p| (f.method.name(), p.step, p.relative_error, p.cosine))
    });
    folder.write("fits.csv", |w| csv::write(w, &header, rows))?;
    let header = ["method", "step", "outer_loss"];
    let rows = report.moves.iter().flat_map(|m| {
        m.losses.iter().enumerate().map(|(step, loss)| (m.method.name(), step, *loss))
    });
    folder.write("moves.csv", |w| csv::write(w, &header, rows))?;
    folder.write("stn.json", |w| {
        json::write(
            w,
            &serde_json::json!({ "command": "bilevel", "study": "stn", "report": report }),
        )
    })?;
    let x = Axis::log("gradient step");
    let mut learned = Lines::new("Error of the response", x, Axis::log("relative error"));
    for fit in &report.fits {
        let points = fit.points.iter().filter(|p| p.step > 0 && p.relative_error > 0.0);
        let points = points.map(|p| (f64::from(p.step), p.relative_error));
        learned = learned.series(Series::new(fit.method.name(), points));
    }
    let mut tuned =
        Lines::new("Outer descent", Axis::linear("outer step"), Axis::linear("outer loss"));
    for found in &report.moves {
        tuned = tuned.series(Series::steps(found.method.name(), found.losses.iter().copied()));
    }
    Figure::new("Learned responses on a quadratic")
        .columns(2)
        .panel(learned)
        .panel(tuned)
        .write(folder, false, "stn")
}

fn quadratic_table(out: &mut dyn std::io::Write, report: &Report) -> std::io::Result<()> {
    writeln!(out, "method     condition of features  of the response  steps to 1 %")?;
    for (condition, fit) in report.conditions.iter().zip(&report.fits) {
        let steps = fit.within_a_hundredth.map_or("more".to_owned(), |n| n.to_string());
        writeln!(
            out,
            "{:<9}  {:>21}  {:>15}  {steps:>12}",
            condition.method.name(),
            short(Some(condition.features)),
            short(Some(condition.response))
        )?;
    }
    writeln!(out, "method     products  outer loss")?;
    for found in &report.moves {
        let (name, loss) = (found.method.name(), short(Some(found.outer_loss)));
        writeln!(out, "{name:<9}  {:>8}  {loss:>10}", found.products)?;
    }
    Ok(())
}

/// Options of `myopia bilevel stn network`.
#[derive(Args, Debug)]
struct NetworkOptions {
    #[command(flatten)]
    images: ImageOptions,
    /// Natural logarithm of every layer's weight decay at first
    #[arg(long, default_value_t = -3.0, value_name = "X", allow_negative_numbers = true)]
    log_decay: f64,
    /// s, the standard deviation of perturbed hyperparameters
    #[arg(long, default_value_t = 0.5, value_name = "S", allow_negative_numbers = true)]
    spread: f64,
    /// Rate of inner steps
    #[arg(long, default_value_t = 0.1, value_name = "A", allow_negative_numbers = true)]
    inner_rate: f64,
    /// Adam's rate on the hyperparameters
    #[arg(long, default_value_t = 0.02, value_name = "B", allow_negative_numbers = true)]
    outer_rate: f64,
    /// Images in a batch
    #[arg(
        long, default_value_t = 50, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    batch: u32,
    /// Inner steps before anything is learned of the hyperparameters
    #[arg(
        long, default_value_t = 2_000, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    pretrain: u32,
    /// Cost of learning the response while they stand still, in gradients of a batch
    #[arg(
        long, default_value_t = 2_000, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    fit: u32,
    /// Cost of tuning them
    #[arg(
        long, default_value_t = 3_000, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    tune: u32,
    /// Steps between two outer steps
    #[arg(
        long, default_value_t = 5, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    between: u32,
    /// Products of conjugate gradient, of hypergradient descent
    #[arg(
        long, default_value_t = 5, value_name = "K", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    products: u32,
    /// Repetitions, each with a seed: how many, from --seed on, or a range such as 1..5
    #[arg(long, default_value = "3", value_name = "SEEDS", allow_negative_numbers = true)]
    seeds: Seeds,
}

impl NetworkOptions {
    fn run(self, common: &Common) -> Result<(), Failure> {
        let folder = folder(common)?;
        let (seeds, common) = &Seeds::resolve(&mut Some(self.seeds), common)?;
        let seeds: Vec<u64> = seeds.clone().collect();
        let loaded = self.images.load(common, Judged::HeldOut, 500, 1_000)?;
        let settings = Settings {
            log_decay: self.log_decay,
            spread: self.spread,
            inner_rate: self.inner_rate,
            outer_rate: self.outer_rate,
            batch: self.batch,
            pretrain: self.pretrain,
            fit: self.fit,
            tune: self.tune,
            between: self.between,
            products: self.products,
        };
        let tuning = Tuning::new(loaded.network, &loaded.training, &loaded.judged, settings)
            .map_err(failure)?;
        let run = |seed: &u64| {
            let start = tuning.start(*seed);
            Method::ALL
                .into_par_iter()
                .map(|method| {
                    let end = tuning.run(method, &start)?;
                    common.remark(format!(
                        "{}, seed {seed}: validation loss {:.4}",
                        method.name(),
                        end.validation_loss
                    ));
                    Ok(end)
                })
                .collect::<Result<Vec<End>, _>>()
        };
        let ends: Vec<End> = seeds
            .par_iter()
            .map(run)
            .collect::<Result<Vec<Vec<End>>, _>>()
            .map_err(failure)?
            .concat();
        if let Some(folder) = folder {
            write_network(&folder, &settings, &ends)?;
            folder.finish()?;
        }
        match common.json {
            true => json::print(&ends),
            false => standard::print(|out| network_table(out, &ends)),
        }
    }
}

fn write_network(folder: &OutputFolder, settings: &Settings, ends: &[End]) -> Result<(), Failure> {
    let header = ["method", "seed", "start_loss", "validation_loss", "validation_error", "cost"];
    let rows = ends.iter().map(|e| {
        (e.method.name(), e.seed, e.start_loss, e.validation_loss, e.validation_error, e.cost)
    });
    folder.write("stn.csv", |w| csv::write(w, &header, rows))?;
    let header = ["method", "seed", "when", "layer", "hessian", "gauss_newton"];
    let rows = ends.iter().flat_map(|e| {
        let both = [("fitted", &e.fitted), ("tuned", &e.tuned)];
        both.into_iter().filter_map(|(when, a)| a.as_ref().map(|a| (when, a))).flat_map(
            move |(when, angles)| {
                (0..e.log_decays.len()).map(move |layer| {
                    let of = |all: &Option<Vec<f64>>| all.as_ref().map(|all| all[layer]);
                    (
                        e.method.name(),
                        e.seed,
                        when,
                        layer + 1,
                        of(&angles.hessian),
                        of(&angles.gauss_newton),
                    )
                })
            },
        )
    });
    folder.write("angles.csv", |w| csv::write(w, &header, rows))?;
    let header = ["method", "seed", "cost", "validation_loss"];
    let rows = ends.iter().flat_map(|e| {
        e.points.iter().map(|p| (e.method.name(), e.seed, p.cost, p.validation_loss))
    });
    folder.write("curves.csv", |w| csv::write(w, &header, rows))?;
    folder.write("stn.json", |w| {
        json::write(
            w,
            &serde_json::json!({ "command": "bilevel", "study": "stn", "settings": settings, "ends": ends }),
        )
    })?;
    let x = Axis::linear("cost, gradients of a batch");
    let first = ends.first().map_or(0, |e| e.seed);
    let mut panel = Lines::new("Tuning weight decay", x, Axis::linear("validation loss"));
    for end in ends.iter().filter(|e| e.seed == first) {
        let points = end.points.iter().map(|p| (p.cost, p.validation_loss));
        panel = panel.series(Series::new(end.method.name(), points));
    }
    Figure::new("Self-tuning networks").panel(panel).write(folder, false, "stn")
}

fn network_table(out: &mut dyn std::io::Write, ends: &[End]) -> std::io::Result<()> {
    writeln!(
        out,
        "method     validation loss    log decays      cosine to the true response, by layer"
    )?;
    for method in Method::ALL {
        let own: Vec<&End> = ends.iter().filter(|e| e.method == method).collect();
        let of = |f: &dyn Fn(&End) -> Option<f64>| {
            let found: Vec<f64> = own.iter().filter_map(|e| f(e)).collect();
            match found.is_empty() {
                true => "-".to_owned(),
                false => {
                    let (mean, spread) = mean_spread(&found);
                    format!("{mean:.3} ± {spread:.3}")
                }
            }
        };
        write!(out, "{:<9}  {}", method.name(), of(&|e| Some(e.validation_loss)))?;
        let layers = own.first().map_or(0, |e| e.log_decays.len());
        for layer in 0..layers {
            write!(out, "   {}", of(&|e| Some(e.log_decays[layer])))?;
        }
        for layer in 0..layers {
            let angle = |e: &End| e.fitted.as_ref()?.gauss_newton.as_ref().map(|all| all[layer]);
            write!(out, "   {}", of(&angle))?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "The true response is that of the Gauss–Newton matrix, when the hyperparameters had stood still; --out also has\n\
         that of the Hessian. Mean and standard deviation over the seeds."
    )
}
