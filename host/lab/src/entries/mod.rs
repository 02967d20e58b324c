//! Meta-descent on every entry of a schedule: the learning rate of each step or of each window of
//! steps, and its momentum if asked, by reverse mode.
//!
//! One entry is shared by the steps of a window, so its derivative is the sum of theirs. Rates move
//! along ln α and momenta along ln(μ/(1 − μ)), as in a descent on α₀, K and β.

mod descent;
mod figures;
mod formula;

pub use descent::EntryDescent;
pub use figures::figure;
pub use formula::{gradient_norms, refined_linear_decay};

use std::io::{self, Write};

use myopia_core::bilevel::linear::dot;
use myopia_core::elementary::{Elementary, Libm};
use serde::{Deserialize, Serialize};

use crate::output::csv;
use crate::problem::Entries;

/// How entries are moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EntryRule {
    /// Each by an outer optimizer of its own, in double precision: its rule, the meta-learning rate
    /// and the clip of each entry's gradient.
    Outer(myopia_core::meta::Rule<f64>, f64, f64),
    /// All together by L-BFGS.
    Lbfgs,
}

/// One look-ahead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// The rate of each window, or its rate in each layer, then the momentum of each window if
    /// momenta are tuned.
    pub values: Vec<f64>,
    /// The objective after the horizon in nats, the mean over the seeds; nothing where L-BFGS tried
    /// values with which training diverged.
    pub loss: Option<f64>,
    /// The share of the objective's examples classified correctly.
    pub accuracy: Option<f64>,
    /// ∂loss/∂ of each value.
    pub derivatives: Vec<f64>,
}

/// How far a descent has come, for a checkpoint: the outer optimizer's state follows from what was
/// looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EntryProgress {
    /// What was looked at, in order.
    pub looks: Vec<Look>,
}

/// A line of `trajectory.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EntryRecord {
    /// How many looks came before.
    pub meta_step: u32,
    /// The objective, in nats.
    pub loss: Option<f64>,
    /// The share of its examples classified correctly.
    pub accuracy: Option<f64>,
    /// The Euclidean norm of the gradient along the coordinates that are moved.
    pub gradient_norm: f64,
    /// The cosine of the angle to the gradient before.
    pub cosine: Option<f64>,
    /// The least rate.
    pub least_rate: f64,
    /// The greatest rate.
    pub greatest_rate: f64,
}

impl EntryRecord {
    /// The columns of a trajectory in a CSV file.
    pub const HEADER: [&str; 7] =
        ["meta_step", "loss", "accuracy", "gradient_norm", "cosine", "least_rate", "greatest_rate"];
}

/// The trajectory of `looks` of so many rates.
pub fn records(looks: &[Look], rates: usize) -> Vec<EntryRecord> {
    let mut before: Option<Vec<f64>> = None;
    (0..)
        .zip(looks)
        .map(|(meta_step, look)| {
            let gradient = look.gradient(rates);
            let rates = &look.values[..rates];
            let norm = Libm::sqrt(dot(&gradient, &gradient));
            let cosine = before.as_ref().and_then(|before| {
                let size = norm * Libm::sqrt(dot(before, before));
                (size > 0.0).then(|| dot(before, &gradient) / size)
            });
            before = Some(gradient);
            let least = rates.iter().fold(rates[0], |a, b| if *b < a { *b } else { a });
            let greatest = rates.iter().fold(rates[0], |a, b| if *b > a { *b } else { a });
            EntryRecord {
                meta_step,
                loss: look.loss,
                accuracy: look.accuracy,
                gradient_norm: norm,
                cosine,
                least_rate: least,
                greatest_rate: greatest,
            }
        })
        .collect()
}

/// The place of the look with the lowest objective, the first of several.
pub fn best(looks: &[Look]) -> Option<usize> {
    let losses = looks.iter().enumerate().filter_map(|(place, look)| Some((place, look.loss?)));
    losses.reduce(|best, other| if other.1 < best.1 { other } else { best }).map(|(place, _)| place)
}

impl Look {
    /// The gradient by the logarithms of so many rates, then by ln(μ/(1 − μ)).
    pub fn gradient(&self, rates: usize) -> Vec<f64> {
        let slope = |(place, value): (usize, &f64)| {
            if place < rates { *value } else { value * (1.0 - value) }
        };
        let slopes = self.values.iter().enumerate().map(slope);
        slopes.zip(&self.derivatives).map(|(slope, by)| slope * by).collect()
    }
}

/// The name of a column, or of one for each layer: `name`, or `name`_1, `name`_2, …
pub fn columns(name: &str, layers: usize) -> Vec<String> {
    match layers {
        1 => vec![name.to_owned()],
        _ => (1..=layers).map(|layer| format!("{name}_{layer}")).collect(),
    }
}

/// Writes a schedule as CSV, a line for each step: its number, its rate or that of each layer, its
/// momentum. Schedules are read from such files as well.
///
/// # Errors
/// When the writer fails.
pub fn write_schedule(to: &mut dyn Write, entries: &Entries) -> io::Result<()> {
    let rates = columns("learning_rate", entries.rates_of_a_step());
    let header = [&["step".to_owned()][..], &rates, &["momentum".to_owned()]].concat();
    let row = |k| {
        let (rates, momentum) = entries.step(k);
        (k, rates, momentum)
    };
    csv::write(to, &header, (0..entries.steps()).map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(values: &[f64], loss: Option<f64>, derivatives: &[f64]) -> Look {
        let (values, derivatives) = (values.to_vec(), derivatives.to_vec());
        Look { values, loss, accuracy: loss, derivatives }
    }

    #[test]
    fn a_trajectory_tells_size_and_turn_of_the_gradient() {
        let looks = [
            look(&[0.5, 2.0, 0.5], Some(3.0), &[6.0, 2.0, 0.0]),
            look(&[1.0, 1.0, 0.5], None, &[-4.0, 3.0, 0.0]),
            look(&[1.0, 1.0, 0.2], Some(2.0), &[0.0, 0.0, 25.0]),
            look(&[1.0, 1.0, 0.2], Some(2.0), &[0.0, 0.0, 1.0]),
        ];
        let records = records(&looks, 2);
        let norms: Vec<f64> = records.iter().map(|record| record.gradient_norm).collect();
        assert!(norms.iter().zip([5.0, 5.0, 4.0, 0.16]).all(|(a, b)| (a - b).abs() < 1e-12));
        assert_eq!(records[0].cosine, None);
        assert_eq!(records[1].cosine, Some(0.0));
        assert!((records[3].cosine.unwrap() - 1.0).abs() < 1e-12);
        assert_eq!((records[0].least_rate, records[0].greatest_rate), (0.5, 2.0));
        assert_eq!(best(&looks), Some(2));
    }
}
