//! Offline meta-descent: the same look-ahead again and again, the schedule moved a little each time.

use std::io::{self, Write};

use myopia_core::schedule::InverseTime;
use myopia_core::unroll::Diverged;
use serde::{Deserialize, Serialize};

use crate::checkpoint::Keeper;
use crate::failure::Failure;
use crate::outer::OuterOptimizer;
use crate::output::csv;
use crate::problem::{InitialParams, Problem, Set, Snapshot, Tangents};

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
    pub fn new(
        meta_step: u32,
        schedule: InverseTime<f64>,
        loss: f64,
        derivatives: [f64; 3],
    ) -> Self {
        let InverseTime { alpha0, time_constant, beta } = schedule;
        let [d_alpha0, d_time_constant, d_beta] = derivatives;
        Self { meta_step, alpha0, time_constant, beta, loss, d_alpha0, d_time_constant, d_beta }
    }

    /// The columns of a record in a CSV file.
    pub const HEADER: [&str; 8] = [
        "meta_step",
        "alpha0",
        "time_constant",
        "beta",
        "loss",
        "d_alpha0",
        "d_time_constant",
        "d_beta",
    ];

    /// Writes a trajectory as CSV, a line for each record.
    pub fn write(to: &mut dyn Write, records: &[Self]) -> io::Result<()> {
        csv::write(to, &Self::HEADER, records)
    }

    /// The derivatives with respect to α₀, K and β.
    pub fn derivatives(&self) -> [f64; 3] {
        [self.d_alpha0, self.d_time_constant, self.d_beta]
    }

    /// The schedule.
    pub fn schedule(&self) -> InverseTime<f64> {
        let Self { alpha0, time_constant, beta, .. } = *self;
        InverseTime { alpha0, time_constant, beta }
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
pub struct MetaDescent {
    /// Where the schedule starts, exact in the problem's float.
    pub schedule: InverseTime<f64>,
    /// The outer optimizer, fresh.
    pub outer: OuterOptimizer,
    /// T, the steps of each unroll.
    pub horizon: u32,
    /// How many meta-steps.
    pub meta_steps: u32,
}

/// How far a meta-descent has come, for a checkpoint. The outer optimizer's state follows from the records.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What was found.
    pub records: Vec<Record>,
    /// The unroll under way.
    pub unroll: Option<Snapshot>,
}

impl Progress {
    /// How many steps of training that took with unrolls of `horizon` steps.
    pub fn steps(&self, horizon: u32) -> u64 {
        let under_way = self.unroll.as_ref().map_or(0, |snapshot| snapshot.steps);
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

impl MetaDescent {
    /// Runs it from `start`: `meta_steps + 1` records, the first at the schedule it starts from. `tick` is called after each
    /// step of training, `observe` with each record.
    ///
    /// # Errors
    /// When an unroll diverges.
    pub fn run(
        self,
        problem: &Problem<'_>,
        start: &InitialParams,
        tick: &mut dyn FnMut(),
        observe: &mut dyn FnMut(&Record),
    ) -> Result<(), Ended> {
        self.go_on(problem, start, &mut Progress::default(), &(), tick, observe)
    }

    /// Goes on from `progress`, the same descent's, to the same bits as if it had never ended. `progress` then holds all
    /// records, also when the descent ends early; between steps it is left with `keeper`.
    ///
    /// # Errors
    /// When an unroll diverges, or `keeper` refuses to go on.
    pub fn go_on(
        mut self,
        problem: &Problem<'_>,
        start: &InitialParams,
        progress: &mut Progress,
        keeper: &impl Keeper<Progress>,
        tick: &mut dyn FnMut(),
        observe: &mut dyn FnMut(&Record),
    ) -> Result<(), Ended> {
        let objective_set = problem.objective_indices();
        let Progress { records, unroll } = progress;
        for record in &*records {
            self.schedule = self.outer.step(self.schedule, record.derivatives());
        }
        while records.len() as u64 <= u64::from(self.meta_steps) {
            let meta_step = records.len() as u32;
            let diverged = |diverged: Diverged| {
                let parameters = self.schedule.parameters();
                Ended::Diverged(DivergedAt { meta_step, parameters, diverged })
            };
            let restored = match unroll.take() {
                Some(snapshot) => problem.restore(Tangents::Schedule, &snapshot),
                None => None,
            };
            let mut run = restored.unwrap_or_else(|| problem.run(Tangents::Schedule, start));
            for k in run.steps()..self.horizon {
                let step = k..k + 1;
                run.train(&self.schedule, step, &mut |_, _, _| tick()).map_err(diverged)?;
                keeper.pause(|| Progress {
                    records: records.clone(),
                    unroll: Some(run.snapshot()),
                })?;
            }
            let found = run.evaluate(Set::Training, &objective_set).map_err(diverged)?.loss;
            let record = Record::new(meta_step, self.schedule, found.value, found.tangents);
            observe(&record);
            records.push(record);
            self.schedule = self.outer.step(self.schedule, found.tangents);
        }
        Ok(())
    }
}
