//! A run in words: every part of it as the text that names it, and the ranges of its numbers.

use std::fmt::Display;
use std::str::FromStr;

use myopia_core::nqm::{Direction, MeanField, Preconditioner};
use myopia_core::schedule::Parameter;

use crate::error::{InvalidQuadratic, InvalidRequest, OutOfRange};
use crate::judge::Judge;
use crate::mean_field::Named;
use crate::policy::{DEFAULT_STEPS, MOST_STEPS, Policy};
use crate::quadratic::Quadratic;
use crate::run::Settings;
use crate::spectrum::{DEFAULT_DIRECTIONS, Noise, Setting, Spectrum, quadratic};

/// The most directions: some ten gigabytes of them.
pub const MOST_DIRECTIONS: usize = 100_000_000;
/// Steps of cooling unless it is said how many.
pub const DEFAULT_COOLING: usize = 10;

/// The names that [`Request::set`] knows.
pub(crate) const PARTS: &str = "dim, spectrum, noise, mean0, var0, power, damping, optimizer, steps, momentum, cool, judge and \
     schedule";

/// Accepts a number of directions that there can be.
///
/// # Errors
/// None, or more than [`MOST_DIRECTIONS`].
pub fn check_directions(number: usize) -> Result<(), OutOfRange> {
    if number == 0 {
        return Err(OutOfRange::NoDirections);
    }
    at_most(number, MOST_DIRECTIONS)
}

/// Accepts a number of steps that can be trained.
///
/// # Errors
/// None, or more than [`MOST_STEPS`].
pub fn check_steps(number: usize) -> Result<(), OutOfRange> {
    if number == 0 {
        return Err(OutOfRange::NoSteps);
    }
    at_most(number, MOST_STEPS)
}

/// Accepts at most `most`.
///
/// # Errors
/// More than that.
pub fn at_most(number: usize, most: usize) -> Result<(), OutOfRange> {
    if number <= most { Ok(()) } else { Err(OutOfRange::TooMany { number, most }) }
}

/// Accepts a constant momentum in \[0, 1).
///
/// # Errors
/// One with which velocities grow or gradients are followed backwards.
pub fn check_momentum(momentum: f64) -> Result<(), OutOfRange> {
    if (0.0..1.0).contains(&momentum) { Ok(()) } else { Err(OutOfRange::Momentum(momentum)) }
}

/// One schedule on one quadratic, without files.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The quadratic.
    pub setting: Setting,
    /// p of the factor 1/(h^p + λ) on gradients.
    pub power: f64,
    /// Its λ, or that of K-FAC.
    pub damping: f64,
    /// What divides gradients by a second moment in mean field.
    pub optimizer: Named,
    /// How long the run is.
    pub settings: Settings,
    /// The schedule; none unless it was named.
    pub policy: Option<Policy>,
}

/// What multiplies gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// A fixed preconditioner, the identity where there is an optimiser.
    pub preconditioner: Preconditioner<f64>,
    /// An optimiser in mean field.
    pub optimizer: Option<MeanField<f64>>,
}

impl Training {
    /// The quadratic with these directions, trained so.
    ///
    /// # Errors
    /// A quadratic that cannot be.
    pub fn quadratic(
        &self,
        directions: Vec<Direction<f64>>,
    ) -> Result<Quadratic, InvalidQuadratic> {
        let found = quadratic(directions, self.preconditioner)?;
        Ok(match self.optimizer {
            Some(optimizer) => found.in_mean_field(optimizer),
            None => found,
        })
    }
}

impl Default for Request {
    fn default() -> Self {
        Self {
            setting: Setting {
                spectrum: Spectrum::Inverse,
                directions: DEFAULT_DIRECTIONS,
                noise: Noise::Inverse,
                mean: 0.0,
                variance: 1.0,
            },
            power: 0.0,
            damping: 0.0,
            optimizer: Named::Sgd,
            settings: Settings {
                steps: DEFAULT_STEPS,
                momentum: 0.0,
                cooling: DEFAULT_COOLING,
                judge: Judge::Plain,
            },
            policy: None,
        }
    }
}

impl Request {
    /// Takes the part called `name` from `text`.
    ///
    /// # Errors
    /// When there is no such part or the text is not one.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), InvalidRequest> {
        let Self { setting, power, damping, optimizer, settings, policy } = self;
        match name {
            "dim" => put(&mut setting.directions, name, text),
            "spectrum" => put(&mut setting.spectrum, name, text),
            "noise" => put(&mut setting.noise, name, text),
            "mean0" => put(&mut setting.mean, name, text),
            "var0" => put(&mut setting.variance, name, text),
            "power" => put(power, name, text),
            "damping" => put(damping, name, text),
            "optimizer" => put(optimizer, name, text),
            "steps" => put(&mut settings.steps, name, text),
            "momentum" => put(&mut settings.momentum, name, text),
            "cool" => put(&mut settings.cooling, name, text),
            "judge" => put(&mut settings.judge, name, text),
            "schedule" => {
                *policy = Some(parsed(name, text)?);
                Ok(())
            }
            _ => Err(InvalidRequest::Unknown(name.into())),
        }
    }

    /// The schedule of a request whose numbers are in range, and what multiplies gradients, with
    /// which the schedule goes.
    ///
    /// # Errors
    /// When a number is out of range, or no schedule is named.
    pub fn checked(&self) -> Result<(&Policy, Training), InvalidRequest> {
        let Settings { steps, momentum, cooling, judge } = self.settings;
        let range = |name| move |source| InvalidRequest::Range { name, source };
        check_directions(self.setting.directions).map_err(range("dim"))?;
        check_steps(steps).map_err(range("steps"))?;
        check_momentum(momentum).map_err(range("momentum"))?;
        at_most(cooling, MOST_STEPS).map_err(range("cool"))?;
        let preconditioner = Preconditioner::new(self.power, self.damping)
            .map_err(|e| InvalidRequest::Preconditioner(e.to_string()))?;
        let policy = self.policy.as_ref().ok_or(InvalidRequest::NoSchedule)?;
        if judge != Judge::Plain && !policy.looks_ahead() {
            return Err(InvalidRequest::Judge { judge, policy: policy.to_string() });
        }
        let optimizer = self.optimizer.optimizer(self.damping);
        let optimizer = optimizer.map_err(|e| InvalidRequest::Preconditioner(e.to_string()))?;
        let Some(optimizer) = optimizer else {
            return Ok((policy, Training { preconditioner, optimizer: None }));
        };
        policy
            .check(&optimizer, self.settings)
            .map_err(|source| InvalidRequest::MeanField { policy: policy.to_string(), source })?;
        let has_damping = optimizer.value(Parameter::Damping).is_some();
        if self.power != 0.0 || self.damping != 0.0 && !has_damping {
            return Err(InvalidRequest::Preconditioner(format!(
                "{} has its own; leave out the fixed preconditioner",
                optimizer.name()
            )));
        }
        let preconditioner = Preconditioner::identity();
        Ok((policy, Training { preconditioner, optimizer: Some(optimizer) }))
    }
}

fn parsed<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T, InvalidRequest> {
    text.parse().map_err(|reason: T::Err| InvalidRequest::Text {
        name: name.into(),
        text: text.into(),
        reason: reason.to_string(),
    })
}

fn put<T: FromStr<Err: Display>>(to: &mut T, name: &str, text: &str) -> Result<(), InvalidRequest> {
    *to = parsed(name, text)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[(&str, &str)]) -> Result<Request, InvalidRequest> {
        let mut request = Request::default();
        parts.iter().try_for_each(|(name, text)| request.set(name, text))?;
        request.checked()?;
        Ok(request)
    }

    #[test]
    fn every_part_is_taken_from_its_text() {
        let request = of(&[
            ("dim", "30"),
            ("spectrum", "geometric:0.01,1"),
            ("noise", "constant:0.5"),
            ("mean0", "2"),
            ("var0", "3"),
            ("power", "0.5"),
            ("damping", "0.1"),
            ("optimizer", "sgd"),
            ("steps", "12"),
            ("momentum", "0.9"),
            ("cool", "4"),
            ("judge", "average:0.5"),
            ("schedule", "replan:7"),
        ])
        .unwrap();
        let setting = Setting {
            spectrum: Spectrum::Geometric(0.01, 1.0),
            directions: 30,
            noise: Noise::Constant(0.5),
            mean: 2.0,
            variance: 3.0,
        };
        let settings =
            Settings { steps: 12, momentum: 0.9, cooling: 4, judge: Judge::Average(0.5) };
        let policy = Some(Policy::Replan(7));
        let optimizer = Named::Sgd;
        assert_eq!(
            request,
            Request { setting, power: 0.5, damping: 0.1, optimizer, settings, policy }
        );
    }

    #[test]
    fn an_optimiser_is_taken_from_its_text() {
        for (text, damping, name) in [
            ("rmsprop:0.9,0.01", "0", "rmsprop"),
            ("adam:0.9,0.999,1e-8", "0", "adam"),
            ("kfac:0.95", "0.3", "kfac"),
            ("kfac-sampled:0.95", "0.3", "kfac"),
        ] {
            let parts = [("optimizer", text), ("damping", damping), ("schedule", "tuned:7")];
            let request = of(&parts).unwrap();
            let optimizer = request.checked().unwrap().1.optimizer.unwrap();
            assert_eq!(optimizer.name(), name);
            let found = optimizer.value(Parameter::Damping).unwrap_or_default();
            assert_eq!(found, damping.parse::<f64>().unwrap());
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (parts, words) in [
            (&[("dimension", "3")][..], "\"dimension\" is not a part of a run; its parts are dim,"),
            (&[("dim", "many")], "dim is \"many\": invalid digit"),
            (&[("dim", "0")], "dim: a quadratic needs at least one direction"),
            (&[("dim", "200000000")], "dim: 200000000 is too many; give at most 100000000"),
            (&[("steps", "0")], "steps: give at least one step"),
            (&[("momentum", "1")], "momentum: 1; give a number from 0 up to but not including 1"),
            (&[("momentum", "NaN")], "momentum: NaN; give"),
            (&[("schedule", "best")], "schedule is \"best\": a schedule is greedy,"),
            (&[("spectrum", "flat")], "spectrum is \"flat\": a spectrum is inverse,"),
            (&[("damping", "-1"), ("schedule", "greedy")], "power and damping: "),
            (&[("judge", "jury")], "judge is \"jury\": a judge is plain,"),
            (&[("judge", "average:1")], "judge is \"average:1\": give a number from 0 up to"),
            (&[("judge", "cooldown:-1")], "judge is \"cooldown:-1\": give a number of steps"),
            (
                &[("judge", "same-batch"), ("schedule", "optimal")],
                "judge is same-batch, but optimal does not look ahead; name replan:H or tuned:H",
            ),
            (&[("optimizer", "adam")], "optimizer is \"adam\": an optimiser is sgd, rmsprop:RHO,"),
            (&[("optimizer", "rmsprop:1,0")], "decays are numbers from 0 up to but not"),
            (
                &[("optimizer", "adam:0.9,0.9,0"), ("schedule", "optimal")],
                "optimal: it is searched for by steps back, which the second moment of adam",
            ),
            (
                &[("optimizer", "kfac:0.9"), ("power", "1"), ("schedule", "greedy")],
                "kfac has its own; leave out the fixed preconditioner",
            ),
            (&[], "name a schedule"),
        ] {
            let said = of(parts).expect_err(words).to_string();
            assert!(said.contains(words), "{said}");
        }
    }
}
