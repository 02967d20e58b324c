//! Which rate a horizon's choice expresses.

use std::collections::BTreeMap;

use crate::published::read;

/// The optimisers of the table, with their names there.
const OPTIMIZERS: [(&str, &str); 5] = [
    ("sgd", "α of SGD"),
    ("kfac", "λ of K-FAC"),
    ("kfac-sampled", "λ of K-FAC, sampled labels"),
    ("rmsprop", "ε of RMSprop"),
    ("adam", "ε of Adam"),
];
const HORIZONS: [usize; 5] = [10, 100, 1000, 5000, 20_000];
const STARTS: [&str; 2] = ["cold", "warm"];

type Row = BTreeMap<String, String>;
/// A column's number by its name.
type Get<'a> = &'a dyn Fn(&str) -> f64;
/// A number of a row.
type Read<'a> = &'a dyn Fn(Get<'_>) -> f64;

fn rows(table: &str) -> Vec<Row> {
    let mut lines = table.lines().map(|line| line.split(',').map(str::to_owned));
    let header: Vec<String> = lines.next().expect("a header").collect();
    lines.map(|line| header.iter().cloned().zip(line).collect()).collect()
}

/// The numbers that `read` finds in the seeds of one optimiser, start and horizon, in order.
fn numbers(rows: &[Row], key: [&str; 3], read: Read<'_>) -> Vec<f64> {
    let [optimizer, start, horizon] = key;
    let here = rows.iter().filter(|row| {
        row["optimizer"] == optimizer && row["start"] == start && row["horizon"] == horizon
    });
    let mut found: Vec<f64> =
        here.map(|row| read(&|name| row[name].parse::<f64>().expect(name))).collect();
    found.sort_by(f64::total_cmp);
    assert_eq!(found.len(), 3, "{key:?}");
    found
}

fn rate(get: Get<'_>) -> f64 {
    get("expressed_rate")
}

/// A number in two digits.
fn short(x: f64) -> String {
    let digits = if x >= 9.95 {
        0
    } else if x >= 0.995 {
        1
    } else if x >= 0.0995 {
        2
    } else {
        3
    };
    format!("{x:.digits$}")
}

#[test]
fn the_rates_and_losses_it_names_are_published() {
    let readme = read("results/README.md");
    let rows = rows(&read("results/rates-quadratic/rates.csv"));
    assert_eq!(rows.len(), OPTIMIZERS.len() * HORIZONS.len() * STARTS.len() * 3);
    for start in STARTS {
        for (optimizer, name) in OPTIMIZERS {
            let of = |horizon: usize, read: Read<'_>| {
                numbers(&rows, [optimizer, start, &horizon.to_string()], read)[1]
            };
            let rates = HORIZONS.map(|horizon| short(of(horizon, &rate)));
            let best = short(of(20_000, &|get| get("best_rate_decayed")));
            let line = format!("| {name} | {start} | {} | {best} |", rates.join(" | "));
            assert!(readme.contains(&line), "results/README.md lacks {line}");
            let losses = HORIZONS.map(|horizon| short(of(horizon, &|get| get("loss_after_20000"))));
            let over = HORIZONS.map(|horizon| {
                short(of(horizon, &|get| get("loss_decayed") / get("best_loss_decayed")))
            });
            let line =
                format!("| {name} | {start} | {} | {} |", losses.join(" | "), over.join(" | "));
            assert!(readme.contains(&line), "results/README.md lacks {line}");
        }
    }
}

/// The rates of each seed at a horizon over what `read` finds there, least first.
fn over(rows: &[Row], [optimizer, start]: [&str; 2], horizon: usize, decayed: bool) -> Vec<f64> {
    let mut found: Vec<f64> = ["1", "2", "3"]
        .into_iter()
        .map(|seed| {
            let at = |horizon: usize| {
                let horizon = horizon.to_string();
                let of = |row: &&Row| {
                    [&row["optimizer"], &row["start"], &row["horizon"], &row["seed"]]
                        == [optimizer, start, &horizon, seed]
                };
                rows.iter().find(of).expect(optimizer)
            };
            let number = |row: &Row, name: &str| row[name].parse::<f64>().expect(name);
            let column = if decayed { "best_rate_decayed" } else { "expressed_rate" };
            let last = if decayed { horizon } else { 20_000 };
            number(at(horizon), "expressed_rate") / number(at(last), column)
        })
        .collect();
    found.sort_by(f64::total_cmp);
    found
}

#[test]
fn the_verdicts_are_those_of_the_seeds() {
    let rows = rows(&read("results/rates-quadratic/rates.csv"));
    let verdict = |optimizer, start, horizon, decayed| {
        let found = over(&rows, [optimizer, start], horizon, decayed);
        match (found[0] > 1.0, found[2] < 1.0) {
            (true, _) => "larger",
            (_, true) => "smaller",
            _ => "open",
        }
    };
    let roots = ["rmsprop", "adam"];
    let (mut least, mut greatest) = (f64::INFINITY, 0.0_f64);
    for (optimizer, _) in OPTIMIZERS {
        for horizon in HORIZONS {
            if horizon < 20_000 {
                assert_eq!(verdict(optimizer, "cold", horizon, false), "larger", "{optimizer}");
            }
            assert_eq!(verdict(optimizer, "warm", horizon, true), "smaller", "{optimizer}");
            let decayed = over(&rows, [optimizer, "warm"], horizon, true);
            least = if decayed[0] < least { decayed[0] } else { least };
            greatest = if decayed[2] > greatest { decayed[2] } else { greatest };
            let cold = match horizon {
                5000 | 20_000 => "smaller",
                1000 if roots.contains(&optimizer) => "larger",
                1000 => "smaller",
                _ if optimizer == "sgd" => "open",
                _ => "larger",
            };
            assert_eq!(verdict(optimizer, "cold", horizon, true), cold, "{optimizer}, {horizon}");
        }
        let hundred = if roots.contains(&optimizer) { "larger" } else { "open" };
        assert_eq!(verdict(optimizer, "warm", 100, false), hundred, "{optimizer}");
        let rates = [10, 100, 1000].map(|horizon: usize| {
            ["1", "2", "3"].map(|seed| {
                let row = rows.iter().find(|row| {
                    row["optimizer"] == optimizer
                        && row["start"] == "warm"
                        && row["horizon"] == horizon.to_string()
                        && row["seed"] == seed
                });
                row.expect("a row")["expressed_rate"].parse::<f64>().unwrap()
            })
        });
        let falls = (0..3).filter(|&seed| rates[0][seed] > rates[1][seed]).count();
        assert_eq!(falls, if optimizer == "adam" { 2 } else { 3 }, "{optimizer}");
        assert!((0..3).all(|seed| rates[2][seed] > rates[1][seed]), "{optimizer}");
    }
    let readme = read("results/README.md");
    let said = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let ratio = |optimizer: &str, start: &str, horizon: usize, name: &str| {
        let last = |get: Get<'_>| get(name);
        let at = |horizon: usize| {
            let key = [optimizer, start, &horizon.to_string()];
            numbers(&rows, key, &last)[1]
        };
        at(horizon) / at(20_000)
    };
    let middle = |optimizer: &str| over(&rows, [optimizer, "cold"], 10, false)[1];
    let losses = OPTIMIZERS.map(|(optimizer, _)| ratio(optimizer, "cold", 10, "loss_after_20000"));
    let [fewest, most] = [losses[0], losses[4]];
    for sentence in [
        format!("what is best for a constant rate is {least:.3} to {greatest:.3} of what is best"),
        format!("it is {:.1} (SGD) to {:.0} times (Adam) that of", middle("sgd"), middle("adam")),
        format!("ends with {fewest:.1} to {most:.1} times the loss"),
    ] {
        assert!(said.contains(&sentence), "results/README.md lacks {sentence}");
    }
    for start in STARTS {
        for (optimizer, _) in OPTIMIZERS {
            let last = numbers(&rows, [optimizer, start, "20000"], &rate)[1];
            assert!((0.0255..0.0405).contains(&last), "{optimizer}, {start}: {last}");
        }
    }
}
