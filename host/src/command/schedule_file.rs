//! Schedules in files: a learning rate and a momentum for each step.

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

/// A schedule's file, written file:PATH on the command line.
#[derive(Clone, Debug)]
pub struct ScheduleFile(pub PathBuf);

impl Serialize for ScheduleFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("file:{}", self.0.display()))
    }
}

/// The file that `text` names.
pub fn named(text: &str) -> Result<ScheduleFile, &'static str> {
    match text.strip_prefix("file:") {
        Some(path) if !path.is_empty() => Ok(ScheduleFile(path.into())),
        _ => Err("give file:PATH"),
    }
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
