//! Options that say which quadratic and which schedule.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use myopia_core::nqm::{Direction, Preconditioner, Step};
use serde::{Serialize, Serializer};

use super::table::{self, Columns, Row};
use myopia::failure::Failure;
use myopia::interrupt;
use myopia::memory::afford;
use myopia::nqm::Quadratic;
use myopia::nqm::error::{InvalidQuadratic, RunError};
use myopia::nqm::optimum::bytes;
use myopia::nqm::policy::{DEFAULT_STEPS, MOST_STEPS, Policy};
use myopia::nqm::run::{Run, Settings, run};
use myopia::nqm::spectrum::{DEFAULT_DIRECTIONS, Noise, Setting, Spectrum, quadratic};
use myopia::nqm::tolerances::Control;

/// The columns of a spectrum's file.
const SPECTRUM: Columns = Columns {
    names: &["curvature", "noise_variance", "initial_mean", "initial_variance"],
    required: 2,
    passed_over: &["direction"],
};

/// The columns of a schedule's file; nqm.csv has them too.
const SCHEDULE: Columns = Columns {
    names: &["learning_rate", "momentum"],
    required: 2,
    passed_over: &["step", "loss", "cooled_loss", "noiseless_loss"],
};

/// A value, or a file that holds it.
#[derive(Clone, Debug, PartialEq)]
pub enum Source<T> {
    /// In words.
    Named(T),
    /// In a file.
    File(PathBuf),
}

impl<T: FromStr<Err: fmt::Display>> FromStr for Source<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("file:") {
            Some(path) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => text.parse().map(Self::Named).map_err(|e: T::Err| format!("{e} or file:PATH")),
        }
    }
}

impl<T: fmt::Display> fmt::Display for Source<T> {
    /// As it is written on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(value) => value.fmt(f),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl<T: fmt::Display> Serialize for Source<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A value as it is written on the command line.
fn as_words<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Which quadratic, and what its gradients are multiplied by.
#[derive(Args, Clone, Debug, Serialize)]
pub struct QuadraticOptions {
    /// Directions [default: 1000, or as many as the spectrum's file has]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub dim: Option<usize>,
    /// Curvatures: inverse (h_i = 1/i), geometric:LO,HI, uniform:LO,HI, or file:PATH with the columns
    /// curvature,noise_variance,initial_mean,initial_variance, the last two of which may be missing
    #[arg(long, default_value = "inverse")]
    pub spectrum: Source<Spectrum>,
    /// Noise variances: inverse (1/h), none or constant:VARIANCE; a spectrum's file brings its own
    #[arg(long, default_value = "inverse")]
    #[serde(serialize_with = "as_words")]
    pub noise: Noise,
    /// Mean of every parameter before the first step; a column of the spectrum's file takes precedence
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_name = "MEAN")]
    pub mean0: f64,
    /// Variance of every parameter before the first step; a column of the spectrum's file takes precedence
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_name = "VARIANCE")]
    pub var0: f64,
    /// Multiply gradients by 1/(h^P + LAMBDA): 1 is natural gradient, 0.5 RMSprop and Adam, 0 plain SGD
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_name = "P")]
    pub power: f64,
    /// The LAMBDA of that factor: K-FAC's damping, RMSprop's and Adam's epsilon
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_name = "LAMBDA")]
    pub damping: f64,
}

impl QuadraticOptions {
    /// The quadratic they describe; a spectrum's file is read here, once.
    pub fn quadratic(&self) -> Result<Quadratic, Failure> {
        let Self { power, damping, .. } = *self;
        at_most("dim", self.dim.unwrap_or(0), MOST_DIRECTIONS)?;
        let preconditioner = Preconditioner::new(power, damping)
            .map_err(|e| Failure::usage(format!("--power {power:?} --damping {damping:?}: {e}")))?;
        let (directions, rows, name) = match &self.spectrum {
            Source::Named(spectrum) => (self.formula(*spectrum)?, Vec::new(), String::new()),
            Source::File(path) => {
                let (directions, rows) = self.read(path)?;
                (directions, rows, path.display().to_string())
            }
        };
        quadratic(directions, preconditioner).map_err(|e| match e {
            InvalidQuadratic::Direction { direction, reason } if !rows.is_empty() => {
                Failure::run(format!("{name}, line {}: {reason}", rows[direction].line))
            }
            InvalidQuadratic::Preconditioner { .. } => {
                Failure::usage(format!("{e}; give a smaller --power or some --damping"))
            }
            InvalidQuadratic::Overflow { .. } => {
                Failure::usage(format!("{e}; scale the curvatures down"))
            }
            e => Failure::usage(e.to_string()),
        })
    }

    fn formula(&self, spectrum: Spectrum) -> Result<Vec<Direction<f64>>, Failure> {
        let directions = self.dim.unwrap_or(DEFAULT_DIRECTIONS);
        if directions == 0 {
            return Err(Failure::usage("--dim is 0; a quadratic needs at least one direction"));
        }
        // What a quadratic and a state keep for each direction, and as much again for steps on it.
        afford(&format!("--dim {directions}"), 200 * directions as u128, "give fewer directions")?;
        let Self { noise, mean0, var0, .. } = *self;
        Ok(Setting { spectrum, directions, noise, mean: mean0, variance: var0 }.directions())
    }

    fn read(&self, path: &Path) -> Result<(Vec<Direction<f64>>, Vec<Row>), Failure> {
        let rows = table::read(path, SPECTRUM)?.rows;
        let name = path.display();
        if rows.is_empty() {
            return Err(Failure::run(format!(
                "{name} has no directions; give one line for each below the header"
            )));
        }
        if let Some(dim) = self.dim.filter(|&dim| dim != rows.len()) {
            return Err(Failure::usage(format!(
                "--dim is {dim} but {name} has {} directions; leave --dim away",
                rows.len()
            )));
        }
        let direction = |row: &Row| Direction {
            curvature: row.values[0].unwrap_or(0.0),
            noise_variance: row.values[1].unwrap_or(0.0),
            initial_mean: row.values[2].unwrap_or(self.mean0),
            initial_variance: row.values[3].unwrap_or(self.var0),
        };
        Ok((rows.iter().map(direction).collect(), rows))
    }
}

/// The most directions: some ten gigabytes of them.
const MOST_DIRECTIONS: usize = 100_000_000;

/// Refuses a number that could only end in a failed allocation.
pub fn at_most(option: &str, number: usize, most: usize) -> Result<(), Failure> {
    match number <= most {
        true => Ok(()),
        false => {
            Err(Failure::usage(format!("--{option} {number} is too many; give at most {most}")))
        }
    }
}

/// Refuses a constant momentum with which velocities grow or gradients are followed backwards.
pub fn check_momentum(momentum: f64) -> Result<(), Failure> {
    match (0.0..1.0).contains(&momentum) {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "--momentum is {momentum}; give a number from 0 up to but not including 1 \
             (a schedule's file may have any)"
        ))),
    }
}

/// How long a run is, and what it is told besides its schedule.
#[derive(Args, Clone, Debug, Serialize)]
pub struct RunOptions {
    /// Training steps [default: 250, or as many as the schedule's file has]
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub steps: Option<usize>,
    /// Momentum, where the schedule does not choose its own: from 0 up to but not including 1
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_name = "MU")]
    pub momentum: f64,
    /// Steps of cooling: the cooled loss is what as many more steps at the best learning rates would reach
    #[arg(long, default_value_t = 10, value_name = "STEPS", allow_negative_numbers = true)]
    pub cool: usize,
}

/// A schedule as it was named, and what that means.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// As it is written on the command line.
    pub name: String,
    /// What it means; a file has been read.
    pub policy: Policy,
}

impl RunOptions {
    /// Refuses what makes no sense.
    pub fn check(&self) -> Result<(), Failure> {
        let Self { steps, momentum, cool } = *self;
        check_momentum(momentum)?;
        if steps == Some(0) {
            return Err(Failure::usage("--steps is 0; give at least one step"));
        }
        at_most("steps", steps.unwrap_or(0), MOST_STEPS)?;
        at_most("cool", cool, MOST_STEPS)
    }

    /// The schedule of that source; its file is read here, once.
    pub fn choose(&self, source: &Source<Policy>) -> Result<Chosen, Failure> {
        let policy = match source {
            Source::Named(policy) => policy.clone(),
            Source::File(path) => Policy::Given(self.read(path)?),
        };
        Ok(Chosen { name: source.to_string(), policy })
    }

    fn read(&self, path: &Path) -> Result<Vec<Step<f64>>, Failure> {
        let rows = table::read(path, SCHEDULE)?.rows;
        let name = path.display();
        if rows.is_empty() {
            return Err(Failure::run(format!(
                "{name} has a header and no steps; give at least one line below it"
            )));
        }
        if let Some(steps) = self.steps.filter(|&steps| steps != rows.len()) {
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

    /// Runs the schedule on `quadratic`.
    pub fn run(&self, quadratic: &Quadratic, chosen: &Chosen) -> Result<Run, Failure> {
        let Chosen { name, policy } = chosen;
        let steps = match policy {
            Policy::Given(schedule) => schedule.len(),
            _ => self.steps.unwrap_or(DEFAULT_STEPS),
        };
        let control = Control { stop: &interrupt::is_asked, ..Control::default() };
        if let Some((ahead, variables)) = policy.search(steps, self.momentum) {
            let bytes = bytes(quadratic.directions().len(), ahead, variables, &control.tolerances);
            let what = format!("{name}: a search {ahead} steps ahead");
            afford(&what, bytes, "look fewer steps ahead")?;
        }
        let settings = Settings { steps, momentum: self.momentum, cooling: self.cool };
        run(quadratic, policy, settings, &control).map_err(|e| match e {
            RunError::Diverged(_) => Failure::run(format!("{name}: {e}; lower the learning rate")),
            RunError::Floor => Failure::run(format!("{e}; lower the noise")),
            RunError::Interrupted(_) => interrupted(),
            e => Failure::run(format!("{name}: {e}")),
        })
    }
}

/// What is said when Ctrl-C or SIGTERM asked the program to stop.
pub fn interrupted() -> Failure {
    Failure::Interrupted("interrupted; nothing was written".into())
}
