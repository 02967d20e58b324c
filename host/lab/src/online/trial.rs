//! Trials: training runs that differ in nothing but how learning rate and momentum are set.

use myopia_core::online::ShortLookAhead;
use myopia_core::unroll::Diverged;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Outcome, Update};
use crate::checkpoint::{Keeper, Ledger, Unit};
use crate::curve::Evaluator;
use crate::failure::Failure;
use crate::outer::OuterOptimizer;
use crate::precision::Precision;
use crate::problem::{AdaptedRate, Problem, Seeded, ShortUnroll, Snapshot, Tangents, TrainingRun};

/// How learning rate and momentum are set.
#[derive(Clone, Copy, Debug)]
pub enum Trial {
    /// They stay, or the learning rate is multiplied once, from half-way on.
    Fixed {
        /// α at first.
        learning_rate: f64,
        /// What it is multiplied by.
        decay: Option<f64>,
    },
    /// They follow short unrolls.
    Adapted {
        /// α at first.
        learning_rate: f64,
        /// The unroll.
        ahead: ShortLookAhead,
        /// The steps between two updates.
        every: u32,
        /// The outer optimizer, fresh.
        outer: OuterOptimizer<2>,
    },
}

/// What all trials share.
pub struct Trials<'a> {
    /// What is trained, by seed; its momentum is that of fixed runs and the first of adapted ones.
    pub seeds: Vec<Seeded<'a>>,
    /// The steps of training.
    pub steps: u32,
    /// The steps between two points of a curve.
    pub every: u32,
}

/// How far a trial has come. The rate and the outer optimizer's state follow from the updates.
#[derive(Clone, Serialize, Deserialize)]
pub enum State {
    /// It is under way.
    UnderWay(Outcome, Snapshot),
    /// It has ended.
    Ended(Outcome),
}

impl Trials<'_> {
    /// How many steps of training the runs numbered `own` are, and how many of them are done by
    /// their units in `ledger`.
    pub fn steps(&self, own: &[usize], ledger: &Ledger<'_, State>) -> (u64, u64) {
        let done = own.iter().map(|&number| match ledger.unit(number).state() {
            None => 0,
            Some(State::UnderWay(_, run)) => u64::from(run.steps),
            Some(State::Ended(_)) => u64::from(self.steps),
        });
        (own.len() as u64 * u64::from(self.steps), done.fold(0, |a, b| a + b))
    }

    /// Runs all `trials` with the first seed, then with the next, and of all these runs those that
    /// are numbered `own`, spread over the threads, as the units of `ledger`; `tick` is called with
    /// steps of training as they are done or turn out not to be needed.
    ///
    /// # Errors
    /// When it was interrupted, and whatever writing a checkpoint meets. A trial that diverges is
    /// no failure.
    pub fn run(
        &self,
        trials: &[Trial],
        own: &[usize],
        ledger: &Ledger<'_, State>,
        tick: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Failure> {
        let run = |&number: &usize| {
            let (seed, trial) = (number / trials.len(), number % trials.len());
            self.go(&self.seeds[seed], trials[trial], ledger.unit(number), tick)
        };
        own.par_iter().with_max_len(1).try_for_each(run)
    }

    /// What there is of so many runs so far.
    pub fn outcomes(&self, count: usize, ledger: &Ledger<'_, State>) -> Vec<Outcome> {
        let outcome = |number| match ledger.unit(number).state() {
            None => Outcome::default(),
            Some(State::UnderWay(outcome, _) | State::Ended(outcome)) => outcome,
        };
        (0..count).map(outcome).collect()
    }

    fn go(
        &self,
        Seeded { problem, weights }: &Seeded<'_>,
        trial: Trial,
        unit: Unit<'_, State>,
        tick: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Failure> {
        let evaluator = Evaluator::new(problem);
        let (mut outcome, restored) = match unit.state() {
            Some(State::Ended(_)) => return Ok(()),
            Some(State::UnderWay(outcome, snapshot)) => {
                (outcome, problem.restore(Tangents::None, &snapshot))
            }
            None => (Outcome::default(), None),
        };
        let mut run = restored.unwrap_or_else(|| problem.run(Tangents::None, weights));
        let mut control = Control::new(trial, problem);
        control.catch_up(&outcome.updates);
        let mut went = || -> Result<Result<u64, Diverged>, Failure> {
            while run.steps() < self.steps {
                match self.step(&evaluator, &mut control, &mut *run, &mut outcome) {
                    Ok(()) => tick(1),
                    Err(diverged) => return Ok(Err(diverged)),
                }
                unit.pause(|| State::UnderWay(outcome.clone(), run.snapshot()))?;
            }
            let (rate, momentum) = control.now(run.steps(), self.steps);
            Ok(evaluator.evaluate(&mut *run, rate, momentum).map(|point| {
                outcome.curve.push(point);
                run.digests()[0].value()
            }))
        };
        match went()? {
            Ok(digest) => outcome.digest = Some(digest),
            Err(diverged) => {
                outcome.diverged = Some(diverged.to_string());
                tick(u64::from(self.steps.saturating_sub(run.steps())));
            }
        }
        unit.leave(State::Ended(outcome))
    }

    /// One step of training, with what comes before it: a point of the curve, an update.
    fn step(
        &self,
        evaluator: &Evaluator,
        control: &mut Control<'_>,
        run: &mut dyn TrainingRun,
        outcome: &mut Outcome,
    ) -> Result<(), Diverged> {
        let k = run.steps();
        if k.is_multiple_of(self.every) {
            let (rate, momentum) = control.now(k, self.steps);
            outcome.curve.push(evaluator.evaluate(run, rate, momentum)?);
        }
        if let Some(update) = control.look_ahead(run)? {
            outcome.updates.push(update);
        }
        let (rate, momentum) = control.now(k, self.steps);
        run.step(rate, momentum).map(|_| ())
    }
}

/// The state of a trial besides its run.
struct Control<'a> {
    trial: Trial,
    /// What fixed runs train with, and adapted ones at first.
    rate: AdaptedRate,
    momentum: f64,
    precision: Precision,
    unroll: Option<Box<dyn ShortUnroll + 'a>>,
}

impl<'a> Control<'a> {
    fn new(trial: Trial, problem: &'a Problem<'a>) -> Self {
        let momentum = problem.momentum;
        let (learning_rate, unroll) = match trial {
            Trial::Fixed { learning_rate, .. } => (learning_rate, None),
            Trial::Adapted { learning_rate, ahead, .. } => {
                (learning_rate, Some(problem.short_unroll(ahead)))
            }
        };
        let precision = problem.precision();
        let rate = AdaptedRate::new(precision, learning_rate, momentum);
        Self { trial, rate, momentum, precision, unroll }
    }

    /// Learning rate and momentum of step `k` of `steps`.
    fn now(&self, k: u32, steps: u32) -> (f64, f64) {
        match self.trial {
            Trial::Fixed { learning_rate, decay: Some(factor) } if k >= steps / 2 => {
                (self.precision.product(learning_rate, factor), self.momentum)
            }
            Trial::Fixed { learning_rate, .. } => (learning_rate, self.momentum),
            Trial::Adapted { .. } => (self.rate.learning_rate(), self.rate.momentum()),
        }
    }

    /// Takes the steps that `updates` led to, and the batches that they saw.
    fn catch_up(&mut self, updates: &[Update]) {
        let (Trial::Adapted { outer, .. }, Some(unroll)) = (&mut self.trial, &mut self.unroll)
        else {
            return;
        };
        for update in updates {
            unroll.skip();
            let gradient = [update.d_effective_rate, update.d_damping];
            self.rate = self.rate.adapted(outer, gradient);
        }
    }

    /// Looks ahead from where `run` stands and adapts the rate, when it is time to.
    fn look_ahead(&mut self, run: &mut dyn TrainingRun) -> Result<Option<Update>, Diverged> {
        let step = run.steps();
        let (Trial::Adapted { every, outer, .. }, Some(unroll)) =
            (&mut self.trial, &mut self.unroll)
        else {
            return Ok(None);
        };
        if !step.is_multiple_of(*every) {
            return Ok(None);
        }
        let found = unroll.unroll(run, self.rate)?;
        let [d_effective_rate, d_damping] = found.tangents;
        let update = Update {
            step,
            learning_rate: self.rate.learning_rate(),
            momentum: self.rate.momentum(),
            effective_rate: self.rate.effective_rate(),
            loss: found.value,
            d_effective_rate,
            d_damping,
        };
        self.rate = self.rate.adapted(outer, found.tangents);
        Ok(Some(update))
    }
}
