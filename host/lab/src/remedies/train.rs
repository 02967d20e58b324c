//! One training run: by rates that are known, or by one that moves.

use myopia_core::schedule::InverseTime;
use myopia_core::unroll::Diverged;
use serde::{Deserialize, Serialize};

use super::{Carry, Finish, Outcome, Tuner};
use crate::checkpoint::Keeper;
use crate::failure::Failure;
use crate::outer::OuterOptimizer;
use crate::problem::{InitialParams, Problem, Set, Snapshot, Tangents, TrainingRun};

/// A loss, as a share of a gradient.
pub(super) const LOSS: f64 = 1.0 / 3.0;

/// Points of a course.
const POINTS: u32 = 100;

/// How far one training run has come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// The run; none before its first step, and while an average is kept.
    run: Option<Snapshot>,
    /// Rate and summed loss of each hundredth.
    course: Vec<[f64; 2]>,
    /// What a moving rate was moved by.
    readings: Vec<[f64; 2]>,
}

impl Progress {
    /// Steps trained.
    pub fn steps(&self) -> u32 {
        self.run.as_ref().map_or(0, |run| run.steps)
    }
}

/// A run of so many steps.
pub(super) struct Training<'a> {
    pub problem: &'a Problem<'a>,
    pub weights: &'a InitialParams,
    pub steps: u32,
    /// Called with steps as they are done.
    pub tick: &'a (dyn Fn(u64) + Sync),
}

impl Training<'_> {
    /// Trains by `rates`, one for each step, as `finish` says.
    ///
    /// # Errors
    /// When it was interrupted. Training that diverges is an outcome.
    pub fn by_rates(
        &self,
        rates: &[f64],
        finish: Finish,
        mut progress: Progress,
        keeper: &impl Keeper<Progress>,
    ) -> Result<Outcome, Failure> {
        let mut run = self.resumed(Tangents::None, &progress);
        let rate = |k: u32| match finish {
            Finish::Cooled(steps) if k >= self.steps.saturating_sub(steps) => {
                let first = self.steps.saturating_sub(steps);
                let left = f64::from(self.steps - k) / f64::from(self.steps - first);
                rates[first.saturating_sub(1) as usize] * left
            }
            _ => rates[k as usize],
        };
        // Ten time constants forget where an average began.
        let averaged = match finish {
            Finish::Averaged(gamma) => Some((self.steps as f64 - 10.0 / (1.0 - gamma), gamma)),
            _ => None,
        };
        let momentum = self.problem.momentum;
        let mut went = Ok(());
        while run.steps() < self.steps && went.is_ok() {
            let k = run.steps();
            let now = rate(k);
            went = run.step(now, momentum).map(|loss| self.note(&mut progress, k, now, loss));
            if let Some((_, gamma)) = averaged.filter(|(from, _)| f64::from(k) >= *from) {
                run.average(gamma);
            }
            (self.tick)(1);
            keeper.pause(|| Progress {
                run: averaged.is_none().then(|| run.snapshot()),
                course: if averaged.is_none() { progress.course.clone() } else { Vec::new() },
                readings: Vec::new(),
            })?;
        }
        let last = rate(self.steps.saturating_sub(1));
        Ok(self.outcome(&mut *run, went, progress, last, f64::from(self.steps)))
    }

    /// Trains by a rate that starts at `rate` and moves as tangents are carried along.
    ///
    /// # Errors
    /// When it was interrupted. Training that diverges is an outcome.
    pub fn by_tangents(
        &self,
        (carry, rate): (Carry, f64),
        outer: OuterOptimizer<1>,
        mut progress: Progress,
        keeper: &impl Keeper<Progress>,
    ) -> Result<Outcome, Failure> {
        let mut tuner = Tuner::new(carry, rate, outer);
        progress.readings.iter().for_each(|&reading| tuner.update(reading));
        let mut run = self.resumed(carry.tangents(), &progress);
        let mut went = Ok(());
        while run.steps() < self.steps && went.is_ok() {
            went = self.moved(&mut *run, &mut tuner, &mut progress);
            (self.tick)(1);
            keeper.pause(|| Progress { run: Some(run.snapshot()), ..progress.clone() })?;
        }
        let tangents = if carry.tangents() == Tangents::Rate { 1.0 } else { 3.0 };
        let looks = LOSS * progress.readings.len() as f64;
        let cost = (1.0 + tangents) * (f64::from(run.steps()) + looks);
        Ok(self.outcome(&mut *run, went, progress, tuner.rate(), cost))
    }

    /// One step by a moving rate, with the reading before it.
    fn moved(
        &self,
        run: &mut dyn TrainingRun,
        tuner: &mut Tuner,
        progress: &mut Progress,
    ) -> Result<(), Diverged> {
        let k = run.steps();
        let constant = |alpha0| InverseTime { alpha0, time_constant: 1.0, beta: 0.0 };
        let last = constant(tuner.rate());
        if tuner.reads(k) {
            let [along, last, _] = run.look()?.tangents;
            progress.readings.push([along, last]);
            tuner.update([along, last]);
        }
        run.carry_tangents(tuner.shares(k), &last, 0);
        let loss = run.step_as(&constant(tuner.rate()), 0, 1.0)?;
        self.note(progress, k, tuner.rate(), loss);
        Ok(())
    }

    fn resumed(&self, tangents: Tangents, progress: &Progress) -> Box<dyn TrainingRun + '_> {
        let restored = progress.run.as_ref();
        let restored = restored.and_then(|snapshot| self.problem.restore(tangents, snapshot));
        restored.unwrap_or_else(|| self.problem.run(tangents, self.weights))
    }

    /// Steps of each part of a course.
    fn part(&self) -> u32 {
        self.steps.div_ceil(POINTS).max(1)
    }

    fn note(&self, progress: &mut Progress, k: u32, rate: f64, loss: f64) {
        if k.is_multiple_of(self.part()) {
            progress.course.push([rate, 0.0]);
        }
        if let Some([_, losses]) = progress.course.last_mut() {
            *losses += loss;
        }
    }

    fn outcome(
        &self,
        run: &mut dyn TrainingRun,
        went: Result<(), Diverged>,
        progress: Progress,
        last_rate: f64,
        cost: f64,
    ) -> Outcome {
        let mut course = progress.course;
        let (steps, part) = (run.steps(), self.part());
        for (first, [_, losses]) in (0..steps).step_by(part as usize).zip(&mut course) {
            *losses /= f64::from(part.min(steps - first));
        }
        (self.tick)(u64::from(self.steps.saturating_sub(steps)));
        let trained_on: Vec<u32> = (0..self.problem.trained_on() as u32).collect();
        let tested_on: Vec<u32> = (0..self.problem.data.len(Set::Test) as u32).collect();
        let ended = went.and_then(|()| {
            let training = run.evaluate_average(Set::Training, &trained_on)?;
            let test = run.evaluate_average(Set::Test, &tested_on)?;
            // Counted again: 270 errors among 10,000 are 0.027 and not a neighbour in single
            // precision.
            let count = tested_on.len() as f64;
            let errors = count - libm::round(test.accuracy * count);
            Ok([training.loss.value, test.loss.value, errors / count])
        });
        let outcome = Outcome { cost, last_rate, course, ..Outcome::default() };
        match ended {
            Ok(end) => {
                Outcome { end: Some(end), digest: Some(run.digests()[0].value()), ..outcome }
            }
            Err(diverged) => Outcome { diverged: Some(diverged.to_string()), ..outcome },
        }
    }
}
