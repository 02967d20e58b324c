//! Offline meta-descent: the same look-ahead again and again, the schedule moved a little each time.

use myopia_core::engine::Engine;
use myopia_core::lookahead::Diverged;
use myopia_core::meta::MetaDescent;
use myopia_core::real::Real;
use myopia_core::schedule::InverseTime;
use myopia_core::vector::Vector;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{OutputFolder, csv};
use crate::problem::{Problem, Start};

/// One line of `trajectory.csv`: a schedule, the objective it reaches, and the derivatives there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
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

    /// Writes a trajectory, a line for each record.
    pub fn write(folder: &OutputFolder, name: &str, records: &[Self]) -> Result<(), Failure> {
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
        folder.write(name, |w| csv::write(w, &header, records))
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

impl<T: Real> Descent<T> {
    /// Runs it from `start`: `meta_steps + 1` records, the first at the schedule it starts from. `tick` is called after each
    /// step of training, `observe` with each record.
    pub fn run<G>(
        mut self,
        engine: G,
        problem: &Problem<'_, T>,
        start: &Start<T>,
        tick: impl Fn(),
        mut observe: impl FnMut(&Record),
    ) -> Result<(), DivergedAt>
    where
        G: Engine<Vector: Vector<Scalar = T>>,
    {
        for meta_step in 0..=self.meta_steps {
            let found = problem
                .look_ahead(engine, start, self.schedule, self.horizon, &tick)
                .map_err(|diverged| DivergedAt {
                    meta_step,
                    parameters: self.schedule.parameters().map(T::to_f64),
                    diverged,
                })?
                .objective
                .loss;
            observe(&Record::new(meta_step, self.schedule, found.value, found.tangents));
            if meta_step < self.meta_steps {
                self.schedule = self.outer.step::<G::Elementary>(self.schedule, found.tangents);
            }
        }
        Ok(())
    }
}
