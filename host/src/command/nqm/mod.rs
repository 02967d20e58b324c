//! `myopia nqm`: the noisy quadratic laboratory.

mod biases;
mod compare;
mod judges;
mod mean_field;
mod meta;
pub mod options;
mod provenance;
mod rates;
#[cfg(test)]
mod tests;

use std::slice;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::options::Common;
pub use biases::each_as_words;
use myopia::failure::Failure;
use myopia::interrupt;
use myopia::nqm::bands::Band;
use myopia::nqm::policy::Policy;
use myopia::nqm::run::Run;
use myopia::output::{OutputFolder, csv, json, standard};
use myopia::remark;
use options::{QuadraticOptions, RunOptions, Source, interrupted};
use provenance::Provenance;

/// Options of `myopia nqm`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Options {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    one: One,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Run several schedules and draw them: learning rates, losses, and where in the spectrum the
    /// losses are
    Compare(compare::Options),
    /// Tune alpha0, K, beta, a preconditioner's damping or an optimiser's other hyperparameters by
    /// meta-descent at several horizons
    Meta(meta::Options),
    /// Truncation, hysteresis and horizon of online hypergradients apart, beside perturbations
    Biases(biases::Options),
    /// Sweep what a look-ahead is judged by: how far the rate it chooses is from the optimal plan's
    Judges(judges::Options),
    /// Tune alpha, K-FAC's damping, and epsilon of RMSprop and Adam at several horizons: what
    /// learning rate each expresses
    Rates(rates::Options),
}

/// One schedule.
#[derive(Args, Debug, Serialize)]
struct One {
    #[command(flatten)]
    #[serde(flatten)]
    quadratic: QuadraticOptions,
    #[command(flatten)]
    #[serde(flatten)]
    run: RunOptions,
    /// greedy, greedy-momentum, optimal, optimal-momentum, replan:H, replan-momentum:H, tuned:H,
    /// constant:RATE, decay:RATE,STEPS,EXPONENT, or file:PATH with the columns
    /// learning_rate,momentum (nqm.csv has them). optimal-momentum and replan-momentum:H choose
    /// momenta from 0 up to but not including 1
    #[arg(long, required = true)]
    schedule: Option<Source<Policy>>,
}

/// One line of `nqm.csv`: the losses after `step` steps and the step that follows, which the last
/// line lacks.
#[derive(Serialize)]
struct Line {
    step: usize,
    loss: f64,
    learning_rate: Option<f64>,
    momentum: Option<f64>,
    cooled_loss: f64,
    noiseless_loss: f64,
}

const HEADER: [&str; 6] =
    ["step", "loss", "learning_rate", "momentum", "cooled_loss", "noiseless_loss"];

fn lines(run: &Run) -> impl Iterator<Item = Line> + '_ {
    run.losses.iter().enumerate().map(|(step, &loss)| Line {
        step,
        loss,
        learning_rate: run.learning_rates.get(step).copied(),
        momentum: run.momenta.get(step).copied(),
        cooled_loss: run.cooled_losses[step],
        noiseless_loss: run.noiseless_losses[step],
    })
}

const BAND_HEADER: [&str; 5] = ["lowest", "highest", "directions", "step", "loss_per_direction"];

fn band_lines(run: &Run) -> impl Iterator<Item = (f64, f64, usize, usize, f64)> + '_ {
    run.bands.iter().flat_map(|Band { lowest, highest, directions, losses, .. }| {
        let losses = losses.iter().enumerate();
        losses.map(|(step, &loss)| (*lowest, *highest, *directions, step, loss))
    })
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        match self.action {
            Some(Action::Compare(options)) => options.run(common),
            Some(Action::Meta(options)) => options.run(common),
            Some(Action::Biases(options)) => options.run(common),
            Some(Action::Judges(options)) => options.run(common),
            Some(Action::Rates(options)) => options.run(common),
            None => self.one.print(common),
        }
    }
}

impl One {
    fn run(&self) -> Result<Run, Failure> {
        let Some(source) = &self.schedule else {
            return Err(Failure::usage("name a --schedule"));
        };
        self.run.check()?;
        // Before the quadratic, which may take long to read.
        let chosen = self.run.choose(source)?;
        self.run.check_judge(slice::from_ref(&chosen))?;
        let quadratic = self.quadratic.quadratic()?;
        self.run.afford(&quadratic, slice::from_ref(&chosen), 0)?;
        // From here on nothing is waited for: Ctrl-C is heard within a step.
        interrupt::listen()?;
        self.run.run(&quadratic, &chosen)
    }

    fn name(&self) -> String {
        self.schedule.as_ref().map(Source::to_string).unwrap_or_default()
    }

    fn print(&self, common: &Common) -> Result<(), Failure> {
        let folder = match &common.out {
            Some(path) => Some(OutputFolder::create_at_once(path, common.force)?),
            None => None,
        };
        let run = self.run()?;
        if let Some(folder) = folder {
            folder.write("nqm.csv", |w| csv::write(w, &HEADER, lines(&run)))?;
            folder.write("bands.csv", |w| csv::write(w, &BAND_HEADER, band_lines(&run)))?;
            let about = Provenance::new("nqm", self, &run);
            folder.write("nqm.json", |w| json::write(w, &about))?;
            if interrupt::is_asked() {
                return Err(interrupted());
            }
            folder.finish()?;
        }
        if common.json {
            remark(&self.name(), &run);
            return json::print(&run);
        }
        let last = |losses: &[f64]| losses.last().copied().unwrap_or(f64::NAN);
        let Run { excess_loss, loss, losses, learning_rates, .. } = &run;
        standard::print(|out| {
            writeln!(out, "after {} steps", learning_rates.len())?;
            let first = losses.first().unwrap_or(loss);
            writeln!(out, "expected loss    {}, at first {}", digits(*loss), digits(*first))?;
            writeln!(out, "above the floor  {}", digits(*excess_loss))?;
            writeln!(
                out,
                "  cooled         {}, after {} more steps at the best rates",
                digits(last(&run.excess.cooled)),
                self.run.cool
            )?;
            writeln!(
                out,
                "  without noise  {}, if what noise has added were taken away",
                digits(last(&run.excess.noiseless))
            )?;
            for band in &run.bands {
                writeln!(
                    out,
                    "  per direction  {:.3e}, in {} of curvature {} to {}",
                    last(&band.losses),
                    band.directions,
                    short(band.lowest),
                    short(band.highest)
                )?;
            }
            if let (Some(evaluations), Some(norm)) = (run.iterations, run.gradient_norm) {
                writeln!(
                    out,
                    "search           {evaluations} evaluations of loss and gradient, \
                     gradient norm {norm:.1e}"
                )?;
            }
            Ok(())
        })?;
        remark(&self.name(), &run);
        Ok(())
    }
}

/// Says on standard error that a search ended before it was at an optimum, and why.
fn remark(schedule: &str, run: &Run) {
    if let (Some(false), Some(evaluations)) = (run.stationary, run.iterations) {
        let ending = match run.budget_spent {
            Some(true) => format!("spent its budget, {evaluations} evaluations,"),
            _ => format!("stalled after {evaluations} evaluations, as no descent led lower,"),
        };
        remark::say(format!(
            "{schedule}: the search {ending} before its gradient was small: the schedule is the best \
             one found, and a better one may exist near it"
        ));
    }
}

/// A loss with nine decimals, or ten digits and a power of ten where those would show few of it.
fn digits(x: f64) -> String {
    if x == 0.0 || (1e-3..1e9).contains(&x.abs()) { format!("{x:.9}") } else { format!("{x:.9e}") }
}

/// A number for a table: in full, or with a power of ten where that would be long or show no
/// digits.
fn readable(x: f64) -> String {
    if x == 0.0 || (1e-3..1e4).contains(&x.abs()) { format!("{x:.6}") } else { format!("{x:.5e}") }
}

/// A number in at most three digits.
fn short(x: f64) -> String {
    let text = format!("{x:.2e}");
    match text.parse::<f64>() {
        Ok(x) if x == 0.0 || (1e-3..1e4).contains(&x.abs()) => x.to_string(),
        Ok(x) => format!("{x:e}"),
        Err(_) => text,
    }
}

/// The most curves in one panel: more can be told apart neither by colour nor in the legend.
const MOST_CURVES: usize = 12;

/// Those of `items` that a figure shows: all, or the first, the last, and some evenly between.
fn drawn<T>(items: &[T]) -> Vec<&T> {
    if items.len() <= MOST_CURVES {
        return items.iter().collect();
    }
    let last = items.len() - 1;
    (0..MOST_CURVES).map(|i| &items[i * last / (MOST_CURVES - 1)]).collect()
}

/// What is added to a figure's title where it does not show everything.
fn drawn_of(what: &str, items: usize) -> String {
    match items > MOST_CURVES {
        true => format!(" ({MOST_CURVES} of {items} {what})"),
        false => String::new(),
    }
}
