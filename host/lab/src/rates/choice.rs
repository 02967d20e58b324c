//! The table of choices.

use std::io::{self, Write};

use serde::Serialize;

use crate::output::csv;

/// A line of `rates.csv`: what one horizon chose, and what came of training with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// The optimiser; `sgd-norm` is SGD on a network with batch normalisation.
    pub optimizer: String,
    /// What was tuned.
    pub parameter: String,
    /// `cold` or `warm`.
    pub start: String,
    /// T, the steps of the look-ahead.
    pub horizon: u32,
    /// The seed of weights and batches.
    pub seed: u64,
    /// What was chosen: the vertex of a parabola through the losses of the grid.
    pub value: f64,
    /// The objective after all steps of training with `trained_value`, in nats; nothing where it
    /// diverged.
    pub loss_at_end: Option<f64>,
    /// The median of the same with `trained_value` over all other seeds, which had no part in the
    /// choice; nothing where there is none, or where one diverged.
    pub loss_elsewhere: Option<f64>,
    /// The value of the grid with the lowest objective at the horizon.
    pub trained_value: f64,
    /// That objective.
    pub loss_at_horizon: f64,
    /// Whether that is an end of the grid.
    pub at_edge: bool,
    /// How many times the least value of the grid is the greatest, of those whose objectives at the
    /// horizon are within 1 % of the lowest.
    pub slack: f64,
    /// The constant learning rate, where that is not what was tuned.
    pub alpha0: Option<f64>,
    /// The network.
    pub layers: String,
    /// Steps of pretraining.
    pub pretrain: u32,
    /// The share of test examples classified wrongly after all steps with `trained_value`.
    pub test_error: Option<f64>,
    /// The digest of the last parameters and state.
    pub digest: Option<String>,
}

impl Choice {
    /// Writes choices as CSV, the loss in a column `loss_after_` so many steps.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write(to: &mut dyn Write, choices: &[Self], steps: u32) -> io::Result<()> {
        let first = ["optimizer", "parameter", "start", "horizon", "seed", "value"];
        let after = format!("loss_after_{steps}");
        let last = [
            "loss_elsewhere",
            "trained_value",
            "loss_at_horizon",
            "at_edge",
            "slack",
            "alpha0",
            "layers",
            "pretrain",
            "test_error",
            "digest",
        ];
        let header: Vec<&str> = first.into_iter().chain([&*after]).chain(last).collect();
        csv::write(to, &header, choices)
    }
}
