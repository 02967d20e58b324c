//! `myopia nqm rates`: the rate that each horizon's choice of a hyperparameter expresses.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use myopia_core::kfac::Kfac;
use myopia_core::nqm::{MeanField, NotInMeanField, Step};
use myopia_core::optimizer::{Decay, Hyperparameters, Method};
use myopia_core::schedule::Parameter;
use serde::Serialize;

use super::options::{QuadraticOptions, at_most, check_steps, interrupted};
use super::provenance::Provenance;
use super::readable;
use crate::command::options::Common;
use crate::command::progress;
use crate::command::seeds::Seeds;
use crate::command::values::whole;
use myopia::failure::Failure;
use myopia::figure::{Axis, Band, Figure, Lines, Markers, Series};
use myopia::interrupt;
use myopia::memory::afford;
use myopia::nqm::error::Interrupted;
use myopia::nqm::expressed::{Best, Family, Search, jittered};
use myopia::nqm::policy::MOST_STEPS;
use myopia::nqm::spectrum::quadratic;
use myopia::nqm::{Quadratic, State};
use myopia::output::{OutputFolder, csv, json, standard};
use myopia::spread::Spread;

/// Options of `myopia nqm rates`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    quadratic: QuadraticOptions,
    /// Horizons to tune at, ascending; training with what they chose takes as many steps as the
    /// last
    #[arg(
        long, value_delimiter = ',', value_name = "STEPS,…", value_parser = whole::<usize>,
        default_values_t = [10, 100, 1000, 5000, 20_000]
    )]
    horizons: Vec<usize>,
    /// Steps of plain SGD before a warm start, of which the optimiser's averages know nothing
    #[arg(
        long, default_value_t = 1000, value_name = "STEPS", allow_negative_numbers = true,
        value_parser = whole::<usize>
    )]
    warm: usize,
    /// Their learning rate
    #[arg(long, default_value_t = 0.1, allow_negative_numbers = true, value_name = "RATE")]
    warm_rate: f64,
    /// Seeds: of each, curvature, noise and initial second moment of every direction are multiplied
    /// by e to the JITTER times a normal number
    #[arg(long, value_name = "SEEDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    seeds: Option<Seeds>,
    /// Standard deviation of the logarithms of those factors
    #[arg(long, default_value_t = 0.5, allow_negative_numbers = true, value_name = "JITTER")]
    jitter: f64,
    /// Values of the grid before the search
    #[arg(
        long, default_value_t = 25, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<usize>
    )]
    grid: usize,
}

/// Where tables and figure go unless `--out` says otherwise.
const FOLDER: &str = "myopia-rates";

/// α of K-FAC, so that 1/λ is a rate.
const RATE_OF_KFAC: f64 = 1.0;
/// α of RMSprop and of Adam.
const RATE_OF_ROOTS: f64 = 0.1;

/// A line of `rates.csv`.
#[derive(Clone, Debug, Serialize)]
struct Line {
    optimizer: &'static str,
    parameter: &'static str,
    start: &'static str,
    horizon: usize,
    seed: u64,
    /// What is best for the loss at the horizon.
    value: f64,
    /// The excess loss after as many steps as the longest horizon, with that value all along.
    loss_after: f64,
    /// That at the horizon.
    loss_at_horizon: f64,
    /// α, α/λ or α/ε.
    expressed_rate: f64,
    /// As `loss_after`, where the learning rate falls linearly to zero.
    loss_decayed: f64,
    /// α, α/λ or α/ε of what is best for that loss, the same for all horizons.
    best_rate_decayed: f64,
    /// That loss with it.
    best_loss_decayed: f64,
}

/// Whether shorter horizons choose a smaller rate, for one optimiser and start.
#[derive(Clone, Debug, Serialize)]
struct Claim {
    optimizer: &'static str,
    start: &'static str,
    horizon: usize,
    /// The rate over that of the longest horizon: least, median and greatest of the seeds.
    #[serde(serialize_with = "Spread::as_ends")]
    to_longest: Spread,
    /// The rate over what is best where it falls to zero.
    #[serde(serialize_with = "Spread::as_ends")]
    to_decayed: Spread,
    /// The loss at the end over that of the longest horizon's choice.
    #[serde(serialize_with = "Spread::as_ends")]
    loss_to_longest: Spread,
    /// The loss at the end of a decay over the least there.
    #[serde(serialize_with = "Spread::as_ends")]
    loss_to_decayed: Spread,
}

impl Claim {
    /// What it says of the claim: below one on every seed, above on every seed, or neither.
    fn verdict(spread: Spread) -> &'static str {
        if spread.greatest < 1.0 {
            "smaller"
        } else if spread.least > 1.0 {
            "larger"
        } else {
            "open"
        }
    }
}

#[derive(Serialize)]
struct Results<'a> {
    claims: &'a [Claim],
}

/// The families, with their names and that of what is tuned.
fn families() -> Result<Vec<(&'static str, Family)>, NotInMeanField> {
    let kfac = |is_sampled| {
        let all = Kfac {
            momentum: 0.0,
            damping: 1.0,
            decay: Decay::None,
            kept: 0.95,
            clip: None,
            refactor_every: 1,
            labels: None,
        };
        MeanField::kfac(all, is_sampled)
    };
    let roots = |method| MeanField::new(Hyperparameters { method, decay: Decay::None });
    let rmsprop = Method::Rmsprop { rho: 0.9, momentum: 0.0, epsilon: 1.0, is_inside: false };
    let adam = Method::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1.0, epsilon_root: 0.0 };
    let family = |optimizer, parameter, rate, bounds| Family { optimizer, parameter, rate, bounds };
    let of_kfac =
        |optimizer| family(Some(optimizer), Parameter::Damping, RATE_OF_KFAC, [1e-3, 1e4]);
    let of_roots =
        |optimizer| family(Some(optimizer), Parameter::Epsilon, RATE_OF_ROOTS, [1e-2, 1e3]);
    Ok(vec![
        ("sgd", family(None, Parameter::Alpha0, 1.0, [1e-4, 2.0])),
        ("kfac", of_kfac(kfac(false)?)),
        ("kfac-sampled", of_kfac(kfac(true)?)),
        ("rmsprop", of_roots(roots(rmsprop)?)),
        ("adam", of_roots(roots(adam)?)),
    ])
}

impl Options {
    pub fn run(mut self, common: &Common) -> Result<(), Failure> {
        let (seeds, common) = Seeds::resolve(&mut self.seeds, common)?;
        let common = &common;
        self.check()?;
        let longest = self.horizons.last().copied().unwrap_or_default();
        let path = common.out.clone().unwrap_or_else(|| PathBuf::from(FOLDER));
        let plain = self.quadratic.quadratic()?;
        let bytes = 40 * (self.grid * longest) as u128 + 400 * plain.directions().len() as u128;
        afford(&format!("--grid {} of {longest} steps", self.grid), bytes, "take fewer")?;
        let families = families().map_err(|e| Failure::run(e.to_string()))?;
        let folder = OutputFolder::create_at_once(&path, common.force)?;
        interrupt::listen()?;
        let count = (seeds.end() - seeds.start() + 1) * 2 * families.len() as u64;
        let bar = progress::bar(common, count, "searches");
        let mut lines = Vec::new();
        for seed in *seeds.start()..=*seeds.end() {
            let mut directions = plain.directions().to_vec();
            jittered(&mut directions, self.jitter, seed);
            let quadratic = quadratic(directions, myopia_core::nqm::Preconditioner::identity())
                .map_err(super::options::refused)?;
            for (start, state) in [("cold", quadratic.start()), ("warm", self.warmed(&quadratic)?)]
            {
                for (optimizer, family) in &families {
                    let found = self.lines(&quadratic, &state, family);
                    let found = found.map_err(|Interrupted| interrupted())?;
                    lines.extend(found.into_iter().map(|line| Line {
                        optimizer,
                        start,
                        seed,
                        ..line
                    }));
                    bar.inc(1);
                }
            }
        }
        bar.finish_and_clear();
        lines.sort_by_key(|line| {
            (rank(&families, line.optimizer), line.start, line.horizon, line.seed)
        });
        let claims = self.claims(&lines);
        let after = format!("loss_after_{longest}");
        let header = [
            "optimizer",
            "parameter",
            "start",
            "horizon",
            "seed",
            "value",
            &after,
            "loss_at_horizon",
            "expressed_rate",
            "loss_decayed",
            "best_rate_decayed",
            "best_loss_decayed",
        ];
        folder.write("rates.csv", |w| csv::write(w, &header, &lines))?;
        self.figure(&lines, longest).write(&folder, false, "rates")?;
        let about = Provenance::new("nqm rates", &self, Results { claims: &claims });
        folder.write("rates.json", |w| json::write(w, &about))?;
        if interrupt::is_asked() {
            return Err(interrupted());
        }
        folder.finish()?;
        if common.json {
            return json::print(&about);
        }
        let place = folder.path().display();
        standard::print(|out| {
            writeln!(
                out,
                "{:<13} {:<5} {:>8}  {:>12}  {:>8}  {:>12}  {:>8}  {:>12}",
                "optimizer", "start", "horizon", "to longest", "", "to decayed", "", "loss ratio"
            )?;
            for claim in &claims {
                writeln!(
                    out,
                    "{:<13} {:<5} {:>8}  {:>12}  {:>8}  {:>12}  {:>8}  {:>12}",
                    claim.optimizer,
                    claim.start,
                    claim.horizon,
                    readable(claim.to_longest.median),
                    Claim::verdict(claim.to_longest),
                    readable(claim.to_decayed.median),
                    Claim::verdict(claim.to_decayed),
                    readable(claim.loss_to_longest.median),
                )?;
            }
            writeln!(out, "Figure and tables are in {place}.")
        })
    }

    fn check(&self) -> Result<(), Failure> {
        self.quadratic.optimizer.refuse("nqm rates tunes optimisers of its own")?;
        if self.quadratic.power != 0.0 || self.quadratic.damping != 0.0 {
            return Err(Failure::usage(
                "nqm rates tunes preconditioners of its own; leave out --power and --damping",
            ));
        }
        if self.horizons.contains(&0) || !self.horizons.is_sorted_by(|a, b| a < b) {
            return Err(Failure::usage(
                "--horizons is not ascending from 1 on; give each number once, the smallest first",
            ));
        }
        for &horizon in &self.horizons {
            at_most("horizons", horizon, MOST_STEPS)?;
        }
        check_steps(self.horizons.last().copied().unwrap_or_default())?;
        at_most("warm", self.warm, MOST_STEPS)?;
        for (name, x) in [("warm-rate", self.warm_rate), ("jitter", self.jitter)] {
            if !(x >= 0.0 && x.is_finite()) {
                return Err(Failure::usage(format!(
                    "--{name} is {x}; give zero or a positive number"
                )));
            }
        }
        if !(2..=1000).contains(&self.grid) {
            return Err(Failure::usage(format!(
                "--grid is {}; give a number of values from 2 to 1000",
                self.grid
            )));
        }
        Ok(())
    }

    /// The state after the steps before a warm start.
    fn warmed(&self, quadratic: &Quadratic) -> Result<State, Failure> {
        let mut state = quadratic.start();
        let step = Step { learning_rate: self.warm_rate, momentum: 0.0 };
        let mut excess = 0.0;
        for _ in 0..self.warm {
            if interrupt::is_asked() {
                return Err(interrupted());
            }
            excess = quadratic.advance(&mut state, Some(step)).excess;
        }
        match excess.is_finite() {
            true => Ok(state),
            false => Err(Failure::run(format!(
                "the warm start diverges at --warm-rate {}; lower it",
                self.warm_rate
            ))),
        }
    }

    /// What each horizon chooses, and what that is worth.
    fn lines(
        &self,
        quadratic: &Quadratic,
        start: &State,
        family: &Family,
    ) -> Result<Vec<Line>, Interrupted> {
        let longest = self.horizons.last().copied().unwrap_or_default();
        let search = Search { quadratic, start, family: *family, grid: self.grid, decayed: false };
        let chosen = search.best(&self.horizons, &interrupt::is_asked)?;
        let decayed = Search { decayed: true, ..search }.best(&[longest], &interrupt::is_asked)?;
        let least = decayed[0];
        let end = |value: f64, decayed: bool| -> Result<f64, Interrupted> {
            let run = (longest, decayed);
            let losses = family.losses(quadratic, start, value, run, &interrupt::is_asked)?;
            let last = losses.and_then(|losses| Some(losses.last()?.value));
            Ok(last.unwrap_or(f64::INFINITY))
        };
        let line = |(horizon, best): (&usize, Best)| {
            Ok(Line {
                optimizer: "",
                parameter: family.parameter.name(),
                start: "",
                horizon: *horizon,
                seed: 0,
                value: best.value,
                loss_after: end(best.value, false)?,
                loss_at_horizon: best.excess,
                expressed_rate: family.expressed(best.value),
                loss_decayed: end(best.value, true)?,
                best_rate_decayed: family.expressed(least.value),
                best_loss_decayed: least.excess,
            })
        };
        self.horizons.iter().zip(chosen).map(line).collect()
    }

    fn claims(&self, lines: &[Line]) -> Vec<Claim> {
        let longest = self.horizons.last().copied().unwrap_or_default();
        let last: BTreeMap<_, &Line> = lines
            .iter()
            .filter(|line| line.horizon == longest)
            .map(|line| ((line.optimizer, line.start, line.seed), line))
            .collect();
        let groups = lines.chunk_by(|a, b| {
            (a.optimizer, a.start, a.horizon) == (b.optimizer, b.start, b.horizon)
        });
        let claims = groups.filter_map(|group| {
            let first = group.first()?;
            let over = |read: &dyn Fn(&Line, &Line) -> f64| {
                Spread::of(group.iter().filter_map(|line| {
                    let last = last.get(&(line.optimizer, line.start, line.seed))?;
                    Some(read(line, last))
                }))
            };
            Some(Claim {
                optimizer: first.optimizer,
                start: first.start,
                horizon: first.horizon,
                to_longest: over(&|line, last| line.expressed_rate / last.expressed_rate)?,
                to_decayed: over(&|line, _| line.expressed_rate / line.best_rate_decayed)?,
                loss_to_longest: over(&|line, last| line.loss_after / last.loss_after)?,
                loss_to_decayed: over(&|line, _| line.loss_decayed / line.best_loss_decayed)?,
            })
        });
        claims.collect()
    }

    fn figure(&self, lines: &[Line], longest: usize) -> Figure {
        let title =
            "The learning rate that each horizon's choice expresses, on the noisy quadratic";
        type Read = fn(&Line) -> f64;
        let rate: Read = |line| line.expressed_rate;
        let constant: Read = |line| line.loss_after;
        let decayed: Read = |line| line.loss_decayed / line.best_loss_decayed;
        let losses = format!("excess loss after {longest} steps");
        let over = "the same, rates falling to zero, over the least";
        let rows = [("α, 1/λ, 0.1/ε", rate), (losses.as_str(), constant), (over, decayed)];
        let mut figure = Figure::new(title).columns(2);
        for (label, read) in rows {
            for start in ["cold", "warm"] {
                let title = match start {
                    "cold" => "Cold start".to_owned(),
                    _ => format!("Warm start, after {} steps at {}", self.warm, self.warm_rate),
                };
                let panel = Lines::new(title, Axis::log("horizon T (steps)"), Axis::log(label));
                let here: Vec<&Line> = lines.iter().filter(|line| line.start == start).collect();
                figure = figure.panel(curves(panel, &here, read));
            }
        }
        figure
    }
}

/// Where an optimiser stands among the families.
fn rank(families: &[(&'static str, Family)], optimizer: &str) -> usize {
    families.iter().position(|(name, _)| *name == optimizer).unwrap_or_default()
}

/// `panel` with a curve for each optimiser: the median over the seeds, and the range.
fn curves(panel: Lines, lines: &[&Line], read: fn(&Line) -> f64) -> Lines {
    lines.chunk_by(|a, b| a.optimizer == b.optimizer).fold(panel, |panel, group| {
        let name = group.first().map_or("", |line| line.optimizer);
        let spreads: Vec<(f64, Spread)> = group
            .chunk_by(|a, b| a.horizon == b.horizon)
            .filter_map(|seeds| {
                let horizon = seeds.first()?.horizon as f64;
                Some((horizon, Spread::of(seeds.iter().map(|line| read(line)))?))
            })
            .collect();
        let median = spreads.iter().map(|&(horizon, spread)| (horizon, spread.median));
        let range = |&(horizon, s): &(f64, Spread)| (horizon, [s.least, s.greatest]);
        let points = spreads.iter().map(range).collect();
        panel
            .series(Series::new(name, median).markers(Markers::Points))
            .band(Band { name: name.to_owned(), points })
    })
}
