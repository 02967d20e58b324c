//! `myopia reruns influence`: influence balancing.

use std::path::PathBuf;

use clap::Args;
use myopia_core::rng::Pcg32;
use serde::Serialize;

use super::REPORT;
use crate::command::nqm::options::interrupted;
use crate::command::options::{Common, afford_record};
use crate::command::seeds::Seeds;
use crate::command::values::{once, real, whole};
use myopia::failure::Failure;
use myopia::figure::{Axis, Figure, Lines, Series};
use myopia::interrupt;
use myopia::output::{OutputFolder, csv, json, standard};
use myopia::reruns::influence::{FIRST, Method, Path, descend, judged, reach};
use myopia::shown::number;
use myopia::spread::Spread;

/// Options of `myopia reruns influence`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    /// Updates of the parameter
    #[arg(
        long, default_value_t = 3000, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    updates: u32,
    /// Outer learning rate
    #[arg(
        long, default_value_t = 1e-4, value_name = "RATE", allow_negative_numbers = true,
        value_parser = real
    )]
    rate: f64,
    /// Steps of windows after which tangents are dropped
    #[arg(
        long, value_delimiter = ',', default_value = "1,10,100", value_name = "STEPS,…",
        allow_negative_numbers = true, value_parser = whole::<u32>
    )]
    windows: Vec<u32>,
    /// Particles of evolution strategies, even
    #[arg(
        long, default_value_t = 1000, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    particles: u32,
    /// Standard deviation of their perturbations
    #[arg(
        long, default_value_t = 0.1, value_name = "SIGMA", allow_negative_numbers = true,
        value_parser = real
    )]
    sigma: f64,
    /// Seeds of the particles: how many, from --seed on, or a range such as 1..5
    #[arg(long, default_value = "5", value_name = "SEEDS")]
    seeds: Seeds,
}

/// Where the tables go unless `--out` says otherwise.
const FOLDER: &str = "myopia-influence";

/// One descent.
struct Run {
    method: Method,
    seed: Option<u64>,
    path: Path,
}

/// The descents of one method.
#[derive(Serialize)]
struct End {
    method: String,
    /// What the first update was along.
    #[serde(serialize_with = "Spread::as_ends")]
    first_gradient: Spread,
    #[serde(serialize_with = "Spread::as_ends")]
    theta: Spread,
    /// After 500 steps at that θ.
    #[serde(serialize_with = "Spread::as_ends")]
    loss: Spread,
}

#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    version: &'static str,
    seed: u64,
    #[serde(flatten)]
    options: &'a Options,
    /// The loss at first, and its derivative by θ.
    first: [f64; 2],
    /// The longest window with a derivative of the wrong sign.
    longest_wrong_window: u32,
    ends: Vec<End>,
    sentences: Vec<String>,
}

impl Options {
    pub fn run(mut self, common: &Common) -> Result<(), Failure> {
        self.check()?;
        let mut seeds = Some(self.seeds);
        let (which, common) = Seeds::resolve(&mut seeds, common)?;
        self.seeds = seeds.unwrap_or(Seeds::Count(1));
        let common = &common;
        let which: Vec<u64> = which.collect();
        let methods = self.methods();
        let paths = methods.len() + 2 * which.len();
        let what = format!("{paths} descents of --updates {}", self.updates);
        afford_record(&what, paths as u128 * u128::from(self.updates), 16)?;
        let path = common.out.clone().unwrap_or_else(|| PathBuf::from(FOLDER));
        let folder = OutputFolder::create_at_once(&path, common.force)?;
        interrupt::listen()?;
        let mut runs = Vec::new();
        for &method in &methods {
            let seeds = if method.is_random() { &which[..] } else { &[0] };
            for &seed in seeds {
                let mut rng = Pcg32::new(seed, 0);
                let go_on = || !interrupt::is_asked();
                let path = descend(method, self.updates, self.rate, &mut rng, go_on);
                let path = path.ok_or_else(interrupted)?;
                runs.push(Run { method, seed: method.is_random().then_some(seed), path });
            }
        }
        let ends = ends(&methods, &runs);
        if let Some(end) = ends.iter().find(|end| !end.loss.greatest.is_finite()) {
            return Err(Failure::run(format!(
                "{} diverged at --rate {}; give a lower one",
                end.method, self.rate
            )));
        }
        let wrong = (1..=500).filter(|&steps| reach(steps) > 0.0).fold(0, |_, steps| steps);
        let report = Report {
            command: "reruns influence",
            version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            options: &self,
            first: judged(FIRST),
            longest_wrong_window: wrong,
            sentences: sentences(&ends, wrong),
            ends,
        };
        folder.write("descents.csv", |w| {
            let header = ["method", "seed", "update", "theta", "gradient"];
            let rows = runs.iter().flat_map(|run| {
                let points = (1u32..).zip(run.path.theta.iter().zip(&run.path.gradient));
                let shown = points.filter(|(k, _)| k % 10 == 0 || *k == 1);
                let name = run.method.name();
                shown.map(move |(k, (theta, gradient))| {
                    (name.clone(), run.seed, k, *theta, *gradient)
                })
            });
            csv::write(w, &header, rows)
        })?;
        figure(&methods, &runs).write(&folder, false, "reruns")?;
        folder.write(REPORT, |w| json::write(w, &report))?;
        folder.finish()?;
        if common.json {
            return json::print(&report);
        }
        let place = folder.path().display();
        standard::print(|out| {
            report.sentences.iter().try_for_each(|said| writeln!(out, "{said}"))?;
            writeln!(out, "Tables are in {place}.")
        })
    }

    fn check(&self) -> Result<(), Failure> {
        for (name, x) in [("rate", self.rate), ("sigma", self.sigma)] {
            if !(x > 0.0 && x.is_finite()) {
                return Err(Failure::usage(format!("--{name} {x} must be a positive number")));
            }
        }
        if self.updates == 0 {
            return Err(Failure::usage("--updates 0 leaves nothing to do; give at least 1"));
        }
        if self.windows.contains(&0) {
            return Err(Failure::usage("--windows has 0; give numbers of steps, each at least 1"));
        }
        once("windows", &self.windows)?;
        if self.particles < 2 || !self.particles.is_multiple_of(2) {
            return Err(Failure::usage(format!(
                "--particles is {}; give an even number, for they come in pairs",
                self.particles
            )));
        }
        Ok(())
    }

    fn methods(&self) -> Vec<Method> {
        let particles =
            |persistent| Method::Particles { persistent, count: self.particles, sigma: self.sigma };
        let truncated = self.windows.iter().copied().map(Method::Truncated);
        truncated.chain([particles(false), particles(true), Method::Carried]).collect()
    }
}

fn ends(methods: &[Method], runs: &[Run]) -> Vec<End> {
    let end = |method: &Method| {
        let own = || runs.iter().filter(|run| run.method == *method).map(|run| &run.path);
        let last = || own().filter_map(|path| path.theta.last().copied());
        Some(End {
            method: method.name(),
            first_gradient: Spread::of(own().filter_map(|path| path.gradient.first().copied()))?,
            theta: Spread::of(last())?,
            loss: Spread::of(last().map(|theta| judged(theta)[0]))?,
        })
    };
    methods.iter().filter_map(end).collect()
}

fn sentences(ends: &[End], wrong: u32) -> Vec<String> {
    let [loss, slope] = judged(FIRST);
    let mut said = vec![format!(
        "At θ = {FIRST} the loss after 500 steps is {} and its derivative {}; over windows of up to {wrong} steps the \
         derivative has the wrong sign.",
        number(loss, 4),
        number(slope, 4)
    )];
    said.extend(ends.iter().map(|end| {
        let [theta, least, greatest] =
            [end.theta.median, end.theta.least, end.theta.greatest].map(|x| number(x, 4));
        let range =
            if least == greatest { String::new() } else { format!(" ({least} to {greatest})") };
        let way = if end.loss.least > loss {
            "away from −1/6"
        } else if end.loss.greatest < loss {
            "towards −1/6"
        } else {
            "either way"
        };
        let loss = number(end.loss.median, 6);
        format!("{}: θ ends at {theta}{range}, {way}, with a loss of {loss}.", end.method)
    }));
    said
}

fn figure(methods: &[Method], runs: &[Run]) -> Figure {
    let axis = Axis::log("loss after 500 steps").range(1e-12, 1e4);
    let panel = Lines::new("", Axis::linear("update"), axis);
    let panel = methods.iter().fold(panel, |panel, method| {
        let own: Vec<&Path> =
            runs.iter().filter(|run| run.method == *method).map(|run| &run.path).collect();
        let longest = own.iter().map(|path| path.theta.len()).max().unwrap_or(0);
        let points = (0..longest).step_by(20).filter_map(|k| {
            let there = own.iter().filter_map(|path| Some(judged(*path.theta.get(k)?)[0]));
            Some(((k + 1) as f64, Spread::of(there)?.median))
        });
        panel.series(Series::new(method.name(), points))
    });
    Figure::new("Influence balancing, published settings").panel(panel)
}
