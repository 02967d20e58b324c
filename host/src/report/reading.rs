//! The reading: sentences about what the tables show, each computed from them.

use myopia_core::elementary::Libm;
use myopia_core::schedule::InverseTime;
use serde_json::Value;

use super::{Contents, Table};

/// What the tables of a folder show.
pub fn sentences(contents: &Contents) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(table) = contents.table("horizons") {
        found.extend(choices(table));
        found.extend(worth(table));
    }
    if let Some(table) = contents.table("trajectories") {
        found.extend(paths(table, contents));
    }
    if let Some(table) = contents.table("surface") {
        found.extend(surface(table));
    }
    if let Some(table) = contents.table("online") {
        found.extend(online(table));
        found.extend(contents.table("curves").map(blown_up).unwrap_or_default());
    }
    if let Some(table) = contents.table("trajectory") {
        found.extend(descent(table));
    }
    if let (Some(table), None) = (contents.table("training"), contents.table("horizons")) {
        found.extend(training(table));
    }
    if let Some(table) = contents.table("tour") {
        found.extend(tour(table));
    }
    found
}

/// A number to four significant digits.
pub fn brief(x: f64) -> String {
    let size = x.abs();
    if x == 0.0 {
        "0".to_owned()
    } else if !(1e-4..1e6).contains(&size) {
        format!("{x:.3e}")
    } else {
        let digits = 3 - libm::log10(size).floor() as i32;
        format!("{x:.*}", digits.clamp(0, 8) as usize)
    }
}

fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.001 {
        "less than 0.1 %".to_owned()
    } else {
        format!("{:.1} %", 100.0 * share)
    }
}

/// "A, B and C".
fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// The share of its first rate that a schedule keeps after `steps` steps.
fn kept(schedule: InverseTime<f64>, steps: f64) -> f64 {
    let rate = |k| schedule.with_tangents([]).learning_rate::<Libm>(k).value;
    rate(steps as u32) / schedule.alpha0
}

/// What a row says of a schedule.
fn schedule(table: &Table, row: &[String]) -> Option<InverseTime<f64>> {
    Some(InverseTime {
        alpha0: table.number(row, "alpha0")?,
        time_constant: table.number(row, "time_constant")?,
        beta: table.number(row, "beta")?,
    })
}

fn choices(table: &Table) -> Vec<String> {
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
            found.push(format!(
                "T = {short} and T = {long} chose nearly the same schedule, no parameter further apart than {}: beyond \
                 {short} steps the objective asked for nothing else.",
                percent(far.iter().fold(1.0, |a, &b| if b > a { b } else { a }) - 1.0)
            ));
        }
    }
    found
}

/// What each horizon's schedule is worth in the end, by one column.
fn worth(table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    let steps = table.rows.iter().find_map(|row| table.number(row, "steps"));
    let Some(steps) = steps else { return found };
    for (column, what) in [
        ("training_loss", "training loss"),
        ("validation_loss", "validation loss"),
        ("test_error", "test error"),
    ] {
        let ends: Vec<(f64, f64)> = table
            .rows
            .iter()
            .filter(|row| table.text(row, "digest").is_some())
            .filter_map(|row| Some((table.number(row, "horizon")?, table.number(row, column)?)))
            .collect();
        let best = ends.iter().copied().reduce(|a, b| if b.1 < a.1 { b } else { a });
        let worst = ends.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a });
        let (Some(best), Some(worst)) = (best, worst) else { continue };
        if ends.len() < 2 || best.1 <= 0.0 || best.0 == worst.0 {
            continue;
        }
        let show = |value: f64| match column {
            "test_error" => format!("{:.2} %", 100.0 * value),
            _ => brief(value),
        };
        let order = match ends.windows(2).all(|pair| pair[1].1 <= pair[0].1) {
            true => "the longer the horizon, the lower it is",
            false if best.0 > worst.0 => "the order is not quite that of the horizons",
            false => "here the shorter horizon does better",
        };
        found.push(format!(
            "After {steps} steps the {what} is lowest with the schedule of T = {}, {}, and highest with that of T = {}, {}: \
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

fn paths(table: &Table, contents: &Contents) -> Vec<String> {
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
    for (key, rows) in table.groups(&["horizon", "start"]) {
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
                "At T = {horizon}, {clipped} of {} hypergradients were longer than the clip of {}, the longest {}: there the \
                 loss after {horizon} steps depends chaotically on the schedule, and its exact derivative points nowhere.",
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

fn surface(table: &Table) -> Vec<String> {
    let mut horizons: Vec<f64> = Vec::new();
    for horizon in table.rows.iter().filter_map(|row| table.number(row, "horizon")) {
        if !horizons.contains(&horizon) {
            horizons.push(horizon);
        }
    }
    let mut found = Vec::new();
    let mut bests = Vec::new();
    for horizon in horizons {
        let rows =
            || table.rows.iter().filter(move |row| table.number(row, "horizon") == Some(horizon));
        let losses = rows().filter_map(|row| Some((table.number(row, "loss")?, row)));
        let Some((loss, row)) = losses.reduce(|a, b| if b.0 < a.0 { b } else { a }) else {
            found.push(format!("At T = {horizon} every schedule diverged."));
            continue;
        };
        let diverged = rows().filter(|row| table.number(row, "loss").is_none()).count();
        let Some(best) = schedule(table, row) else { continue };
        found.push(format!(
            "At T = {horizon} the lowest of {} losses is {}, at α₀ = {}, K = {}, β = {}, a schedule that keeps {} of its first \
             rate at T; {} diverged.",
            rows().count(),
            brief(loss),
            brief(best.alpha0),
            brief(best.time_constant),
            brief(best.beta),
            percent(kept(best, horizon)),
            match diverged {
                0 => "none".to_owned(),
                count => count.to_string(),
            }
        ));
        bests.push((horizon, best));
    }
    if let [(short, first), .., (long, last)] = bests[..] {
        let way = |from: f64, to: f64| match to / from {
            ratio if ratio > 1.0 => format!("{} times as large", brief(ratio)),
            ratio if ratio < 1.0 => format!("{} times smaller", brief(1.0 / ratio)),
            _ => "the same".to_owned(),
        };
        found.push(format!(
            "From T = {short} to T = {long} the best β becomes {} and the best α₀ {}.",
            way(first.beta, last.beta),
            way(first.alpha0, last.alpha0)
        ));
    }
    found
}

fn online(table: &Table) -> Vec<String> {
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
        let ratio = adapted.loss / fixed.loss;
        found.push(match ratio > 1.0 {
            true => format!(
                "The best adapted run ({}) ends with {} times the {what} of the best tuned one ({}).",
                adapted.trial,
                brief(ratio),
                fixed.trial
            ),
            false => format!(
                "The best adapted run ({}) beats the best tuned one ({}): {} times its {what}.",
                adapted.trial,
                fixed.trial,
                brief(ratio)
            ),
        });
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
fn blown_up(curves: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for (trial, rows) in curves.groups(&["trial"]) {
        let losses: Vec<f64> =
            rows.iter().filter_map(|row| curves.number(row, "training_loss")).collect();
        let (Some(first), Some(last)) = (losses.first(), losses.last()) else { continue };
        if last > first {
            let high = losses.iter().fold(*first, |a, &b| if b > a { b } else { a });
            found.push(format!(
                "{}: training blew up; the training loss began at {}, rose to {} and ended at {}.",
                list(&trial),
                brief(*first),
                brief(high),
                brief(*last)
            ));
        }
    }
    found
}

fn descent(table: &Table) -> Vec<String> {
    let loss = |row: &Vec<String>| table.number(row, "loss");
    let best = table.rows.iter().filter_map(|row| Some((loss(row)?, row)));
    let best = best.reduce(|a, b| if b.0 < a.0 { b } else { a });
    let (Some(first), Some((lowest, row))) = (table.rows.first().and_then(loss), best) else {
        return Vec::new();
    };
    let Some(found) = schedule(table, row) else { return Vec::new() };
    vec![format!(
        "In {} meta-steps the objective fell from {} to {}, lowest at meta-step {} with α₀ = {}, K = {}, β = {}.",
        table.rows.len() - 1,
        brief(first),
        brief(lowest),
        table.text(row, "meta_step").unwrap_or("?"),
        brief(found.alpha0),
        brief(found.time_constant),
        brief(found.beta)
    )]
}

fn training(table: &Table) -> Vec<String> {
    let losses: Vec<f64> = table.rows.iter().filter_map(|row| table.number(row, "loss")).collect();
    let part = (losses.len() / 10).max(1);
    let (Some(first), Some(last)) = (losses.first_chunk::<1>(), losses.last()) else {
        return Vec::new();
    };
    let mean = |losses: &[f64]| losses.iter().fold(0.0, |a, b| a + b) / losses.len() as f64;
    vec![format!(
        "The loss of a batch fell from {} at the first step to {} at the last of {}; over the last tenth of them its mean is {}.",
        brief(first[0]),
        brief(*last),
        losses.len(),
        brief(mean(&losses[losses.len() - part..]))
    )]
}

fn tour(table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for (study, rows) in table.groups(&["study"]) {
        let ends: Vec<(f64, f64)> = rows
            .iter()
            .filter_map(|row| {
                Some((table.number(row, "horizon")?, table.number(row, "loss_at_longest")?))
            })
            .collect();
        let worst = ends.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a });
        if let (Some(worst), Some(long)) = (worst, ends.last()) {
            found.push(format!(
                "{}: the schedule that looks best after {} steps ends with {} times the loss of the one that looks best \
                 after {}.",
                list(&study),
                worst.0,
                brief(worst.1 / long.1),
                long.0
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(tables: &[(&str, &str)]) -> Contents {
        let tables = tables
            .iter()
            .map(|(name, text)| {
                ((*name).to_owned(), Table::read(text.as_bytes()).unwrap(), Vec::new())
            })
            .collect();
        Contents { tables, ..Contents::default() }
    }

    #[test]
    fn the_reading_follows_the_numbers_and_not_a_belief() {
        let table = |short: &str, long: &str| {
            format!(
                "horizon,alpha0,time_constant,beta,steps,training_loss,validation_loss,test_error,digest\n\
                 10,0.1,5,2,100,{short},,0.04,aa\n100,0.1,50,1,100,{long},,0.02,bb\n"
            )
        };
        let read =
            |short, long| sentences(&contents(&[("horizons.csv", &table(short, long))])).join("\n");
        let biased = read("0.4", "0.1");
        assert!(biased.contains("lowest with the schedule of T = 100, 0.1000"), "{biased}");
        assert!(
            biased.contains("4.000 times as high; the longer the horizon, the lower"),
            "{biased}"
        );
        assert!(biased.contains("11.1 % is left after 10 steps"), "{biased}");
        let unbiased = read("0.1", "0.3");
        assert!(unbiased.contains("here the shorter horizon does better"), "{unbiased}");
        assert!(unbiased.contains("test error is lowest with the schedule of T = 100, 2.00 %"));
    }

    #[test]
    fn descents_that_part_and_chaos_are_remarked_on() {
        let mut found = contents(&[(
            "trajectories.csv",
            "horizon,start,meta_step,alpha0,time_constant,beta,loss,d_alpha0,d_time_constant,d_beta\n\
             5,1,0,0.1,5,2,1,0,0,0\n5,1,1,0.1,5,9,1,900,0,0\n5,2,0,0.1,5,2,1,0,0,1\n",
        )]);
        let fields = serde_json::from_str(r#"{"clip": 10.0}"#).unwrap();
        found.settings.push(super::super::Settings { name: "horizons.json".into(), fields });
        let read = sentences(&found).join("\n");
        assert!(
            read.contains("1 of 3 hypergradients were longer than the clip of 10.00"),
            "{read}"
        );
        assert!(read.contains("the 2 descents do not meet: they end with β from 2.000 to 9.000"));
        assert!(!read.contains("with α₀ from"), "{read}");
    }

    #[test]
    fn numbers_are_brief() {
        for (x, text) in [
            (0.0, "0"),
            (0.123_456, "0.1235"),
            (5000.0, "5000"),
            (-2.5, "-2.500"),
            (3e-9, "3.000e-9"),
        ] {
            assert_eq!(brief(x), text);
        }
    }
}
