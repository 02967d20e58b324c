//! `myopia nqm`: the noisy quadratic laboratory.

mod compare;
mod meta;
mod options;
#[cfg(test)]
mod tests;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::options::Common;
use myopia::failure::Failure;
use myopia::nqm::bands::Band;
use myopia::nqm::policy::Policy;
use myopia::nqm::run::{Run, run};
use myopia::output::{OutputFolder, csv, json, standard};
use options::{QuadraticOptions, RunOptions};

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
    /// Run several schedules and draw them: learning rates, losses, and where in the spectrum the losses are
    Compare(compare::Options),
    /// Tune alpha0, K, beta or a preconditioner's damping by meta-descent at several horizons
    Meta(meta::Options),
}

/// One schedule.
#[derive(Args, Debug)]
struct One {
    #[command(flatten)]
    quadratic: QuadraticOptions,
    #[command(flatten)]
    run: RunOptions,
    /// greedy, greedy-momentum, optimal, optimal-momentum, replan:H, replan-momentum:H, tuned:H, constant:RATE,
    /// decay:RATE,STEPS,EXPONENT, or file:PATH with the columns learning_rate,momentum. optimal-momentum tries momenta of any
    /// sign up to 1000
    #[arg(long, required = true)]
    schedule: Option<Policy>,
}

/// One line of `nqm.csv`: the losses after `step` steps and the step that follows, which the last line lacks.
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
            None => self.one.print(common),
        }
    }
}

impl One {
    fn run(&self) -> Result<Run, Failure> {
        let Some(policy) = &self.schedule else {
            return Err(Failure::usage("name a --schedule"));
        };
        let settings = self.run.settings()?;
        // Before the quadratic, which may take long to read.
        policy.given(settings.steps, settings.momentum)?;
        run(&self.quadratic.quadratic()?, policy, settings)
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
            folder.write("nqm.json", |w| json::write(w, &run))?;
            folder.finish()?;
        }
        if common.json {
            return json::print(&run);
        }
        let last = |losses: &[f64]| losses.last().copied().unwrap_or(f64::NAN);
        let Run { excess_loss, loss, losses, learning_rates, .. } = &run;
        standard::print(|out| {
            writeln!(out, "after {} steps", learning_rates.len())?;
            let first = losses.first().unwrap_or(loss);
            writeln!(out, "expected loss    {loss:.9}, at first {first:.9}")?;
            writeln!(out, "above the floor  {excess_loss:.9}")?;
            writeln!(
                out,
                "  cooled         {:.9}, after {} more steps at the best rates",
                last(&run.excess.cooled),
                self.run.cool
            )?;
            writeln!(
                out,
                "  without noise  {:.9}, if what noise has added were taken away",
                last(&run.excess.noiseless)
            )?;
            for band in &run.bands {
                writeln!(
                    out,
                    "  per direction  {:.3e}, in {} of curvature {:.3} to {:.3}",
                    last(&band.losses),
                    band.directions,
                    band.lowest,
                    band.highest
                )?;
            }
            Ok(())
        })
    }
}

/// A number for a table: in full, or with a power of ten where that would be long or show no digits.
fn readable(x: f64) -> String {
    if x == 0.0 || (1e-3..1e4).contains(&x.abs()) { format!("{x:.6}") } else { format!("{x:.5e}") }
}
