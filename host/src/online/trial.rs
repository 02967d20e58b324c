//! Trials: training runs that differ in nothing but how learning rate and momentum are set.

use myopia_core::backend::Backend;
use myopia_core::dual::Dual;
use myopia_core::meta::MetaDescent;
use myopia_core::online::{RateAndDamping, ShortLookAhead};
use myopia_core::sampler::Sampler;
use myopia_core::unroll::Diverged;
use myopia_core::vector::Vector;
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Outcome, Update};
use crate::checkpoint::{Keeper, Ledger, Unit};
use crate::curve::Judges;
use crate::engine::{Isa, Precision, Work};
use crate::failure::Failure;
use crate::network::HeapNetwork;
use crate::problem::{Problem, Run, Snapshot, Start};

/// How learning rate and momentum are set.
#[derive(Clone, Copy, Debug)]
pub enum Trial<T> {
    /// They stay, or the learning rate is multiplied once, from half-way on.
    Fixed {
        /// α at first.
        learning_rate: T,
        /// What it is multiplied by.
        decay: Option<T>,
    },
    /// They follow short look-aheads.
    Adapted {
        /// α at first.
        learning_rate: T,
        /// The look-ahead.
        ahead: ShortLookAhead,
        /// The steps between two updates.
        every: u32,
        /// The outer optimizer, fresh.
        outer: MetaDescent<T, 2>,
    },
}

/// What all trials share.
pub struct Trials<'a, T> {
    /// What is trained; its momentum is that of fixed runs and the first of adapted ones.
    pub problem: &'a Problem<'a, T>,
    /// The weights from which it starts.
    pub weights: Start<T>,
    /// The steps of training.
    pub steps: u32,
    /// The steps between two points of a curve.
    pub every: u32,
    /// The instructions to use.
    pub isa: Isa,
}

/// How far a trial has come. The pace and the outer optimizer's state follow from the updates.
#[derive(Clone, Serialize, Deserialize)]
pub enum State<T> {
    /// It is under way.
    UnderWay(Outcome, Snapshot<T>),
    /// It has ended.
    Ended(Outcome),
}

impl<T: Precision + DeserializeOwned> Trials<'_, T> {
    /// How many steps of training `trials` are, and how many of them are done by their units in `ledger`.
    pub fn steps(&self, trials: &[Trial<T>], ledger: &Ledger<'_, State<T>>) -> (u64, u64) {
        let done = (0..trials.len()).map(|number| match ledger.unit(number).state() {
            None => 0,
            Some(State::UnderWay(_, run)) => u64::from(run.steps),
            Some(State::Ended(_)) => u64::from(self.steps),
        });
        (trials.len() as u64 * u64::from(self.steps), done.fold(0, |a, b| a + b))
    }

    /// Runs the trials, spread over the threads, as the units of `ledger`; `tick` is called with steps
    /// of training as they are done or turn out not to be needed.
    ///
    /// # Errors
    /// When it was interrupted, and whatever writing a checkpoint meets. A trial that diverges is no failure.
    pub fn run(
        &self,
        trials: &[Trial<T>],
        ledger: &Ledger<'_, State<T>>,
        tick: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<Outcome>, Failure> {
        let run = |(number, trial): (usize, &Trial<T>)| {
            T::run(self.isa, Going { shared: self, trial: *trial, unit: ledger.unit(number), tick })
        };
        trials.par_iter().enumerate().with_max_len(1).map(run).collect()
    }

    /// What there is of the trials so far.
    pub fn outcomes(&self, count: usize, ledger: &Ledger<'_, State<T>>) -> Vec<Outcome> {
        let outcome = |number| match ledger.unit(number).state() {
            None => Outcome::default(),
            Some(State::UnderWay(outcome, _) | State::Ended(outcome)) => outcome,
        };
        (0..count).map(outcome).collect()
    }
}

struct Going<'a, T> {
    shared: &'a Trials<'a, T>,
    trial: Trial<T>,
    unit: Unit<'a, State<T>>,
    tick: &'a (dyn Fn(u64) + Sync),
}

impl<T: Precision + DeserializeOwned> Work<T> for Going<'_, T> {
    type Output = Result<Outcome, Failure>;

    fn on<G: Backend<Vector: Vector<Scalar = T>>>(self, engine: G) -> Self::Output {
        let Self { shared, trial, unit, tick } = self;
        let problem = shared.problem;
        let judges = Judges::new(problem);
        let (mut outcome, mut run) = match unit.state() {
            Some(State::Ended(outcome)) => return Ok(outcome),
            Some(State::UnderWay(outcome, snapshot)) => {
                (outcome, problem.restore::<G, 0>(engine, &snapshot))
            }
            None => (Outcome::default(), problem.run::<G, 0>(engine, &shared.weights)),
        };
        let mut control = Control::new(trial, engine, problem);
        control.catch_up::<G>(&outcome.updates);
        let mut went = || -> Result<Result<u64, Diverged>, Failure> {
            while run.steps() < shared.steps {
                match go(shared, &judges, &mut control, engine, &mut run, &mut outcome) {
                    Ok(()) => tick(1),
                    Err(diverged) => return Ok(Err(diverged)),
                }
                unit.pause(|| State::UnderWay(outcome.clone(), run.snapshot()))?;
            }
            let (rate, momentum) = control.now(run.steps(), shared.steps);
            Ok(judges.point(&mut run, rate, momentum).map(|point| {
                outcome.curve.push(point);
                run.digests().0
            }))
        };
        match went()? {
            Ok(digest) => outcome.digest = Some(digest),
            Err(diverged) => {
                outcome.diverged = Some(diverged.to_string());
                tick(u64::from(shared.steps.saturating_sub(run.steps())));
            }
        }
        unit.leave(State::Ended(outcome.clone()))?;
        Ok(outcome)
    }
}

/// One step of training, with what comes before it: a point of the curve, an update.
fn go<G: Backend<Vector: Vector<Scalar = T>>, T: Precision>(
    shared: &Trials<'_, T>,
    judges: &Judges<'_, T>,
    control: &mut Control<T, G>,
    engine: G,
    run: &mut Run<'_, G, 0>,
    outcome: &mut Outcome,
) -> Result<(), Diverged> {
    let k = run.steps();
    if k.is_multiple_of(shared.every) {
        let (rate, momentum) = control.now(k, shared.steps);
        outcome.curve.push(judges.point(run, rate, momentum)?);
    }
    if let Some(update) = control.look_ahead(engine, shared.problem, run)? {
        outcome.updates.push(update);
    }
    let (rate, momentum) = control.now(k, shared.steps);
    run.step(rate, momentum)
}

/// The state of a trial besides its run.
struct Control<T, G: Backend> {
    trial: Trial<T>,
    /// What fixed runs train with, and adapted ones at first.
    pace: RateAndDamping<T>,
    momentum: T,
    ahead: Option<Ahead<G>>,
}

/// Where look-aheads run.
struct Ahead<G: Backend> {
    storage: HeapNetwork<G::Vector, 2>,
    sampler: Sampler<Vec<u32>>,
}

impl<T: Precision, G: Backend<Vector: Vector<Scalar = T>>> Control<T, G> {
    fn new(trial: Trial<T>, _: G, problem: &Problem<'_, T>) -> Self {
        let momentum = problem.momentum;
        let (pace, ahead) = match trial {
            Trial::Fixed { learning_rate, .. } => {
                (RateAndDamping::new(learning_rate, momentum), None)
            }
            Trial::Adapted { learning_rate, .. } => {
                let storage = HeapNetwork::new(&problem.layers, problem.batch);
                let storage = storage.expect("a problem's layers and batch were checked");
                let sampler = problem.look_ahead_sampler();
                (RateAndDamping::new(learning_rate, momentum), Some(Ahead { storage, sampler }))
            }
        };
        Self { trial, pace, momentum, ahead }
    }

    /// Learning rate and momentum of step `k` of `steps`.
    fn now(&self, k: u32, steps: u32) -> (T, T) {
        match self.trial {
            Trial::Fixed { learning_rate, decay: Some(factor) } if k >= steps / 2 => {
                (learning_rate * factor, self.momentum)
            }
            Trial::Fixed { learning_rate, .. } => (learning_rate, self.momentum),
            Trial::Adapted { .. } => (self.pace.learning_rate(), self.pace.momentum()),
        }
    }

    /// Takes the steps that `updates` led to, and the batches that they saw.
    fn catch_up<E: Backend<Vector: Vector<Scalar = T>>>(&mut self, updates: &[Update]) {
        let (Trial::Adapted { ahead, outer, .. }, Some(room)) = (&mut self.trial, &mut self.ahead)
        else {
            return;
        };
        for update in updates {
            for _ in 0..ahead.batches_drawn() {
                room.sampler.next_batch(ahead.batch);
            }
            let gradient = [update.d_effective_rate, update.d_damping].map(T::from_f64);
            self.pace = self.pace.adapted::<E::Elementary>(outer, gradient);
        }
    }

    /// Looks ahead from where `run` stands and adapts the pace, when it is time to.
    fn look_ahead(
        &mut self,
        engine: G,
        problem: &Problem<'_, T>,
        run: &mut Run<'_, G, 0>,
    ) -> Result<Option<Update>, Diverged> {
        let step = run.steps();
        let (Trial::Adapted { ahead, every, outer, .. }, Some(room)) =
            (&mut self.trial, &mut self.ahead)
        else {
            return Ok(None);
        };
        if !step.is_multiple_of(*every) {
            return Ok(None);
        }
        let (mut network, mut batch) = room.storage.network(engine);
        run.hand_over(&mut network);
        let examples = &problem.data.training;
        let found: Dual<T, 2> =
            ahead.run(&mut network, &mut batch, &mut room.sampler, examples, self.pace)?;
        let [d_effective_rate, d_damping] = found.tangents.map(T::to_f64);
        let update = Update {
            step,
            learning_rate: self.pace.learning_rate().to_f64(),
            momentum: self.pace.momentum().to_f64(),
            effective_rate: self.pace.effective_rate.to_f64(),
            loss: found.value.to_f64(),
            d_effective_rate,
            d_damping,
        };
        self.pace = self.pace.adapted::<G::Elementary>(outer, found.tangents);
        Ok(Some(update))
    }
}
