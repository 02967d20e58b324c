//! Training by a schedule that is planned again every so many steps, within a trust region.

use myopia_core::real::Real;
use serde::{Deserialize, Serialize};

use super::{Cost, Extent, Failed, Measured, Model, Noise, Settings, plan};
use crate::problem::{InitialParams, Problem, Set, Snapshot, Tangents, TrainingRun};

/// What is planned, and how often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planning {
    /// How much is measured each time.
    pub extent: Extent,
    /// Steps of the whole schedule.
    pub steps: usize,
    /// Steps trained by a plan before the next one is made; `None` for one plan and no training.
    pub every: Option<usize>,
    /// Momentum of every step.
    pub momentum: f64,
    /// The largest learning rate, as a share of the limit of stability 2(1 + μ)/h of the first
    /// measurement.
    pub cap: f64,
    /// How the noise shrinks.
    pub noise: Noise,
}

/// One measurement, the plan made of it, and what training then did. A line of `rounds.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Steps trained before it.
    pub step: usize,
    /// The mean loss there over the examples trained on, in nats.
    pub loss: f64,
    /// The largest curvature.
    pub sharpness: f64,
    /// The variance of the gradient of a batch.
    pub noise_variance: f64,
    /// The squared length of the gradient.
    pub gradient_square: f64,
    /// λ of [`Model`].
    pub damping: f64,
    /// The largest learning rate allowed.
    pub cap: f64,
    /// The loss foretold at the end of the whole schedule.
    pub predicted_end: f64,
    /// The loss foretold for the end of the stretch.
    pub predicted: Option<f64>,
    /// The loss there; none where training diverged.
    pub trained: Option<f64>,
    /// Whether training went on from there; otherwise it went back, and the cap was lowered.
    pub is_taken: bool,
}

/// How far planning has come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// What was measured first.
    pub first: Option<Measured>,
    /// The rounds.
    pub rounds: Vec<Round>,
    /// Steps of the segments planned so far.
    pub lengths: Vec<usize>,
    /// Their learning rates.
    pub rates: Vec<f64>,
    /// What it took.
    pub cost: Cost,
    /// Courses computed in searches.
    pub evaluations: u64,
    /// The run, where there is training.
    run: Option<Snapshot>,
    /// Where training is.
    at: usize,
    /// The cap of the next plan.
    cap: f64,
}

/// Times that a stretch is tried with a lower cap.
const TRIALS: usize = 4;
/// Above this share of the foretold decrease the cap is doubled, up to the first one.
const TRUST: f64 = 0.5;

/// The decrease of the loss as a share of the one foretold; where none was, whether there was
/// none.
fn agreement(before: f64, predicted: f64, trained: f64) -> f64 {
    let foretold = before - predicted;
    if foretold > 0.0 {
        (before - trained) / foretold
    } else if trained <= predicted {
        1.0
    } else {
        0.5
    }
}

impl Planning {
    /// Whether the schedule is whole.
    pub fn is_done(&self, progress: &Progress) -> bool {
        progress.lengths.iter().fold(0, |sum, steps| sum + steps) >= self.steps
    }

    /// Measures, plans and, where there is `every`, trains one stretch from `start` on.
    ///
    /// # Errors
    /// When something leaves the finite range, or when `stop` says so; `progress` is then as it
    /// was.
    pub fn go_on(
        &self,
        problem: &Problem<'_>,
        start: &InitialParams,
        progress: &mut Progress,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), Failed> {
        let mut next = progress.clone();
        let mut run = match &next.run {
            Some(snapshot) => problem.restore(Tangents::None, snapshot).ok_or(Failed::Snapshot)?,
            None => problem.run(Tangents::None, start),
        };
        let taken = next.rounds.iter().filter(|round| round.is_taken).count();
        let parameters = run.parameters();
        let first = taken * self.extent.batches;
        let measured = Measured::new(problem, &parameters, self.extent, first, stop)?;
        next.cost.0 += measured.cost.0;
        let model = Model::new(&measured)?;
        if next.first.is_none() {
            next.cap = self.cap * 2.0 * (1.0 + self.momentum) / measured.sharpness();
            next.first = Some(measured.clone());
        }
        let most = next.rounds.first().map_or(next.cap, |round| round.cap);
        let left = self.steps - next.at;
        let stretch = self.every.map(|every| every.min(left));
        for trial in 1..=TRIALS {
            let settings = Settings {
                steps: left,
                mark: stretch.unwrap_or(left),
                momentum: self.momentum,
                cap: next.cap,
                noise: self.noise,
            };
            let plan = plan(&model, settings, stop)?;
            next.evaluations += plan.evaluations;
            let round = Round {
                step: next.at,
                loss: measured.loss,
                sharpness: measured.sharpness(),
                noise_variance: measured.noise_variance(),
                gradient_square: measured.gradient_square(),
                damping: model.damping,
                cap: next.cap,
                predicted_end: plan.course.losses[plan.lengths.len()],
                predicted: None,
                trained: None,
                is_taken: true,
            };
            let Some(stretch) = stretch else {
                next.rounds.push(round);
                (next.lengths, next.rates) = (plan.lengths, plan.rates);
                break;
            };
            let mut segments = 0;
            let mut steps = 0;
            while steps < stretch {
                steps += plan.lengths[segments];
                segments += 1;
            }
            let predicted = plan.course.losses[segments];
            let (lengths, rates) = (&plan.lengths[..segments], &plan.rates[..segments]);
            let trained = self.train(problem, run.as_mut(), lengths, rates, stop)?;
            next.cost.0 += stretch as f64 + Cost::loss(problem).0;
            let agreement = trained.map_or(-1.0, |loss| agreement(measured.loss, predicted, loss));
            let is_taken = agreement > 0.0 || trained.is_some() && trial == TRIALS;
            next.rounds.push(Round { predicted: Some(predicted), trained, is_taken, ..round });
            if agreement > TRUST {
                next.cap = if 2.0 * next.cap < most { 2.0 * next.cap } else { most };
            } else if agreement <= 0.0 {
                next.cap = rates.iter().fold(0.0, |most: f64, rate| most.larger(*rate)) / 2.0;
            }
            if is_taken {
                next.lengths.extend(lengths);
                next.rates.extend(rates);
                next.at += stretch;
                next.run = Some(run.snapshot());
                break;
            }
            if trial == TRIALS {
                return Err(Failed::Distrusted);
            }
            run = match &next.run {
                Some(snapshot) => {
                    problem.restore(Tangents::None, snapshot).ok_or(Failed::Snapshot)?
                }
                None => problem.run(Tangents::None, start),
            };
        }
        *progress = next;
        Ok(())
    }

    /// Trains `run` and returns the loss it comes to, or nothing where it diverges.
    fn train(
        &self,
        problem: &Problem<'_>,
        run: &mut dyn TrainingRun,
        lengths: &[usize],
        rates: &[f64],
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<f64>, Failed> {
        for (&steps, &rate) in lengths.iter().zip(rates) {
            let rate = problem.precision().round(rate);
            for _ in 0..steps {
                if stop() {
                    return Err(Failed::Interrupted);
                }
                if run.step(rate, self.momentum).is_err() {
                    return Ok(None);
                }
            }
        }
        let all: Vec<u32> = (0..problem.trained_on() as u32).collect();
        Ok(run.evaluate(Set::Training, &all).ok().map(|found| found.loss.value))
    }
}
