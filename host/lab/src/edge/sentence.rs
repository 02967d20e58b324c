//! Up to which value the derivative means anything, in a sentence.

use super::Row;
use crate::shown::number;

/// An agreement ratio this near to one counts as agreement.
pub const AGREES: f64 = 0.1;

/// For the rows of one horizon, ascending in the value of `parameter`: up to which value the
/// derivative foretells a relative change `delta`, which is number `rung` of the ladder; and where
/// the exponent and the sharpness pass their edges.
pub fn sentence(parameter: &str, rows: &[&Row], (rung, delta): (usize, f64)) -> String {
    let Some(horizon) = rows.first().map(|row| row.horizon) else { return String::new() };
    let agrees = |row: &&&Row| {
        let ratio = row.agreement.get(rung).copied().flatten();
        ratio.is_some_and(|ratio| (ratio - 1.0).abs() <= AGREES)
    };
    let [percent, share] = [delta, AGREES].map(percent);
    let to_a_tenth =
        format!("the change of the objective over ±{percent} % of {parameter} to {share} %");
    let agreeing = rows.iter().take_while(agrees).last();
    let head = match agreeing {
        Some(row) => format!(
            "at horizon {horizon} the exact derivative foretells {to_a_tenth} up to {parameter} = {}",
            number(row.value, 4)
        ),
        None => format!(
            "at horizon {horizon} the exact derivative does not foretell {to_a_tenth} at any value from the least on"
        ),
    };
    let past = |read: &dyn Fn(&Row) -> Option<f64>, edge: f64, what: &str| {
        if rows.iter().all(|row| read(row).is_none()) {
            return format!("{what} is not known");
        }
        match rows.iter().find(|row| read(row).is_some_and(|x| x > edge)) {
            Some(row) => format!("{what} from {} on", number(row.value, 4)),
            None => format!("{what} nowhere"),
        }
    };
    let exponent = past(&|row| row.exponent, 0.0, "the Lyapunov exponent is above zero");
    let stability =
        past(&|row| row.edge_of_stability, 1.0, "the sharpness is past 2(1 + μ)/α at the end");
    format!("{head}; {exponent}, {stability}")
}

/// A share in percent, to seven digits.
fn percent(share: f64) -> String {
    let rounded = format!("{:.6e}", 100.0 * share).parse::<f64>();
    rounded.map_or_else(|_| share.to_string(), |percent| percent.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: f64, ratio: Option<f64>, exponent: f64, stability: Option<f64>) -> Row {
        Row {
            horizon: 50,
            value,
            loss: Some(1.0),
            derivative: Some(1.0),
            exponent: Some(exponent),
            sharpness: None,
            gauss_newton: None,
            edge_of_stability: stability,
            gauss_newton_stability: stability,
            signal_to_noise: None,
            agreement: vec![None, ratio],
        }
    }

    #[test]
    fn the_edges_are_named_where_they_lie() {
        let rows = [
            row(0.1, Some(1.02), -0.1, Some(0.3)),
            row(0.2, Some(0.91), -0.05, Some(0.9)),
            row(0.4, Some(0.5), 0.02, Some(1.1)),
            row(0.8, Some(1.0), 0.3, None),
        ];
        let all: Vec<&Row> = rows.iter().collect();
        assert_eq!(
            sentence("alpha0", &all, (1, 0.01)),
            "at horizon 50 the exact derivative foretells the change of the objective over ±1 % of alpha0 to 10 % up to \
             alpha0 = 0.2000; the Lyapunov exponent is above zero from 0.4000 on, the sharpness is past 2(1 + μ)/α at the \
             end from 0.4000 on"
        );
        let least = sentence("alpha0", &all, (1, 7e-10));
        assert!(least.contains("over ±0.00000007 % of alpha0"), "{least}");
        let none = sentence("alpha0", &all[2..3], (0, 0.1));
        assert!(none.contains("does not foretell"), "{none}");
        let calm = sentence("alpha0", &all[..1], (1, 0.01));
        assert!(calm.contains("above zero nowhere"), "{calm}");
        let unknown = sentence("alpha0", &all[3..], (1, 0.01));
        assert!(unknown.ends_with("at the end is not known"), "{unknown}");
    }
}
