//! Options of the outer optimizer, and the bounds between which it keeps what it learns.

use clap::{Args, ValueEnum};
use myopia_core::meta::{Limits, Rule};
use myopia_core::schedule::{InverseTime, PARAMETERS, Parameter};
use serde::Serialize;

use super::optimizer::Tuned;
use super::options::positive;
use crate::command::values::{named, whole};
use myopia::failure::Failure;
use myopia::outer::{self, OuterOptimizer, OuterRule};
use myopia::precision::Precision;
use myopia::problem::Problem;

/// The outer optimizer's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outer {
    /// Adam
    Adam,
    /// SGD with momentum 0.9
    Momentum,
}

impl From<Outer> for OuterRule {
    fn from(name: Outer) -> Self {
        match name {
            Outer::Adam => Self::Adam,
            Outer::Momentum => Self::Momentum,
        }
    }
}

/// Options of the outer optimizer.
#[derive(Args, Clone, Debug, Serialize)]
pub struct OuterOptions {
    /// Meta-steps to take
    #[arg(
        long, default_value_t = 100, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    pub meta_steps: u32,
    #[command(flatten)]
    #[serde(flatten)]
    pub rule: RuleOptions,
}

/// How meta-steps are taken.
#[derive(Args, Clone, Debug, Serialize)]
pub struct RuleOptions {
    /// Outer optimizer
    #[arg(long, value_enum, default_value = "adam")]
    pub outer: Outer,
    /// Meta-learning rate, on the logarithms of the parameters
    #[arg(long, default_value_t = 0.1, value_name = "RATE", allow_negative_numbers = true)]
    pub meta_lr: f64,
    /// Gradients by the logarithms are held inside plus or minus this
    #[arg(long, default_value_t = 10.0, value_name = "SIZE", allow_negative_numbers = true)]
    pub clip: f64,
    /// Parameters of the schedule that keep their value. The others stay within 0.0001 to 10
    /// (alpha0), 1 to 1e6 steps (time-constant), 0.0001 to 1000 (beta), and start there
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", value_parser = named::<ParameterName>())]
    pub fix: Vec<ParameterName>,
}

/// A parameter of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParameterName {
    /// The first learning rate
    Alpha0,
    /// The time constant
    TimeConstant,
    /// The decay exponent
    Beta,
}

impl ParameterName {
    /// The same for the core.
    pub fn parameter(self) -> Parameter {
        match self {
            Self::Alpha0 => Parameter::Alpha0,
            Self::TimeConstant => Parameter::TimeConstant,
            Self::Beta => Parameter::Beta,
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl RuleOptions {
    /// The optimizer of the schedule, for descents from these α₀, K and β, which `options` give.
    pub fn optimizer(
        &self,
        precision: Precision,
        starts: &[InverseTime<f64>],
        options: [&str; 3],
    ) -> Result<OuterOptimizer, Failure> {
        let learned: Vec<Parameter> = ParameterName::value_variants()
            .iter()
            .filter(|name| !self.fix.contains(name))
            .map(|name| name.parameter())
            .collect();
        for start in starts {
            let named = options.into_iter().zip(start.parameters());
            for (start, limits) in named.zip(&outer::limits(&learned)) {
                within(start, limits, FIX)?;
            }
        }
        let rule = [self.meta_lr, self.clip];
        outer_optimizer(precision, self.outer, rule, outer::limits(&learned))
    }

    /// Refuses a rule that was chosen where there is none: `why` says so.
    pub fn refuse_chosen(&self, why: &str) -> Result<(), Failure> {
        let chosen = [
            ("--outer", self.outer != Outer::Adam),
            ("--meta-lr", self.meta_lr != 0.1),
            ("--clip", self.clip != 10.0),
        ];
        match chosen.into_iter().find(|(_, chosen)| *chosen) {
            None => Ok(()),
            Some((name, _)) => Err(Failure::usage(format!("{why}; leave out {name}"))),
        }
    }

    /// The rule in double precision.
    pub fn rule(&self) -> Rule<f64> {
        match self.outer {
            Outer::Adam => Rule::adam(),
            Outer::Momentum => Rule::momentum(),
        }
    }

    /// The meta-learning rate and the clip.
    pub fn checked(&self, precision: Precision) -> Result<[f64; 2], Failure> {
        Ok([checked_rate(precision, self.meta_lr)?, positive(precision, "clip", self.clip)?])
    }

    /// The optimizer of what `--tune` names, for descents on `problem` from these α₀, K and β.
    pub fn optimizer_from(
        &self,
        precision: Precision,
        tuned: &[Tuned],
        starts: &[InverseTime<f64>],
        problem: &Problem<'_>,
    ) -> Result<OuterOptimizer, Failure> {
        if !self.fix.is_empty() {
            return Err(Failure::usage(
                "--fix and --tune both say what is learned, and of other schedules than inverse-time --tune alone; leave out \
                 --fix, and of --tune what is to keep its value",
            ));
        }
        let learned: Vec<Parameter> = tuned.iter().map(|tuned| tuned.parameter()).collect();
        let limits = outer::limits(&learned);
        for start in starts {
            for (tuned, &parameter) in tuned.iter().zip(&learned) {
                let value = match PARAMETERS.iter().position(|p| *p == parameter) {
                    Some(which) => start.parameters()[which],
                    None => problem.value(parameter).unwrap_or_default(),
                };
                let limits = &limits[parameter as usize];
                within((&tuned.name(), value), limits, "leave it out of --tune")?;
            }
        }
        outer_optimizer(precision, self.outer, [self.meta_lr, self.clip], limits)
    }
}

/// How a parameter of the schedule, or an online one, keeps its value.
pub const FIX: &str = "keep it with --fix";

/// Refuses a start outside the bounds between which the outer optimizer keeps what it learns;
/// `remedy` says how not to learn it.
pub fn within(
    (name, start): (&str, f64),
    limits: &Limits<f64>,
    remedy: &str,
) -> Result<(), Failure> {
    let Limits { learned, least, greatest, .. } = *limits;
    // A start on a bound may have been rounded to the float of the run.
    let (low, high) = (least * (1.0 - 1e-6), greatest * (1.0 + 1e-6));
    if !learned || (low..=high).contains(&start) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "--{name} is {start:?} where the descent starts, outside {least:?} to {greatest:?}, in which it is learned; start inside, \
         or {remedy}"
    )))
}

/// The largest meta-learning rate: e¹⁰ is a factor of 22,000 in one step.
pub const MOST_META_LR: f64 = 10.0;

/// A meta-learning rate with sense.
fn checked_rate(precision: Precision, meta_lr: f64) -> Result<f64, Failure> {
    let rate = positive(precision, "meta-lr", meta_lr)?;
    if rate > MOST_META_LR {
        return Err(Failure::usage(format!(
            "--meta-lr {meta_lr:?} is above {MOST_META_LR}; it is a step on logarithms, give one such as 0.1"
        )));
    }
    Ok(rate)
}

/// The outer optimizer with this meta-learning rate and clip on what `limits` say is learned.
pub fn outer_optimizer<const N: usize>(
    precision: Precision,
    outer: Outer,
    [meta_lr, clip]: [f64; 2],
    limits: [Limits<f64>; N],
) -> Result<OuterOptimizer<N>, Failure> {
    let rate = checked_rate(precision, meta_lr)?;
    if limits.iter().all(|limits| !limits.learned) {
        return Err(Failure::usage(
            "--fix names everything, so that nothing is learned; leave one out",
        ));
    }
    let clip = positive(precision, "clip", clip)?;
    let limits = limits.map(|limits| Limits { clip, ..limits });
    Ok(OuterOptimizer::new(precision, outer.into(), rate, limits))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Program;

    fn refusal(arguments: &str) -> String {
        let line = format!("myopia --quiet {arguments} --objective-size 10 --layers 64,2,10");
        let program = Program::try_parse_from(line.split(' ')).unwrap();
        program.run().expect_err(arguments).to_string()
    }

    #[test]
    fn starts_outside_the_bounds_and_settings_without_sense_are_refused_by_name() {
        let meta = "meta --horizon 2 --meta-steps 1";
        for (arguments, words) in [
            (format!("{meta} --alpha0 1e-8"), "--alpha0 is"),
            (format!("{meta} --alpha0 20"), "outside 0.0001 to 10.0"),
            (format!("{meta} --time-constant 1e9"), "--time-constant is 1000000000.0"),
            (format!("{meta} --beta 0"), "--beta is 0.0"),
            (format!("{meta} --meta-lr 1e30"), "--meta-lr 1e30 is above 10"),
            (format!("{meta} --fix alpha0,time-constant,beta"), "nothing is learned"),
            ("horizons --horizon 2 --meta-steps 1 --from 0.1,0.5,1".into(), "--from, as K, is 0.5"),
            ("online --steps 2 --from 1e-9".into(), "--from, as rate / (1 - momentum), is 1.0"),
            ("online --steps 2 --momentum 0.9999".into(), "--momentum, as 1 - momentum,"),
            ("online --steps 2 --fix effective-rate,momentum".into(), "nothing is learned"),
        ] {
            let said = refusal(&arguments);
            assert!(said.contains(words) && said.lines().count() == 1, "{arguments}: {said}");
        }
    }

    #[test]
    fn what_keeps_its_value_may_have_any_and_bounds_may_be_starts() {
        for arguments in [
            "meta --horizon 2 --meta-steps 1 --beta 0 --fix beta",
            "meta --horizon 2 --meta-steps 1 --alpha0 0.0001 --time-constant 1 --beta 1000",
            "online --steps 2 --momentum 0.9999 --fix momentum --from 0.001 --fixed 0.01 --every 1",
        ] {
            let line = format!("myopia --quiet {arguments} --objective-size 10 --layers 64,2,10");
            let program = Program::try_parse_from(line.split(' ')).unwrap();
            program.run().unwrap_or_else(|e| panic!("{arguments}: {e}"));
        }
    }
}
