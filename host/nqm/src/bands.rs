//! Mean excess loss per direction in at most three bands of curvature, over a run.

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::sum::sum;

use crate::quadratic::{Quadratic, State};

/// Directions whose curvatures lie near each other, and their loss in the course of a run.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Band {
    /// The lowest curvature in it.
    pub lowest: f64,
    /// The highest.
    pub highest: f64,
    /// How many directions it holds.
    pub directions: usize,
    /// The mean expected loss of a direction above its floor, before the first step and after each.
    pub losses: Vec<f64>,
    #[cfg_attr(feature = "serde", serde(skip))]
    members: Vec<usize>,
}

/// Bands into which curvatures are divided, at most.
pub const BANDS: usize = 3;

/// Bands of equal ratios of curvature from the highest to the lowest above zero, those without
/// directions left out; directions of curvature zero, in which nothing happens, are in none.
pub fn bands(quadratic: &Quadratic) -> Vec<Band> {
    let curvatures: Vec<f64> = quadratic.directions().iter().map(|d| d.curvature).collect();
    let positive = || curvatures.iter().copied().filter(|h| *h > 0.0);
    let Some(highest) = positive().reduce(|a, b| if b > a { b } else { a }) else {
        return Vec::new();
    };
    let lowest = positive().fold(highest, |a, b| if b < a { b } else { a });
    let width = (Libm::ln(highest) - Libm::ln(lowest)) / BANDS as f64;
    let place = |h: f64| {
        let below = Libm::ln(highest) - Libm::ln(h);
        (1..BANDS).filter(|edge| below > *edge as f64 * width * (1.0 + 1e-9)).count()
    };
    let mut found: Vec<Vec<usize>> = vec![Vec::new(); BANDS];
    for (i, &h) in curvatures.iter().enumerate().filter(|(_, h)| **h > 0.0) {
        found[place(h)].push(i);
    }
    let band = |members: Vec<usize>| {
        let of = |better: fn(f64, f64) -> bool| {
            let members = members.iter().map(|&i| curvatures[i]);
            members.reduce(|a, b| if better(b, a) { b } else { a }).unwrap_or(0.0)
        };
        Band {
            lowest: of(|a, b| a < b),
            highest: of(|a, b| a > b),
            directions: members.len(),
            losses: Vec::new(),
            members,
        }
    };
    found.into_iter().filter(|members| !members.is_empty()).map(band).collect()
}

impl Band {
    /// Adds the band's loss in `state`, of which these are the directions' shares.
    pub fn record(&mut self, shares: &[f64]) {
        let total: f64 = sum(self.members.iter().map(|&i| shares[i]));
        self.losses.push(total / self.members.len() as f64);
    }
}

/// What each direction adds to the excess loss in `state`, in order.
pub fn shares(quadratic: &Quadratic, state: &State) -> Vec<f64> {
    quadratic.shares(state).collect()
}
