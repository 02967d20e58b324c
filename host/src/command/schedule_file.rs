//! Schedules by name: from a file with a learning rate and a momentum for each step, or falling.

use std::path::{Path, PathBuf};

use myopia::data::table::{self, Columns, Row};
use myopia::failure::Failure;
use myopia_core::digest::Digest;
use myopia_core::nqm::Step;
use serde::{Serialize, Serializer};

/// The columns of a schedule's file; nqm.csv and schedule.csv have them too.
const SCHEDULE: Columns = Columns {
    names: &["learning_rate", "momentum"],
    required: 2,
    passed_over: &["step", "loss", "cooled_loss", "noiseless_loss"],
};

/// A schedule with a name, as it is written on the command line.
#[derive(Clone, Debug)]
pub enum GivenSchedule {
    /// file:PATH.
    File(PathBuf),
    /// linear:RATE: from RATE down to zero, α_k = α (1 − k/N).
    Linear(f64),
    /// cosine:RATE: from RATE down to zero, α_k = α (1 + cos πk/N)/2.
    Cosine(f64),
}

impl Serialize for GivenSchedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::File(path) => serializer.collect_str(&format_args!("file:{}", path.display())),
            Self::Linear(rate) => serializer.collect_str(&format_args!("linear:{rate:?}")),
            Self::Cosine(rate) => serializer.collect_str(&format_args!("cosine:{rate:?}")),
        }
    }
}

/// The schedule that `text` names.
pub fn named(text: &str) -> Result<GivenSchedule, String> {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    let rate = || match value.trim().parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err(format!("give a positive number after {name}:")),
    };
    match name {
        "file" if !value.is_empty() => Ok(GivenSchedule::File(value.into())),
        "linear" => rate().map(GivenSchedule::Linear),
        "cosine" => rate().map(GivenSchedule::Cosine),
        _ => Err("give file:PATH, linear:RATE or cosine:RATE".to_owned()),
    }
}

/// A schedule of `steps` steps from `rate` down to zero, by `left`, the share that is left after a
/// share of the steps.
pub fn falling(
    rate: f64,
    momentum: f64,
    steps: usize,
    left: impl Fn(f64) -> f64,
) -> Vec<Step<f64>> {
    let step = |k| Step { learning_rate: rate * left(k as f64 / steps as f64), momentum };
    (0..steps).map(step).collect()
}

/// The digest of all its numbers, in order.
pub fn digest(steps: &[Step<f64>]) -> String {
    let mut digest = Digest::default();
    for number in steps.iter().flat_map(|step| [step.learning_rate, step.momentum]) {
        digest.add(number).expect("a table's numbers are finite");
    }
    digest.to_string()
}

/// The steps in the file at `path`, as many as `steps` says if it does.
pub fn read(path: &Path, steps: Option<usize>) -> Result<Vec<Step<f64>>, Failure> {
    let rows = table::read(path, SCHEDULE)?.rows;
    let name = path.display();
    if rows.is_empty() {
        return Err(Failure::run(format!(
            "{name} has a header and no steps; give at least one line below it"
        )));
    }
    if let Some(steps) = steps.filter(|&steps| steps != rows.len()) {
        return Err(Failure::usage(format!(
            "--steps is {steps} but {name} has {} steps; leave --steps away",
            rows.len()
        )));
    }
    let step = |row: &Row| match row.values[..] {
        [Some(learning_rate), Some(momentum)] if learning_rate >= 0.0 => {
            Ok(Step { learning_rate, momentum })
        }
        _ => Err(Failure::run(format!(
            "{name}, line {}: the learning rate is negative; give zero or a positive number",
            row.line
        ))),
    };
    rows.iter().map(step).collect()
}
