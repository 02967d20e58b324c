//! Stable, rotating or diverging, and at which ratio of rates that changes.

use myopia_core::elementary::{Elementary, Libm};
use serde::Serialize;

use super::dynamics::{Dynamics, Game};
use crate::Error;

/// What dynamics do about their equilibrium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Behaviour {
    /// They converge, all eigenvalues real.
    Stable,
    /// They converge, some of it in circles.
    Rotating,
    /// They neither converge nor diverge: some modulus is one.
    Neutral,
    /// They diverge.
    Diverging,
}

/// The behaviour of one kind of dynamics at two rates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The largest modulus of an eigenvalue.
    pub spectral_radius: f64,
    /// What that and the imaginary parts say.
    pub behaviour: Behaviour,
    /// True where an eigenvalue is not real.
    pub rotates: bool,
}

/// The ratios b/a at which dynamics of a given inner rate a change, the lowest of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Turning {
    /// Below it all eigenvalues are real; none where nothing turns within the range searched.
    pub turns_at: Option<f64>,
    /// Below it they converge; none where they always do within the range searched.
    pub diverges_at: Option<f64>,
    /// The lowest and the highest ratio searched.
    pub searched: [f64; 2],
}

/// What counts as one: the modulus of an eigenvalue that is 1 exactly, after rounding.
const ROUNDING: f64 = 1e-10;
/// The smallest imaginary part that counts, as a share of the largest entry of J − I.
const SMALLEST: f64 = 1e-7;
/// Decades on either side of the ratio at which both players are as fast.
const DECADES: i32 = 5;

impl Game {
    /// The behaviour of `dynamics` at rates a and b.
    ///
    /// # Errors
    /// When a rate is not positive or the eigenvalues do not converge.
    pub fn verdict(&self, dynamics: Dynamics, a: f64, b: f64) -> Result<Verdict, Error> {
        let values = self.eigenvalues(dynamics, a, b)?;
        let radius = values.first().map_or(0.0, |[re, im]| Libm::sqrt(re * re + im * im));
        let moved = self
            .jacobian(dynamics, a, b)
            .iter()
            .enumerate()
            .map(|(place, x)| x - f64::from(u8::from(place % (self.size(dynamics) + 1) == 0)))
            .fold(0.0, |largest: f64, x| if x.abs() > largest { x.abs() } else { largest });
        let rotates = values.iter().any(|[_, im]| im.abs() > SMALLEST * moved);
        let behaviour = if radius > 1.0 + ROUNDING {
            Behaviour::Diverging
        } else if radius > 1.0 - ROUNDING {
            Behaviour::Neutral
        } else if rotates {
            Behaviour::Rotating
        } else {
            Behaviour::Stable
        };
        Ok(Verdict { spectral_radius: radius, behaviour, rotates })
    }

    /// The lowest ratios at which `dynamics` of inner rate `a` begin to rotate and to diverge,
    /// searched on a grid of ten decades about the ratio at which both players are as fast, then by
    /// bisection.
    ///
    /// # Errors
    /// When the rate is not positive or eigenvalues do not converge.
    pub fn turning(&self, dynamics: Dynamics, a: f64) -> Result<Turning, Error> {
        let trace = |matrix: &[f64], size: usize| {
            (0..size).fold(0.0, |sum, i| sum + matrix[i * (size + 1)]) / size as f64
        };
        let fast = trace(self.value_curvature(), self.outer());
        let middle = match fast > 0.0 {
            true => trace(self.hessian(), self.inner()) / fast,
            false => 1.0,
        };
        let per_decade = if self.size(dynamics) <= 40 { 12 } else { 4 };
        let at = |i: i32| {
            middle * Libm::exp(f64::from(i) / f64::from(per_decade) * std::f64::consts::LN_10)
        };
        let (first, last) = (-DECADES * per_decade, DECADES * per_decade);
        let mut turning =
            Turning { turns_at: None, diverges_at: None, searched: [at(first), at(last)] };
        let rotates = |r: f64| Ok(self.verdict(dynamics, a, a * r)?.rotates);
        let diverges =
            |r: f64| Ok(self.verdict(dynamics, a, a * r)?.behaviour == Behaviour::Diverging);
        for i in first..=last {
            let verdict = self.verdict(dynamics, a, a * at(i))?;
            if turning.turns_at.is_none() && verdict.rotates {
                turning.turns_at = Some(boundary(at(i - 1), at(i), i == first, rotates)?);
            }
            if verdict.behaviour == Behaviour::Diverging {
                turning.diverges_at = Some(boundary(at(i - 1), at(i), i == first, diverges)?);
                // Beyond, what turns has no equilibrium to turn about.
                break;
            }
        }
        Ok(turning)
    }
}

/// The ratio between `low`, where `holds` is false, and `high`, where it is true; `high` when `low`
/// was not looked at.
fn boundary(
    mut low: f64,
    mut high: f64,
    unseen: bool,
    holds: impl Fn(f64) -> Result<bool, Error>,
) -> Result<f64, Error> {
    if unseen {
        return Ok(high);
    }
    for _ in 0..60 {
        let middle = Libm::sqrt(low * high);
        if !(middle > low && middle < high) {
            break;
        }
        if holds(middle)? { high = middle } else { low = middle }
    }
    Ok(high)
}
