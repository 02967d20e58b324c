//! The bias on a network: synthetic digits, 64-32-10, batches of 10.

use myopia_core::backend::Backend;
use myopia_core::meta::{MetaDescent, Rule};
use myopia_core::schedule::InverseTime;
use myopia_core::vector::Vector;

use super::Study;
use crate::descent::{Descent, Record};
use crate::engine::{Isa, Precision, Work};
use crate::failure::Failure;
use crate::problem::{Data, ObjectiveSet, Problem, Source, Start};

/// Validation loss of a small network on synthetic digits.
pub struct Digits {
    data: Data<f32>,
    seed: u64,
    isa: Isa,
}

impl Digits {
    /// The study; `seed` is that of weights and batches.
    pub fn new(seed: u64, isa: Isa) -> Result<Self, Failure> {
        Ok(Self { data: Source::Glyphs.load(|_| {})?, seed, isa })
    }

    fn problem(&self) -> Problem<'_, f32> {
        Problem {
            data: &self.data,
            layers: vec![self.data.inputs, 32, self.data.classes],
            batch: 10,
            momentum: 0.9,
            objective: ObjectiveSet::Validation,
            objective_size: None,
            seed: self.seed,
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
        let outer = MetaDescent::new(Rule::adam(), 0.1, MetaDescent::default_limits());
        let schedule = InverseTime { alpha0: 0.01, time_constant: 200.0, beta: 1.0 };
        let descent = Descent { schedule, outer, horizon, meta_steps: Self::META_STEPS };
        f32::run(self.isa, Tune { problem: self.problem(), descent, tick })
    }

    fn train(&self, record: &Record) -> Result<Vec<(u32, f64)>, Failure> {
        f32::run(self.isa, Train { problem: self.problem(), schedule: record.schedule() })
    }
}

fn start<G>(problem: &Problem<'_, f32>, engine: G) -> Result<Start<f32>, Failure>
where
    G: Backend<Vector: Vector<Scalar = f32>>,
{
    problem.start(engine, 0, 0.0).map_err(|e| Failure::run(e.to_string()))
}

struct Tune<'a> {
    problem: Problem<'a, f32>,
    descent: Descent<f32>,
    tick: &'a (dyn Fn(u64) + Sync),
}

impl Work<f32> for Tune<'_> {
    type Output = Result<Vec<Record>, Failure>;

    fn on<G: Backend<Vector: Vector<Scalar = f32>>>(self, engine: G) -> Self::Output {
        let start = start(&self.problem, engine)?;
        let mut records = Vec::new();
        self.descent
            .run(engine, &self.problem, &start, || (self.tick)(1), |record| records.push(*record))
            .map_err(|e| Failure::run(e.to_string()))?;
        Ok(records)
    }
}

struct Train<'a> {
    problem: Problem<'a, f32>,
    schedule: InverseTime<f32>,
}

impl Work<f32> for Train<'_> {
    type Output = Result<Vec<(u32, f64)>, Failure>;

    fn on<G: Backend<Vector: Vector<Scalar = f32>>>(self, engine: G) -> Self::Output {
        let diverged = |e: myopia_core::unroll::Diverged| Failure::run(e.to_string());
        let start = start(&self.problem, engine)?;
        let validation = self.problem.objective_indices();
        let mut run = self.problem.run::<G, 0>(engine, &start);
        let schedule = self.schedule.with_tangents([]);
        let mut curve = Vec::new();
        for step in (0..=Digits::HORIZONS[3]).step_by(EVERY as usize) {
            let found = run.judge(&self.problem.data.training, &validation).map_err(diverged)?;
            curve.push((step, f64::from(found.loss.value)));
            if step < Digits::HORIZONS[3] {
                run.train(&schedule, step..step + EVERY, |_, _, _| {}).map_err(diverged)?;
            }
        }
        Ok(curve)
    }
}
