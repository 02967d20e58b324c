//! `myopia nqm compare`: several schedules side by side.

use std::collections::BTreeSet;
use std::iter;
use std::path::PathBuf;

use clap::Args;
use rayon::prelude::*;
use serde::Serialize;

use super::options::{Chosen, QuadraticOptions, RunOptions, Source, interrupted};
use super::provenance::Provenance;
use super::{MOST_CURVES, band_lines, drawn, drawn_of, lines, readable, short};
use crate::command::options::Common;
use crate::command::progress;
use myopia::failure::Failure;
use myopia::figure::{Axis, Figure, Lines, Series};
use myopia::interrupt;
use myopia::nqm::Quadratic;
use myopia::nqm::policy::Policy;
use myopia::nqm::run::Run;
use myopia::output::{OutputFolder, csv, json, standard};
use myopia::shown;

/// Options of `myopia nqm compare`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    /// Schedules, in the forms of --schedule
    #[arg(value_name = "SCHEDULE", default_values = ["greedy", "replan:10", "tuned:100", "optimal"])]
    schedules: Vec<Source<Policy>>,
    #[command(flatten)]
    #[serde(flatten)]
    quadratic: QuadraticOptions,
    #[command(flatten)]
    #[serde(flatten)]
    run: RunOptions,
}

/// Where the figures go unless `--out` says otherwise.
const FOLDER: &str = "myopia-nqm";

/// A run and the name of its schedule.
#[derive(Serialize)]
struct Named {
    schedule: String,
    #[serde(flatten)]
    run: Run,
}

/// What `compare.json` holds besides its provenance.
#[derive(Serialize)]
struct Runs<'a> {
    runs: &'a [Named],
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        self.run.check()?;
        let chosen = self.schedules.iter().map(|source| self.run.choose(source));
        let chosen = chosen.collect::<Result<Vec<Chosen>, Failure>>()?;
        self.run.check_judge(&chosen)?;
        let path = common.out.clone().unwrap_or_else(|| PathBuf::from(FOLDER));
        let quadratic = self.quadratic.quadratic()?;
        let drawn = if chosen.len() < MOST_CURVES { chosen.len() } else { MOST_CURVES };
        self.run.afford(&quadratic, &chosen, drawn)?;
        let folder = OutputFolder::create_at_once(&path, common.force)?;
        interrupt::listen()?;
        let bar = progress::bar(common, chosen.len() as u64, "schedules");
        let names = numbered(chosen.iter().map(|chosen| shown::name(&chosen.name)));
        let runs = chosen
            .par_iter()
            .zip(names)
            .map(|(chosen, schedule)| {
                let run = self.run.run(&quadratic, chosen)?;
                bar.inc(1);
                Ok(Named { schedule, run })
            })
            .collect::<Result<Vec<_>, Failure>>();
        bar.finish_and_clear();
        let runs = runs?;
        write(&folder, &quadratic, &runs)?;
        schedules(&runs, self.run.cool).write(&folder, false, "schedules")?;
        curvature(&quadratic, &runs).write(&folder, false, "curvature")?;
        let about = Provenance::new("nqm compare", &self, Runs { runs: &runs });
        folder.write("compare.json", |w| json::write(w, &about))?;
        if interrupt::is_asked() {
            return Err(interrupted());
        }
        folder.finish()?;
        runs.iter().for_each(|named| super::remark(&named.schedule, &named.run));
        if common.json {
            return json::print(&runs);
        }
        let place = folder.path().display();
        standard::print(|out| {
            let width = runs
                .iter()
                .map(|run| run.schedule.len())
                .fold(8, |a: usize, b| if b > a { b } else { a });
            writeln!(
                out,
                "{:<width$}  {:>14}  {:>14}  {:>14}",
                "schedule", "excess loss", "cooled", "without noise"
            )?;
            for Named { schedule, run } in &runs {
                let last = |losses: &[f64]| losses.last().copied().unwrap_or(f64::NAN);
                writeln!(
                    out,
                    "{schedule:<width$}  {:>14}  {:>14}  {:>14}",
                    readable(run.excess_loss),
                    readable(last(&run.excess.cooled)),
                    readable(last(&run.excess.noiseless))
                )?;
            }
            writeln!(out, "Figures and tables are in {place}.")
        })
    }
}

/// The names, with a number behind each that was there before: rows and curves are told apart by
/// them.
fn numbered(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let own = |name: String| {
        let more = (2..).map(|number| format!("{name} ({number})"));
        let mut names = iter::once(name.clone()).chain(more);
        names.find(|name| taken.insert(name.clone())).unwrap_or(name)
    };
    names.map(own).collect()
}

fn write(folder: &OutputFolder, quadratic: &Quadratic, runs: &[Named]) -> Result<(), Failure> {
    let each = |named: &'_ Named| named.schedule.clone();
    let header =
        ["schedule", "step", "loss", "learning_rate", "momentum", "cooled_loss", "noiseless_loss"];
    let rows = runs.iter().flat_map(|named| {
        lines(&named.run).map(move |l| {
            (
                each(named),
                l.step,
                l.loss,
                l.learning_rate,
                l.momentum,
                l.cooled_loss,
                l.noiseless_loss,
            )
        })
    });
    folder.write("schedules.csv", |w| csv::write(w, &header, rows))?;
    let header = ["schedule", "lowest", "highest", "directions", "step", "loss_per_direction"];
    let rows = runs.iter().flat_map(|named| {
        band_lines(&named.run).map(move |(lowest, highest, directions, step, loss)| {
            (each(named), lowest, highest, directions, step, loss)
        })
    });
    folder.write("bands.csv", |w| csv::write(w, &header, rows))?;
    let header = ["schedule", "direction", "curvature", "excess_loss"];
    let rows = runs.iter().flat_map(|named| {
        let directions = quadratic.directions().iter().zip(&named.run.shares).enumerate();
        directions
            .map(move |(i, (direction, share))| (each(named), i + 1, direction.curvature, share))
    });
    folder.write("curvature.csv", |w| csv::write(w, &header, rows))
}

/// Learning rates, momenta if there are any, losses and cooled losses.
fn schedules(runs: &[Named], cooling: usize) -> Figure {
    let title = format!("Schedules on the noisy quadratic{}", drawn_of("schedules", runs.len()));
    let runs = drawn(runs);
    let panel = |title: &str, y: Axis, read: &dyn Fn(&Run) -> Vec<f64>| {
        runs.iter().fold(Lines::new(title, Axis::linear("training step"), y), |panel, named| {
            panel.series(Series::steps(named.schedule.as_str(), read(&named.run)))
        })
    };
    let rates = Axis::log("learning rate");
    let mut figure = Figure::new(title)
        .columns(2)
        .panel(panel("Learning rate", rates, &|run| run.learning_rates.clone()));
    if runs.iter().any(|named| named.run.momenta.iter().any(|momentum| *momentum != 0.0)) {
        let momentum = Axis::linear("momentum");
        figure = figure.panel(panel("Momentum", momentum, &|run| run.momenta.clone()));
    }
    let loss = || Axis::log("expected excess loss");
    figure
        .panel(panel("Loss", loss(), &|run| run.excess.losses.clone()))
        .panel(panel(&format!("Loss after cooling ({cooling} steps)"), loss(), &|run| {
            run.excess.cooled.clone()
        }))
        .panel(panel("Loss without what noise has added", loss(), &|run| {
            run.excess.noiseless.clone()
        }))
}

/// What each direction holds of the loss at the end, and how the bands got there.
fn curvature(quadratic: &Quadratic, runs: &[Named]) -> Figure {
    let title = format!("Which directions learn{}", drawn_of("schedules", runs.len()));
    let runs = drawn(runs);
    let label = "excess loss per direction";
    let mut end = Lines::new("After the last step", Axis::log("curvature"), Axis::log(label));
    for named in &runs {
        let curvatures = quadratic.directions().iter().map(|direction| direction.curvature);
        let mut points: Vec<_> = curvatures
            .zip(named.run.shares.iter().copied())
            .filter(|(curvature, _)| *curvature > 0.0)
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        end = end.series(Series::new(named.schedule.as_str(), points));
    }
    let mut figure = Figure::new(title).columns(2).panel(end);
    let bands = runs.first().map_or(0, |named| named.run.bands.len());
    for band in 0..bands {
        let of = |named: &Named| named.run.bands[band].clone();
        let first = of(runs[0]);
        let title = format!("Curvature {} to {}", short(first.lowest), short(first.highest));
        let label = match first.directions {
            1 => "excess loss of 1 direction".to_owned(),
            n => format!("mean excess loss of {n} directions"),
        };
        let panel = Lines::new(title, Axis::linear("training step"), Axis::log(label));
        figure = figure.panel(runs.iter().fold(panel, |panel, named| {
            panel.series(Series::steps(named.schedule.as_str(), of(named).losses))
        }));
    }
    figure
}
