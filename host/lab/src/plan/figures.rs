//! The figure of a plan.

use myopia_core::nqm::Direction;
use myopia_core::sum::sum;

use super::{Followed, Forecast, Model, Rates};
use crate::figure::{Axis, Figure, Lines, Reference, Series};

/// The measured spectrum, the rates planned, and the loss foretold, beside what training did by
/// each of the schedules `trained`.
pub fn figure(
    model: &Model,
    cap: f64,
    schedule: &Rates<'_>,
    forecast: &Forecast,
    trained: &[(&str, &Followed)],
    partial: bool,
) -> Figure {
    let note = if partial { ", unfinished" } else { "" };
    // Sums over curvatures: single nodes of a quadrature mean little.
    let of = |read: fn(&Direction<f64>) -> f64| {
        let points = model.directions.iter().map(|d| (d.curvature, read(d)));
        let mut points: Vec<_> = points.filter(|(_, y)| *y > 0.0).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total = sum(points.iter().map(|point| point.1));
        points.iter_mut().fold(0.0, |before, (_, y)| {
            *y = before + *y / total;
            *y
        });
        points
    };
    let signal = of(|d| d.curvature * d.initial_mean * d.initial_mean / 2.0);
    let noise = of(|d| d.curvature * d.curvature * d.noise_variance);
    let spectrum =
        Lines::new("", Axis::log("curvature"), Axis::linear("share at this curvature or less"))
            .series(Series::new("loss to remove", signal))
            .series(Series::new("variance of the gradient's noise", noise));
    let mut at = 0;
    let stairs = schedule.lengths.iter().zip(schedule.rates).flat_map(|(&steps, &rate)| {
        let from = at as f64;
        at += steps;
        [(from, rate), (at as f64, rate)]
    });
    let stairs: Vec<(f64, f64)> = stairs.collect();
    let rates = Lines::new("", Axis::linear("step"), Axis::linear("learning rate"))
        .series(Series::new("planned", stairs))
        .reference(Reference::Horizontal(cap, "largest".to_owned()));
    let course = |points: &[(usize, f64)]| -> Vec<(f64, f64)> {
        points.iter().map(|&(step, loss)| (step as f64, loss)).collect()
    };
    let losses = Lines::new("", Axis::linear("step"), Axis::log("training loss (nats)"))
        .series(Series::new("foretold", course(&forecast.course)));
    let losses = trained.iter().fold(losses, |losses, (name, followed)| {
        losses.series(Series::new(*name, course(&followed.course)))
    });
    Figure::new(format!("A schedule planned from a measured spectrum{note}"))
        .columns(3)
        .panel(spectrum)
        .panel(rates)
        .panel(losses)
}
