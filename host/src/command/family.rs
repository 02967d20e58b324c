//! Options of the family of schedules, and of a warm-up.

use std::fmt::{self, Display, Formatter};
use std::path::Path;

use clap::{Args, ValueEnum};
use myopia_core::family::Family;
use myopia_core::schedule::InverseTime;
use serde::{Serialize, Serializer};

use super::options::ScheduleOptions;
use super::schedule_file::{self, GivenSchedule};
use crate::command::values::whole;
use myopia::failure::Failure;
use myopia::precision::Precision;
use myopia::problem::Problem;

/// A family of schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FamilyName {
    InverseTime,
    Exponential,
    Step,
    Cosine,
    Linear,
}

/// What `--schedule` names.
#[derive(Clone, Debug)]
enum Named {
    Family(FamilyName),
    /// A file, or a family with its first rate.
    Given(GivenSchedule),
}

impl Display for Named {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Family(name) => f.write_str(&spelled(*name)),
            Self::Given(given) => given.fmt(f),
        }
    }
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn spelled(name: FamilyName) -> String {
    name.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn named(text: &str) -> Result<Named, String> {
    let text = text.trim();
    if let Ok(name) = FamilyName::from_str(text, false) {
        return Ok(Named::Family(name));
    }
    schedule_file::named(text).map(Named::Given).map_err(|why| {
        if text.starts_with("linear:") || text.starts_with("cosine:") {
            return why;
        }
        let names: Vec<String> = FamilyName::value_variants().iter().map(|n| spelled(*n)).collect();
        format!("give {}, linear:RATE, cosine:RATE or file:PATH", names.join(", "))
    })
}

/// How the learning rate decays.
#[derive(Args, Clone, Debug, Default, Serialize)]
pub struct FamilyOptions {
    /// How the learning rate decays: inverse-time, alpha0/(1 + k/K)^beta; exponential,
    /// alpha0 exp(-k/K); step, times --factor every --step-every steps; cosine and linear, from
    /// alpha0 to --final-share of it in --schedule-steps; cosine:RATE and linear:RATE, the same
    /// from RATE; file:PATH (train, hypergrad, meta), with the columns learning_rate (or
    /// learning_rate_1, learning_rate_2, … of each layer) and momentum, such as the schedule.csv of
    /// plan and of meta --every-entry [default: inverse-time]
    #[arg(long, value_name = "NAME", value_parser = named)]
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<Named>,
    /// What the learning rate is multiplied by at each fall, from 0 to 1 (step) [default: 0.1]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    factor: Option<f64>,
    /// Steps from one fall to the next (step) [default: a third of the run, rounded up]
    #[arg(long, value_name = "STEPS", allow_negative_numbers = true, value_parser = whole::<u32>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    step_every: Option<u32>,
    /// Share of alpha0 that is left at the end, from 0 to 1 (cosine, linear) [default: 0]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    final_share: Option<f64>,
    /// Steps to the end, after which the rate stays (cosine, linear) [default: those of the run]
    #[arg(long, value_name = "STEPS", allow_negative_numbers = true, value_parser = whole::<u32>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule_steps: Option<u32>,
    /// First steps, in which the rate grows linearly to that of its schedule
    #[arg(long, value_name = "STEPS", allow_negative_numbers = true, value_parser = whole::<u32>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    warmup: Option<u32>,
}

impl FamilyOptions {
    /// The file that it names.
    pub fn file(&self) -> Option<&Path> {
        match &self.schedule {
            Some(Named::Given(GivenSchedule::File(path))) => Some(path),
            _ => None,
        }
    }

    /// Refuses an option that this schedule does not have.
    fn refuse(&self, option: &str) -> Failure {
        let default = Named::Family(FamilyName::InverseTime);
        let schedule = self.schedule.as_ref().unwrap_or(&default);
        Failure::usage(format!(
            "--{option} says nothing of --schedule {schedule}; leave one of them out"
        ))
    }

    fn name(&self) -> FamilyName {
        match &self.schedule {
            None | Some(Named::Given(GivenSchedule::File(_))) => FamilyName::InverseTime,
            Some(Named::Family(name)) => *name,
            Some(Named::Given(GivenSchedule::Linear(_))) => FamilyName::Linear,
            Some(Named::Given(GivenSchedule::Cosine(_))) => FamilyName::Cosine,
        }
    }

    /// Whether it is the schedule of the paper.
    pub fn is_inverse_time(&self) -> bool {
        self.name() == FamilyName::InverseTime
    }

    /// Refuses a file, for a command that trains by formulas alone.
    ///
    /// # Errors
    /// When it names one.
    pub fn refuse_file(&self, command: &str) -> Result<(), Failure> {
        match self.file() {
            None => Ok(()),
            Some(_) => Err(Failure::usage(format!(
                "{command} --schedule file: begins from a formula; train by a file with `myopia train`, and tune the \
                 optimiser's hyperparameters beside it with `myopia meta --tune`"
            ))),
        }
    }

    /// Refuses what names its own rates, for a command to which the first rate is given otherwise.
    ///
    /// # Errors
    /// When it names a file, or a family with its first rate.
    pub fn refuse_given(&self, command: &str) -> Result<(), Failure> {
        self.refuse_file(command)?;
        match &self.schedule {
            Some(given @ Named::Given(_)) => Err(Failure::usage(format!(
                "{command} --schedule {given}: the first rate is --alpha0 here; give {} and --alpha0",
                spelled(self.name())
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses numbers that were given and that this schedule does not have.
    ///
    /// # Errors
    /// One sentence about the first of them.
    pub fn refuse_unused(&self, given: &ScheduleOptions) -> Result<(), Failure> {
        let name = self.name();
        let all = ScheduleOptions::default();
        let is_file = self.file().is_some();
        let has_first = !is_file && !matches!(self.schedule, Some(Named::Given(_)));
        let has_time = matches!(name, FamilyName::InverseTime | FamilyName::Exponential);
        for (option, is_given, is_used) in [
            ("alpha0", given.alpha0 != all.alpha0, has_first),
            ("time-constant", given.time_constant != all.time_constant, has_time && !is_file),
            ("beta", given.beta != all.beta, name == FamilyName::InverseTime && !is_file),
        ] {
            if is_given && !is_used {
                return Err(self.refuse(option));
            }
        }
        Ok(())
    }

    /// α₀, K and β, rounded to the working precision.
    ///
    /// # Errors
    /// Numbers outside their ranges, and such as this family does not have.
    pub fn numbers(
        &self,
        given: &ScheduleOptions,
        precision: Precision,
    ) -> Result<InverseTime<f64>, Failure> {
        self.refuse_unused(given)?;
        let first = match self.schedule {
            Some(Named::Given(GivenSchedule::Linear(rate) | GivenSchedule::Cosine(rate))) => {
                Some(rate)
            }
            _ => None,
        };
        let alpha0 = first.unwrap_or(given.alpha0);
        ScheduleOptions { alpha0, ..given.clone() }.schedule(precision)
    }

    /// `problem` with this family, or with the rates of its file, in runs of so many steps.
    ///
    /// # Errors
    /// As [`of`](Self::of), and when the file is no schedule for `problem`, or a shorter one.
    pub fn of_or_file<'a>(&self, problem: Problem<'a>, run: u32) -> Result<Problem<'a>, Failure> {
        let problem = self.of(problem, run)?;
        let Some(path) = self.file() else { return Ok(problem) };
        let entries = schedule_file::read_by_layer(path, None)?;
        if entries.steps() < run as usize {
            return Err(Failure::usage(format!(
                "{} has {} steps and {run} are to be taken; give a longer one or a lower --horizon",
                path.display(),
                entries.steps()
            )));
        }
        schedule_file::given(problem, entries)
    }

    /// `problem` with this family, in runs of so many steps.
    ///
    /// # Errors
    /// Numbers outside their ranges, and options of another family.
    pub fn of<'a>(&self, problem: Problem<'a>, run: u32) -> Result<Problem<'a>, Failure> {
        use FamilyName::{Cosine, Linear, Step};
        let name = self.name();
        let of: [(&str, bool, &[FamilyName]); 4] = [
            ("factor", self.factor.is_some(), &[Step]),
            ("step-every", self.step_every.is_some(), &[Step]),
            ("final-share", self.final_share.is_some(), &[Cosine, Linear]),
            ("schedule-steps", self.schedule_steps.is_some(), &[Cosine, Linear]),
        ];
        for (option, given, names) in of {
            if given && !names.contains(&name) {
                return Err(self.refuse(option));
            }
        }
        if self.file().is_some() && self.warmup.is_some() {
            return Err(self.refuse("warmup"));
        }
        let precision = problem.precision();
        let share = |option: &str, number: Option<f64>, default| {
            // Of −0 it makes +0, which is the same number with other bits.
            let number = number.unwrap_or(default) + 0.0;
            match (0.0..=1.0).contains(&number) {
                true => Ok(precision.round(number)),
                false => Err(Failure::usage(format!("--{option} {number:?} must be from 0 to 1"))),
            }
        };
        let steps = |option: &str, number: Option<u32>, default: u32| match number {
            Some(0) => Err(Failure::usage(format!("--{option} 0 must be at least 1"))),
            number => Ok(number.unwrap_or(default)),
        };
        let end = || -> Result<(f64, u32), Failure> {
            let steps = steps("schedule-steps", self.schedule_steps, run)?;
            Ok((share("final-share", self.final_share, 0.0)?, steps))
        };
        let family = match name {
            FamilyName::InverseTime => Family::InverseTime,
            FamilyName::Exponential => Family::Exponential,
            Step => Family::Step {
                factor: share("factor", self.factor, 0.1)?,
                every: steps("step-every", self.step_every, run.div_ceil(3).max(1))?,
            },
            Cosine => end().map(|(final_share, steps)| Family::Cosine { final_share, steps })?,
            Linear => end().map(|(final_share, steps)| Family::Linear { final_share, steps })?,
        };
        Ok(Problem { family, warmup: self.warmup.unwrap_or(0), ..problem })
    }
}
