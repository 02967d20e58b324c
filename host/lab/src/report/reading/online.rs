//! How trials of learning rates that are adapted while training ended.

use super::super::Table;
use super::{brief, list};

/// How the trials ended.
pub(super) fn ends(table: &Table) -> Vec<String> {
    struct End<'a> {
        kind: &'a str,
        trial: &'a str,
        loss: f64,
        first_rate: f64,
        rate: f64,
        momentum: f64,
    }
    let held_out = table.rows.iter().any(|row| table.number(row, "validation_loss").is_some());
    let column = if held_out { "validation_loss" } else { "training_loss" };
    let what = column.replace('_', " ");
    let ends: Vec<End<'_>> = table
        .rows
        .iter()
        .filter_map(|row| {
            Some(End {
                kind: table.text(row, "kind")?,
                trial: table.text(row, "trial")?,
                loss: table.number(row, column)?,
                first_rate: table.number(row, "first_learning_rate")?,
                rate: table.number(row, "last_learning_rate")?,
                momentum: table.number(row, "last_momentum")?,
            })
        })
        .collect();
    let best = |kinds: &[&str]| {
        let own = ends.iter().filter(|end| kinds.contains(&end.kind));
        own.reduce(|a, b| if b.loss < a.loss { b } else { a })
    };
    let mut found = Vec::new();
    for (kind, name) in [
        ("fixed", "a fixed learning rate"),
        ("decayed", "a learning rate that is lowered half-way"),
        ("fresh", "look-aheads on fresh batches"),
        ("same", "look-aheads on one batch"),
    ] {
        if let Some(end) = best(&[kind]) {
            found.push(format!(
                "With {name} the lowest {what} is {} ({}).",
                brief(end.loss),
                end.trial
            ));
        }
    }
    for end in ends.iter().filter(|end| ["fresh", "same"].contains(&end.kind)) {
        found.push(format!(
            "{}: learning rate from {} to {}, momentum to {}.",
            end.trial,
            brief(end.first_rate),
            brief(end.rate),
            brief(end.momentum)
        ));
    }
    if let (Some(fixed), Some(adapted)) = (best(&["fixed", "decayed"]), best(&["fresh", "same"])) {
        let than = if adapted.loss < fixed.loss {
            "lower than"
        } else if adapted.loss > fixed.loss {
            "higher than"
        } else {
            "the same as"
        };
        found.push(format!(
            "The {what} of the best adapted run ({}) is {than} that of the best tuned one ({}): {} and {}.",
            adapted.trial,
            fixed.trial,
            brief(adapted.loss),
            brief(fixed.loss)
        ));
    }
    if let (Some(fresh), Some(same)) = (best(&["fresh"]), best(&["same"])) {
        let rate = |end: &End<'_>| end.rate / (1.0 - end.momentum);
        let (low, high) = (rate(fresh), rate(same));
        found.push(format!(
            "Seeing the noise of fresh batches, look-aheads end at an effective rate α/(1 − μ) of {}; seeing none, at {}.",
            brief(low),
            brief(high)
        ));
    }
    found
}

/// Trials that were better before they were trained.
pub(super) fn risen(curves: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for (trial, rows) in curves.groups(&["trial"]) {
        let losses: Vec<f64> =
            rows.iter().filter_map(|row| curves.number(row, "training_loss")).collect();
        let (Some(first), Some(last)) = (losses.first(), losses.last()) else { continue };
        if last > first {
            let high = losses.iter().fold(*first, |a, &b| if b > a { b } else { a });
            found.push(format!(
                "{}: the training loss rose from {} to {}; its highest was {}.",
                list(&trial),
                brief(*first),
                brief(*last),
                brief(high)
            ));
        }
    }
    found
}
