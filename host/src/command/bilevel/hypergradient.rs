//! `myopia bilevel hypergradient`: approximations of the inverse Hessian side by side.

use clap::Args;
use myopia_bilevel::method::{Estimate, Method, Settings, compare};
use myopia_core::elementary::{Elementary, Libm};

use super::problem::ProblemOptions;
use super::{failure, short};
use crate::command::options::Common;
use crate::command::values::trimmed;
use myopia::failure::Failure;
use myopia::figure::{Axis, Figure, Lines, Markers, Series};
use myopia::output::{OutputFolder, csv, json, standard};

/// Options of `myopia bilevel hypergradient`.
#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    problem: ProblemOptions,
    /// exact, unrolled:T (T steps from the inner point), neumann:K (K + 1 terms), identity (a in
    /// place of the inverse), cg:K (K iterations from zero), cg (until it has converged), nystrom:K
    /// (K random columns), damped:LAMBDA
    #[arg(
        long,
        value_name = "METHOD,…",
        value_delimiter = ',',
        value_parser = trimmed::<Method>,
        default_value = "exact,unrolled:20,neumann:20,identity,cg:5,nystrom:5"
    )]
    method: Vec<Method>,
    /// a, the step of unrolled, neumann and identity
    #[arg(long, default_value_t = 0.1, value_name = "A", allow_negative_numbers = true)]
    step: f64,
    /// What nystrom adds to the diagonal
    #[arg(long, default_value_t = 0.01, value_name = "RHO", allow_negative_numbers = true)]
    rho: f64,
    /// Relative residual at which cg has converged
    #[arg(long, default_value_t = 1e-10, value_name = "SHARE", allow_negative_numbers = true)]
    tolerance: f64,
    /// Add central differences of what exact and unrolled differentiate
    #[arg(long)]
    check: bool,
}

/// What the files are called.
const NAME: &str = "hypergradient";

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        let folder = match &common.out {
            Some(path) => Some(OutputFolder::create_at_once(path, common.force)?),
            None => None,
        };
        let settings = Settings {
            step: self.step,
            rho: self.rho,
            tolerance: self.tolerance,
            seed: common.seed,
            check: self.check,
        };
        let problem = self.problem.problem(common.seed)?;
        let found = compare(problem.as_ref(), &self.method, &settings).map_err(failure)?;
        for estimate in found.iter().filter(|estimate| estimate.diverges) {
            common.remark(format!(
                "{} diverges: --step {} exceeds 2 over the highest curvature",
                estimate.method, self.step
            ));
        }
        if let Some(folder) = folder {
            write(&folder, &found)?;
            folder.finish()?;
        }
        if common.json {
            return json::print(&found);
        }
        standard::print(|out| table(out, &found))
    }
}

fn write(folder: &OutputFolder, found: &[Estimate]) -> Result<(), Failure> {
    let header = ["method", "relative_error", "cosine", "products", "gradients"];
    let rows = found
        .iter()
        .map(|e| (e.method.clone(), e.relative_error, e.cosine, e.products, e.gradients));
    folder.write("hypergradient.csv", |w| csv::write(w, &header, rows))?;
    let header = ["method", "hyperparameter", "value"];
    let rows = found.iter().flat_map(|e| {
        let values = e.hypergradient.iter().enumerate();
        values.map(move |(place, value)| (e.method.clone(), place + 1, *value))
    });
    folder.write("values.csv", |w| csv::write(w, &header, rows))?;
    let header = ["method", "lowest", "highest", "directions", "relative_error"];
    let rows = found.iter().flat_map(|e| {
        e.bands.iter().map(move |band| {
            (e.method.clone(), band.lowest, band.highest, band.directions, band.relative_error)
        })
    });
    folder.write("bands.csv", |w| csv::write(w, &header, rows))?;
    folder.write("hypergradient.json", |w| {
        json::write(w, &serde_json::json!({ "command": "bilevel", "methods": found }))
    })?;
    figure(found).write(folder, false, NAME)
}

/// The error of each method from low curvature to high.
fn figure(found: &[Estimate]) -> Figure {
    let x = Axis::log("curvature");
    let mut panel = Lines::new("Error of the inverse by curvature", x, Axis::log("relative error"));
    for estimate in found {
        let points = estimate.bands.iter().filter_map(|band| {
            let middle = Libm::sqrt(band.lowest * band.highest);
            band.relative_error.filter(|error| *error > 0.0).map(|error| (middle, error))
        });
        let points: Vec<_> = points.collect();
        if !points.is_empty() {
            panel = panel
                .series(Series::new(estimate.method.as_str(), points).markers(Markers::Points));
        }
    }
    Figure::new("Hypergradients").panel(panel)
}

fn table(out: &mut dyn std::io::Write, found: &[Estimate]) -> std::io::Result<()> {
    let width =
        found.iter().map(|e| e.method.len()).fold(6, |a: usize, b| if b > a { b } else { a });
    write!(out, "{:<width$}  {:>10}  {:>9}  {:>8}", "method", "error", "cosine", "products")?;
    let bands =
        found.iter().map(|e| e.bands.len()).fold(0, |a: usize, b| if b > a { b } else { a });
    if bands > 0 {
        write!(out, "  error by curvature, low to high")?;
    }
    writeln!(out)?;
    for e in found {
        let cosine = e.cosine.map_or("-".to_owned(), |c| format!("{c:.6}"));
        write!(
            out,
            "{:<width$}  {:>10}  {cosine:>9}  {:>8}",
            e.method,
            short(e.relative_error),
            e.products
        )?;
        for band in &e.bands {
            write!(out, "  {:>9}", short(band.relative_error))?;
        }
        writeln!(out)?;
    }
    for e in found {
        if let Some(check) = &e.check {
            writeln!(
                out,
                "{:<width$}  {:>10}  from central differences in {} hyperparameters",
                e.method,
                short(check.relative_error),
                check.places.len()
            )?;
        }
    }
    Ok(())
}
