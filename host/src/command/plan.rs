//! `myopia plan`: the optimal schedule for the curvature and the noise measured at one point.

use clap::{Args, ValueEnum};
use myopia_backend::awake;
use myopia_core::family::Schedule;
use myopia_core::nqm::Step;
use rayon::prelude::*;
use serde::Serialize;

use super::horizons::Origin;
use super::nqm::options::{at_most, interrupted};
use super::options::{Common, LongRun, ProblemOptions};
use super::progress;
use crate::command::values::whole;
use myopia::checkpoint::Ledger;
use myopia::failure::Failure;
use myopia::interrupt;
use myopia::memory::afford;
use myopia::nqm::lanczos::Node;
use myopia::nqm::policy::MOST_STEPS;
use myopia::output::{csv, json, standard};
use myopia::plan::{
    Choice, Extent, Failed, Followed, Forecast, Model, Noise, Planning, Progress, Rates, Round,
    figure, follow,
};
use myopia::problem::{self, CurvatureMatrix, Ended, Entries, InitialParams, Problem};
use myopia::shown::number;

/// Options of `myopia plan`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    problem: ProblemOptions,
    /// Steps to plan
    #[arg(
        long, default_value_t = 1000, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<usize>
    )]
    steps: usize,
    /// Whose spectrum is measured
    #[arg(long, value_enum, default_value = "gauss-newton")]
    matrix: MatrixName,
    /// Products with it from the gradient, and from each sample of its noise
    #[arg(
        long, default_value_t = 30, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<usize>
    )]
    products: usize,
    /// Batches whose noise of the gradient is multiplied with the matrix
    #[arg(
        long, default_value_t = 3, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<usize>
    )]
    samples: usize,
    /// Batches that say how large the noise is, --samples of them at least
    #[arg(
        long, default_value_t = 50, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<usize>
    )]
    noise_batches: usize,
    /// Training examples, from the first, of the matrix [default: 1000, or as many as are trained
    /// on]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<usize>)]
    examples: Option<usize>,
    /// The largest learning rate, as a share of the limit of stability 2(1 + MU)/h of the largest
    /// curvature h
    #[arg(long, default_value_t = 0.25, value_name = "SHARE", allow_negative_numbers = true)]
    cap: f64,
    /// P of the variance of the gradient's noise, (loss/present loss)^P times the measured one: 0
    /// for noise that stays, 1 for noise in proportion to the loss [default: unknown, in 0..1]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    noise_power: Option<f64>,
    /// Train, and measure and plan again every so many steps
    #[arg(
        long, value_name = "STEPS", allow_negative_numbers = true, value_parser = whole::<usize>
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    replan: Option<usize>,
    /// Train with the plan and, beside it, with a linear decay from the largest rate to zero
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    train: bool,
    /// With --train: beside them, with the schedule of this alpha0, time-constant and beta
    #[arg(long, value_name = "ALPHA0,K,BETA", requires = "train")]
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<Origin>,
    #[command(flatten)]
    #[serde(skip)]
    long: LongRun,
}

/// A matrix of second derivatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum MatrixName {
    /// The Gauss-Newton matrix, which is positive semidefinite
    GaussNewton,
    /// The Hessian, of whose eigenvalues the magnitudes are taken
    Hessian,
}

impl From<MatrixName> for CurvatureMatrix {
    fn from(name: MatrixName) -> Self {
        match name {
            MatrixName::GaussNewton => Self::GaussNewton,
            MatrixName::Hessian => Self::Hessian,
        }
    }
}

/// Examples of the matrix unless it is said how many.
const EXAMPLES: usize = 1000;

/// What was measured first.
#[derive(Serialize)]
struct Found<'a> {
    /// In nats, over the examples trained on.
    loss: f64,
    gradient_square: f64,
    noise_variance: f64,
    sharpness: f64,
    gradient: &'a [Node],
    noise: &'a [Node],
}

/// What the quadratic of the first measurement foretells of the schedule.
#[derive(Serialize)]
struct Foretold {
    /// The excess loss on the quadratic of spectrum.csv.
    excess_loss: f64,
    /// The mean loss over the examples trained on at the end, with the median power of the noise.
    loss: f64,
    /// Powers of the noise, and that loss with each.
    losses: Vec<(f64, f64)>,
    removable_loss: f64,
    damping: f64,
    /// Steps and losses on the way.
    course: Vec<(usize, f64)>,
}

#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    seed: u64,
    #[serde(flatten)]
    options: &'a Options,
    /// Steps planned, when the run was interrupted before the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<usize>,
    measured: Found<'a>,
    /// The largest learning rate allowed.
    cap_rate: f64,
    predicted: Foretold,
    rounds: &'a [Round],
    /// Where there was a plan already: whether it was kept.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    choices: &'a [Choice],
    /// In gradients of one batch; a gradient with a tangent counts as two, a loss as a third.
    gradient_equivalents: f64,
    evaluations: u64,
    /// Steps and learning rate of each segment of the schedule.
    segments: Vec<(usize, f64)>,
    /// What training did, by the plan and by its rivals.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trained: Vec<Trained>,
}

/// Training by one schedule.
#[derive(Serialize)]
struct Trained {
    schedule: &'static str,
    /// Nothing where it diverged.
    #[serde(flatten)]
    run: Option<Followed>,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        self.check()?;
        let folder = self.long.folder(common)?;
        let data = self.problem.load(common)?;
        let problem = self.problem.problem(common, &data)?;
        let planning = self.planning(&problem)?;
        let experiment = common
            .experiment("plan", &self, &problem)
            .with_default("examples", planning.extent.examples);
        let ledger = Ledger::open(folder.as_ref(), experiment, 1, self.long.opening())?;
        let mut progress: Progress = ledger.unit(0).state().unwrap_or_default();
        let ended = awake(|| {
            let start = ledger.resumable(self.problem.start(&problem))?;
            self.go_on(common, &problem, &start, &planning, &mut progress, &ledger)
        });
        let mut early = Failure::interruption(ended)?;
        let Some(first) = progress.first.clone() else {
            return early.map_or(Ok(()), Err);
        };
        let model = Model::new(&first).map_err(refused)?;
        let schedule = Rates {
            lengths: &progress.lengths,
            rates: &progress.rates,
            momentum: problem.momentum,
        };
        let noise = self.noise();
        let forecast = Forecast::new(&model, &schedule, noise.median()).map_err(refused)?;
        let ends = noise.powers().into_iter().map(|(power, _)| {
            let forecast = Forecast::new(&model, &schedule, power)?;
            Ok((power, forecast.course[forecast.course.len() - 1].1))
        });
        let ends: Vec<(f64, f64)> = ends.collect::<Result<_, Failed>>().map_err(refused)?;
        let steps: Vec<Step<f64>> = schedule.steps().collect();
        let mut trained = Vec::new();
        if self.train && early.is_none() {
            let followed = awake(|| self.follow(&problem, &steps, progress.rounds[0].cap));
            match ledger.resumable(followed) {
                Err(failure) if !failure.is_interruption() => return Err(failure),
                Err(failure) => early = Some(failure),
                Ok(followed) => trained = followed,
            }
        }
        let partial = early.is_some();
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            options: &self,
            partial: partial.then_some(steps.len()),
            measured: Found {
                loss: first.loss,
                gradient_square: first.gradient_square(),
                noise_variance: first.noise_variance(),
                sharpness: first.sharpness(),
                gradient: &first.gradient,
                noise: &first.noise,
            },
            cap_rate: progress.rounds[0].cap,
            predicted: Foretold {
                excess_loss: forecast.excess,
                loss: forecast.course[forecast.course.len() - 1].1,
                losses: ends,
                removable_loss: model.removable,
                damping: model.damping,
                course: forecast.course.clone(),
            },
            rounds: &progress.rounds,
            choices: &progress.choices,
            gradient_equivalents: progress.cost.0,
            evaluations: progress.evaluations,
            segments: progress.lengths.iter().copied().zip(progress.rates.clone()).collect(),
            trained,
        };
        if let Some(folder) = &folder {
            ledger.save()?;
            folder.write_as(partial, "schedule.csv", |w| {
                let steps = steps.iter().map(|step| (step.learning_rate, step.momentum));
                csv::write(w, &["learning_rate", "momentum"], steps)
            })?;
            folder.write_as(partial, "spectrum.csv", |w| {
                let header = ["curvature", "noise_variance", "initial_mean", "initial_variance"];
                let lines = forecast
                    .directions
                    .iter()
                    .map(|d| (d.curvature, d.noise_variance, d.initial_mean, d.initial_variance));
                csv::write(w, &header, lines)
            })?;
            let followed = report.trained.iter();
            let followed: Vec<_> =
                followed.filter_map(|of| Some((of.schedule, of.run.as_ref()?))).collect();
            figure(&model, report.cap_rate, &schedule, &forecast, &followed, partial)
                .write(folder, partial, "plan")?;
            folder.write_as(partial, "plan.json", |w| json::write(w, &report))?;
        }
        if !partial {
            ledger.finish()?;
        }
        if common.json {
            json::print(&report)?;
        } else {
            self.print(&report)?;
        }
        early.map_or(Ok(()), Err)
    }

    /// Measures and plans until the schedule is whole.
    fn go_on(
        &self,
        common: &Common,
        problem: &Problem<'_>,
        start: &InitialParams,
        planning: &Planning,
        progress: &mut Progress,
        ledger: &Ledger<'_, Progress>,
    ) -> Result<(), Failure> {
        let done = |progress: &Progress| progress.lengths.iter().fold(0, |sum, n| sum + n) as u64;
        let all = self.steps as u64;
        let bar = progress::bar_from(common, done(progress), all, "planning");
        while !planning.is_done(progress) {
            let ended = planning.go_on(problem, start, progress, &interrupt::is_asked);
            if let Err(failed) = ended {
                bar.finish_and_clear();
                ledger.unit(0).set(progress.first.is_some().then(|| progress.clone()));
                ledger.check()?;
                return Err(refused(failed));
            }
            bar.set_position(done(progress));
            ledger.unit(0).leave(progress.clone())?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Trains by the plan, by a linear decay from `cap`, and by what is asked for beside them.
    fn follow(
        &self,
        problem: &Problem<'_>,
        steps: &[Step<f64>],
        cap: f64,
    ) -> Result<Vec<Trained>, Failure> {
        let start = self.problem.start(problem)?;
        let steps: Entries = steps.iter().copied().collect();
        let linear =
            Entries::of(Schedule::linear(cap, self.steps as u32), problem.momentum, self.steps);
        let beside = self.beside.as_ref().map(|Origin([alpha0, time_constant, beta])| {
            let schedule = problem.precision().schedule(*alpha0, *time_constant, *beta);
            schedule.map_err(|e| Failure::usage(format!("--beside: {e}")))
        });
        let beside = beside.transpose()?;
        let mut all = vec![
            ("planned", problem::Rates::Entries(&steps)),
            ("linear decay", problem::Rates::Entries(&linear)),
        ];
        all.extend(beside.as_ref().map(|of| ("beside", problem::Rates::Schedule(of))));
        let one = |(schedule, rates): (&'static str, problem::Rates<'_>)| {
            let followed = follow(problem, &start, rates, self.steps as u32, &interrupt::is_asked);
            let run = match followed {
                Ok(followed) => Some(followed),
                Err(Ended::Diverged(_)) => None,
                Err(Ended::Stopped) => return Err(refused(Failed::Interrupted)),
            };
            Ok(Trained { schedule, run })
        };
        all.into_par_iter().with_max_len(1).map(one).collect()
    }

    fn print(&self, report: &Report<'_>) -> Result<(), Failure> {
        let Report { measured, predicted, .. } = report;
        standard::print(|out| {
            writeln!(out, "training loss      {} nats", number(measured.loss, 6))?;
            writeln!(out, "gradient, squared  {}", number(measured.gradient_square, 4))?;
            writeln!(out, "noise of a batch   {}", number(measured.noise_variance, 4))?;
            writeln!(out, "largest curvature  {}", number(measured.sharpness, 4))?;
            writeln!(out, "largest rate       {}", number(report.cap_rate, 4))?;
            for (power, loss) in &predicted.losses {
                let loss = number(*loss, 4);
                writeln!(out, "predicted loss     {loss} nats, the noise going with loss^{power}")?;
            }
            for round in report.rounds.iter().filter(|_| self.replan.is_some()) {
                let shown = |x: Option<f64>| x.map_or("-".to_owned(), |x| number(x, 4));
                let kept = |choice: &&Choice| choice.step == round.step && choice.is_kept;
                let first = report.rounds.iter().find(|first| first.step == round.step);
                let is_kept = first == Some(round) && report.choices.iter().any(|of| kept(&of));
                writeln!(
                    out,
                    "at {:>7}: loss {}, next foretold {}, trained {}, cap {}{}{}",
                    round.step,
                    number(round.loss, 4),
                    shown(round.predicted),
                    shown(round.trained),
                    number(round.cap, 4),
                    if is_kept { ", the plan kept" } else { "" },
                    if round.is_taken { "" } else { ", taken back" }
                )?;
            }
            writeln!(out, "cost               {:.0} gradients", report.gradient_equivalents)?;
            for Trained { schedule, run } in &report.trained {
                match run {
                    Some(run) => {
                        let error = run.test_error.map_or(String::new(), |error| {
                            format!(", test error {:.2} %", 100.0 * error)
                        });
                        let loss = number(run.loss, 6);
                        writeln!(out, "trained, {schedule:<13} {loss} nats{error}")?;
                    }
                    None => writeln!(out, "trained, {schedule:<13} diverged")?,
                }
            }
            Ok(())
        })
    }

    /// Refuses numbers without sense.
    fn check(&self) -> Result<(), Failure> {
        for (option, value) in [
            ("steps", self.steps),
            ("products", self.products),
            ("samples", self.samples),
            ("replan", self.replan.unwrap_or(1)),
        ] {
            if value == 0 {
                return Err(Failure::usage(format!("--{option} 0 must be at least 1")));
            }
        }
        at_most("steps", self.steps, MOST_STEPS)?;
        if let Some(every) = self.replan.filter(|every| *every > self.steps) {
            return Err(Failure::usage(format!(
                "--replan {every} is above the {} of --steps; plan again after fewer steps, or leave it out",
                self.steps
            )));
        }
        if self.noise_batches < self.samples {
            return Err(Failure::usage(format!(
                "--noise-batches {} must be at least --samples {}",
                self.noise_batches, self.samples
            )));
        }
        if !(self.cap > 0.0 && self.cap < 1.0) {
            return Err(Failure::usage(format!(
                "--cap {:?} must be between 0 and 1, the limit of stability",
                self.cap
            )));
        }
        if let Some(power) = self.noise_power.filter(|power| !(*power >= 0.0 && power.is_finite()))
        {
            return Err(Failure::usage(format!(
                "--noise-power {power:?} must be zero or a positive number"
            )));
        }
        Ok(())
    }

    fn noise(&self) -> Noise {
        self.noise_power.map_or(Noise::Unknown, Noise::Power)
    }

    fn planning(&self, problem: &Problem<'_>) -> Result<Planning, Failure> {
        self.problem.plain_network("the curvature that plan measures")?;
        if problem.optimizer.is_some() {
            return Err(Failure::usage(
                "the noisy quadratic knows SGD with momentum alone; leave --optimizer, --nesterov and --weight-decay out",
            ));
        }
        let all = problem.trained_on();
        let examples = self.examples.unwrap_or(if all < EXAMPLES { all } else { EXAMPLES });
        if examples == 0 || examples > all {
            return Err(Failure::usage(format!(
                "--examples {examples} must be between 1 and {all}, the examples trained on"
            )));
        }
        let products = self.products.min(problem.parameters());
        let starts = 1 + self.samples as u128;
        // Lanczos's vectors of all starts; the maps of all directions in a search.
        let directions = starts * products as u128;
        let bytes = 8 * directions * (problem.parameters() as u128 + 16 * 220);
        afford(
            &format!("--products {} --samples {}", self.products, self.samples),
            bytes,
            "take fewer",
        )?;
        let matrix = self.matrix.into();
        Ok(Planning {
            extent: Extent {
                matrix,
                products,
                samples: self.samples,
                batches: self.noise_batches,
                examples,
            },
            steps: self.steps,
            every: self.replan,
            momentum: problem.momentum,
            cap: self.cap,
            noise: self.noise(),
        })
    }
}

/// Why there is no plan, in a sentence.
fn refused(failed: Failed) -> Failure {
    match failed {
        Failed::Diverged(diverged) => {
            Failure::run(format!("measuring diverged: {diverged}; lower --pretrain-rate"))
        }
        Failed::Spectrum => Failure::run(
            "the measured spectrum has numbers that are not finite; measure with --precision f64",
        ),
        Failed::Flat => Failure::run(
            "no curvature or no loss above zero was found; measure with more --examples, or earlier",
        ),
        Failed::Interrupted => interrupted(),
        Failed::Distrusted => {
            Failure::run("training diverged at every rate that was planned; give a smaller --cap")
        }
        Failed::Snapshot => Failure::run(
            "the checkpoint is of another run; start again with --force, or in another --out",
        ),
    }
}
