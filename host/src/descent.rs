//! Offline meta-descent: the same look-ahead again and again, the schedule moved a little each time.

use std::io::{self, Write};

use myopia_core::backend::Backend;
use myopia_core::meta::MetaDescent;
use myopia_core::real::Real;
use myopia_core::schedule::{InverseTime, PARAMETERS};
use myopia_core::unroll::Diverged;
use myopia_core::vector::Vector;
use serde::{Deserialize, Serialize};

use crate::checkpoint::Keeper;
use crate::failure::Failure;
use crate::output::csv;
use crate::problem::{Problem, Snapshot, Start};

/// One line of `trajectory.csv`: a schedule, the objective it reaches, and the derivatives there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// How many meta-steps came before.
    pub meta_step: u32,
    /// α₀.
    pub alpha0: f64,
    /// K, in steps.
    pub time_constant: f64,
    /// β.
    pub beta: f64,
    /// The objective after the horizon, in nats.
    pub loss: f64,
    /// ∂loss/∂α₀.
    pub d_alpha0: f64,
    /// ∂loss/∂K.
    pub d_time_constant: f64,
    /// ∂loss/∂β.
    pub d_beta: f64,
}

impl Record {
    /// The record of a schedule and its objective.
    pub fn new<T: Real>(
        meta_step: u32,
        schedule: InverseTime<T>,
        loss: T,
        derivatives: [T; 3],
    ) -> Self {
        let [d_alpha0, d_time_constant, d_beta] = derivatives.map(T::to_f64);
        Self {
            meta_step,
            alpha0: schedule.alpha0.to_f64(),
            time_constant: schedule.time_constant.to_f64(),
            beta: schedule.beta.to_f64(),
            loss: loss.to_f64(),
            d_alpha0,
            d_time_constant,
            d_beta,
        }
    }

    /// Writes a trajectory as CSV, a line for each record.
    pub fn write(to: &mut dyn Write, records: &[Self]) -> io::Result<()> {
        let header = [
            "meta_step",
            "alpha0",
            "time_constant",
            "beta",
            "loss",
            "d_alpha0",
            "d_time_constant",
            "d_beta",
        ];
        csv::write(to, &header, records)
    }

    /// The derivatives with respect to α₀, K and β, rounded to `T`: exact when the record was made from `T`.
    pub fn derivatives<T: Real>(&self) -> [T; 3] {
        [self.d_alpha0, self.d_time_constant, self.d_beta].map(T::from_f64)
    }

    /// The schedule, rounded to `T`: exact when the record was made from `T`.
    pub fn schedule<T: Real>(&self) -> InverseTime<T> {
        InverseTime {
            alpha0: T::from_f64(self.alpha0),
            time_constant: T::from_f64(self.time_constant),
            beta: T::from_f64(self.beta),
        }
    }
}

/// The record with the lowest objective, the first of several.
pub fn best(records: &[Record]) -> Option<&Record> {
    records.iter().reduce(|best, record| if record.loss < best.loss { record } else { best })
}

/// A look-ahead left the finite range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DivergedAt {
    /// How many meta-steps came before.
    pub meta_step: u32,
    /// The schedule that diverged: α₀, K, β.
    pub parameters: [f64; 3],
    /// Where.
    pub diverged: Diverged,
}

impl std::fmt::Display for DivergedAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { meta_step, parameters: [alpha0, time_constant, beta], diverged } = self;
        write!(
            f,
            "meta-step {meta_step}: with alpha0 = {alpha0}, K = {time_constant}, beta = {beta} training diverged: {diverged}; \
             start from a smaller alpha0 or take smaller meta-steps (--meta-lr)"
        )
    }
}

/// How a meta-descent runs.
pub struct Descent<T> {
    /// Where the schedule starts.
    pub schedule: InverseTime<T>,
    /// The outer optimizer.
    pub outer: MetaDescent<T>,
    /// T, the steps of each look-ahead.
    pub horizon: u32,
    /// How many meta-steps.
    pub meta_steps: u32,
}

/// How far a meta-descent has come, for a checkpoint. The outer optimizer's state follows from the records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress<T> {
    /// What was found.
    pub records: Vec<Record>,
    /// The look-ahead under way.
    pub look_ahead: Option<Snapshot<T>>,
}

impl<T> Default for Progress<T> {
    fn default() -> Self {
        Self { records: Vec::new(), look_ahead: None }
    }
}

impl<T: Real> Progress<T> {
    /// How many steps of training that took with look-aheads of `horizon` steps.
    pub fn steps(&self, horizon: u32) -> u64 {
        let under_way = self.look_ahead.as_ref().map_or(0, |snapshot| snapshot.steps);
        self.records.len() as u64 * u64::from(horizon) + u64::from(under_way)
    }
}

/// Why a meta-descent ended before its last meta-step.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Ended {
    /// Training diverged.
    #[error("{0}")]
    Diverged(DivergedAt),
    /// It was interrupted, or its state could not be kept.
    #[error("{0}")]
    Failed(#[from] Failure),
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Diverged(diverged) => Self::run(diverged.to_string()),
            Ended::Failed(failure) => failure,
        }
    }
}

impl<T: Real> Descent<T> {
    /// Runs it from `start`: `meta_steps + 1` records, the first at the schedule it starts from. `tick` is called after each
    /// step of training, `observe` with each record.
    pub fn run<G>(
        self,
        engine: G,
        problem: &Problem<'_, T>,
        start: &Start<T>,
        tick: impl Fn(),
        observe: impl FnMut(&Record),
    ) -> Result<(), Ended>
    where
        G: Backend<Vector: Vector<Scalar = T>>,
    {
        self.go_on(engine, problem, start, &mut Progress::default(), &(), tick, observe)
    }

    /// Goes on from `progress`, the same descent's, to the same bits as if it had never ended. `progress` then holds all
    /// records, also when the descent ends early; between steps it is left with `keeper`.
    #[expect(clippy::too_many_arguments, reason = "a descent, where it runs, and who watches")]
    pub fn go_on<G>(
        mut self,
        engine: G,
        problem: &Problem<'_, T>,
        start: &Start<T>,
        progress: &mut Progress<T>,
        keeper: &impl Keeper<Progress<T>>,
        tick: impl Fn(),
        mut observe: impl FnMut(&Record),
    ) -> Result<(), Ended>
    where
        G: Backend<Vector: Vector<Scalar = T>>,
    {
        let objective_set = problem.objective_indices();
        let Progress { records, look_ahead } = progress;
        for record in &*records {
            self.schedule = self.outer.step::<G::Elementary>(self.schedule, record.derivatives());
        }
        while records.len() as u64 <= u64::from(self.meta_steps) {
            let meta_step = records.len() as u32;
            let diverged = |diverged: Diverged| {
                let parameters = self.schedule.parameters().map(T::to_f64);
                Ended::Diverged(DivergedAt { meta_step, parameters, diverged })
            };
            let mut run = match look_ahead.take() {
                Some(snapshot) => problem.restore::<G, 3>(engine, &snapshot),
                None => problem.run::<G, 3>(engine, start),
            };
            let schedule = self.schedule.with_tangents(PARAMETERS);
            for k in run.steps()..self.horizon {
                run.train(&schedule, k..k + 1, |_, _, _| tick()).map_err(diverged)?;
                keeper.pause(|| Progress {
                    records: records.clone(),
                    look_ahead: Some(run.snapshot()),
                })?;
            }
            let found = run.judge(&problem.data.training, &objective_set).map_err(diverged)?.loss;
            let record = Record::new(meta_step, self.schedule, found.value, found.tangents);
            observe(&record);
            records.push(record);
            self.schedule = self.outer.step::<G::Elementary>(self.schedule, found.tangents);
        }
        Ok(())
    }
}
