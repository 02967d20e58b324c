//! `myopia nqm biases`: truncation, hysteresis and horizon apart, and perturbations as estimators.

use std::path::PathBuf;

use clap::Args;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::online::RateAndDamping;
use myopia_core::rng::Pcg32;
use serde::{Serialize, Serializer};

use super::options::{QuadraticOptions, check_momentum, check_steps, interrupted};
use super::provenance::Provenance;
use crate::command::estimators::{Moving, check};
use crate::command::options::Common;
use crate::command::progress;
use crate::command::values::{real, whole};
use myopia::failure::Failure;
use myopia::interrupt;
use myopia::memory::afford;
use myopia::outer::{OuterOptimizer, OuterRule};
use myopia::output::{OutputFolder, csv, json, standard};
use myopia::precision::Precision;
use myopia::remedies::Carry;
use myopia::remedies::quadratic::{Biases, Course, Particles};
use myopia::shown::number;

/// Options of `myopia nqm biases`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    quadratic: QuadraticOptions,
    /// Training steps N
    #[arg(
        long, default_value_t = 1000, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    steps: u32,
    /// Momentum: from 0 up to but not including 1
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_name = "MU")]
    momentum: f64,
    #[command(flatten)]
    #[serde(flatten)]
    moving: Moving,
    /// Meta-learning rates to choose from by the final loss, of Adam on the rate's logarithm
    #[arg(
        long, value_delimiter = ',', default_value = "0.001,0.003,0.01,0.03,0.1,0.3,1",
        value_name = "RATE,…", allow_negative_numbers = true, value_parser = real
    )]
    meta_lr: Vec<f64>,
    /// Numbers of particles, even, of evolution strategies, persistent (PES) and not (ES)
    #[arg(
        long, value_delimiter = ',', default_value = "10,100,1000", value_name = "N,…",
        allow_negative_numbers = true, value_parser = whole::<u32>
    )]
    particles: Vec<u32>,
    /// Steps of a window of theirs
    #[arg(
        long, default_value_t = 100, value_name = "STEPS", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    window: u32,
    /// Standard deviation of their perturbations of the rate's logarithm
    #[arg(long, default_value_t = 0.1, allow_negative_numbers = true, value_name = "SIGMA")]
    sigma: f64,
    /// Pairs of particles that say what the mean and the variance of one is
    #[arg(
        long, default_value_t = 10_000, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    pairs: u32,
}

/// Writes each of `words` as it is written on the command line.
///
/// # Errors
/// When the serializer fails.
pub fn each_as_words<W: ToString, S: Serializer>(
    words: &[W],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(words.iter().map(W::to_string))
}

/// Where the tables go unless `--out` says otherwise.
const FOLDER: &str = "myopia-biases";

/// Meta-steps of the tuning that sees all steps each time.
const META_STEPS: u32 = 50;

/// A line of `biases.csv`: an estimator, and training with a rate that it moves.
#[derive(Clone, Debug, Serialize)]
struct Line {
    estimator: String,
    /// The rate at which derivatives are compared.
    rate: f64,
    /// G: the derivative of the loss after all steps by the logarithm of a constant rate.
    exact: f64,
    hysteresis: f64,
    truncation: f64,
    horizon: f64,
    /// The sum of these; of particles the mean over many less G, smoothing and chance among it.
    bias: f64,
    standard_deviation: f64,
    /// Of the bias, by chance.
    error_of_bias: f64,
    /// Steps for one estimate; with a tangent one counts as two.
    cost_of_estimate: f64,
    /// The meta-learning rate with the lowest final loss.
    meta_lr: f64,
    /// Steps for training with it.
    cost: f64,
    final_loss: f64,
}

const HEADER: [&str; 13] = [
    "estimator",
    "rate",
    "exact",
    "hysteresis",
    "truncation",
    "horizon",
    "bias",
    "standard_deviation",
    "error_of_bias",
    "cost_of_estimate",
    "meta_lr",
    "cost",
    "final_loss",
];

#[derive(Serialize)]
struct Results<'a> {
    estimators: &'a [Line],
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        let at = self.check()?;
        let path = common.out.clone().unwrap_or_else(|| PathBuf::from(FOLDER));
        self.quadratic.optimizer.refuse_backwards("nqm biases")?;
        let quadratic = self.quadratic.quadratic()?;
        let most = self.particles.iter().fold(2, |most, &n| if n > most { n } else { most });
        let bytes = u128::from(most) * 400 * quadratic.directions().len() as u128;
        let bytes = bytes + 400 * u128::from(self.steps);
        afford(&format!("--particles {most}"), bytes, "take fewer")?;
        let folder = OutputFolder::create_at_once(&path, common.force)?;
        interrupt::listen()?;
        let course = Course {
            quadratic: &quadratic,
            steps: self.steps,
            momentum: self.momentum,
            rate: self.moving.rate,
            at,
            stop: interrupt::is_asked,
        };
        let count = 1 + self.moving.carry.len() + 2 * self.particles.len();
        let bar = progress::bar(common, count as u64, "estimators");
        let mut lines = Vec::new();
        let mut add = |line: Line| {
            bar.inc(1);
            lines.push(line);
            if interrupt::is_asked() { Err(interrupted()) } else { Ok(()) }
        };
        let full = self.in_full(&course);
        if !full.exact.is_finite() {
            return Err(Failure::run(format!(
                "training at --rate {} diverges on this quadratic; give a lower one",
                self.moving.rate
            )));
        }
        add(full)?;
        for &carry in &self.moving.carry {
            add(self.carried(&course, carry))?;
        }
        for (stream, persistent) in [(0, false), (1, true)] {
            let how = Particles { persistent, window: self.window, sigma: self.sigma };
            let pair = course.estimate(how, self.pairs, &mut Pcg32::new(common.seed, stream));
            for &particles in &self.particles {
                let estimate = (pair.mean, pair.variance / f64::from(particles / 2));
                let rng = || Pcg32::new(common.seed, 2 + stream);
                add(self.perturbed(&course, how, particles, estimate, rng))?;
            }
        }
        bar.finish_and_clear();
        folder.write("biases.csv", |w| csv::write(w, &HEADER, &lines))?;
        let results = Results { estimators: &lines };
        let about = Provenance::new("nqm biases", &self, results);
        folder.write("biases.json", |w| json::write(w, &about))?;
        folder.finish()?;
        if common.json {
            return json::print(&about);
        }
        let place = folder.path().display();
        standard::print(|out| {
            writeln!(
                out,
                "{:<16}  {:>10}  {:>10}  {:>10}  {:>9}  {:>9}  {:>9}  {:>9}",
                "estimator",
                "hysteresis",
                "truncation",
                "horizon",
                "st. dev.",
                "steps",
                "exact",
                "end"
            )?;
            for line in &lines {
                writeln!(
                    out,
                    "{:<16}  {:>10}  {:>10}  {:>10}  {:>9}  {:>9.0}  {:>9}  {:>9}",
                    line.estimator,
                    number(line.hysteresis, 4),
                    number(line.truncation, 4),
                    number(line.horizon, 4),
                    number(line.standard_deviation, 4),
                    line.cost_of_estimate,
                    number(line.exact, 4),
                    number(line.final_loss, 5),
                )?;
            }
            writeln!(out, "Tables are in {place}.")
        })
    }

    /// Checks what can be checked, and says after how many steps derivatives are compared.
    fn check(&self) -> Result<u32, Failure> {
        check_steps(self.steps as usize)?;
        check_momentum(self.momentum)?;
        let at = self.moving.at(self.steps)?;
        let rate = self.moving.rate;
        if !(rate > 0.0 && rate.is_finite()) {
            return Err(Failure::usage(format!("--rate {rate} must be a positive number")));
        }
        let counts = [self.window, self.pairs];
        check(&[self.sigma], &self.meta_lr, &self.particles, counts)?;
        Ok(at)
    }

    /// The meta-learning rate with the lowest final loss, and what came of it.
    fn best<T>(&self, run: impl Fn(OuterOptimizer<1>) -> T, loss: impl Fn(&T) -> f64) -> (f64, T) {
        let one = |&rate: &f64| {
            let [limits, _] = RateAndDamping::<f64>::default_limits();
            (rate, run(OuterOptimizer::new(Precision::F64, OuterRule::Adam, rate, [limits])))
        };
        let lower = |a: (f64, T), b: (f64, T)| if loss(&b.1) < loss(&a.1) { b } else { a };
        self.meta_lr.iter().map(one).reduce(lower).expect("there is a meta-learning rate")
    }

    /// The derivative of the loss after all steps, by which the rate is tuned run by run.
    fn in_full(&self, course: &Course<'_>) -> Line {
        let exact = course.constant(self.moving.rate, self.steps, |_| 1.0);
        let (meta_lr, final_loss) =
            self.best(|outer| course.tuned(outer, META_STEPS), |loss: &f64| *loss);
        let each = 2.0 * f64::from(self.steps);
        Line {
            estimator: "full".to_owned(),
            rate: self.moving.rate,
            exact,
            hysteresis: 0.0,
            truncation: 0.0,
            horizon: 0.0,
            bias: 0.0,
            standard_deviation: 0.0,
            error_of_bias: 0.0,
            cost_of_estimate: each,
            meta_lr,
            cost: f64::from(META_STEPS + 1) * each,
            final_loss,
        }
    }

    fn carried(&self, course: &Course<'_>, carry: Carry) -> Line {
        let finite = |excess: f64| if excess.is_finite() { excess } else { f64::INFINITY };
        let (meta_lr, found) =
            self.best(|outer| course.biases(carry, outer), |found: &Biases| finite(found.excess));
        let Biases { excess, rate, exact, hysteresis, truncation, horizon, cost } = found;
        Line {
            estimator: carry.to_string(),
            rate,
            exact,
            hysteresis,
            truncation,
            horizon,
            bias: hysteresis + truncation + horizon,
            standard_deviation: 0.0,
            error_of_bias: 0.0,
            cost_of_estimate: cost / f64::from(self.steps) * f64::from(carry.every()),
            meta_lr,
            cost,
            final_loss: excess,
        }
    }

    fn perturbed(
        &self,
        course: &Course<'_>,
        how: Particles,
        particles: u32,
        (mean, variance): (f64, f64),
        rng: impl Fn() -> Pcg32,
    ) -> Line {
        let exact = course.constant(self.moving.rate, self.steps, |_| 1.0);
        // What the last window sees without perturbation.
        let windows = self.steps.div_ceil(self.window);
        let last = (windows - 1) * self.window;
        let seen = match how.persistent {
            true => exact,
            false => {
                course.constant(self.moving.rate, self.steps, |k| if k == last { 0.0 } else { 1.0 })
            }
        };
        let pairs = particles / 2;
        let (meta_lr, final_loss) =
            self.best(|outer| course.moved(how, pairs, outer, &mut rng()), |loss: &f64| *loss);
        let steps = if how.persistent { self.steps } else { self.steps - last };
        Line {
            estimator: format!("{} {particles}", if how.persistent { "pes" } else { "es" }),
            rate: self.moving.rate,
            exact,
            hysteresis: 0.0,
            truncation: seen - exact,
            horizon: 0.0,
            bias: mean - exact,
            standard_deviation: <Libm as Elementary<f64>>::sqrt(variance),
            error_of_bias: <Libm as Elementary<f64>>::sqrt(
                variance * f64::from(pairs) / f64::from(self.pairs),
            ),
            cost_of_estimate: f64::from(particles) * f64::from(steps),
            meta_lr,
            cost: (f64::from(particles) + 1.0) * f64::from(self.steps),
            final_loss,
        }
    }
}
