//! What a run must print, and where a log departs from it.

use myopia_core::experiments::{Experiment, Full, Record, Report, experiments};

use super::target::Set;

/// Where a log first departs from what it should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The line that should be there.
    pub expected: String,
    /// The line that is; none where the log ends early.
    pub found: Option<String>,
}

impl std::fmt::Display for Difference {
    /// Kind, experiment, step and the first quantity that differs, as far as the two lines go together.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { expected, found } = self;
        let Some(found) = found else {
            return write!(f, "the log ends before: {expected}");
        };
        let words = expected.split(' ').zip(found.split(' '));
        let (same, differing): (Vec<_>, Vec<_>) =
            words.map(|(a, b)| if a == b { (Some(a), None) } else { (None, Some((a, b))) }).unzip();
        let place: Vec<_> = same.into_iter().flatten().filter(|word| !word.contains('=')).collect();
        match differing.into_iter().flatten().next() {
            Some((a, b)) if a.contains('=') && b.contains('=') => {
                write!(f, "{}: {b} where the host has {a}", place.join(" "))
            }
            _ => write!(f, "'{found}' where the host has '{expected}'"),
        }
    }
}

/// The lines that a run of `set` prints of its results, as this machine computes them: `record`, `report` and `golden` for each
/// experiment, then `end 0`.
pub fn expected(set: Set) -> Vec<String> {
    let mut room = Box::new(Full::new());
    let mut lines = Vec::new();
    for experiment in experiments::<Full>().filter(|e| set == Set::Full || e.is_reduced()) {
        let report =
            experiment.run(&mut *room, |record| lines.push(record_line(experiment, record)));
        lines.push(match report {
            Ok(report) => report_line("report", experiment, &report),
            Err(failed) => format!("broken {}: {failed}", experiment.name),
        });
        lines.push(report_line("golden", experiment, &experiment.golden));
    }
    lines.push("end 0".into());
    lines
}

fn record_line(experiment: &Experiment, record: &Record) -> String {
    let Record { step, schedule: [alpha0, time_constant, beta], loss, digest } = record;
    format!(
        "record {} {step} alpha0={alpha0:x} K={time_constant:x} beta={beta:x} loss={loss:x} digest={digest:016x}",
        experiment.name
    )
}

fn report_line(kind: &str, experiment: &Experiment, report: &Report) -> String {
    let Report { values, tangents, loss, derivatives: [alpha0, time_constant, beta] } = report;
    format!(
        "{kind} {} digest={:016x} values={values:016x} tangents={tangents:016x} loss={loss:x} d_alpha0={alpha0:x} d_K={time_constant:x} d_beta={beta:x}",
        experiment.name,
        report.digest()
    )
}

/// The first line of `log` that is not as `expected`; what it says of memory is passed over.
pub fn first_difference(expected: &[String], log: &[String]) -> Option<Difference> {
    let mut found = log.iter().filter(|line| !line.starts_with("memory "));
    for expected in expected {
        let found = found.next();
        if found != Some(expected) {
            return Some(Difference { expected: expected.clone(), found: found.cloned() });
        }
    }
    found
        .next()
        .map(|more| Difference { expected: "nothing more".into(), found: Some(more.clone()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_quantity_that_differs_is_named_and_a_short_log_is_no_success() {
        let expected = expected(Set::Reduced);
        assert_eq!(first_difference(&expected, &expected), None);
        let mut other = expected.clone();
        other[3] = other[3].replace("loss=", "loss=f");
        let difference = first_difference(&expected, &other).unwrap().to_string();
        assert!(difference.starts_with("record nqm-moments-f32 3: loss=f"), "{difference}");
        let short = &expected[..expected.len() - 1];
        let difference = first_difference(&expected, short).unwrap().to_string();
        assert_eq!(difference, "the log ends before: end 0");
    }
}
