//! `myopia reruns pes`: the setting of persistent evolution strategies on MNIST.

use clap::Args;
use indicatif::ProgressBar;
use myopia_backend::awake;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{REPORT, TrainingOptions, tell};
use crate::command::options::{Common, afford_record};
use crate::command::progress;
use crate::command::seeds::Seeds;
use crate::command::source::DataOptions;
use crate::command::values::{once, whole};
use myopia::checkpoint::{Keeper, Ledger, Unit};
use myopia::failure::Failure;
use myopia::figure::{Axis, Field, Figure, Surface};
use myopia::interrupt;
use myopia::output::{csv, json};
use myopia::problem::Problem;
use myopia::reruns::persistent::{FIRST, Progress, Study, Windows};
use myopia::shown::number;
use myopia::spread::Spread;
use myopia::surface::colours;

/// Options of `myopia reruns pes`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    data: DataOptions,
    /// Steps of a training run; published are 5,000
    #[arg(
        long, default_value_t = 5000, value_name = "T", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    steps: u32,
    /// Lengths of windows in steps, each of which divides --steps
    #[arg(
        long, value_delimiter = ',', default_value = "10,100", value_name = "STEPS,…",
        allow_negative_numbers = true, value_parser = whole::<u32>
    )]
    windows: Vec<u32>,
    /// Outer steps of each descent, one after a window; published are 5,000
    #[arg(
        long, default_value_t = 5000, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    outer_steps: u32,
    /// Points of the map: of log10 beta from -2 to 2, and of log10 alpha0 from -3 to 0
    #[arg(long, default_value = "9,7", value_name = "N,N", value_delimiter = ',', num_args = 1)]
    map: Vec<u32>,
    #[command(flatten)]
    #[serde(flatten)]
    training: TrainingOptions,
}

/// How far a unit has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum State {
    /// A descent; mean loss over a training run at its end, and the loss after it.
    Descent(Progress, Option<Option<[f64; 2]>>),
    /// A point of the map.
    Point(Option<[f64; 2]>),
}

/// Keeps a descent inside its unit.
struct OfDescent<'a>(&'a Unit<'a, State>);

impl Keeper<Progress> for OfDescent<'_> {
    fn pause(&self, state: impl FnOnce() -> Progress) -> Result<(), Failure> {
        self.0.pause(|| State::Descent(state(), None))
    }
}

/// Where the descents of one kind end.
#[derive(Serialize)]
struct End {
    method: String,
    /// Median, least and greatest over the seeds.
    #[serde(serialize_with = "Spread::as_ends_if_any")]
    log10_beta: Option<Spread>,
    #[serde(serialize_with = "Spread::as_ends_if_any")]
    log10_alpha0: Option<Spread>,
    /// Over a training run there.
    #[serde(serialize_with = "Spread::as_ends_if_any")]
    mean_loss: Option<Spread>,
    /// After it, over all examples trained on.
    #[serde(serialize_with = "Spread::as_ends_if_any")]
    final_loss: Option<Spread>,
    /// Descents that ended early.
    diverged: usize,
    /// The label of the counterpart in the published figure, log10 beta and log10 alpha0.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<[f64; 2]>,
}

#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    version: &'static str,
    seed: u64,
    data_digest: String,
    #[serde(flatten)]
    options: &'a Options,
    moments: [f64; 2],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    /// Log10 beta, log10 alpha0 and the mean loss of the lowest point of the map.
    lowest: Option<[f64; 3]>,
    ends: Vec<End>,
    sentences: Vec<String>,
}

/// All that is computed: the descents of each seed, then the points of the map.
struct Work<'a> {
    problems: Vec<Problem<'a>>,
    kinds: Vec<Windows>,
    points: Vec<[f64; 2]>,
    steps: u32,
    outer_steps: u32,
}

impl Work<'_> {
    fn descents(&self) -> usize {
        self.problems.len() * self.kinds.len()
    }

    fn units(&self) -> usize {
        self.descents() + self.points.len()
    }

    fn study(&self, seed: usize) -> Study<'_> {
        Study { problem: &self.problems[seed], steps: self.steps, windows: self.outer_steps }
    }

    fn kind(&self, unit: usize) -> Windows {
        self.kinds[unit % self.kinds.len()]
    }

    /// Steps of a unit, and how many of them are done.
    fn steps(&self, unit: usize, state: Option<&State>) -> (u64, u64) {
        let judged = u64::from(self.steps);
        if unit >= self.descents() {
            return (judged, if state.is_some() { judged } else { 0 });
        }
        let each = u64::from(self.kind(unit).length);
        let all = u64::from(self.outer_steps) * each + judged;
        match state {
            Some(State::Descent(_, Some(_))) => (all, all),
            Some(State::Descent(progress, None)) => (all, progress.records.len() as u64 * each),
            _ => (all, 0),
        }
    }

    fn one(&self, number: usize, unit: &Unit<'_, State>, tick: &dyn Fn()) -> Result<(), Failure> {
        let go_on = || !interrupt::is_asked();
        let state = unit.state();
        if number >= self.descents() {
            let at = self.points[number - self.descents()];
            return match state {
                Some(_) => Ok(()),
                None => unit.leave(State::Point(self.study(0).judge(at, &go_on, tick)?)),
            };
        }
        let progress = match state {
            Some(State::Descent(_, Some(_))) => return Ok(()),
            Some(State::Descent(progress, None)) => progress,
            _ => Progress::default(),
        };
        let study = self.study(number / self.kinds.len());
        let how = self.kind(number);
        let progress = study.descend(how, progress, &OfDescent(unit), tick)?;
        unit.pause(|| State::Descent(progress.clone(), None))?;
        let judged = match progress.end().filter(|_| progress.diverged.is_none()) {
            Some(end) => study.judge(end, &go_on, tick)?,
            None => None,
        };
        unit.leave(State::Descent(progress, Some(judged)))
    }
}

impl Options {
    pub fn run(mut self, common: &Common) -> Result<(), Failure> {
        let (seeds, common) = Seeds::resolve(&mut self.training.seeds, common)?;
        let common = &common;
        self.check()?;
        let folder = self.training.long.folder(common)?;
        let loaded =
            self.data.source()?.load(self.training.precision.into(), |said| common.remark(said))?;
        let (data, moments) = loaded.standardised();
        drop(loaded);
        let isa = common.isa()?;
        let problem = |seed| Problem {
            seed,
            isa,
            ..Problem::new(&data, vec![data.inputs, 100, 100, data.classes])
        };
        let problems: Vec<Problem<'_>> = seeds.map(problem).collect();
        let kinds = [false, true].into_iter().flat_map(|carried| {
            self.windows.iter().map(move |&length| Windows { length, carried })
        });
        let work = Work {
            problems,
            kinds: kinds.collect(),
            points: self.points(),
            steps: self.steps,
            outer_steps: self.outer_steps,
        };
        let what = format!("{} descents of --outer-steps {}", work.descents(), self.outer_steps);
        afford_record(&what, (work.descents() as u128) * u128::from(self.outer_steps), 40)?;
        let experiment = common.experiment("reruns pes", &self, &work.problems[0]);
        let ledger =
            Ledger::open(folder.as_ref(), experiment, work.units(), self.training.long.opening())?;
        let counts =
            (0..work.units()).map(|unit| work.steps(unit, ledger.unit(unit).state().as_ref()));
        let (total, done) = counts.fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        let bar = progress::bar_from(common, done, total, "windows");
        let went = awake(|| {
            (0..work.units()).into_par_iter().with_max_len(1).try_for_each(|number| {
                let tick = || ProgressBar::inc(&bar, 1);
                ledger.resumable(work.one(number, &ledger.unit(number), &tick))
            })
        });
        bar.finish_and_clear();
        let early = Failure::interruption(went)?;
        let partial = early.is_some();
        let states: Vec<Option<State>> =
            (0..work.units()).map(|unit| ledger.unit(unit).state()).collect();
        let points = points(&work, &states);
        let lowest = lowest(&points);
        let ends: Vec<End> = work.kinds.iter().map(|&kind| end(&work, &states, kind)).collect();
        let report = Report {
            command: "reruns pes",
            version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            data_digest: data.digest().to_string(),
            options: &self,
            moments,
            partial,
            sentences: if partial { Vec::new() } else { sentences(&ends, lowest) },
            lowest,
            ends,
        };
        if let Some(folder) = &folder {
            ledger.save()?;
            let header = ["alpha0", "beta", "mean_loss", "final_loss"];
            let rows = points.iter().map(|([alpha0, beta], of)| {
                (*alpha0, *beta, of.map(|of| of[0]), of.map(|of| of[1]))
            });
            folder.write_as(partial, "map.csv", |w| csv::write(w, &header, rows))?;
            folder.write_as(partial, "descents.csv", |w| {
                let header = [
                    "seed",
                    "method",
                    "outer_step",
                    "alpha0",
                    "beta",
                    "window_loss",
                    "d_alpha0",
                    "d_beta",
                ];
                let rows = descents(&work, &states).flat_map(|(seed, kind, progress, _)| {
                    let all = (0u32..).zip(&progress.records);
                    let shown = all.filter(|(step, _)| step.is_multiple_of(10));
                    shown.map(move |(step, of)| {
                        (seed, kind.name(), step, of.schedule, of.loss, of.gradient)
                    })
                });
                csv::write(w, &header, rows)
            })?;
            figure(&work, &states, &points, partial).write(folder, partial, "reruns")?;
            folder.write_as(partial, REPORT, |w| json::write(w, &report))?;
        }
        if !partial {
            ledger.finish()?;
        }
        tell(common, &report, &report.sentences, partial)?;
        early.map_or(Ok(()), Err)
    }

    fn check(&self) -> Result<(), Failure> {
        for (name, number) in [("steps", self.steps), ("outer-steps", self.outer_steps)] {
            if number == 0 {
                return Err(Failure::usage(format!(
                    "--{name} 0 leaves nothing to do; give at least 1"
                )));
            }
        }
        once("windows", &self.windows)?;
        let divides = |length: u32| length > 0 && self.steps.is_multiple_of(length);
        if let Some(length) = self.windows.iter().find(|&&length| !divides(length)) {
            return Err(Failure::usage(format!(
                "--windows has {length}, which does not divide the {} of --steps",
                self.steps
            )));
        }
        if self.map.len() != 2 || self.map.iter().any(|points| !(2..=200).contains(points)) {
            return Err(Failure::usage(
                "--map names two numbers of points, 2 to 200 each, such as 9,7",
            ));
        }
        Ok(())
    }

    /// The points of the map, row by row: alpha0 and beta.
    fn points(&self) -> Vec<[f64; 2]> {
        let along = |count: u32, first: f64, last: f64| {
            let at = move |k: u32| first + (last - first) * f64::from(k) / f64::from(count - 1);
            (0..count).map(move |k| libm::pow(10.0, at(k)))
        };
        let row = |alpha0| along(self.map[0], -2.0, 2.0).map(move |beta| [alpha0, beta]);
        along(self.map[1], -3.0, 0.0).flat_map(row).collect()
    }
}

/// The descents that there are: seed, kind, progress, and what training at the end came to.
fn descents<'a>(
    work: &'a Work<'_>,
    states: &'a [Option<State>],
) -> impl Iterator<Item = (u64, Windows, &'a Progress, Option<[f64; 2]>)> {
    states.iter().take(work.descents()).enumerate().filter_map(|(unit, state)| match state {
        Some(State::Descent(progress, judged)) => {
            let seed = work.problems[unit / work.kinds.len()].seed;
            Some((seed, work.kind(unit), progress, judged.flatten()))
        }
        _ => None,
    })
}

fn points(work: &Work<'_>, states: &[Option<State>]) -> Vec<([f64; 2], Option<[f64; 2]>)> {
    let states = states.iter().skip(work.descents());
    let point = |(at, state): (&[f64; 2], &Option<State>)| match state {
        Some(State::Point(of)) => (*at, *of),
        _ => (*at, None),
    };
    work.points.iter().zip(states).map(point).collect()
}

fn lowest(points: &[([f64; 2], Option<[f64; 2]>)]) -> Option<[f64; 3]> {
    let there = points.iter().filter_map(|(at, of)| Some((*at, of.as_ref()?[0])));
    let ([alpha0, beta], loss) = there.reduce(|a, b| if b.1 < a.1 { b } else { a })?;
    Some([libm::log10(beta), libm::log10(alpha0), loss])
}

fn end(work: &Work<'_>, states: &[Option<State>], kind: Windows) -> End {
    let own = || descents(work, states).filter(|of| of.1 == kind);
    let went = || own().filter(|of| of.2.diverged.is_none());
    let at =
        |which: usize| Spread::of(went().filter_map(|of| Some(libm::log10(of.2.end()?[which]))));
    let judged = |which: usize| Spread::of(went().filter_map(|of| Some(of.3?[which])));
    End {
        method: kind.name(),
        log10_beta: at(1),
        log10_alpha0: at(0),
        mean_loss: judged(0),
        final_loss: judged(1),
        diverged: own().count() - went().count(),
        label: kind.label(),
    }
}

fn sentences(ends: &[End], lowest: Option<[f64; 3]>) -> Vec<String> {
    let spread = |of: Option<Spread>, places: usize| {
        of.map_or("-".to_owned(), |of| {
            let [least, median, greatest] = of.ends().map(|x| number(x, places));
            format!("{median} ({least} to {greatest})")
        })
    };
    let mut said: Vec<String> = ends
        .iter()
        .map(|end| {
            let label = end.label.map_or(String::new(), |[beta, alpha0]| {
                format!(
                    "; its counterpart's label is at {} and {}",
                    number(beta, 2),
                    number(alpha0, 2)
                )
            });
            format!(
                "{}: ends at log10 beta {}, log10 alpha0 {}, with a mean loss of {}{label}.",
                end.method,
                spread(end.log10_beta, 2),
                spread(end.log10_alpha0, 2),
                spread(end.mean_loss, 4)
            )
        })
        .collect();
    said.extend(lowest.map(|[beta, alpha0, loss]| {
        format!(
            "Lowest of the map: {} at log10 beta {}, log10 alpha0 {}.",
            number(loss, 4),
            number(beta, 2),
            number(alpha0, 2)
        )
    }));
    said
}

/// The map with the descents of the first seed.
fn figure(
    work: &Work<'_>,
    states: &[Option<State>],
    points: &[([f64; 2], Option<[f64; 2]>)],
    partial: bool,
) -> Figure {
    let note = if partial { ", unfinished" } else { "" };
    let mut x: Vec<f64> = work.points.iter().map(|at| at[1]).collect();
    let mut y: Vec<f64> = work.points.iter().map(|at| at[0]).collect();
    for along in [&mut x, &mut y] {
        along.sort_by(f64::total_cmp);
        along.dedup();
    }
    let losses = points.iter().map(|(_, of)| of.as_ref().map(|of| of[0]));
    let colour = colours("mean loss of a training run (nats)", losses.clone().flatten());
    let values = losses.collect();
    let surface =
        Surface::new("", Axis::log("β"), Axis::log("α₀"), colour, Field::Grid { x, y, values });
    let first = work.problems.first().map_or(0, |of| of.seed);
    let own = descents(work, states).filter(|of| of.0 == first);
    let surface = own.fold(surface, |surface, (_, kind, progress, _)| {
        let shown = progress.records.iter().step_by(20).map(|of| of.schedule);
        let path = shown.chain(progress.end()).map(|[alpha0, beta]| (beta, alpha0));
        surface.trajectory(kind.name(), path)
    });
    let [alpha0, beta] = FIRST;
    Figure::new(format!("Windows from α₀ = {alpha0}, β = {beta}{note}")).panel(surface)
}
