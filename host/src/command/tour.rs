//! `myopia tour`: short-horizon bias, twice, in under two minutes.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;

use super::options::Common;
use super::progress;
use myopia::descent::{Columns, Record};
use myopia::failure::Failure;
use myopia::figure::{Axis, Figure, Lines, Markers, Series};
use myopia::output::{OutputFolder, csv, json, standard};
use myopia::tour::{Choice, Digits, NoisyQuadratic, Study, choose, steps};

/// Options of `myopia tour`.
#[derive(Args, Debug)]
pub struct Options {}

/// Where the tour's results go unless `--out` says otherwise.
const FOLDER: &str = "myopia-tour";

/// One line of the table: what a horizon chose, and what it is worth.
#[derive(Clone, Debug, Serialize)]
struct Row {
    study: &'static str,
    horizon: u32,
    alpha0: f64,
    time_constant: f64,
    beta: f64,
    /// The learning rate of the last step of the longest horizon.
    last_learning_rate: f64,
    /// The loss at the horizon itself, which the choice minimised.
    loss_at_horizon: f64,
    /// The loss after the longest horizon.
    loss_at_longest: f64,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        let path = common.out.clone().unwrap_or_else(|| PathBuf::from(FOLDER));
        let folder = OutputFolder::create_at_once(&path, common.force)?;
        let mut rows = show(&NoisyQuadratic::default(), common, &folder)?;
        rows.extend(show(&Digits::new(common.seed, common.isa()?)?, common, &folder)?);
        let header = [
            "study",
            "horizon",
            "alpha0",
            "time_constant",
            "beta",
            "last_learning_rate",
            "loss_at_horizon",
            "loss_at_longest",
        ];
        folder.write("tour.csv", |w| csv::write(w, &header, &rows))?;
        folder.finish()?;
        if common.json {
            return json::print(&rows);
        }
        let place = folder.path().display();
        standard::print(|out| writeln!(out, "Figures and tables are in {place}."))
    }
}

/// Runs a study, prints its table, writes its CSV files and figures.
fn show<S: Study>(study: &S, common: &Common, folder: &OutputFolder) -> Result<Vec<Row>, Failure> {
    let bar = progress::bar(common, steps(study), S::NAME);
    let choices = choose(study, &|steps| ProgressBar::inc(&bar, steps))?;
    bar.finish_and_clear();
    let rows: Vec<Row> = choices.iter().map(row::<S>).collect();
    if !common.json {
        standard::print(|out| print::<S>(&rows, out))?;
    }
    write::<S>(&choices, folder)?;
    Ok(rows)
}

fn row<S: Study>(choice: &Choice) -> Row {
    Row {
        study: S::NAME,
        horizon: choice.horizon,
        alpha0: choice.chosen.schedule().alpha0,
        time_constant: choice.chosen.schedule().time_constant,
        beta: choice.chosen.schedule().beta,
        last_learning_rate: choice.learning_rate(S::HORIZONS[3] - 1),
        loss_at_horizon: choice.chosen.loss,
        loss_at_longest: choice.worth(),
    }
}

fn print<S: Study>(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    let longest = S::HORIZONS[3];
    writeln!(
        out,
        "{}: what each horizon chooses, and its {} after {longest} steps\n",
        S::TITLE,
        S::LOSS
    )?;
    writeln!(
        out,
        "{:>8}  {:>9}  {:>9}  {:>8}  {:>12}  {:>13}  {:>13}",
        "horizon", "alpha0", "K", "beta", "last rate", "loss there", "loss in the end"
    )?;
    for row in rows {
        writeln!(
            out,
            "{:>8}  {:>9.4}  {:>9.1}  {:>8.3}  {:>12.3e}  {:>13.5}  {:>15.5}",
            row.horizon,
            row.alpha0,
            row.time_constant,
            row.beta,
            row.last_learning_rate,
            row.loss_at_horizon,
            row.loss_at_longest
        )?;
    }
    let worst =
        rows.iter().reduce(|a, b| if b.loss_at_longest > a.loss_at_longest { b } else { a });
    if let (Some(worst), Some(long)) = (worst, rows.last()) {
        writeln!(
            out,
            "\nThe schedule that looks best after {} steps ends with {:.1} times the {} of the one that looks best after \
             {longest}.\n",
            worst.horizon,
            worst.loss_at_longest / long.loss_at_longest,
            S::LOSS
        )?;
    }
    Ok(())
}

/// One number of a record.
type Read = fn(&Record) -> f64;

fn write<S: Study>(choices: &[Choice], folder: &OutputFolder) -> Result<(), Failure> {
    let name = |choice: &Choice| format!("T = {}", choice.horizon);
    let columns = Columns::default();
    let header: Vec<String> = ["horizon".to_owned()].into_iter().chain(columns.header()).collect();
    let records = choices
        .iter()
        .flat_map(|c| c.trajectory.iter().map(|record| (c.horizon, columns.row(record))));
    folder.write(&format!("{}-trajectories.csv", S::NAME), |w| csv::write(w, &header, records))?;
    let points = choices.iter().flat_map(|c| {
        c.curve.iter().map(|&(step, loss)| (c.horizon, step, c.learning_rate(step), loss))
    });
    folder.write(&format!("{}-training.csv", S::NAME), |w| {
        csv::write(w, &["horizon", "step", "learning_rate", "loss"], points)
    })?;

    let parameters: [(&str, Read); 3] = [
        ("α₀, first learning rate", |r| r.schedule().alpha0),
        ("K, time constant (steps)", |r| r.schedule().time_constant),
        ("β, decay exponent", |r| r.schedule().beta),
    ];
    let mut trajectories =
        Figure::new(format!("{}: hyperparameter trajectories by horizon T", S::TITLE));
    for (label, read) in parameters {
        let mut panel = Lines::new("", Axis::linear("meta-step"), Axis::log(label));
        for choice in choices {
            let points = choice.trajectory.iter().map(|r| (f64::from(r.meta_step), read(r)));
            panel = panel.series(Series::new(name(choice), points).markers(Markers::Ends));
        }
        trajectories = trajectories.panel(panel);
    }
    trajectories.write(folder, false, &format!("{}-trajectories", S::NAME))?;

    let curves = |label: &str, read: &dyn Fn(&Choice, u32, f64) -> f64| {
        let mut panel = Lines::new("", Axis::linear("training step"), Axis::log(label));
        for choice in choices {
            let points = choice
                .curve
                .iter()
                .map(|&(step, loss)| (f64::from(step), read(choice, step, loss)));
            panel = panel.series(Series::new(name(choice), points));
        }
        panel
    };
    let worth = Figure::new(format!("{}: what each horizon's schedule is worth", S::TITLE))
        .panel(curves("learning rate", &|choice, step, _| choice.learning_rate(step)))
        .panel(curves(S::LOSS, &|_, _, loss| loss));
    worth.write(folder, false, &format!("{}-training", S::NAME))
}
