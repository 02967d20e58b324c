//! Which quadratic: its curvatures, its noise and where it starts.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::{Direction, Preconditioner};

use super::quadratic::Quadratic;
use super::table;
use crate::failure::Failure;
use crate::memory::afford;

/// The columns of a spectrum file; the last two may be missing.
pub const COLUMNS: [&str; 4] = ["curvature", "noise_variance", "initial_mean", "initial_variance"];

/// Curvatures h_1, … h_d.
#[derive(Clone, Debug, PartialEq)]
pub enum Spectrum {
    /// h_i = 1/i.
    Inverse,
    /// Geometric from the second number down to the first.
    Geometric(f64, f64),
    /// Equally spaced from the second number down to the first.
    Uniform(f64, f64),
    /// Curvatures, noise and perhaps initial values from this file.
    File(PathBuf),
}

impl FromStr for Spectrum {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = "inverse, geometric:LO,HI, uniform:LO,HI or file:PATH";
        match text.split_once(':') {
            None if text == "inverse" => Ok(Self::Inverse),
            Some(("geometric", range)) => ends(range).map(|(lo, hi)| Self::Geometric(lo, hi)),
            Some(("uniform", range)) => ends(range).map(|(lo, hi)| Self::Uniform(lo, hi)),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(format!("a spectrum is {shape}")),
        }
    }
}

fn ends(range: &str) -> Result<(f64, f64), String> {
    let numbers = numbers(range)?;
    match numbers.as_slice() {
        &[lo, hi] if lo > 0.0 && lo <= hi => Ok((lo, hi)),
        _ => Err("give two positive curvatures LO,HI, the smaller one first".into()),
    }
}

/// Finite numbers separated by commas.
pub fn numbers(text: &str) -> Result<Vec<f64>, String> {
    let number = |word: &str| {
        let value = word.trim().parse::<f64>().ok().filter(|x| x.is_finite());
        value.ok_or_else(|| format!("{word:?} is not a finite number"))
    };
    text.split(',').map(number).collect()
}

/// Noise variances σ²; the gradient's noise has variance h²σ².
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// σ² = 1/h.
    Inverse,
    /// σ² = 0.
    None,
    /// The same σ² in every direction.
    Constant(f64),
}

impl FromStr for Noise {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "inverse" => Ok(Self::Inverse),
            None if text == "none" => Ok(Self::None),
            Some(("constant", variance)) => match numbers(variance)?.as_slice() {
                &[variance] if variance >= 0.0 => Ok(Self::Constant(variance)),
                _ => Err("a noise variance is zero or a positive number".into()),
            },
            _ => Err("noise is inverse, none or constant:VARIANCE".into()),
        }
    }
}

/// Everything that determines a noisy quadratic.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its curvatures.
    pub spectrum: Spectrum,
    /// How many directions; a file brings its own number.
    pub dim: Option<usize>,
    /// Its noise; a file brings its own.
    pub noise: Noise,
    /// E\[θ\] before the first step, where no file gives it.
    pub mean: f64,
    /// V\[θ\] before the first step, where no file gives it.
    pub variance: f64,
    /// What gradients are multiplied by.
    pub preconditioner: Preconditioner<f64>,
}

/// Directions when neither an option nor a file says how many.
pub const DEFAULT_DIM: usize = 1000;

impl Setting {
    /// The quadratic.
    ///
    /// # Errors
    /// When there are no directions, when one of them is impossible, or when the file cannot be read.
    pub fn quadratic(&self) -> Result<Quadratic, Failure> {
        self.plain()?.preconditioned(self.preconditioner).map_err(|i| {
            Failure::usage(format!(
                "direction {}: the preconditioner 1/(h^{} + {}) overflows; give a smaller --power or some --damping",
                i + 1,
                self.preconditioner.power,
                self.preconditioner.damping
            ))
        })
    }

    fn plain(&self) -> Result<Quadratic, Failure> {
        if let Spectrum::File(path) = &self.spectrum {
            return self.read(path);
        }
        let dim = self.dim.unwrap_or(DEFAULT_DIM);
        if dim == 0 {
            return Err(Failure::usage("--dim is 0; a quadratic needs at least one direction"));
        }
        // What a quadratic and a state keep for each direction, and as much again for what steps on it need.
        afford(&format!("--dim {dim}"), 200 * dim as u128, "give fewer directions")?;
        let noise = |curvature: f64| match self.noise {
            Noise::Inverse => 1.0 / curvature,
            Noise::None => 0.0,
            Noise::Constant(variance) => variance,
        };
        let direction = |curvature| Direction {
            curvature,
            noise_variance: noise(curvature),
            initial_mean: self.mean,
            initial_variance: self.variance,
        };
        let directions = (0..dim).map(|i| direction(self.curvature(i, dim))).collect();
        Quadratic::new(directions)
            .map_err(|(i, wrong)| Failure::usage(format!("direction {}: {wrong}", i + 1)))
    }

    /// The curvature of direction `i` of `dim`, largest first.
    fn curvature(&self, i: usize, dim: usize) -> f64 {
        let fraction = if dim > 1 { i as f64 / (dim - 1) as f64 } else { 0.0 };
        match self.spectrum {
            Spectrum::Geometric(lo, hi) => hi * Libm::pow(lo / hi, fraction),
            Spectrum::Uniform(lo, hi) => hi - (hi - lo) * fraction,
            Spectrum::Inverse | Spectrum::File(_) => 1.0 / (i + 1) as f64,
        }
    }

    fn read(&self, path: &Path) -> Result<Quadratic, Failure> {
        let table = table::read(path, &COLUMNS, 2)?;
        let name = path.display();
        if table.rows.is_empty() {
            return Err(Failure::run(format!(
                "{name} has no directions; give one line for each below the header"
            )));
        }
        if let Some(dim) = self.dim.filter(|&dim| dim != table.rows.len()) {
            return Err(Failure::usage(format!(
                "--dim is {dim} but {name} has {} directions; leave --dim away",
                table.rows.len()
            )));
        }
        let value = |row: &table::Row, column: usize, otherwise: f64| {
            row.values.get(column).copied().unwrap_or(otherwise)
        };
        let directions = table.rows.iter().map(|row| Direction {
            curvature: value(row, 0, 0.0),
            noise_variance: value(row, 1, 0.0),
            initial_mean: value(row, 2, self.mean),
            initial_variance: value(row, 3, self.variance),
        });
        Quadratic::new(directions.collect()).map_err(|(i, wrong)| {
            Failure::run(format!("{name}, line {}: {wrong}", table.rows[i].line))
        })
    }
}
