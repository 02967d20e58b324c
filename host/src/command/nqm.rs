//! `myopia nqm`: a schedule on the noisy quadratic.

use clap::Args;
use serde::Serialize;

use super::options::Common;
use crate::failure::Failure;
use crate::nqm::command::{self, NqmArgs, Report};
use crate::output::{OutputFolder, csv, json};

/// Options of `myopia nqm`.
#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    arguments: NqmArgs,
}

/// One line of `nqm.csv`: the loss after `step` steps and the step that follows, which the last line lacks.
#[derive(Serialize)]
struct Line {
    step: usize,
    loss: f64,
    learning_rate: Option<f64>,
    momentum: Option<f64>,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        let folder = match &common.out {
            Some(path) => Some(OutputFolder::create(path, common.force)?),
            None => None,
        };
        let report = command::run(&self.arguments)?;
        if let Some(folder) = folder {
            let lines = report.losses.iter().enumerate().map(|(step, &loss)| Line {
                step,
                loss,
                learning_rate: report.learning_rates.get(step).copied(),
                momentum: report.momenta.get(step).copied(),
            });
            let header = ["step", "loss", "learning_rate", "momentum"];
            folder.write("nqm.csv", |w| csv::write(w, &header, lines))?;
            folder.write("nqm.json", |w| json::write(w, &report))?;
        }
        if common.json {
            return json::print(&report);
        }
        let Report { excess_loss, loss, losses, learning_rates, .. } = &report;
        println!("after {} steps", learning_rates.len());
        println!("expected loss  {loss:.9}, at first {:.9}", losses.first().unwrap_or(loss));
        println!("above floor    {excess_loss:.9}");
        Ok(())
    }
}
