//! How the losses of one training run, of one descent, and of the tour went.

use myopia_core::schedule::InverseTime;

use super::super::Table;
use super::{alike, brief, list, lowest, schedule, went};

/// How the objective went in a descent.
pub(super) fn descent(table: &Table) -> Vec<String> {
    let loss = |row: &Vec<String>| table.number(row, "loss");
    let losses: Vec<f64> = table.rows.iter().filter_map(loss).collect();
    let (Some(&first), Some(&last)) = (losses.first(), losses.last()) else { return Vec::new() };
    let Some(best) = lowest(table.rows.iter(), loss) else { return Vec::new() };
    let Some(least) = loss(best) else { return Vec::new() };
    let with = schedule(table, best).map(|found| {
        let InverseTime { alpha0, time_constant, beta } = found;
        format!(" with α₀ = {}, K = {}, β = {}", brief(alpha0), brief(time_constant), brief(beta))
    });
    let steps = table.rows.len() - 1;
    if steps == 0 {
        return Vec::new();
    }
    if alike(first, least) && alike(first, last) {
        return vec![format!("In {steps} meta-steps the objective stayed at {}.", brief(first))];
    }
    let end = match last > least && !alike(last, least) {
        true => format!("; it ended at {}", brief(last)),
        false => String::new(),
    };
    vec![match least < first && !alike(least, first) {
        true => format!(
            "In {steps} meta-steps the objective fell from {} to {}, lowest at meta-step {}{}{end}.",
            brief(first),
            brief(least),
            table.text(best, "meta_step").unwrap_or("?"),
            with.unwrap_or_default()
        ),
        false => format!(
            "In {steps} meta-steps the objective was never lower than the {} that it began with{end}.",
            brief(first)
        ),
    }]
}

/// How the loss went in one training run.
pub(super) fn losses(table: &Table) -> Vec<String> {
    let losses: Vec<f64> = table.rows.iter().filter_map(|row| table.number(row, "loss")).collect();
    let ([first, ..], [.., last]) = (&losses[..], &losses[..]) else { return Vec::new() };
    let part = (losses.len() / 10).max(1);
    let mean = |losses: &[f64]| losses.iter().fold(0.0, |a, b| a + b) / losses.len() as f64;
    let what = match went(*first, *last) {
        "stayed" => format!("stayed at {} from the first step to the last", brief(*first)),
        went => format!(
            "{went} from {} at the first step to {} at the last",
            brief(*first),
            brief(*last)
        ),
    };
    vec![format!(
        "The loss of a batch {what} of {}; over the last tenth of them its mean is {}.",
        losses.len(),
        brief(mean(&losses[losses.len() - part..]))
    )]
}

/// What the schedules that look best early end with.
pub(super) fn tour(table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for (study, rows) in table.groups(&["study"]) {
        let mut ends: Vec<(f64, f64)> = rows
            .iter()
            .filter_map(|row| {
                Some((table.number(row, "horizon")?, table.number(row, "loss_at_longest")?))
            })
            .collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let worst = ends.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a });
        let (Some(worst), Some(long)) = (worst, ends.last()) else { continue };
        let study = list(&study);
        found.push(match worst.1 > long.1 && long.1 > 0.0 && !alike(worst.1 / long.1, 1.0) {
            true => format!(
                "{study}: the schedule that looks best after {} steps ends with {} times the loss of the one that looks best \
                 after {}.",
                worst.0,
                brief(worst.1 / long.1),
                long.0
            ),
            false => format!(
                "{study}: no schedule ends with a higher loss than the one that looks best after {} steps, {}.",
                long.0,
                brief(long.1)
            ),
        });
    }
    found
}
