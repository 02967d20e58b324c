//! Studies of bilevel problems.

use super::super::Table;
use super::{brief, list};

/// Sentences about a table.
type Reading = fn(&Table) -> Vec<String>;

/// The table of each study, and what is said of it.
pub(super) const STUDIES: [(&str, Reading); 5] = [
    ("hypergradient", hypergradients),
    ("game", games),
    ("warm", starts),
    ("distill", distilled),
    ("stn", responses),
];

/// Which approximation came nearest to the exact hypergradient, and which pointed away.
fn hypergradients(table: &Table) -> Vec<String> {
    let rows: Vec<(&str, f64, f64)> = table
        .rows
        .iter()
        .filter_map(|row| {
            let name = table.text(row, "method").filter(|name| *name != "exact")?;
            Some((name, table.number(row, "relative_error")?, table.number(row, "cosine")?))
        })
        .collect();
    let mut found = Vec::new();
    if let Some(best) = rows.iter().reduce(|a, b| if b.1 < a.1 { b } else { a }) {
        found.push(format!(
            "Of {} approximations {} comes nearest to the exact hypergradient, with a relative error of {}.",
            rows.len(),
            best.0,
            brief(best.1)
        ));
    }
    let away: Vec<String> =
        rows.iter().filter(|row| row.2 < 0.0).map(|row| row.0.to_owned()).collect();
    if !away.is_empty() {
        found.push(format!("Pointing away from it: {}.", list(&away)));
    }
    found
}

/// What each kind of dynamics does.
fn games(table: &Table) -> Vec<String> {
    let sentence = |row: &Vec<String>| {
        let (name, does) = (table.text(row, "dynamics")?, table.text(row, "behaviour")?);
        let radius = brief(table.number(row, "spectral_radius")?);
        let limit = match table.number(row, "diverges_at") {
            Some(ratio) => format!("; it diverges above a ratio of rates of {}", brief(ratio)),
            None => String::new(),
        };
        Some(format!("{name}: {does}, spectral radius {radius}{limit}."))
    };
    table.rows.iter().filter_map(sentence).collect()
}

/// Means of `columns` over the rows that agree in `by`, in the order in which these first come.
fn means(table: &Table, by: &[&str], columns: &[&str]) -> Vec<(Vec<String>, Vec<f64>)> {
    let key = |row: &Vec<String>| -> Option<Vec<String>> {
        by.iter().map(|name| table.text(row, name).map(str::to_owned)).collect()
    };
    let mut keys: Vec<Vec<String>> = Vec::new();
    for key in table.rows.iter().filter_map(key) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let mean = |own: &Vec<String>, column: &str| {
        let rows = table.rows.iter().filter(|row| key(row).as_ref() == Some(own));
        let numbers: Vec<f64> = rows.filter_map(|row| table.number(row, column)).collect();
        let count = numbers.len() as f64;
        (!numbers.is_empty()).then(|| myopia_core::sum::sum(numbers.iter().copied()) / count)
    };
    let groups = keys.into_iter().filter_map(|own| {
        let found =
            columns.iter().map(|column| mean(&own, column)).collect::<Option<Vec<f64>>>()?;
        Some((own, found))
    });
    groups.collect()
}

/// Cold and warm starts of a quadratic or a linear map.
fn starts(table: &Table) -> Vec<String> {
    if table.rows.iter().any(|row| table.number(row, "norm").is_some()) {
        let columns = ["norm", "loss", "retrained", "converged"];
        let sentence = |(name, x): (Vec<String>, Vec<f64>)| {
            format!(
                "{}: hyperparameters of norm {}; the outer loss is {} where descent ended, {} retrained for as many steps, {} \
                 trained to the end.",
                list(&name),
                brief(x[0]),
                brief(x[1]),
                brief(x[2]),
                brief(x[3])
            )
        };
        return means(table, &["start"], &columns).into_iter().map(sentence).collect();
    }
    let columns = ["loss", "retrained", "bound"];
    let sentence = |(name, x): (Vec<String>, Vec<f64>)| {
        let side = if x[0] < x[2] { "below" } else { "above" };
        format!(
            "{} inner steps, {} start: the mean outer loss is {}, {side} the {} that a retrained map can reach; retrained it is {}.",
            name[0],
            name[1],
            brief(x[0]),
            brief(x[2]),
            brief(x[1])
        )
    };
    means(table, &["inner_steps", "start"], &columns).into_iter().map(sentence).collect()
}

/// Distilled images.
fn distilled(table: &Table) -> Vec<String> {
    let columns = ["accuracy", "retrained", "converged"];
    let share = |x: f64| format!("{:.1} %", 100.0 * x);
    let sentence = |(name, x): (Vec<String>, Vec<f64>)| {
        format!(
            "{} learned, {} start: {} of the test images on average; {} when retrained for as many steps, {} for a hundred \
             times as many.",
            name[0],
            name[1],
            share(x[0]),
            share(x[1]),
            share(x[2])
        )
    };
    means(table, &["examples", "start"], &columns).into_iter().map(sentence).collect()
}

/// Learned responses, on a quadratic or on a network.
fn responses(table: &Table) -> Vec<String> {
    let conditions = means(table, &["method"], &["features", "response"]);
    if !conditions.is_empty() {
        let sentence = |(name, x): (Vec<String>, Vec<f64>)| {
            format!(
                "{}: the response problem has condition {}, of which its features hold {}.",
                list(&name),
                brief(x[1]),
                brief(x[0])
            )
        };
        return conditions.into_iter().map(sentence).collect();
    }
    let ends = means(table, &["method"], &["start_loss", "validation_loss"]);
    let sentence = |(name, x): (Vec<String>, Vec<f64>)| {
        let went = super::went(x[0], x[1]);
        format!(
            "{}: the mean validation loss {went} from {} to {}.",
            list(&name),
            brief(x[0]),
            brief(x[1])
        )
    };
    ends.into_iter().map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, of: fn(&Table) -> Vec<String>) -> String {
        of(&Table::read(text.as_bytes()).unwrap()).join("\n")
    }

    #[test]
    fn what_is_said_of_hypergradients_follows_their_errors() {
        let table = |sign: &str| {
            format!(
                "method,relative_error,cosine\nexact,0,1\ncg:5,0.25,0.9\nidentity,0.5,{sign}0.5\n"
            )
        };
        let said = read(&table("-"), hypergradients);
        assert!(said.contains("Of 2 approximations cg:5 comes nearest"), "{said}");
        assert!(said.contains("Pointing away from it: identity."), "{said}");
        assert!(!read(&table(""), hypergradients).contains("away"));
    }

    #[test]
    fn a_bound_is_told_to_be_passed_only_when_it_is() {
        let table = |loss: &str| {
            format!(
                "inner_steps,seed,start,loss,retrained,bound\n1,1,warm,{loss},3,2\n1,2,warm,1.5,3,2\n"
            )
        };
        assert!(read(&table("0.5"), starts).contains("outer loss is 1.000, below the 2.000"));
        assert!(read(&table("4.5"), starts).contains("outer loss is 3.000, above the 2.000"));
    }

    #[test]
    fn means_are_taken_over_seeds() {
        let table = "examples,seed,start,accuracy,retrained,converged\n1,1,warm,0.5,0.1,0.1\n1,2,warm,0.7,0.2,0.1\n";
        let said = read(table, distilled);
        assert!(said.contains("1 learned, warm start: 60.0 % of"), "{said}");
        assert!(said.contains("15.0 % when retrained"), "{said}");
        let table = "method,seed,start_loss,validation_loss\nstn,1,1,2\ndelta-stn,1,1,0.5\n";
        let said = read(table, responses);
        assert!(said.contains("stn: the mean validation loss rose from 1.000 to 2.000"), "{said}");
        assert!(said.contains("delta-stn: the mean validation loss fell"), "{said}");
        let table = "method,features,response,within_a_hundredth\nstn,727,7270,\n";
        assert!(read(table, responses).contains("condition 7270, of which its features hold 727"));
        let table = "dynamics,spectral_radius,behaviour,turns_at,diverges_at\nalternating,1.5,diverging,,3\n";
        let said = read(table, games);
        assert!(
            said.contains("alternating: diverging, spectral radius 1.500; it diverges above"),
            "{said}"
        );
    }
}
