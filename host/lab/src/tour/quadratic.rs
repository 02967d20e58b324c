//! The bias where it can be known: the noisy quadratic, whose expected loss is exact.

use myopia_core::dual::Dual;
use myopia_core::elementary::Libm;
use myopia_core::meta::{MetaDescent, Rule};
use myopia_core::nqm::{Direction, Diverged, Step};
use myopia_core::schedule::{InverseTime, PARAMETERS};

use super::Study;
use crate::descent::Record;
use crate::failure::Failure;
use crate::nqm::{Losses, Quadratic};

/// Expected excess loss of a noisy quadratic of 1,000 directions with h_i = 1/i, σ_i² = 1/h_i, E
/// θ_i = 0, Var θ_i = 1.
pub struct NoisyQuadratic(Quadratic);

/// Steps between the points of a curve.
const EVERY: usize = 10;

/// Momentum of the training.
const MOMENTUM: f64 = 0.9;

impl Default for NoisyQuadratic {
    fn default() -> Self {
        let directions = (1..=1000).map(|i| {
            let curvature = 1.0 / f64::from(i);
            Direction {
                curvature,
                noise_variance: 1.0 / curvature,
                initial_mean: 0.0,
                initial_variance: 1.0,
            }
        });
        Self(Quadratic::new(directions.collect()).expect("curvatures 1/i are sound"))
    }
}

impl NoisyQuadratic {
    /// The excess losses after 0, …, `steps` steps.
    fn losses<const P: usize>(
        &self,
        schedule: &InverseTime<Dual<f64, P>>,
        steps: u32,
    ) -> Result<Vec<Dual<f64, P>>, Failure>
    where
        Quadratic: Losses<P>,
    {
        let schedule: Vec<_> = (0..steps)
            .map(|k| Step {
                learning_rate: schedule.learning_rate::<Libm>(k),
                momentum: Dual::constant(MOMENTUM),
            })
            .collect();
        self.0.losses(&schedule).map_err(|e: Diverged| Failure::run(e.to_string()))
    }
}

impl Study for NoisyQuadratic {
    const TITLE: &'static str = "Noisy quadratic";
    const NAME: &'static str = "quadratic";
    const LOSS: &'static str = "expected excess loss";
    const HORIZONS: [u32; 4] = [10, 100, 1000, 5000];
    const META_STEPS: u32 = 200;

    fn descend(&self, horizon: u32, tick: &(dyn Fn(u64) + Sync)) -> Result<Vec<Record>, Failure> {
        let mut outer = MetaDescent::new(Rule::adam(), 0.1, MetaDescent::default_limits());
        let mut schedule = InverseTime { alpha0: 0.01, time_constant: 200.0, beta: 1.0 };
        let mut records = Vec::new();
        for meta_step in 0..=Self::META_STEPS {
            let losses = self.losses(&schedule.with_tangents(PARAMETERS), horizon)?;
            let loss = losses.last().copied().unwrap_or_default();
            records.push(Record::new(meta_step, schedule, loss.value, loss.tangents));
            schedule = outer.step::<Libm>(schedule, loss.tangents);
            tick(u64::from(horizon));
        }
        Ok(records)
    }

    fn train(&self, record: &Record) -> Result<Vec<(u32, f64)>, Failure> {
        let schedule = record.schedule().with_tangents([]);
        let losses = self.losses(&schedule, Self::HORIZONS[3])?;
        Ok((0..).zip(losses.iter().map(|loss| loss.value)).step_by(EVERY).collect())
    }
}
