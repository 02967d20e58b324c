//! The bias on a network: synthetic digits, 64-32-10, batches of 10.

use myopia_backend::Isa;
use myopia_core::schedule::{InverseTime, PARAMETERS};
use myopia_core::unroll::Diverged;

use super::Study;
use crate::descent::{MetaDescent, Record};
use crate::failure::Failure;
use crate::nqm::judge::Judge;
use crate::outer::{OuterOptimizer, OuterRule, limits};
use crate::precision::Precision;
use crate::problem::{Data, InitialParams, Problem, Set, Source, Tangents};

/// Validation loss of a small network on synthetic digits.
pub struct Digits {
    data: Data,
    seed: u64,
    isa: Isa,
}

impl Digits {
    /// The study; `seed` is that of weights and batches.
    ///
    /// # Errors
    /// None: the digits are built in.
    pub fn new(seed: u64, isa: Isa) -> Result<Self, Failure> {
        Ok(Self { data: Source::Glyphs.load(Precision::F32, |_| {})?, seed, isa })
    }

    fn problem(&self) -> Problem<'_> {
        Problem {
            batch: 10,
            momentum: Precision::F32.round(0.9),
            seed: self.seed,
            isa: self.isa,
            ..Problem::new(&self.data, vec![self.data.inputs, 32, self.data.classes])
        }
    }
}

/// How often the validation loss is looked at in training.
const EVERY: u32 = 20;

impl Study for Digits {
    const TITLE: &'static str = "Network on synthetic digits";
    const NAME: &'static str = "digits";
    const LOSS: &'static str = "validation loss";
    const HORIZONS: [u32; 4] = [20, 100, 500, 2000];
    const META_STEPS: u32 = 100;

    fn descend(&self, horizon: u32, tick: &(dyn Fn(u64) + Sync)) -> Result<Vec<Record>, Failure> {
        let problem = self.problem();
        let outer = OuterOptimizer::new(Precision::F32, OuterRule::Adam, 0.1, limits(&PARAMETERS));
        let schedule = InverseTime { alpha0: 0.01, time_constant: 200.0, beta: 1.0 };
        let schedule = InverseTime { alpha0: Precision::F32.round(schedule.alpha0), ..schedule };
        let (tuned, meta_steps) = (PARAMETERS.to_vec(), Self::META_STEPS);
        let descent =
            MetaDescent { schedule, tuned, outer, horizon, judge: Judge::Plain, meta_steps };
        let mut records = Vec::new();
        let observe = &mut |record: &Record| records.push(*record);
        descent
            .run(&problem, &start(&problem)?, &mut || tick(1), observe)
            .map_err(|e| Failure::run(e.to_string()))?;
        Ok(records)
    }

    fn train(&self, record: &Record) -> Result<Vec<(u32, f64)>, Failure> {
        let problem = self.problem();
        let diverged = |e: Diverged| Failure::run(e.to_string());
        let validation = problem.objective_indices();
        let mut run = problem.run(Tangents::None, &start(&problem)?);
        let schedule = record.schedule();
        let mut curve = Vec::new();
        for step in (0..=Self::HORIZONS[3]).step_by(EVERY as usize) {
            let found = run.evaluate(Set::Training, &validation).map_err(diverged)?;
            curve.push((step, found.loss.value));
            if step < Self::HORIZONS[3] {
                let steps = step..step + EVERY;
                run.train(&schedule, steps, &mut |_, _, _| {}).map_err(diverged)?;
            }
        }
        Ok(curve)
    }
}

fn start(problem: &Problem<'_>) -> Result<InitialParams, Failure> {
    problem.start(0, 0.0).map_err(|e| Failure::run(e.to_string()))
}
