//! Which schedules of a surface are best.

use myopia_core::schedule::{PARAMETERS, Parameter};

use super::super::Table;
use super::{brief, kept, lowest, percent, schedule};
use crate::shown::symbol;

/// The name of the schedule that has α₀, K and β.
pub(super) const INVERSE_TIME: &str = "inverse-time";

/// The best schedule at each horizon, and how it changes from the shortest to the longest.
/// `family` is that of its schedules.
pub(super) fn bests(table: &Table, family: &str) -> Vec<String> {
    let others: Vec<(Parameter, &str)> = Parameter::ALL
        .into_iter()
        .filter(|parameter| !PARAMETERS.contains(parameter))
        .filter(|parameter| table.header.iter().any(|column| column == parameter.name()))
        .map(|parameter| (parameter, symbol(parameter)))
        .collect();
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
        let values: Vec<f64> =
            others.iter().filter_map(|(of, _)| table.number(row, of.name())).collect();
        let named = others.iter().zip(&values);
        let named: String =
            named.map(|((_, symbol), value)| format!(", {symbol} = {}", brief(*value))).collect();
        let place = match family {
            INVERSE_TIME => format!(
                "K = {}, β = {}{named}, a schedule that keeps {} of its first rate at T",
                brief(best.time_constant),
                brief(best.beta),
                percent(kept(best, horizon))
            ),
            "exponential" => {
                format!("K = {}{named}, an exponential schedule", brief(best.time_constant))
            }
            other => format!("a {other} schedule{named}"),
        };
        found.push(format!(
            "At T = {horizon} the lowest of {} {losses} is {}, at α₀ = {}, {place}; {} diverged{}.",
            rows().count() - diverged,
            brief(least),
            brief(best.alpha0),
            match diverged {
                0 => "none".to_owned(),
                count => count.to_string(),
            },
            if seeds.is_some() { " with half of the seeds or more" } else { "" }
        ));
        bests.push((horizon, best, values));
    }
    if let [(short, first, before), .., (long, last, after)] = &bests[..] {
        let way = |from: f64, to: f64| match from == to {
            true => format!("stays {}", brief(from)),
            false => format!("goes from {} to {}", brief(from), brief(to)),
        };
        let of_beta = match family {
            INVERSE_TIME => format!("the best β {} and ", way(first.beta, last.beta)),
            _ => String::new(),
        };
        let moved = others.iter().zip(before.iter().zip(after));
        let moved: String = moved
            .map(|((_, symbol), (from, to))| format!(", the best {symbol} {}", way(*from, *to)))
            .collect();
        found.push(format!(
            "From T = {short} to T = {long} {of_beta}the best α₀ {}{moved}.",
            way(first.alpha0, last.alpha0)
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_varies_beside_the_schedule_is_named_and_what_a_family_lacks_is_not() {
        let table = |text: &str| Table::read(text.as_bytes()).unwrap();
        let columns = "cell,alpha0,time_constant,beta";
        let adam = table(&format!(
            "{columns},epsilon,horizon,loss\n0,0.1,5,1,1e-4,10,2\n1,0.2,5,1,1e-2,10,3\n0,0.1,5,1,1e-4,20,2\n1,0.2,5,1,1e-2,20,1\n"
        ));
        let [short, _, change] = &bests(&adam, INVERSE_TIME)[..] else { panic!("three sentences") };
        assert!(short.contains("at α₀ = 0.1000, K = 5.000, β = 1.000, ε = "), "{short}");
        assert!(short.contains("that keeps 33.3 %"), "{short}");
        assert!(change.contains("the best β stays 1.000 and the best α₀ goes"), "{change}");
        assert!(change.contains("the best ε goes from"), "{change}");
        let step = table(&format!("{columns},factor,horizon,loss\n0,0.1,5,1,0.5,10,2\n"));
        let said = &bests(&step, "step")[0];
        assert!(said.contains("at α₀ = 0.1000, a step schedule, γ = 0.5000; none"), "{said}");
        let exponential = table(&format!("{columns},horizon,loss\n0,0.1,5,1,10,2\n"));
        let said = &bests(&exponential, "exponential")[0];
        assert!(said.contains("K = 5.000, an exponential schedule"), "{said}");
    }
}
