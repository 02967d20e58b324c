//! The figure of a descent on every entry.

use super::EntryRecord;
use crate::figure::{Axis, Figure, Lines, Series};
use crate::problem::Entries;

/// Rates before and after, momenta where they are tuned, and how the objective went.
pub fn figure(
    schedules: &[(&str, Entries)],
    tunes_momenta: bool,
    records: &[EntryRecord],
    partial: bool,
) -> Figure {
    let note = if partial { ", unfinished" } else { "" };
    let by_step = |axis: Axis| Lines::new("", Axis::linear("step"), axis);
    let rates =
        schedules.iter().fold(by_step(Axis::linear("learning rate")), |panel, (name, of)| {
            let layers = of.rates_of_a_step();
            (0..layers).fold(panel, |panel, layer| {
                let name = match layers {
                    1 => (*name).to_owned(),
                    _ => format!("{name}, layer {}", layer + 1),
                };
                panel.series(Series::steps(name, of.of_layer(layer)))
            })
        });
    let losses = records.iter().filter_map(|r| Some((f64::from(r.meta_step), r.loss?)));
    let norms = records.iter().filter(|r| r.loss.is_some());
    let norms = norms.map(|r| (f64::from(r.meta_step), r.gradient_norm));
    let figure = Figure::new(format!("Every entry of the schedule{note}")).columns(2).panel(rates);
    let figure = match tunes_momenta {
        true => figure.panel(
            schedules.iter().fold(by_step(Axis::linear("momentum")), |panel, (name, of)| {
                panel.series(Series::steps(*name, of.momenta().iter().copied()))
            }),
        ),
        false => figure,
    };
    let by_look = |axis| Lines::new("", Axis::linear("meta-step"), axis);
    figure
        .panel(by_look(Axis::log("objective (nats)")).series(Series::new("objective", losses)))
        .panel(by_look(Axis::log("norm of the gradient")).series(Series::new("norm", norms)))
}
