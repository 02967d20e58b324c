//! `myopia nqm judges`: the bias of a look-ahead against the parameter of its judge.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::options::{QuadraticOptions, at_most, check_momentum, check_steps, interrupted};
use super::provenance::Provenance;
use super::readable;
use crate::command::options::Common;
use crate::command::progress;
use crate::command::values::{once, real, whole};
use myopia::failure::Failure;
use myopia::figure::{Axis, Figure, Lines, Markers, Reference, Series};
use myopia::interrupt;
use myopia::memory::afford;
use myopia::nqm::bias::{Bias, biases, zero};
use myopia::nqm::judge::Judge;
use myopia::nqm::optimum;
use myopia::nqm::policy::{DEFAULT_STEPS, MOST_STEPS};
use myopia::nqm::reparametrization::Variables;
use myopia::nqm::tolerances::Control;
use myopia::output::{OutputFolder, csv, json, standard};

/// Options of `myopia nqm judges`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    quadratic: QuadraticOptions,
    /// Training steps of the optimal plan
    #[arg(
        long, default_value_t = DEFAULT_STEPS, value_name = "T", allow_negative_numbers = true,
        value_parser = whole::<usize>
    )]
    steps: usize,
    /// Momentum: from 0 up to but not including 1
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_name = "MU")]
    momentum: f64,
    /// Steps of each look-ahead
    #[arg(
        long, default_value_t = 20, value_name = "H", allow_negative_numbers = true,
        value_parser = whole::<usize>
    )]
    horizon: usize,
    /// Steps of the plan after which to look ahead [default: none and each fifth of the plan]
    #[arg(long, value_delimiter = ',', value_name = "STEPS,…", value_parser = whole::<usize>)]
    after: Option<Vec<usize>>,
    /// Lengths of cool-downs, ascending; 0 is the plain judge
    #[arg(
        long, value_delimiter = ',', value_name = "STEPS,…", value_parser = whole::<usize>,
        default_values_t = [0, 2, 5, 10, 20, 50, 100, 200, 500]
    )]
    cooldowns: Vec<usize>,
    /// GAMMAs of exponential averages, ascending; 0 is the plain judge
    #[arg(
        long, value_delimiter = ',', value_name = "GAMMA,…", value_parser = real,
        default_values_t = [0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99]
    )]
    averages: Vec<f64>,
}

/// Where the figure goes unless `--out` says otherwise.
const FOLDER: &str = "myopia-judges";

/// One line of `judges.csv`.
#[derive(Clone, Serialize)]
struct Line {
    judge: String,
    step: usize,
    learning_rate: f64,
    optimal_learning_rate: f64,
    bias: f64,
}

/// Where the bias of a kind of judge is zero.
#[derive(Clone, Serialize)]
struct Zero {
    /// cooldown or average.
    judge: &'static str,
    step: usize,
    /// Steps of cool-down, or γ; none where the bias has one sign.
    parameter: Option<f64>,
}

/// What `judges.json` holds besides its provenance.
#[derive(Serialize)]
struct Results<'a> {
    biases: &'a [Line],
    zeros: &'a [Zero],
}

/// A kind of judge: how it is called, and the length of its memory in steps.
struct Kind {
    name: &'static str,
    title: &'static str,
    axis: &'static str,
    /// Steps of cool-down, or 1/(1 − γ).
    length: fn(Judge) -> Option<f64>,
    /// The judge's parameter of that length.
    parameter: fn(f64) -> f64,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "cooldown",
        title: "After a cool-down that is discarded",
        axis: "steps of cool-down C",
        length: |judge| match judge {
            Judge::Cooldown(steps) => Some(steps as f64),
            _ => None,
        },
        parameter: |steps| steps,
    },
    Kind {
        name: "average",
        title: "By an average of the iterates",
        axis: "steps of the average 1/(1 − γ)",
        length: |judge| match judge {
            Judge::Average(gamma) => Some(1.0 / (1.0 - gamma)),
            _ => None,
        },
        parameter: |steps| 1.0 - 1.0 / steps,
    },
];

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        let judges = self.judges()?;
        let after = self.after()?;
        let path = common.out.clone().unwrap_or_else(|| PathBuf::from(FOLDER));
        self.quadratic.optimizer.refuse_backwards("nqm judges")?;
        let quadratic = self.quadratic.quadratic()?;
        let rates = Variables::LearningRates { momentum: self.momentum };
        let longest = judges.iter().fold(0, |most: usize, judge| {
            let steps = self.horizon + judge.cooldown();
            if steps > most { steps } else { most }
        });
        let ahead = if longest > self.steps { longest } else { self.steps };
        let directions = quadratic.directions().len();
        let bytes = optimum::bytes(directions, ahead, rates, &Control::default().tolerances);
        afford(&format!("a search {ahead} steps ahead"), bytes, "look fewer steps ahead")?;
        let folder = OutputFolder::create_at_once(&path, common.force)?;
        interrupt::listen()?;
        let bar = progress::bar(common, (judges.len() * after.len()) as u64, "look-aheads");
        let done = |count: usize| bar.inc(count as u64);
        let control = Control { stop: &interrupt::is_asked, done: &done, ..Control::default() };
        let run = (self.steps, self.momentum);
        let found = biases(&quadratic, run, self.horizon, &after, &judges, &control);
        bar.finish_and_clear();
        let found = found.map_err(|_| interrupted())?;
        let zeros = zeros(&found, &after);
        let lines: Vec<Line> = found.iter().map(line).collect();
        let header = ["judge", "step", "learning_rate", "optimal_learning_rate", "bias"];
        folder.write("judges.csv", |w| csv::write(w, &header, &lines))?;
        folder.write("zeros.csv", |w| csv::write(w, &["judge", "step", "parameter"], &zeros))?;
        self.figure(&found, &after).write(&folder, false, "judges")?;
        let results = Results { biases: &lines, zeros: &zeros };
        let about = Provenance::new("nqm judges", &self, results);
        folder.write("judges.json", |w| json::write(w, &about))?;
        if interrupt::is_asked() {
            return Err(interrupted());
        }
        folder.finish()?;
        if common.json {
            return json::print(&about);
        }
        let place = folder.path().display();
        standard::print(|out| {
            writeln!(out, "ln(rate chosen {} steps ahead / optimal rate)", self.horizon)?;
            write!(out, "{:<14}", "judge")?;
            after.iter().try_for_each(|step| write!(out, "  {:>10}", format!("step {step}")))?;
            writeln!(out)?;
            for row in found.chunks(after.len()) {
                write!(out, "{:<14}", row[0].judge.to_string())?;
                row.iter().try_for_each(|bias| write!(out, "  {:>10.3}", bias.value()))?;
                writeln!(out)?;
            }
            for kind in KINDS {
                write!(out, "{:<14}", format!("zero {}", kind.name))?;
                for zero in zeros.iter().filter(|zero| zero.judge == kind.name) {
                    write!(out, "  {:>10}", zero.parameter.map_or("–".into(), readable))?;
                }
                writeln!(out)?;
            }
            writeln!(out, "Figure and tables are in {place}.")
        })
    }

    /// The judges, cool-downs first.
    fn judges(&self) -> Result<Vec<Judge>, Failure> {
        check_steps(self.steps)?;
        check_momentum(self.momentum)?;
        for &steps in &self.cooldowns {
            at_most("cooldowns", steps, MOST_STEPS)?;
        }
        if let Some(gamma) = self.averages.iter().find(|gamma| !(0.0..1.0).contains(*gamma)) {
            return Err(Failure::usage(format!(
                "--averages has {gamma:?}; give numbers from 0 up to but not including 1"
            )));
        }
        let ascending = self.cooldowns.is_sorted_by(|a, b| a < b);
        if !ascending || !self.averages.is_sorted_by(|a, b| a < b) {
            let option = if ascending { "--averages" } else { "--cooldowns" };
            return Err(Failure::usage(format!(
                "{option} is not ascending; give each number once, the smallest first"
            )));
        }
        let cooldowns = self.cooldowns.iter().copied().map(Judge::Cooldown);
        Ok(cooldowns.chain(self.averages.iter().copied().map(Judge::Average)).collect())
    }

    /// The numbers of steps after which to look ahead.
    fn after(&self) -> Result<Vec<usize>, Failure> {
        let Self { steps, horizon, .. } = *self;
        if horizon == 0 || horizon > steps {
            return Err(Failure::usage(format!(
                "--horizon is {horizon}; give a number from 1 to the {steps} of --steps"
            )));
        }
        let last = steps - horizon;
        let Some(after) = &self.after else {
            let mut fifths: Vec<_> = (0..5).map(|i| i * steps / 5).collect();
            fifths.retain(|step| *step <= last);
            fifths.dedup();
            return Ok(fifths);
        };
        if let Some(step) = after.iter().find(|step| **step > last) {
            return Err(Failure::usage(format!(
                "--after has {step}, but of {steps} steps no more than {last} may come before a \
                 look-ahead of {horizon}; give a smaller number"
            )));
        }
        once("after", after)?;
        Ok(after.clone())
    }

    fn figure(&self, found: &[Bias], after: &[usize]) -> Figure {
        let title = format!("What a look-ahead of {} steps is judged by", self.horizon);
        KINDS.iter().fold(Figure::new(title).columns(2), |figure, kind| {
            let y = Axis::linear("bias ln(α/α*)");
            let panel = Lines::new(kind.title, Axis::log(kind.axis), y)
                .reference(Reference::Horizontal(0.0, "no bias".into()));
            figure.panel(after.iter().fold(panel, |panel, step| {
                let mut points = points(kind, found, *step);
                points.retain(|(length, _)| *length > 0.0);
                let name = format!("after {step} steps");
                panel.series(Series::new(name, points).markers(Markers::Points))
            }))
        })
    }
}

fn line(bias: &Bias) -> Line {
    Line {
        judge: bias.judge.to_string(),
        step: bias.step,
        learning_rate: bias.learning_rate,
        optimal_learning_rate: bias.optimal_learning_rate,
        bias: bias.value(),
    }
}

/// Lengths and biases of one kind of judge after `step` steps.
fn points(kind: &Kind, found: &[Bias], step: usize) -> Vec<(f64, f64)> {
    let there = found.iter().filter(|bias| bias.step == step);
    there.filter_map(|bias| Some(((kind.length)(bias.judge)?, bias.value()))).collect()
}

fn zeros(found: &[Bias], after: &[usize]) -> Vec<Zero> {
    let each = |kind: &Kind, step: usize| Zero {
        judge: kind.name,
        step,
        parameter: zero(&points(kind, found, step)).map(kind.parameter),
    };
    KINDS.iter().flat_map(|kind| after.iter().map(move |step| each(kind, *step))).collect()
}
