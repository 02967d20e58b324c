//! The figure of remedies: rates and losses in the course of training.

use super::{Family, Finish, Outcome, Way};
use crate::figure::{Axis, Figure, Lines, Series};
use crate::spread::Spread;

/// The families drawn at most, those with the lowest losses.
const DRAWN: usize = 9;

/// Learning rates and losses of the best setting of each family in the course of training, medians
/// over the seeds; `runs` has a way, a finish and an outcome for each run.
pub fn figure(
    families: &[Family],
    runs: &[(Way, Finish, &Outcome)],
    steps: u32,
    partial: bool,
) -> Figure {
    let note = if partial { ", unfinished" } else { "" };
    let rates = Axis::log("learning rate").range(1e-5, 1.0);
    let panel = |axis: Axis, which: usize| {
        let panel = Lines::new("", Axis::linear("training step"), axis);
        families.iter().take(DRAWN).fold(panel, |panel, family| {
            let own: Vec<&Outcome> = runs
                .iter()
                .filter(|(way, finish, _)| {
                    let (name, setting) = way.named();
                    let same = family.setting.is_none() || family.setting == setting;
                    same && name + finish.suffix() == family.remedy
                })
                .map(|(_, _, outcome)| *outcome)
                .collect();
            let longest = own.iter().map(|outcome| outcome.course.len()).max().unwrap_or(0);
            let part = f64::from(steps.div_ceil(100).max(1));
            let point = |k: usize| {
                let there = own.iter().filter_map(|outcome| Some(outcome.course.get(k)?[which]));
                Some((k as f64 * part, Spread::of(there)?.median))
            };
            panel.series(Series::new(family.remedy.clone(), (0..longest).filter_map(point)))
        })
    };
    Figure::new(format!("Remedies, lowest losses first{note}"))
        .columns(2)
        .panel(panel(rates, 0))
        .panel(panel(Axis::log("mean loss of the batches (nats)"), 1))
}
