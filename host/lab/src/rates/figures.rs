//! The figures of rates.

use myopia_core::schedule::Parameter;

use super::{Curve, Grid};
use crate::figure::{Axis, Band, Figure, Lines, Markers, Reference, Series};
use crate::shown::symbol;
use crate::spread::Spread;

fn from(pretrain: u32) -> String {
    match pretrain {
        0 => "cold start".to_owned(),
        steps => format!("warm start, {steps} steps"),
    }
}

/// A panel for each start with the learning rate that each hyperparameter expresses at each
/// horizon, relative to the longest's, and below it one with the loss after `steps` steps,
/// relative to that of the longest horizon's choice; medians and ranges over the seeds.
pub fn figure(curves: &[Curve], steps: u32) -> Figure {
    let mut starts: Vec<u32> = curves.iter().map(|curve| curve.pretrain).collect();
    starts.sort_unstable();
    starts.dedup();
    let title = format!("What short horizons choose, and what that is worth after {steps} steps");
    let figure = Figure::new(title).columns(starts.len().max(1));
    let rate = |of: &super::Horizon| Some(of.relative_rate);
    let loss = |of: &super::Horizon| of.relative_loss;
    let figure = starts.iter().fold(figure, |figure, &start| {
        let y = Axis::log("rate relative to the longest T's");
        figure.panel(panel(curves, start, from(start), y, &rate))
    });
    starts.iter().fold(figure, |figure, &start| {
        let y = Axis::log(format!("loss at {steps} relative to the longest T's"));
        figure.panel(panel(curves, start, String::new(), y, &loss))
    })
}

fn panel(
    curves: &[Curve],
    start: u32,
    title: String,
    y: Axis,
    read: &dyn Fn(&super::Horizon) -> Option<Spread>,
) -> Lines {
    let panel = Lines::new(title, Axis::log("T, horizon (steps)"), y);
    let own = curves.iter().filter(|curve| curve.pretrain == start);
    let panel = own.fold(panel, |panel, curve| {
        let points: Vec<(f64, Spread)> = curve
            .horizons
            .iter()
            .filter_map(|of| Some((f64::from(of.horizon), read(of)?)))
            .collect();
        let median = points.iter().map(|&(x, spread)| (x, spread.median));
        let panel = panel.series(Series::new(curve.name(), median).markers(Markers::Points));
        if curve.horizons.iter().all(|of| of.seeds < 2) {
            return panel;
        }
        let band = points.iter().map(|&(x, spread)| (x, [spread.least, spread.greatest]));
        panel.band(Band { name: curve.name(), points: band.collect() })
    });
    panel.reference(Reference::Horizontal(1.0, String::new()))
}

/// For each study and start the objective after each horizon against the value, medians over the
/// seeds with which training survived; `grids` has a grid for each seed and horizon.
pub fn losses(grids: &[Grid<'_>], partial: bool) -> Figure {
    let mut panels: Vec<(String, Lines)> = Vec::new();
    let mut starts: Vec<u32> = grids.iter().map(|grid| grid.start.pretrain).collect();
    starts.sort_unstable();
    starts.dedup();
    let mut drawn: Vec<(*const super::Study<'_>, u32, u32)> = Vec::new();
    for grid in grids {
        let (study, pretrain) = (grid.study, grid.start.pretrain);
        let key = (std::ptr::from_ref(study), pretrain, grid.horizon);
        if drawn.contains(&key) {
            continue;
        }
        drawn.push(key);
        let same = |other: &&Grid<'_>| {
            let there = (std::ptr::from_ref(other.study), other.start.pretrain, other.horizon);
            there == key
        };
        let seeds: Vec<&Grid<'_>> = grids.iter().filter(same).collect();
        let medians = study.values.iter().filter_map(|&value| {
            let at = |grid: &&Grid<'_>| grid.points.iter().find(|point| point.0 == value)?.1;
            Some((value, Spread::of(seeds.iter().filter_map(at))?.median))
        });
        let series = Series::new(format!("T = {}", grid.horizon), medians).markers(Markers::Points);
        let symbol = match study.parameter {
            // The rates of a grid are constant.
            Parameter::Alpha0 => "α",
            other => symbol(other),
        };
        let title =
            format!("{} {} {}, {}", study.optimizer, symbol, study.layers(), from(pretrain));
        match panels.iter_mut().find(|(known, _)| *known == title) {
            Some((_, panel)) => panel.series.push(series),
            None => {
                let y = Axis::log("objective after T steps (nats)");
                let panel = Lines::new(title.clone(), Axis::log(symbol), y).series(series);
                panels.push((title, panel));
            }
        }
    }
    let unfinished = if partial { ", unfinished" } else { "" };
    let title = format!("The objective after T steps over what is tuned{unfinished}");
    let figure = Figure::new(title).columns(starts.len().max(1));
    panels.into_iter().fold(figure, |figure, (_, panel)| figure.panel(panel))
}
