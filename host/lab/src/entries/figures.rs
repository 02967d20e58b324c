//! The figure of a descent on every entry.

use myopia_core::nqm::Step;

use super::EntryRecord;
use crate::figure::{Axis, Figure, Lines, Series};

/// Rates before and after, momenta where they are tuned, and how the objective went.
pub fn figure(
    schedules: &[(&str, Vec<Step<f64>>)],
    tunes_momenta: bool,
    records: &[EntryRecord],
    partial: bool,
) -> Figure {
    let note = if partial { ", unfinished" } else { "" };
    let panel = |axis: Axis, read: fn(&Step<f64>) -> f64| {
        let panel = Lines::new("", Axis::linear("step"), axis);
        schedules.iter().fold(panel, |panel, (name, steps)| {
            panel.series(Series::steps(*name, steps.iter().map(read)))
        })
    };
    let losses = records.iter().filter_map(|r| Some((f64::from(r.meta_step), r.loss?)));
    let norms = records.iter().filter(|r| r.loss.is_some());
    let norms = norms.map(|r| (f64::from(r.meta_step), r.gradient_norm));
    let figure = Figure::new(format!("Every entry of the schedule{note}"))
        .columns(2)
        .panel(panel(Axis::linear("learning rate"), |step| step.learning_rate));
    let figure = match tunes_momenta {
        true => figure.panel(panel(Axis::linear("momentum"), |step| step.momentum)),
        false => figure,
    };
    let by_look = |axis| Lines::new("", Axis::linear("meta-step"), axis);
    figure
        .panel(by_look(Axis::log("objective (nats)")).series(Series::new("objective", losses)))
        .panel(by_look(Axis::log("norm of the gradient")).series(Series::new("norm", norms)))
}
