//! The figure of the edge of chaos.

use super::Row;
use crate::figure::{Axis, Figure, Lines, Reference, Series};

/// Objective, derivative, exponent, sharpness, agreement and signal along the hyperparameter, a
/// curve for each horizon; the agreement is that of number `rung` of the ladder.
pub fn figure(
    parameter: &str,
    horizons: &[u32],
    rows: &[Row],
    (rung, delta): (usize, f64),
    partial: bool,
) -> Figure {
    let empty = |axis: Axis, edge: Option<f64>| {
        let panel = Lines::new("", Axis::log(parameter), axis);
        match edge {
            Some(edge) => panel.reference(Reference::Horizontal(edge, "edge".to_owned())),
            None => panel,
        }
    };
    let series = |panel: Lines, of: &str, read: &dyn Fn(&Row) -> Option<f64>| {
        horizons.iter().fold(panel, |panel, &horizon| {
            let rows = rows.iter().filter(|row| row.horizon == horizon);
            let points = rows.filter_map(|row| Some((row.value, read(row)?)));
            panel.series(Series::new(format!("{horizon} steps{of}"), points))
        })
    };
    let panel = |axis: Axis, edge: Option<f64>, read: &dyn Fn(&Row) -> Option<f64>| {
        series(empty(axis, edge), "", read)
    };
    let sharpness = empty(Axis::log("sharpness × α / 2(1 + μ)"), Some(1.0));
    let sharpness = series(sharpness, "", &|row| row.edge_of_stability);
    let sharpness = series(sharpness, ", Gauss-Newton", &|row| row.gauss_newton_stability);
    let agreement = |row: &Row| row.agreement.get(rung).copied().flatten();
    let note = if partial { ", unfinished" } else { "" };
    Figure::new(format!("Where the derivative by {parameter} ends{note}"))
        .columns(2)
        .panel(panel(Axis::log("objective E (nats)"), None, &|row| row.loss))
        .panel(panel(Axis::log("size of the derivative E′"), None, &|row| {
            row.derivative.map(f64::abs)
        }))
        .panel(panel(Axis::linear("Lyapunov exponent per step"), Some(0.0), &|row| row.exponent))
        .panel(sharpness)
        .panel(panel(
            Axis::linear(format!("agreement ratio over ±{} %", 100.0 * delta)).range(-1.0, 3.0),
            Some(1.0),
            &agreement,
        ))
        .panel(panel(Axis::log("signal / noise over seeds"), Some(1.0), &|row| row.signal_to_noise))
}
