//! Which bilevel problem: options and files.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use myopia_bilevel::matrix::Matrix;
use myopia_bilevel::problem::{Bilevel, Penalty, Quadratic, Ridge};
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::rng::Pcg32;

use super::failure;
use crate::command::nqm::options::{QuadraticOptions, Source};
use crate::command::values::whole;
use myopia::data::archive::Archive;
use myopia::data::csv::standardise;
use myopia::failure::Failure;
use myopia::input::read_regular;
use myopia::memory::afford;
use myopia::nqm::spectrum::{Noise, Spectrum};

/// A bilevel problem: one of --problem, --spectrum and --csv.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct ProblemOptions {
    /// NumPy archive with H, A, G, w_star, lambda and, if you like, w and direct; a vector in place
    /// of a matrix is its diagonal
    #[arg(long, value_name = "FILE.npz", conflicts_with_all = ["spectrum", "csv"])]
    problem: Option<PathBuf>,
    /// Diagonal H of these curvatures: inverse (h_i = 1/i), geometric:LO,HI, uniform:LO,HI or
    /// file:PATH; G is the identity and w* drawn from normals by --seed
    #[arg(long, conflicts_with = "csv")]
    spectrum: Option<Source<Spectrum>>,
    /// Directions of --spectrum [default: 100, or as many as the spectrum's file has]
    #[arg(
        long, value_name = "N", allow_negative_numbers = true, requires = "spectrum",
        value_parser = whole::<usize>
    )]
    dim: Option<usize>,
    /// Hyperparameters of --spectrum, on which w depends by random normals [default: one for each
    /// direction, on which alone it depends]
    #[arg(
        long, value_name = "P", allow_negative_numbers = true, requires = "spectrum",
        value_parser = whole::<usize>
    )]
    hyperparameters: Option<usize>,
    /// Ridge regression on the numbers of this CSV file, which has a header; the hyperparameters
    /// are the logarithms of the penalties
    #[arg(long, value_name = "FILE.csv")]
    csv: Option<PathBuf>,
    /// Column of --csv that is predicted [default: the last]
    #[arg(long, value_name = "NAME", requires = "csv")]
    target: Option<String>,
    /// Penalties of --csv
    #[arg(long, value_enum, default_value = "global")]
    penalty: PenaltyName,
    /// Natural logarithm of every penalty of --csv
    #[arg(long, default_value_t = -3.0, value_name = "X", allow_negative_numbers = true)]
    log_penalty: f64,
    /// Last rows of --csv that judge and are not trained on [default: a quarter]
    #[arg(
        long, value_name = "N", allow_negative_numbers = true, requires = "csv",
        value_parser = whole::<usize>
    )]
    validation: Option<usize>,
    /// Leave the columns of --csv as they are, instead of giving each mean 0 and variance 1 on the
    /// rows trained on (the predicted one: mean 0)
    #[arg(long, requires = "csv")]
    raw: bool,
    /// Where the inner weights of --spectrum and --csv are: at their optimum or at zero
    #[arg(long, value_enum, default_value = "optimum")]
    at: Place,
}

/// Penalties of ridge regression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PenaltyName {
    /// One for all weights
    Global,
    /// One for each weight
    PerWeight,
}

/// An inner point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Place {
    /// Where the inner loss is least
    Optimum,
    /// The origin
    Zero,
}

/// The most weights of a problem that is drawn.
const MOST: usize = 10_000_000;

impl ProblemOptions {
    /// The problem they describe.
    pub fn problem(&self, seed: u64) -> Result<Box<dyn Bilevel>, Failure> {
        match &self.csv {
            Some(path) => Ok(Box::new(self.ridge(path)?)),
            None => Ok(Box::new(self.quadratic(seed)?)),
        }
    }

    /// The problem, when it is a quadratic in w and λ.
    pub fn quadratic(&self, seed: u64) -> Result<Quadratic, Failure> {
        match (&self.problem, &self.spectrum) {
            (Some(path), _) => read(path),
            (_, Some(spectrum)) => self.drawn(spectrum, seed),
            _ if self.csv.is_some() => Err(Failure::usage(
                "ridge regression is not quadratic in its hyperparameters; give --problem or --spectrum",
            )),
            _ => Err(Failure::usage(
                "name a problem: --problem FILE.npz, --spectrum or --csv FILE.csv",
            )),
        }
    }

    fn drawn(&self, spectrum: &Source<Spectrum>, seed: u64) -> Result<Quadratic, Failure> {
        let dim = match (self.dim, spectrum) {
            (None, Source::Named(_)) => Some(100),
            (dim, _) => dim,
        };
        for (option, number) in [("dim", dim), ("hyperparameters", self.hyperparameters)] {
            if number.is_some_and(|n| n == 0 || n > MOST) {
                let number = number.unwrap_or(0);
                return Err(Failure::usage(format!(
                    "--{option} is {number}; give a number from 1 to {MOST}"
                )));
            }
        }
        let quadratic = QuadraticOptions {
            dim,
            spectrum: spectrum.clone(),
            noise: Noise::None,
            mean0: 0.0,
            var0: 1.0,
            power: 0.0,
            damping: 0.0,
            optimizer: Default::default(),
        }
        .quadratic()?;
        let curvatures: Vec<f64> =
            quadratic.directions().iter().map(|direction| direction.curvature).collect();
        let d = curvatures.len();
        let mut rng = Pcg32::new(seed, 42);
        let mut normals = |count: usize| (0..count).map(|_| rng.normal()).collect::<Vec<f64>>();
        let target = normals(d);
        let ones = || Matrix::Diagonal(vec![1.0; d]);
        let (a, p) = match self.hyperparameters {
            None => (ones(), d),
            Some(p) => {
                afford("--hyperparameters", 8 * (d as u128) * (p as u128), "make it smaller")?;
                let size = Libm::sqrt(d as f64);
                let entries = normals(d * p).into_iter().map(|x| x / size).collect();
                (Matrix::Dense { rows: d, columns: p, entries }, p)
            }
        };
        let w = (self.at == Place::Zero).then(|| vec![0.0; d]);
        // λ = 0 has its optimum at zero too; half-way to w* nothing is special.
        let lambda = normals(p);
        Quadratic::new(Matrix::Diagonal(curvatures), a, ones(), target, w, lambda, None)
            .map_err(failure)
    }

    fn ridge(&self, path: &Path) -> Result<Ridge, Failure> {
        let table = Columns::read(path)?;
        let (mut inputs, mut targets) = table.split(path, self.target.as_deref())?;
        let rows = targets.len();
        let weights = inputs.len().checked_div(rows).unwrap_or(0);
        let held_out = self.validation.unwrap_or(rows / 4);
        if held_out == 0 || held_out >= rows || weights == 0 {
            return Err(Failure::run(format!(
                "{} has {rows} rows and {weights} inputs, of which {held_out} rows would judge; both parts need \
                 rows, and there must be an input",
                path.display()
            )));
        }
        let trained = rows - held_out;
        if !self.raw {
            standardise_both(&mut inputs, &mut targets, weights, trained);
        }
        let validation = (inputs.split_off(trained * weights), targets.split_off(trained));
        let (penalty, count) = match self.penalty {
            PenaltyName::Global => (Penalty::Global, 1),
            PenaltyName::PerWeight => (Penalty::PerWeight, weights),
        };
        let w = (self.at == Place::Zero).then(|| vec![0.0; weights]);
        let lambda = vec![self.log_penalty; count];
        Ridge::new((inputs, targets), validation, penalty, lambda, w).map_err(failure)
    }
}

/// Mean 0 and variance 1 in every column on the first `trained` rows, mean 0 of the targets; a
/// column that does not vary becomes zero.
fn standardise_both(inputs: &mut [f64], targets: &mut [f64], weights: usize, trained: usize) {
    let centre = myopia_core::sum::sum(targets[..trained].iter().copied()) / trained as f64;
    targets.iter_mut().for_each(|y| *y -= centre);
    standardise(inputs, weights, trained);
}

/// The problem of an archive.
fn read(path: &Path) -> Result<Quadratic, Failure> {
    let mut archive = Archive::open(path)?;
    let (hessian, a, outer) = (archive.matrix("H")?, archive.matrix("A")?, archive.matrix("G")?);
    let (target, lambda) = (archive.vector("w_star")?, archive.vector("lambda")?);
    let (w, direct) = (archive.find_vector("w")?, archive.find_vector("direct")?);
    Quadratic::new(hessian, a, outer, target, w, lambda, direct)
        .map_err(|e| Failure::run(format!("{}: {e}", path.display())))
}

/// More bytes than the largest table: 10,000 rows of 10,000 numbers.
const LARGEST: u64 = 1 << 32;

/// The numbers of a CSV file with a header.
struct Columns {
    names: Vec<String>,
    rows: Vec<Vec<f64>>,
}

impl Columns {
    fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        let bytes = read_regular(path, LARGEST).map_err(|e| Failure::io("read", path, &e))?;
        let wrong =
            |e: csv::Error| Failure::run(format!("{name} is not a CSV file of numbers: {e}"));
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(&*bytes);
        let names: Vec<String> =
            reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect();
        if names.iter().any(|name| name.parse::<f64>().is_ok()) {
            return Err(Failure::run(format!(
                "{name}, line 1: a header of numbers; put the names of the columns in the first line"
            )));
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(wrong)?;
            let line = record.position().map_or(0, csv::Position::line);
            let number = |(text, column): (&str, &String)| {
                text.parse::<f64>().ok().filter(|x| x.is_finite()).ok_or_else(|| {
                    Failure::run(format!(
                        "{name}, line {line}: the {column} is {text:?}; give a finite number"
                    ))
                })
            };
            rows.push(record.iter().zip(&names).map(number).collect::<Result<Vec<f64>, _>>()?);
        }
        Ok(Self { names, rows })
    }

    /// Inputs row by row, and targets.
    fn split(self, path: &Path, target: Option<&str>) -> Result<(Vec<f64>, Vec<f64>), Failure> {
        let place = match target {
            None => self.names.len().checked_sub(1),
            Some(name) => self.names.iter().position(|column| column == name),
        };
        let Some(place) = place else {
            return Err(Failure::run(format!(
                "{} has no column {}; it has {}",
                path.display(),
                target.unwrap_or("at all"),
                self.names.join(", ")
            )));
        };
        let targets = self.rows.iter().map(|row| row[place]).collect();
        let inputs = self
            .rows
            .iter()
            .flat_map(|row| row.iter().enumerate().filter(|(i, _)| *i != place).map(|(_, x)| *x));
        Ok((inputs.collect(), targets))
    }
}
