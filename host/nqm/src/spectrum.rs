//! Problem setting: curvatures h, noise variances σ², initial moments; parsers of each.

use std::fmt;
use std::str::FromStr;

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::{Direction, Preconditioner};

use crate::error::{InvalidQuadratic, ParseError};
use crate::quadratic::Quadratic;

/// Curvatures h_1, … h_d.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spectrum {
    /// h_i = 1/i.
    Inverse,
    /// Geometric from the second number down to the first.
    Geometric(f64, f64),
    /// Equally spaced from the second number down to the first.
    Uniform(f64, f64),
}

impl fmt::Display for Spectrum {
    /// In the form from which it is parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inverse => f.write_str("inverse"),
            Self::Geometric(lo, hi) => write!(f, "geometric:{lo:?},{hi:?}"),
            Self::Uniform(lo, hi) => write!(f, "uniform:{lo:?},{hi:?}"),
        }
    }
}

pub(crate) const FORMS: &str = "a spectrum is inverse, geometric:LO,HI or uniform:LO,HI";

impl FromStr for Spectrum {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let found = match text.split_once(':') {
            None if text == "inverse" => Ok(Self::Inverse),
            Some(("geometric", range)) => ends(range).map(|(lo, hi)| Self::Geometric(lo, hi)),
            Some(("uniform", range)) => ends(range).map(|(lo, hi)| Self::Uniform(lo, hi)),
            _ => Err(FORMS.into()),
        };
        found.map_err(ParseError)
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

impl fmt::Display for Noise {
    /// In the form from which it is parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inverse => f.write_str("inverse"),
            Self::None => f.write_str("none"),
            Self::Constant(variance) => write!(f, "constant:{variance:?}"),
        }
    }
}

impl FromStr for Noise {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let found = match text.split_once(':') {
            None if text == "inverse" => Ok(Self::Inverse),
            None if text == "none" => Ok(Self::None),
            Some(("constant", variance)) => match numbers(variance).map_err(ParseError)?.as_slice()
            {
                &[variance] if variance >= 0.0 => Ok(Self::Constant(variance)),
                _ => Err("a noise variance is zero or a positive number".into()),
            },
            _ => Err("noise is inverse, none or constant:VARIANCE".into()),
        };
        found.map_err(ParseError)
    }
}

/// A noisy quadratic by its formulas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// Its curvatures.
    pub spectrum: Spectrum,
    /// How many directions.
    pub directions: usize,
    /// Its noise.
    pub noise: Noise,
    /// E\[θ\] before the first step.
    pub mean: f64,
    /// V\[θ\] before the first step.
    pub variance: f64,
}

/// Directions unless it is said how many.
pub const DEFAULT_DIRECTIONS: usize = 1000;

impl Setting {
    /// Its directions, the largest curvature first.
    pub fn directions(&self) -> Vec<Direction<f64>> {
        let direction = |i| {
            let curvature = self.curvature(i);
            let noise_variance = match self.noise {
                Noise::Inverse => 1.0 / curvature,
                Noise::None => 0.0,
                Noise::Constant(variance) => variance,
            };
            Direction {
                curvature,
                noise_variance,
                initial_mean: self.mean,
                initial_variance: self.variance,
            }
        };
        (0..self.directions).map(direction).collect()
    }

    fn curvature(&self, i: usize) -> f64 {
        let most = self.directions.saturating_sub(1);
        let fraction = if most > 0 { i as f64 / most as f64 } else { 0.0 };
        match self.spectrum {
            Spectrum::Geometric(lo, hi) if lo / hi >= f64::MIN_POSITIVE => {
                hi * Libm::pow(lo / hi, fraction)
            }
            // Their ratio is less than a double can be.
            Spectrum::Geometric(lo, hi) => Libm::pow(hi, 1.0 - fraction) * Libm::pow(lo, fraction),
            Spectrum::Uniform(lo, hi) => hi - (hi - lo) * fraction,
            Spectrum::Inverse => 1.0 / (i + 1) as f64,
        }
    }
}

/// The quadratic with these directions under a preconditioner.
///
/// # Errors
/// When there are no directions, when one of them is impossible, or when a first step overflows.
pub fn quadratic(
    directions: Vec<Direction<f64>>,
    preconditioner: Preconditioner<f64>,
) -> Result<Quadratic, InvalidQuadratic> {
    if directions.is_empty() {
        return Err(InvalidQuadratic::Empty);
    }
    let plain = Quadratic::new(directions)
        .map_err(|(direction, reason)| InvalidQuadratic::Direction { direction, reason })?;
    let Preconditioner { power, damping } = preconditioner;
    let quadratic = plain
        .preconditioned(preconditioner)
        .map_err(|direction| InvalidQuadratic::Preconditioner { direction, power, damping })?;
    let next = quadratic.advance(&mut quadratic.start(), None);
    if !(next.g_alpha.is_finite() && next.h_alpha_alpha.is_finite()) {
        return Err(InvalidQuadratic::Overflow { largest: quadratic.largest_curvature() });
    }
    Ok(quadratic)
}
