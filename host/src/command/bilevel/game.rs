//! `myopia bilevel game`: both players' dynamics.

use clap::{Args, ValueEnum};
use myopia_bilevel::game::{
    Behaviour, Dynamics, Game, InnerNoise, Noise, Point, Stationary, Turning, Verdict,
};
use myopia_core::elementary::{Elementary, Libm};
use serde::Serialize;

use super::problem::ProblemOptions;
use super::{failure, short};
use crate::command::options::Common;
use crate::command::values::whole;
use myopia::failure::Failure;
use myopia::figure::{Axis, Figure, Lines, Reference, Series};
use myopia::output::{OutputFolder, csv, json, standard};

/// Options of `myopia bilevel game`.
#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    problem: ProblemOptions,
    /// a, the inner player's learning rate
    #[arg(long, default_value_t = 0.1, value_name = "A", allow_negative_numbers = true)]
    step_inner: f64,
    /// b, the outer player's
    #[arg(long, default_value_t = 0.1, value_name = "B", allow_negative_numbers = true)]
    step_outer: f64,
    /// Steps of the trajectories
    #[arg(
        long, default_value_t = 500, value_name = "T", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    steps: u32,
    /// Shape of the inner gradient noise's covariance
    #[arg(long, value_enum, default_value = "curvature")]
    noise: NoiseName,
    /// What multiplies it; 0 for none
    #[arg(long, default_value_t = 0.0, value_name = "VARIANCE", allow_negative_numbers = true)]
    inner_noise: f64,
    /// Variance of each entry of the hypergradient
    #[arg(long, default_value_t = 0.0, value_name = "VARIANCE", allow_negative_numbers = true)]
    outer_noise: f64,
    /// Steps of the simulation beside the Lyapunov equation
    #[arg(
        long, default_value_t = 20_000, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    simulate: u32,
    /// Also draw spectral radius and rotation at this many ratios of rates on either side; then
    /// what diverges is no failure
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = whole::<u32>)]
    sweep: Option<u32>,
}

/// Shapes of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum NoiseName {
    /// A multiple of H
    Curvature,
    /// A multiple of the identity
    Constant,
}

/// The most weights and hyperparameters together: eigenvalues take the cube of that.
const MOST: usize = 400;

/// What is printed.
#[derive(Serialize)]
struct Report {
    simultaneous: Vec<[f64; 2]>,
    alternating: Vec<[f64; 2]>,
    stackelberg: Vec<[f64; 2]>,
    /// One simultaneous step whose outer player follows ∂_λE alone.
    partial: Vec<[f64; 2]>,
    /// The simultaneous flow at the ratio of these rates.
    flow: Vec<[f64; 2]>,
    dynamics: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stationary: Vec<Stationary>,
}

/// What is said of one kind of dynamics.
#[derive(Serialize)]
struct Entry {
    dynamics: Dynamics,
    #[serde(flatten)]
    verdict: Verdict,
    #[serde(flatten)]
    turning: Turning,
}

/// One ratio of a sweep.
struct Swept {
    dynamics: Dynamics,
    ratio: f64,
    verdict: Verdict,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        let noise = self.noise()?;
        if self.steps > 1_000_000 || self.simulate > 100_000_000 || self.sweep > Some(10_000) {
            return Err(Failure::usage(
                "--steps may be 1000000, --simulate 100000000 and --sweep 10000 at most",
            ));
        }
        let folder = match &common.out {
            Some(path) => Some(OutputFolder::create_at_once(path, common.force)?),
            None => None,
        };
        let problem = self.problem.quadratic(common.seed)?;
        if problem.w.len() + problem.lambda.len() > MOST {
            return Err(Failure::run(format!(
                "the game has {} weights and hyperparameters; its eigenvalues are computed up to {MOST}",
                problem.w.len() + problem.lambda.len()
            )));
        }
        let game = Game::new(problem);
        let (a, b) = (self.step_inner, self.step_outer);
        let of = |dynamics| game.eigenvalues(dynamics, a, b).map_err(failure);
        let mut report = Report {
            simultaneous: of(Dynamics::Simultaneous)?,
            alternating: of(Dynamics::Alternating)?,
            stackelberg: of(Dynamics::Stackelberg)?,
            partial: game.partial(a).map_err(failure)?,
            flow: game.flow(b / a).map_err(failure)?,
            dynamics: Vec::new(),
            stationary: Vec::new(),
        };
        for dynamics in Dynamics::ALL {
            report.dynamics.push(Entry {
                dynamics,
                verdict: game.verdict(dynamics, a, b).map_err(failure)?,
                turning: game.turning(dynamics, a).map_err(failure)?,
            });
        }
        let converges = |entry: &&Entry| {
            matches!(entry.verdict.behaviour, Behaviour::Stable | Behaviour::Rotating)
        };
        if let Some(noise) = noise {
            for entry in report.dynamics.iter().filter(converges) {
                let found = game.stationary(
                    entry.dynamics,
                    a,
                    b,
                    noise,
                    self.simulate,
                    self.steps,
                    common.seed,
                );
                report.stationary.push(found.map_err(failure)?);
            }
        }
        if let Some(folder) = folder {
            self.write(&folder, &game, &report)?;
            folder.finish()?;
        }
        match common.json {
            true => json::print(&report)?,
            false => standard::print(|out| table(out, &report))?,
        }
        self.unstable(&report)
    }

    fn noise(&self) -> Result<Option<Noise>, Failure> {
        for (name, variance) in
            [("inner-noise", self.inner_noise), ("outer-noise", self.outer_noise)]
        {
            if !(variance >= 0.0 && variance.is_finite()) {
                return Err(Failure::usage(format!(
                    "--{name} is {variance:?}; give zero or a positive finite number"
                )));
            }
        }
        let shape = match self.noise {
            NoiseName::Curvature => InnerNoise::Curvature,
            NoiseName::Constant => InnerNoise::Constant,
        };
        let noise = Noise { shape, inner: self.inner_noise, outer: self.outer_noise };
        Ok((noise.inner > 0.0 || noise.outer > 0.0).then_some(noise))
    }

    /// A failure when some of the dynamics diverge and no sweep asked for that.
    fn unstable(&self, report: &Report) -> Result<(), Failure> {
        let diverging: Vec<String> = report
            .dynamics
            .iter()
            .filter(|entry| entry.verdict.behaviour == Behaviour::Diverging)
            .map(|entry| {
                let radius = entry.verdict.spectral_radius;
                let until = match entry.turning.diverges_at {
                    Some(ratio) => {
                        let b = ratio * self.step_inner;
                        format!("it converges for outer rates below {}", short(Some(b)))
                    }
                    None => "lower both rates".to_owned(),
                };
                format!("{} (spectral radius {radius:.6}; {until})", entry.dynamics.name())
            })
            .collect();
        match diverging.is_empty() || self.sweep.is_some() {
            true => Ok(()),
            false => Err(Failure::run(format!(
                "at rates {} and {} the game is unstable: {}",
                self.step_inner,
                self.step_outer,
                diverging.join(", ")
            ))),
        }
    }

    fn write(&self, folder: &OutputFolder, game: &Game, report: &Report) -> Result<(), Failure> {
        let all = [
            ("simultaneous", &report.simultaneous),
            ("alternating", &report.alternating),
            ("stackelberg", &report.stackelberg),
            ("partial", &report.partial),
            ("flow", &report.flow),
        ];
        let rows = all.iter().flat_map(|(name, values)| {
            values.iter().map(move |[re, im]| (name.to_string(), *re, *im))
        });
        folder.write("eigenvalues.csv", |w| csv::write(w, &["dynamics", "re", "im"], rows))?;
        let header = ["dynamics", "spectral_radius", "behaviour", "turns_at", "diverges_at"];
        let rows = report.dynamics.iter().map(|e| {
            let (verdict, turning) = (&e.verdict, &e.turning);
            (
                e.dynamics.name(),
                verdict.spectral_radius,
                verdict.behaviour,
                turning.turns_at,
                turning.diverges_at,
            )
        });
        folder.write("game.csv", |w| csv::write(w, &header, rows))?;
        let swept = self.swept(game)?;
        if !swept.is_empty() {
            let header = ["dynamics", "ratio", "spectral_radius", "behaviour", "rotates"];
            let rows = swept.iter().map(|s| {
                let verdict = &s.verdict;
                (
                    s.dynamics.name(),
                    s.ratio,
                    verdict.spectral_radius,
                    verdict.behaviour,
                    verdict.rotates,
                )
            });
            folder.write("sweep.csv", |w| csv::write(w, &header, rows))?;
        }
        let paths = self.trajectories(game)?;
        let header = ["dynamics", "step", "regret", "inner_distance"];
        let rows = paths.iter().flat_map(|(dynamics, points)| {
            points.iter().map(|p| (dynamics.name(), p.step, p.regret, p.inner_distance))
        });
        folder.write("trajectories.csv", |w| csv::write(w, &header, rows))?;
        if !report.stationary.is_empty() {
            let header = [
                "dynamics",
                "regret",
                "simulated_regret",
                "standard_error",
                "noise_dominated_from",
            ];
            let rows = report.stationary.iter().map(|s| {
                (
                    s.dynamics.name(),
                    s.regret,
                    s.simulated_regret,
                    s.standard_error,
                    s.noise_dominated_from,
                )
            });
            folder.write("stationary.csv", |w| csv::write(w, &header, rows))?;
        }
        folder.write("game.json", |w| {
            json::write(w, &serde_json::json!({ "command": "bilevel", "game": report }))
        })?;
        figure(report, &swept, &paths).write(folder, false, "game")
    }

    fn trajectories(&self, game: &Game) -> Result<Vec<(Dynamics, Vec<Point>)>, Failure> {
        Dynamics::ALL
            .into_iter()
            .map(|dynamics| {
                let points =
                    game.trajectory(dynamics, self.step_inner, self.step_outer, self.steps);
                Ok((dynamics, points.map_err(failure)?))
            })
            .collect()
    }

    /// Verdicts at ratios from a thousandth of the present one to a thousand times it.
    fn swept(&self, game: &Game) -> Result<Vec<Swept>, Failure> {
        let count = self.sweep.unwrap_or(0);
        let mut swept = Vec::new();
        for dynamics in Dynamics::ALL {
            for i in 0..if count == 0 { 0 } else { 2 * count + 1 } {
                let place = f64::from(i) / f64::from(count) - 1.0;
                let factor: f64 = Libm::exp(place * 3.0 * std::f64::consts::LN_10);
                let ratio = self.step_outer / self.step_inner * factor;
                let b = ratio * self.step_inner;
                let verdict = game.verdict(dynamics, self.step_inner, b).map_err(failure)?;
                swept.push(Swept { dynamics, ratio, verdict });
            }
        }
        Ok(swept)
    }
}

fn figure(report: &Report, swept: &[Swept], paths: &[(Dynamics, Vec<Point>)]) -> Figure {
    let mut plane =
        Lines::new("Eigenvalues", Axis::linear("real part"), Axis::linear("imaginary part"));
    let circle = (0..=180).map(|i| {
        let (sin, cos) = libm::sincos(f64::from(i) * std::f64::consts::PI / 90.0);
        (cos, sin)
    });
    plane = plane.series(Series::new("unit circle", circle));
    let all = [
        (Dynamics::Simultaneous, &report.simultaneous),
        (Dynamics::Alternating, &report.alternating),
        (Dynamics::Stackelberg, &report.stackelberg),
    ];
    for (dynamics, values) in all {
        for value in values {
            // A series of one point is a mark; those of one name share a look.
            plane = plane.series(Series::new(dynamics.name(), [(value[0], value[1])]));
        }
    }
    let regret = Axis::log("outer loss above its least");
    let mut descent = Lines::new("Trajectories", Axis::linear("step"), regret);
    for (dynamics, points) in paths {
        let points = points.iter().filter(|p| p.regret > 0.0);
        descent = descent
            .series(Series::new(dynamics.name(), points.map(|p| (f64::from(p.step), p.regret))));
    }
    let mut figure =
        Figure::new("Two players on a quadratic").columns(2).panel(plane).panel(descent);
    if !swept.is_empty() {
        let x = || Axis::log("ratio of rates b/a");
        let radius = Axis::linear("spectral radius").range(0.8, 1.1);
        let mut radii = Lines::new("Stability", x(), radius)
            .reference(Reference::Horizontal(1.0, "diverges above".into()));
        for dynamics in Dynamics::ALL {
            let of = swept.iter().filter(|s| s.dynamics == dynamics);
            radii = radii.series(Series::new(
                dynamics.name(),
                of.map(|s| (s.ratio, s.verdict.spectral_radius)),
            ));
        }
        for entry in &report.dynamics {
            if let Some(ratio) = entry.turning.turns_at {
                let label = format!("{} turns", entry.dynamics.name());
                radii = radii.reference(Reference::Vertical(ratio, label));
            }
        }
        figure = figure.panel(radii);
    }
    if !report.stationary.is_empty() {
        let mut parts = Lines::new(
            "Expected regret: what is left of the start, and noise",
            Axis::linear("step"),
            Axis::log("outer loss above its least"),
        );
        for found in &report.stationary {
            let name = found.dynamics.name();
            let left = found.parts.iter().map(|(left, _)| *left).enumerate();
            let left = left.filter(|(_, x)| *x > 0.0).map(|(step, x)| (step as f64, x));
            let made = found.parts.iter().map(|(_, made)| *made).enumerate();
            let made = made.filter(|(_, x)| *x > 0.0).map(|(step, x)| (step as f64, x));
            parts = parts
                .series(Series::new(name, left))
                .series(Series::new(format!("{name}, noise"), made));
        }
        figure = figure.panel(parts);
    }
    figure
}

fn table(out: &mut dyn std::io::Write, report: &Report) -> std::io::Result<()> {
    writeln!(
        out,
        "{:<12}  {:>15}  {:<9}  {:>12}  {:>12}",
        "dynamics", "spectral radius", "behaviour", "turns at", "diverges at"
    )?;
    for entry in &report.dynamics {
        let behaviour = match entry.verdict.behaviour {
            Behaviour::Stable => "stable",
            Behaviour::Rotating => "rotating",
            Behaviour::Neutral => "neutral",
            Behaviour::Diverging => "diverging",
        };
        writeln!(
            out,
            "{:<12}  {:>15.9}  {behaviour:<9}  {:>12}  {:>12}",
            entry.dynamics.name(),
            entry.verdict.spectral_radius,
            short(entry.turning.turns_at),
            short(entry.turning.diverges_at)
        )?;
    }
    writeln!(out, "Turning points are ratios of the outer rate to the inner.")?;
    for found in &report.stationary {
        let from = found.noise_dominated_from;
        writeln!(
            out,
            "{:<12}  noise sustains a regret of {}; simulated {} ± {}; it dominates {}",
            found.dynamics.name(),
            short(Some(found.regret)),
            short(Some(found.simulated_regret)),
            short(Some(found.standard_error)),
            from.map_or("at no step looked at".to_owned(), |step| format!("from step {step}"))
        )?;
    }
    Ok(())
}
