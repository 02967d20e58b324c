//! Which schedules of a surface are best.

use super::super::Table;
use super::{brief, kept, lowest, percent, schedule};

/// The best schedule at each horizon, and how it changes from the shortest to the longest.
pub(super) fn bests(table: &Table) -> Vec<String> {
    let mut horizons: Vec<f64> = Vec::new();
    for horizon in table.rows.iter().filter_map(|row| table.number(row, "horizon")) {
        if !horizons.contains(&horizon) {
            horizons.push(horizon);
        }
    }
    horizons.sort_by(f64::total_cmp);
    let mut found = Vec::new();
    let mut bests = Vec::new();
    for horizon in horizons {
        let rows =
            || table.rows.iter().filter(move |row| table.number(row, "horizon") == Some(horizon));
        let loss = |row: &Vec<String>| table.number(row, "loss");
        let Some((row, least)) = lowest(rows(), loss).and_then(|row| Some((row, loss(row)?)))
        else {
            found.push(format!("At T = {horizon} every schedule diverged."));
            continue;
        };
        let diverged = rows().filter(|row| loss(row).is_none()).count();
        let Some(best) = schedule(table, row) else { continue };
        let seeds = table.number(row, "seeds");
        let losses = match seeds {
            None => "losses".to_owned(),
            Some(seeds) => format!("medians over {seeds} seeds"),
        };
        found.push(format!(
            "At T = {horizon} the lowest of {} {losses} is {}, at α₀ = {}, K = {}, β = {}, a schedule that keeps {} of its \
             first rate at T; {} diverged{}.",
            rows().count() - diverged,
            brief(least),
            brief(best.alpha0),
            brief(best.time_constant),
            brief(best.beta),
            percent(kept(best, horizon)),
            match diverged {
                0 => "none".to_owned(),
                count => count.to_string(),
            },
            if seeds.is_some() { " with half of the seeds or more" } else { "" }
        ));
        bests.push((horizon, best));
    }
    if let [(short, first), .., (long, last)] = bests[..] {
        let way = |from: f64, to: f64| match from == to {
            true => format!("stays {}", brief(from)),
            false => format!("goes from {} to {}", brief(from), brief(to)),
        };
        found.push(format!(
            "From T = {short} to T = {long} the best β {} and the best α₀ {}.",
            way(first.beta, last.beta),
            way(first.alpha0, last.alpha0)
        ));
    }
    found
}
