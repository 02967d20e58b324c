//! `myopia nqm meta`: short-horizon bias on the model, in a learning-rate schedule or in a
//! preconditioner.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use myopia_core::nqm::{MeanField, Preconditioner};
use myopia_core::schedule::{InverseTime, Parameter};
use rayon::prelude::*;
use serde::Serialize;

use super::options::{QuadraticOptions, at_most, check_momentum, check_steps, interrupted};
use super::provenance::Provenance;
use super::{drawn, drawn_of, readable};
use crate::command::options::Common;
use crate::command::outer::MOST_META_LR;
use crate::command::progress;
use crate::command::values::{named, whole};
use myopia::failure::Failure;
use myopia::figure::{Axis, Figure, Lines, Markers, Series};
use myopia::interrupt;
use myopia::memory::afford;
use myopia::nqm::error::{StartOutOfBounds, TuneError};
use myopia::nqm::judge::Judge;
use myopia::nqm::policy::MOST_STEPS;
use myopia::nqm::run::{self, Settings};
use myopia::nqm::tuning::{self, Trajectory, Tuned, Tuning, tune, with_values};
use myopia::nqm::{Losses, Quadratic};
use myopia::output::{OutputFolder, csv, json, standard};

/// A parameter that can be learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learned {
    /// The first learning rate
    Alpha0,
    /// The time constant
    TimeConstant,
    /// The decay exponent
    Beta,
    /// The preconditioner's damping, or that of kfac
    Damping,
    /// Momentum (sgd, rmsprop, kfac)
    Momentum,
    /// Epsilon (rmsprop, adam)
    Epsilon,
    /// Decay of the mean square (rmsprop)
    Rho,
    /// Decay of the mean (adam)
    Beta1,
    /// Decay of the mean square (adam)
    Beta2,
}

impl Learned {
    fn parameter(self) -> Parameter {
        match self {
            Self::Alpha0 => Parameter::Alpha0,
            Self::TimeConstant => Parameter::TimeConstant,
            Self::Beta => Parameter::Beta,
            Self::Damping => Parameter::Damping,
            Self::Momentum => Parameter::Momentum,
            Self::Epsilon => Parameter::Epsilon,
            Self::Rho => Parameter::Rho,
            Self::Beta1 => Parameter::Beta1,
            Self::Beta2 => Parameter::Beta2,
        }
    }
}

/// Those that have columns in every table.
const USUAL: [Learned; 4] =
    [Learned::Alpha0, Learned::TimeConstant, Learned::Beta, Learned::Damping];

/// Options of `myopia nqm meta`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    quadratic: QuadraticOptions,
    /// Horizons to tune at
    #[arg(
        long, value_delimiter = ',', value_name = "STEPS,…", default_values_t = [10, 100, 1000],
        value_parser = whole::<usize>
    )]
    horizons: Vec<usize>,
    /// Steps after which the schedules are compared [default: the longest horizon]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = whole::<usize>)]
    steps: Option<usize>,
    /// What is learned; the rest keeps its value. The optimiser's hyperparameters start with the
    /// values of its options
    #[arg(
        long,
        visible_alias = "tune",
        value_parser = named::<Learned>(),
        value_delimiter = ',',
        value_name = "NAME,…",
        default_values = ["alpha0", "time-constant", "beta"]
    )]
    learn: Vec<Learned>,
    /// First learning rate to start from [default: a hundredth of the inverse of the largest
    /// curvature]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    alpha0: Option<f64>,
    /// Time constant K to start from, in steps
    #[arg(long, default_value_t = 200.0, value_name = "STEPS", allow_negative_numbers = true)]
    time_constant: f64,
    /// Decay exponent to start from
    #[arg(long, default_value_t = 1.0, value_name = "BETA", allow_negative_numbers = true)]
    beta: f64,
    /// Momentum of training
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_name = "MU")]
    momentum: f64,
    /// Meta-steps to take
    #[arg(
        long, default_value_t = 200, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    meta_steps: u32,
    /// Meta-learning rate, on the logarithms of the parameters
    #[arg(long, default_value_t = 0.1, value_name = "RATE", allow_negative_numbers = true)]
    meta_lr: f64,
}

/// The refusal of a start that meta-descent would leave at once.
fn out_of_bounds(found: StartOutOfBounds) -> Failure {
    let StartOutOfBounds { parameter, start, least, greatest } = found;
    let option = format!("--{}", parameter.name().replace('_', "-"));
    Failure::usage(format!(
        "{option} is {start:?}; what is learned starts from {least:?} to {greatest:?}, so give a \
         number in that range or leave the parameter out of --learn"
    ))
}

/// Columns of a table for the screen.
fn column(words: &[String]) -> String {
    words.iter().map(|word| format!("  {word:>11}")).collect()
}

/// What `meta.json` holds besides its provenance.
#[derive(Serialize)]
struct Choices<'a> {
    choices: &'a [Choice],
}

/// What a horizon chose, and what that is worth.
#[derive(Clone, Debug, Serialize)]
pub struct Choice {
    /// Steps of each look-ahead.
    pub horizon: usize,
    /// α₀.
    pub alpha0: f64,
    /// K, in steps.
    pub time_constant: f64,
    /// β.
    pub beta: f64,
    /// λ.
    pub damping: f64,
    /// What is learned besides.
    #[serde(flatten)]
    pub others: BTreeMap<&'static str, f64>,
    /// The excess loss at the horizon, which the choice minimised.
    pub excess_at_horizon: f64,
    /// The excess loss after the number of steps at which choices are compared.
    pub excess_loss: f64,
    #[serde(skip)]
    pub trajectory: Vec<Tuned>,
    #[serde(skip)]
    rates: Vec<f64>,
    #[serde(skip)]
    losses: Vec<f64>,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        let folder = match &common.out {
            Some(path) => Some(OutputFolder::create_at_once(path, common.force)?),
            None => None,
        };
        let bar = progress::bar(
            common,
            (self.horizons.len() * self.meta_steps as usize) as u64,
            "meta-steps",
        );
        let choices = self.choices(|| bar.inc(1));
        bar.finish_and_clear();
        let choices = choices?;
        if let Some(folder) = &folder {
            self.write(folder, &choices)?;
            if interrupt::is_asked() {
                return Err(interrupted());
            }
            folder.finish()?;
        }
        if common.json {
            return json::print(&choices);
        }
        standard::print(|out| {
            let after = format!("after {}", self.steps());
            writeln!(
                out,
                "{:>8}  {:>11}  {:>11}  {:>11}  {:>11}{}  {:>12}  {after:>12}",
                "horizon",
                "alpha0",
                "K",
                "beta",
                "damping",
                column(&self.others().map(|p| p.heading().to_owned()).collect::<Vec<_>>()),
                "at horizon"
            )?;
            for c in &choices {
                writeln!(
                    out,
                    "{:>8}  {:>11}  {:>11}  {:>11}  {:>11}{}  {:>12}  {:>12}",
                    c.horizon,
                    readable(c.alpha0),
                    readable(c.time_constant),
                    readable(c.beta),
                    readable(c.damping),
                    column(&c.others.values().copied().map(readable).collect::<Vec<_>>()),
                    readable(c.excess_at_horizon),
                    readable(c.excess_loss)
                )?;
            }
            Ok(())
        })
    }

    /// What is learned besides what is usual, in the order of its names.
    fn others(&self) -> impl Iterator<Item = Parameter> {
        let mut others: Vec<Parameter> =
            self.learn.iter().filter(|l| !USUAL.contains(l)).map(|l| l.parameter()).collect();
        others.sort_by_key(|parameter| parameter.name());
        others.dedup();
        others.into_iter()
    }

    fn steps(&self) -> usize {
        self.steps.unwrap_or_else(|| {
            self.horizons.iter().copied().fold(0, |a: usize, b| if b > a { b } else { a })
        })
    }

    /// Refuses more steps and meta-steps than memory has room for.
    fn afford(&self, quadratic: &Quadratic) -> Result<(), Failure> {
        let directions = quadratic.directions().len();
        let steps = self.steps();
        let settings = Settings { steps, momentum: self.momentum, cooling: 0, judge: Judge::Plain };
        // The run of each choice, and the points of its curves.
        let run = run::bytes(directions, settings) + 4 * 16 * steps as u128;
        let each = |&horizon: &usize| tuning::bytes(directions, horizon, self.meta_steps) + run;
        let what = format!(
            "tuning at {} horizons in {} meta-steps for {steps} steps",
            self.horizons.len(),
            self.meta_steps
        );
        let bytes = self.horizons.iter().map(each).fold(0, |sum, bytes| sum + bytes);
        afford(&what, bytes, "take fewer or shorter horizons, meta-steps or steps")
    }

    /// What each horizon chooses.
    pub fn choices(&self, tick: impl Fn() + Sync) -> Result<Vec<Choice>, Failure> {
        if self.horizons.contains(&0) {
            return Err(Failure::usage(
                "--horizons has a 0, which leaves no step to tune; give at least one step to look ahead",
            ));
        }
        check_steps(self.steps.unwrap_or(1))?;
        for &horizon in &self.horizons {
            at_most("horizons", horizon, MOST_STEPS)?;
        }
        check_momentum(self.momentum)?;
        if self.meta_lr > MOST_META_LR && self.meta_lr.is_finite() {
            return Err(Failure::usage(format!(
                "--meta-lr {:?} is above {MOST_META_LR}; it is a step on logarithms, give one such as 0.1",
                self.meta_lr
            )));
        }
        if !(self.meta_lr > 0.0 && self.meta_lr.is_finite()) {
            return Err(Failure::usage(format!(
                "--meta-lr is {}; give a positive finite number",
                self.meta_lr
            )));
        }
        let damped = self.learn.contains(&Learned::Damping);
        if damped && self.quadratic.damping == 0.0 {
            return Err(Failure::usage(
                "--learn damping moves the damping's logarithm; give a positive --damping to start from",
            ));
        }
        let quadratic = self.quadratic.quadratic()?;
        if quadratic.mean_field().is_some_and(MeanField::has_own_momentum) && self.momentum != 0.0 {
            return Err(Failure::usage(
                "--momentum is none of adam, which has --beta1; leave it out",
            ));
        }
        let usual = Tuning::new(&quadratic);
        let alpha0 = self.alpha0.unwrap_or(usual.schedule.alpha0);
        let (time_constant, beta) = (self.time_constant, self.beta);
        let schedule = InverseTime::new(alpha0, time_constant, beta).map_err(|e| {
            Failure::usage(format!(
                "--alpha0 {alpha0:?} --time-constant {time_constant:?} --beta {beta:?}: {e}"
            ))
        })?;
        let QuadraticOptions { power, damping, .. } = self.quadratic;
        self.afford(&quadratic)?;
        interrupt::listen()?;
        self.horizons
            .par_iter()
            .map(|&horizon| {
                let tuning = Tuning {
                    horizon,
                    momentum: self.momentum,
                    judge: Judge::Plain,
                    schedule,
                    preconditioner: Preconditioner { power, damping },
                    learned: self.learn.iter().map(|l| l.parameter()).collect(),
                    meta_steps: self.meta_steps,
                    meta_rate: self.meta_lr,
                };
                let trajectory = tune(&quadratic, tuning, &interrupt::is_asked, |_| tick()).map_err(|e| match e {
                    TuneError::Interrupted(_) => interrupted(),
                    TuneError::StartOutOfBounds(e) => out_of_bounds(e),
                    TuneError::NotThere(_) => Failure::usage(format!(
                        "--learn: {e}; choose an optimiser that has it with --optimizer, or leave it out"
                    )),
                    e => Failure::run(format!(
                        "{e}; start from a smaller --alpha0 or take smaller meta-steps (--meta-lr)"
                    )),
                })?;
                self.choice(&quadratic, horizon, trajectory)
            })
            .collect()
    }

    fn choice(
        &self,
        quadratic: &Quadratic,
        horizon: usize,
        trajectory: Trajectory,
    ) -> Result<Choice, Failure> {
        let chosen = trajectory.best();
        let Tuned { alpha0, time_constant, beta, damping, .. } = chosen;
        let momentum = match chosen.of(Parameter::Momentum) {
            Some([momentum, _]) if self.learn.contains(&Learned::Momentum) => momentum,
            _ => self.momentum,
        };
        let schedule = chosen.schedule(self.steps(), momentum);
        let numbers: Vec<_> = schedule.iter().map(|step| step.constant::<0>()).collect();
        let losses = match quadratic.mean_field() {
            Some(optimizer) => {
                let optimizer = with_values(*optimizer, &chosen.values);
                let quadratic = quadratic.clone().in_mean_field(optimizer);
                quadratic.losses_until(&numbers, &interrupt::is_asked)
            }
            None => {
                let preconditioner = Preconditioner { power: self.quadratic.power, damping };
                quadratic.losses_under(&preconditioner.constant(), &numbers, &interrupt::is_asked)
            }
        };
        let others = self.others().filter_map(|other| Some((other.name(), chosen.of(other)?[0])));
        let losses = losses.map_err(|e| {
            Failure::run(format!("the choice of horizon {horizon}: {e}; give fewer --steps"))
        })?;
        let losses = losses.ok_or_else(interrupted)?;
        let losses: Vec<f64> = losses.iter().map(|loss| loss.value).collect();
        Ok(Choice {
            horizon,
            alpha0,
            time_constant,
            beta,
            damping,
            others: others.collect(),
            excess_at_horizon: chosen.excess_loss,
            excess_loss: losses.last().copied().unwrap_or(f64::NAN),
            trajectory: trajectory.records,
            rates: schedule.iter().map(|step| step.learning_rate).collect(),
            losses,
        })
    }

    fn write(&self, folder: &OutputFolder, choices: &[Choice]) -> Result<(), Failure> {
        let others: Vec<Parameter> = self.others().collect();
        let names = |prefix: &str| -> Vec<String> {
            let usual = USUAL.iter().map(|l| l.parameter()).chain(others.iter().copied());
            usual.map(|parameter| format!("{prefix}{}", parameter.name())).collect()
        };
        let header = |parts: &[&[String]]| parts.concat();
        let [horizon, excess] = ["horizon", "excess_loss"].map(|name| vec![name.to_owned()]);
        let at_horizon = vec!["excess_at_horizon".to_owned()];
        let first = header(&[&horizon, &names(""), &at_horizon, &excess]);
        let first: Vec<&str> = first.iter().map(String::as_str).collect();
        let rows = choices.iter().map(|c| {
            let usual = (c.alpha0, c.time_constant, c.beta, c.damping);
            let others: Vec<f64> = c.others.values().copied().collect();
            (c.horizon, usual, others, c.excess_at_horizon, c.excess_loss)
        });
        folder.write("choices.csv", |w| csv::write(w, &first, rows))?;
        let meta_step = vec!["meta_step".to_owned()];
        let all = header(&[&horizon, &meta_step, &names(""), &excess, &names("d_")]);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let rows = choices.iter().flat_map(|choice| {
            choice.trajectory.iter().map(|r| {
                let of = |place: usize| -> Vec<f64> {
                    others.iter().filter_map(|other| Some(r.of(*other)?[place])).collect()
                };
                let derivatives = (r.d_alpha0, r.d_time_constant, r.d_beta, r.d_damping);
                let parameters = (r.alpha0, r.time_constant, r.beta, r.damping);
                let place = (choice.horizon, r.meta_step);
                (place, parameters, of(0), r.excess_loss, derivatives, of(1))
            })
        });
        folder.write("trajectories.csv", |w| csv::write(w, &all, rows))?;
        let about = Provenance::new("nqm meta", self, Choices { choices });
        folder.write("meta.json", |w| json::write(w, &about))?;

        let name = |choice: &Choice| format!("T = {}", choice.horizon);
        let title = format!(
            "What each horizon chooses on the noisy quadratic{}",
            drawn_of("horizons", choices.len())
        );
        let choices = drawn(choices);
        let mut figure = Figure::new(title).columns(2);
        let label = |learned: Learned| match learned {
            Learned::Alpha0 => "first learning rate α₀",
            Learned::TimeConstant => "time constant K (steps)",
            Learned::Beta => "decay exponent β",
            Learned::Damping => "damping λ",
            Learned::Momentum => "momentum μ",
            Learned::Epsilon => "ε",
            Learned::Rho => "ρ",
            Learned::Beta1 => "β₁",
            Learned::Beta2 => "β₂",
        };
        let shown = Learned::value_variants().iter().filter(|name| self.learn.contains(name));
        for learned in shown {
            let value = |r: &Tuned| r.of(learned.parameter()).map_or(f64::NAN, |[value, _]| value);
            let panel = Lines::new("", Axis::linear("meta-step"), Axis::log(label(*learned)));
            figure = figure.panel(choices.iter().fold(panel, |panel, choice| {
                let points = choice.trajectory.iter().map(value);
                panel.series(Series::steps(name(choice), points).markers(Markers::Ends))
            }));
        }
        let step = || Axis::linear("training step");
        let curves = |y: Axis, read: fn(&Choice) -> &Vec<f64>| {
            choices.iter().fold(Lines::new("", step(), y), |panel, choice| {
                panel.series(Series::steps(name(choice), read(choice).iter().copied()))
            })
        };
        figure = figure
            .panel(curves(Axis::log("learning rate"), |choice| &choice.rates))
            .panel(curves(Axis::log("expected excess loss"), |choice| &choice.losses));
        figure.write(folder, false, "meta")
    }
}
