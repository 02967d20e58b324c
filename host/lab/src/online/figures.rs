//! The figure of online adaptation.

use super::Outcome;
use crate::curve::Point;
use crate::figure::{Axis, Figure, Lines};
use crate::spread;

/// Losses, learning rate and damping of the named trials in the course of training; of several
/// seeds the median, and the range as a band.
pub fn figure(trials: &[(String, Vec<&Outcome>)], partial: bool) -> Figure {
    let panel = |axis: Axis, read: &dyn Fn(&Point) -> Option<f64>| {
        let panel = Lines::new("", Axis::linear("training step"), axis);
        trials.iter().fold(panel, |panel, (name, seeds)| {
            let seeds: Vec<&[Point]> = seeds.iter().map(|outcome| &outcome.curve[..]).collect();
            spread::draw(panel, name, &seeds, read)
        })
    };
    let outcomes = || trials.iter().flat_map(|(_, seeds)| seeds);
    // A run that blows up must not flatten the others: what is ten times as high as the highest
    // start is cut off.
    let losses = |label: &str, read: &dyn Fn(&Point) -> Option<f64>| {
        let at = |points: &[Point]| -> Vec<f64> {
            points.iter().filter_map(read).filter(|&loss| loss > 0.0).collect()
        };
        let firsts = outcomes().flat_map(|o| at(o.curve.first_chunk::<1>().map_or(&[], |c| c)));
        let all = || outcomes().flat_map(|outcome| at(&outcome.curve));
        let high = firsts.reduce(|a, b| if b > a { b } else { a }).map(|first| 10.0 * first);
        let low = all().reduce(|a, b| if b < a { b } else { a });
        match (low, high) {
            (Some(low), Some(high)) if all().any(|loss| loss > high) => {
                Axis::log(label).range(0.8 * low, high)
            }
            _ => Axis::log(label),
        }
    };
    let loss = |label: &str, read: &dyn Fn(&Point) -> Option<f64>| panel(losses(label, read), read);
    let held_out =
        outcomes().any(|outcome| outcome.curve.iter().any(|p| p.validation_loss.is_some()));
    let second = match held_out {
        true => loss("validation loss (nats)", &|p| p.validation_loss),
        false => loss("test loss (nats)", &|p| Some(p.test_loss)),
    };
    let note = if partial { ", unfinished" } else { "" };
    let seeds = match trials.first().map_or(0, |(_, seeds)| seeds.len()) {
        seeds @ 2.. => format!(": median and range of {seeds} seeds"),
        _ => String::new(),
    };
    Figure::new(format!("Online adaptation beside fixed learning rates{seeds}{note}"))
        .columns(2)
        .panel(loss("training loss (nats)", &|p| Some(p.training_loss)))
        .panel(second)
        .panel(panel(Axis::log("learning rate α"), &|p| Some(p.learning_rate)))
        .panel(panel(Axis::log("1 − μ"), &|p| Some(1.0 - p.momentum)))
}
