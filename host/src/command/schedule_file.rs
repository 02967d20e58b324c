//! Schedules by name: from a file with a learning rate and a momentum for each step, or falling.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use myopia::data::table::{self, Columns, Row};
use myopia::failure::Failure;
use myopia::problem::{Entries, Problem};
use myopia_core::digest::Digest;
use myopia_core::nqm::Step;

/// The columns of a schedule's file; nqm.csv and schedule.csv have them too.
const SCHEDULE: Columns = Columns {
    names: &["learning_rate", "momentum", "step"],
    required: 2,
    passed_over: &["loss", "cooled_loss", "noiseless_loss"],
    numbered: None,
};
/// The same, in which each layer may have a rate of its own.
const BY_LAYER: Columns = Columns { numbered: Some("learning_rate"), ..SCHEDULE };

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

impl Display for GivenSchedule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Linear(rate) => write!(f, "linear:{rate:?}"),
            Self::Cosine(rate) => write!(f, "cosine:{rate:?}"),
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

/// The digest of all its numbers, in order.
pub fn digest(entries: &Entries) -> String {
    let mut digest = Digest::default();
    for k in 0..entries.steps() {
        let (rates, momentum) = entries.step(k);
        for number in rates.iter().chain([&momentum]) {
            digest.add(*number).expect("a table's numbers are finite");
        }
    }
    digest.to_string()
}

/// Refuses rates of other layers than the network's, and a momentum outside 0..1.
pub fn fits(entries: &Entries, problem: &Problem<'_>) -> Result<(), Failure> {
    let (layers, rates) = (problem.layers.len() - 1, entries.rates_of_a_step());
    if rates != 1 && rates != layers {
        return Err(Failure::usage(format!(
            "the schedule has rates for {rates} layers and the network has {layers}; give one column for each layer, or one \
             for all"
        )));
    }
    let outside = entries.momenta().iter().position(|momentum| !(0.0..1.0).contains(momentum));
    outside.map_or(Ok(()), |k| {
        Err(Failure::usage(format!(
            "the schedule's momentum of step {k} is {:?} in {}; give a number from 0 up to, but not, 1",
            entries.momenta()[k],
            problem.precision().name()
        )))
    })
}

/// `problem` with these rates and momenta, rounded to its precision, in place of a schedule.
///
/// # Errors
/// When they do not fit it.
pub fn given<'a>(problem: Problem<'a>, entries: Entries) -> Result<Problem<'a>, Failure> {
    let precision = problem.precision();
    let entries = entries.map(|number| precision.round(number));
    fits(&entries, &problem)?;
    Ok(Problem { entries: Some(Arc::new(entries)), ..problem })
}

/// The steps in the file at `path`, as many as `steps` says if it does.
pub fn read(path: &Path, steps: Option<usize>) -> Result<Vec<Step<f64>>, Failure> {
    let entries = read_columns(path, SCHEDULE, steps)?;
    let step = |k| {
        let (rates, momentum) = entries.step(k);
        Step { learning_rate: rates[0], momentum }
    };
    Ok((0..entries.steps()).map(step).collect())
}

/// The same, with a rate for each layer where the file has them.
pub fn read_by_layer(path: &Path, steps: Option<usize>) -> Result<Entries, Failure> {
    read_columns(path, BY_LAYER, steps)
}

fn read_columns(path: &Path, columns: Columns, steps: Option<usize>) -> Result<Entries, Failure> {
    let rows = table::read(path, columns)?.rows;
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
    let (mut rates, mut momenta) = (Vec::new(), Vec::new());
    let first = rows[0].values[2];
    for (k, Row { line, values, numbered }) in rows.iter().enumerate() {
        if values[2] != first.map(|first| first + k as f64) {
            return Err(Failure::run(format!(
                "{name}, line {line}: the steps do not follow one another; give one line for each, in order"
            )));
        }
        let given = rates.len();
        rates.extend(values[0].iter().chain(numbered));
        momenta.extend(values[1]);
        if rates[given..].iter().any(|rate| *rate < 0.0) {
            return Err(Failure::run(format!(
                "{name}, line {line}: the learning rate is negative; give zero or a positive number"
            )));
        }
    }
    Ok(Entries::new(rates, momenta))
}
