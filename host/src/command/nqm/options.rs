//! Options that say which quadratic and which schedule.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use myopia_core::nqm::{Direction, Preconditioner};
use serde::{Serialize, Serializer};

use super::mean_field::MeanFieldOptions;
use crate::command::schedule_file;
use crate::command::values::whole;
use myopia::data::table::{self, Columns, Row};
use myopia::failure::Failure;
use myopia::interrupt;
use myopia::memory::afford;
use myopia::nqm::Quadratic;
use myopia::nqm::error::{InvalidQuadratic, OutOfRange, ParseError, RunError};
use myopia::nqm::judge::Judge;
use myopia::nqm::optimum;
use myopia::nqm::policy::{DEFAULT_STEPS, MOST_STEPS, Policy};
use myopia::nqm::request::{self, DEFAULT_COOLING};
use myopia::nqm::run::{self, Run, Settings, run};
use myopia::nqm::spectrum::{DEFAULT_DIRECTIONS, Noise, Setting, Spectrum, quadratic};
use myopia::nqm::tolerances::Control;
use myopia::nqm::tuning;

/// The columns of a spectrum's file.
const SPECTRUM: Columns = Columns {
    names: &["curvature", "noise_variance", "initial_mean", "initial_variance"],
    required: 2,
    passed_over: &["direction"],
    numbered: None,
};

/// A value, or a file that holds it.
#[derive(Clone, Debug, PartialEq)]
pub enum Source<T> {
    /// In words.
    Named(T),
    /// In a file.
    File(PathBuf),
}

impl<T: FromStr<Err = ParseError>> FromStr for Source<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("file:") {
            Some(path) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => text.parse().map(Self::Named).map_err(|e: ParseError| match e.forms() {
                true => format!("{e} or file:PATH"),
                false => e.to_string(),
            }),
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
pub fn as_words<T: fmt::Display, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Which quadratic, and what its gradients are multiplied by.
#[derive(Args, Clone, Debug, Serialize)]
pub struct QuadraticOptions {
    /// Directions [default: 1000, or as many as the spectrum's file has]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<usize>)]
    pub dim: Option<usize>,
    /// Curvatures: inverse (h_i = 1/i), geometric:LO,HI, uniform:LO,HI, or file:PATH with the
    /// columns curvature,noise_variance,initial_mean,initial_variance, the last two of which may be
    /// missing
    #[arg(long, default_value = "inverse")]
    pub spectrum: Source<Spectrum>,
    /// Noise variances: inverse (1/h), none or constant:VARIANCE; a spectrum's file brings its own
    #[arg(long, default_value = "inverse")]
    #[serde(serialize_with = "as_words")]
    pub noise: Noise,
    /// Mean of every parameter before the first step; a column of the spectrum's file takes
    /// precedence
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_name = "MEAN")]
    pub mean0: f64,
    /// Variance of every parameter before the first step; a column of the spectrum's file takes
    /// precedence
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_name = "VARIANCE")]
    pub var0: f64,
    /// Multiply gradients by 1/(h^P + LAMBDA): 1 is natural gradient, 0.5 RMSprop and Adam, 0 plain
    /// SGD
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_name = "P")]
    pub power: f64,
    /// The LAMBDA of that factor: K-FAC's damping, RMSprop's and Adam's epsilon. With --optimizer
    /// kfac the damping added to the measured curvature
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_name = "LAMBDA")]
    pub damping: f64,
    #[command(flatten)]
    #[serde(flatten)]
    pub optimizer: MeanFieldOptions,
}

impl QuadraticOptions {
    /// The quadratic they describe; a spectrum's file is read here, once.
    pub fn quadratic(&self) -> Result<Quadratic, Failure> {
        let Self { power, damping, .. } = *self;
        let optimizer = self.optimizer.optimizer(power, damping)?;
        let directions = self.dim.unwrap_or(DEFAULT_DIRECTIONS);
        request::check_directions(directions).map_err(|e| match e {
            OutOfRange::NoDirections => Failure::usage(format!("--dim is 0; {e}")),
            e => Failure::usage(format!("--dim {e}")),
        })?;
        let preconditioner = Preconditioner::new(power, damping)
            .map_err(|e| Failure::usage(format!("--power {power:?} --damping {damping:?}: {e}")))?;
        let (directions, rows, name) = match &self.spectrum {
            Source::Named(spectrum) => (self.formula(*spectrum)?, Vec::new(), String::new()),
            Source::File(path) => {
                let (directions, rows) = self.read(path)?;
                (directions, rows, path.display().to_string())
            }
        };
        let preconditioner = match optimizer {
            Some(_) => Preconditioner::identity(),
            None => preconditioner,
        };
        let found = quadratic(directions, preconditioner).map_err(|e| match e {
            InvalidQuadratic::Direction { direction, reason } if !rows.is_empty() => {
                Failure::run(format!("{name}, line {}: {reason}", rows[direction].line))
            }
            e => refused(e),
        })?;
        Ok(match optimizer {
            Some(optimizer) => found.in_mean_field(optimizer),
            None => found,
        })
    }

    fn formula(&self, spectrum: Spectrum) -> Result<Vec<Direction<f64>>, Failure> {
        let directions = self.dim.unwrap_or(DEFAULT_DIRECTIONS);
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

/// A quadratic that cannot be, as a sentence.
pub fn refused(e: InvalidQuadratic) -> Failure {
    match e {
        InvalidQuadratic::Preconditioner { .. } => {
            Failure::usage(format!("{e}; give a smaller --power or some --damping"))
        }
        InvalidQuadratic::Overflow { .. } => {
            Failure::usage(format!("{e}; scale the curvatures down"))
        }
        e => Failure::usage(e.to_string()),
    }
}

/// Refuses a number that could only end in a failed allocation.
pub fn at_most(option: &str, number: usize, most: usize) -> Result<(), Failure> {
    request::at_most(number, most).map_err(|e| Failure::usage(format!("--{option} {e}")))
}

/// Refuses no steps, and more than can be trained.
pub fn check_steps(steps: usize) -> Result<(), Failure> {
    request::check_steps(steps).map_err(|e| match e {
        OutOfRange::NoSteps => Failure::usage(format!("--steps is 0; {e}")),
        e => Failure::usage(format!("--steps {e}")),
    })
}

/// Refuses a constant momentum with which velocities grow or gradients are followed backwards.
pub fn check_momentum(momentum: f64) -> Result<(), Failure> {
    request::check_momentum(momentum)
        .map_err(|e| Failure::usage(format!("--momentum is {e} (a schedule's file may have any)")))
}

/// How long a run is, and what it is told besides its schedule.
#[derive(Args, Clone, Debug, Serialize)]
pub struct RunOptions {
    /// Training steps [default: 250, or as many as the schedule's file has]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = whole::<usize>)]
    pub steps: Option<usize>,
    /// Momentum, where the schedule does not choose its own: from 0 up to but not including 1
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_name = "MU")]
    pub momentum: f64,
    /// Steps of cooling: the cooled loss is what as many more steps at the best learning rates
    /// would reach
    #[arg(
        long, default_value_t = DEFAULT_COOLING, value_name = "STEPS", allow_negative_numbers = true,
        value_parser = whole::<usize>
    )]
    pub cool: usize,
    /// What replan:H, replan-momentum:H and tuned:H judge a look-ahead by: plain (the loss at its
    /// end), cooldown:C (after C further steps with rates that fall linearly to zero, then
    /// discarded), average:GAMMA (of an exponential average of its iterates), same-batch or
    /// next-batch (on the batch of its last step, or on a fresh one)
    #[arg(long, default_value = "plain")]
    #[serde(serialize_with = "as_words")]
    pub judge: Judge,
}

/// Bytes of a step in the figures of one schedule: eight panels with a point each, twice where it
/// is placed on the page, and its share of the drawing.
const CURVES: u128 = 8 * 2 * 16 + 64;

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
        let Self { steps, momentum, cool, judge: _ } = *self;
        check_momentum(momentum)?;
        check_steps(steps.unwrap_or(DEFAULT_STEPS))?;
        at_most("cool", cool, MOST_STEPS)
    }

    /// Refuses a judge where none of the schedules looks ahead.
    pub fn check_judge(&self, chosen: &[Chosen]) -> Result<(), Failure> {
        if self.judge == Judge::Plain || chosen.iter().any(|c| c.policy.looks_ahead()) {
            return Ok(());
        }
        let names: Vec<_> = chosen.iter().map(|chosen| chosen.name.as_str()).collect();
        Err(Failure::usage(format!(
            "--judge {}: {} does not look ahead; name replan:H or tuned:H, or leave --judge away",
            self.judge,
            names.join(", ")
        )))
    }

    /// The schedule of that source; its file is read here, once.
    pub fn choose(&self, source: &Source<Policy>) -> Result<Chosen, Failure> {
        let policy = match source {
            Source::Named(policy) => policy.clone(),
            Source::File(path) => Policy::Given(schedule_file::read(path, self.steps)?),
        };
        Ok(Chosen { name: source.to_string(), policy })
    }

    fn settings(&self, policy: &Policy) -> Settings {
        let steps = match policy {
            Policy::Given(schedule) => schedule.len(),
            _ => self.steps.unwrap_or(DEFAULT_STEPS),
        };
        Settings { steps, momentum: self.momentum, cooling: self.cool, judge: self.judge }
    }

    /// Refuses runs with more steps than memory has room for, of which figures show `drawn`.
    pub fn afford(
        &self,
        quadratic: &Quadratic,
        chosen: &[Chosen],
        drawn: usize,
    ) -> Result<(), Failure> {
        let directions = quadratic.directions().len();
        let bytes = |chosen: &Chosen| {
            let settings = self.settings(&chosen.policy);
            let tuned = match chosen.policy {
                Policy::Tuned(horizon) => tuning::bytes(directions, horizon, 200),
                _ => 0,
            };
            (settings.steps as u128, run::bytes(directions, settings) + tuned)
        };
        let (mut longest, mut total) = (0, 0);
        for (steps, bytes) in chosen.iter().map(bytes) {
            longest = if steps > longest { steps } else { longest };
            total += bytes;
        }
        total += longest * CURVES * drawn as u128;
        let runs = match chosen.len() {
            1 => "a run".to_owned(),
            several => format!("{several} runs"),
        };
        afford(&format!("the record of {runs} of {longest} steps"), total, "take fewer steps")
    }

    /// Runs the schedule on `quadratic`.
    pub fn run(&self, quadratic: &Quadratic, chosen: &Chosen) -> Result<Run, Failure> {
        let Chosen { name, policy } = chosen;
        let settings = self.settings(policy);
        let steps = settings.steps;
        let control = Control { stop: &interrupt::is_asked, ..Control::default() };
        if let Some((ahead, variables)) = policy.search(steps, self.momentum) {
            let ahead = ahead + self.judge.cooldown();
            let bytes =
                optimum::bytes(quadratic.directions().len(), ahead, variables, &control.tolerances);
            let what = format!("{name}: a search {ahead} steps ahead");
            afford(&what, bytes, "look fewer steps ahead")?;
        }
        run(quadratic, policy, settings, &control).map_err(|e| match e {
            RunError::Diverged(_) => Failure::run(format!("{name}: {e}; lower the learning rate")),
            RunError::Floor => Failure::run(format!("{e}; lower the noise")),
            RunError::Interrupted(_) => interrupted(),
            RunError::MeanField(e) => Failure::usage(format!("{name}: {e}")),
            e => Failure::run(format!("{name}: {e}")),
        })
    }
}

/// What is said when Ctrl-C or SIGTERM asked the program to stop.
pub fn interrupted() -> Failure {
    Failure::Interrupted("interrupted; nothing was written".into())
}
