//! What each horizon chose, what that is worth, and how the descents went.

use std::collections::BTreeMap;

use myopia_core::schedule::InverseTime;
use serde_json::Value;

use super::super::{Contents, Table};
use super::{alike, brief, error_rate, kept, percent, schedule};

/// On how many seeds a longer horizon ends lower; nothing where there is one.
pub(super) fn seeds(table: &Table) -> Vec<String> {
    let mut ends: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
    for row in &table.rows {
        let Some(seed) = table.text(row, "seed").and_then(|seed| seed.parse().ok()) else {
            continue;
        };
        let ends = ends.entry(seed).or_default();
        if table.text(row, "digest").is_some()
            && let Some(horizon) = table.number(row, "horizon")
            && let Some(loss) = table.number(row, "training_loss")
        {
            ends.push((horizon, loss));
        }
    }
    if ends.is_empty() {
        return Vec::new();
    }
    let mut found = vec![format!("Of {} seeds, medians below.", ends.len())];
    let mut horizons: Vec<f64> = ends.values().flatten().map(|&(horizon, _)| horizon).collect();
    horizons.sort_by(f64::total_cmp);
    horizons.dedup();
    for pair in horizons.windows(2) {
        let [short, long] = *pair else { continue };
        let both: Vec<(f64, f64)> = ends
            .values()
            .filter_map(|ends| {
                let at = |wanted: f64| ends.iter().find(|(horizon, _)| *horizon == wanted);
                Some((at(short)?.1, at(long)?.1))
            })
            .collect();
        let falls = both.iter().filter(|(short, long)| long < short).count();
        found.push(format!(
            "From T = {short} to T = {long} the training loss in the end falls on {falls} of {} seeds.",
            both.len()
        ));
    }
    found
}

/// The schedule that each horizon chose.
pub(super) fn choices(table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for row in &table.rows {
        let Some(horizon) = table.number(row, "horizon") else { continue };
        let Some(chosen) = schedule(table, row) else {
            found.push(format!("At T = {horizon} every look-ahead diverged."));
            continue;
        };
        let mut sentence = format!(
            "T = {horizon} chose α₀ = {}, K = {}, β = {}: of its first rate, {} is left after {horizon} steps",
            brief(chosen.alpha0),
            brief(chosen.time_constant),
            brief(chosen.beta),
            percent(kept(chosen, horizon)),
        );
        if let Some(steps) = table.number(row, "steps").filter(|&steps| steps != horizon) {
            sentence += &format!(" and {} after {steps}", percent(kept(chosen, steps)));
        }
        found.push(sentence + ".");
    }
    let both: Option<Vec<(f64, InverseTime<f64>)>> = table
        .rows
        .iter()
        .map(|row| Some((table.number(row, "horizon")?, schedule(table, row)?)))
        .collect();
    for pair in both.unwrap_or_default().windows(2) {
        let [(short, a), (long, b)] = pair else { continue };
        let apart = |x: f64, y: f64| if x > y { x / y } else { y / x };
        let far = [
            apart(a.alpha0, b.alpha0),
            apart(a.time_constant, b.time_constant),
            apart(a.beta, b.beta),
        ];
        if far.iter().all(|&factor| factor < 1.25) {
            let apart = far.iter().fold(1.0, |a, &b| if b > a { b } else { a }) - 1.0;
            found.push(format!(
                "T = {short} and T = {long} chose nearly the same schedule, no parameter further apart than {}.",
                percent(apart)
            ));
        }
    }
    found
}

/// What each horizon's schedule is worth in the end, by one column.
pub(super) fn worth(table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    let mut steps = table.rows.iter().filter_map(|row| table.number(row, "steps"));
    let Some(first) = steps.next() else { return found };
    // Ends after other numbers of steps cannot be compared.
    if steps.any(|other| other != first) {
        return found;
    }
    for (column, what) in [
        ("training_loss", "training loss"),
        ("validation_loss", "validation loss"),
        ("test_error", "test error"),
    ] {
        let mut ends: Vec<(f64, f64)> = table
            .rows
            .iter()
            // Medians have no digest.
            .filter(|row| !table.has("digest") || table.text(row, "digest").is_some())
            .filter_map(|row| Some((table.number(row, "horizon")?, table.number(row, column)?)))
            .collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let best = ends.iter().copied().reduce(|a, b| if b.1 < a.1 { b } else { a });
        let worst = ends.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a });
        let (Some(best), Some(worst)) = (best, worst) else { continue };
        if ends.len() < 2 || best.1 <= 0.0 || alike(worst.1 / best.1, 1.0) {
            continue;
        }
        let show = |value: f64| match column {
            "test_error" => error_rate(value),
            _ => brief(value),
        };
        let every = |holds: fn(f64, f64) -> bool| ends.windows(2).all(|p| holds(p[0].1, p[1].1));
        let order = if every(|short, long| long < short) {
            "the longer the horizon, the lower it is"
        } else if every(|short, long| long > short) {
            "the longer the horizon, the higher it is"
        } else {
            "the order is not that of the horizons"
        };
        found.push(format!(
            "After {first} steps the {what} is lowest with the schedule of T = {}, {}, and highest with that of T = {}, {}: \
             {} times as high; {order}.",
            best.0,
            show(best.1),
            worst.0,
            show(worst.1),
            brief(worst.1 / best.1)
        ));
    }
    found
}

/// How the descents went.
pub(super) fn paths(table: &Table, contents: &Contents) -> Vec<String> {
    let mut found = Vec::new();
    let fields = || contents.settings.iter().map(|settings| &settings.fields);
    let clip = fields().find_map(|fields| fields.get("clip")?.as_f64()).unwrap_or(f64::INFINITY);
    let steepness = |row: &Vec<String>| {
        let slopes = ["alpha0", "time_constant", "beta"].map(|name| {
            let slope = table.number(row, &format!("d_{name}")).unwrap_or(0.0);
            (slope * table.number(row, name).unwrap_or(0.0)).abs()
        });
        slopes.into_iter().fold(0.0, |a, b| if b > a { b } else { a })
    };
    let mut horizons: Vec<(String, Vec<&[Vec<String>]>)> = Vec::new();
    for (key, rows) in table.groups(&["horizon", "start", "seed"]) {
        let Some(horizon) = key.first() else { continue };
        match horizons.iter_mut().find(|(known, _)| known == horizon) {
            Some((_, paths)) => paths.push(rows),
            None => horizons.push((horizon.clone(), vec![rows])),
        }
    }
    for (horizon, paths) in &horizons {
        let all = || paths.iter().flat_map(|rows| rows.iter());
        let clipped = all().filter(|row| steepness(row) > clip).count();
        if clipped > 0 {
            let largest = all().map(steepness).fold(0.0, |a, b| if b > a { b } else { a });
            found.push(format!(
                "At T = {horizon}, {clipped} of {} hypergradients by the logarithms exceeded the clip of {} in some parameter, at \
                 most with {}.",
                all().count(),
                brief(clip),
                brief(largest)
            ));
        }
        for (name, label) in [("alpha0", "α₀"), ("time_constant", "K"), ("beta", "β")] {
            let ends: Vec<f64> = paths
                .iter()
                .filter_map(|rows| rows.last())
                .filter_map(|row| table.number(row, name))
                .collect();
            let low = ends.iter().copied().reduce(|a, b| if b < a { b } else { a });
            let high = ends.iter().copied().reduce(|a, b| if b > a { b } else { a });
            if let (Some(low), Some(high)) = (low, high)
                && high > 2.0 * low
            {
                found.push(format!(
                    "At T = {horizon} the {} descents do not meet: they end with {label} from {} to {}.",
                    ends.len(),
                    brief(low),
                    brief(high)
                ));
            }
        }
    }
    let diverged = fields()
        .filter_map(|fields| fields.get("paths")?.as_array())
        .flatten()
        .filter(|path| path.get("diverged").is_some_and(Value::is_string))
        .count();
    if diverged > 0 {
        found.push(format!("{diverged} of the descents ended early because training diverged."));
    }
    found
}
