//! The figure of online adaptation.

use super::Outcome;
use crate::curve::Point;
use crate::figure::{Axis, Figure, Lines, Series};

/// Losses, learning rate and damping of the named trials in the course of training.
pub fn figure(trials: &[(String, &Outcome)], partial: bool) -> Figure {
    let panel = |axis: Axis, read: &dyn Fn(&Point) -> Option<f64>| {
        let panel = Lines::new("", Axis::linear("training step"), axis);
        trials.iter().fold(panel, |panel, (name, outcome)| {
            let points = outcome.curve.iter();
            let points = points.filter_map(|p| Some((f64::from(p.step), read(p)?)));
            panel.series(Series::new(name, points))
        })
    };
    let held_out =
        trials.iter().any(|(_, outcome)| outcome.curve.iter().any(|p| p.validation_loss.is_some()));
    let second = match held_out {
        true => panel(Axis::log("validation loss (nats)"), &|p| p.validation_loss),
        false => panel(Axis::log("test loss (nats)"), &|p| Some(p.test_loss)),
    };
    let note = if partial { ", unfinished" } else { "" };
    Figure::new(format!("Online adaptation beside fixed learning rates{note}"))
        .columns(2)
        .panel(panel(Axis::log("training loss (nats)"), &|p| Some(p.training_loss)))
        .panel(second)
        .panel(panel(Axis::log("learning rate α"), &|p| Some(p.learning_rate)))
        .panel(panel(Axis::log("1 − μ"), &|p| Some(1.0 - p.momentum)))
}
