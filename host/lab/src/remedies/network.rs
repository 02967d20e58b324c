//! A network: the biases of a derivative by a constant rate apart, and perturbations as estimators
//! of the same numbers.
//!
//! Derivatives are those by ln α of the objective E after t steps at a constant rate α, G that
//! after N steps. As on the [quadratic](super::quadratic), but the rate stays, so that there is no
//! hysteresis:
//!
//! ```text
//! truncation   d with tangents that are discounted or dropped − d with all of them
//! horizon      that − G
//! ```
//!
//! All runs train on the same batches. Particles perturb the rate of each window of steps, in pairs
//! of opposite sign; the velocity keeps the rates of its time.

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::rng::Pcg32;
use myopia_core::schedule::InverseTime;
use myopia_core::sum::sum;
use myopia_core::unroll::Diverged;

use super::quadratic::{Estimate, Particles};
use crate::problem::{Ended, InitialParams, Problem, Set, Tangents, TrainingRun};

/// What is trained, and how.
#[derive(Clone, Copy)]
pub struct Course<'a> {
    /// The problem; its seed is that of the batches.
    pub problem: &'a Problem<'a>,
    /// Where training starts.
    pub weights: &'a InitialParams,
    /// α.
    pub rate: f64,
}

impl Course<'_> {
    /// The derivative of the objective after `steps` steps by ln α, the tangents being carried on
    /// as `shares` says.
    ///
    /// # Errors
    /// When training diverges, or `go_on` stops it.
    pub fn derivative(
        &self,
        steps: u32,
        shares: &dyn Fn(u32) -> f64,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<f64, Ended> {
        let schedule = InverseTime { alpha0: self.rate, time_constant: 1.0, beta: 0.0 };
        let tangents = Tangents::Rate;
        let found = self.problem.hypergradient_carried(
            tangents,
            self.weights,
            &schedule,
            steps,
            shares,
            go_on,
        )?;
        let found = found.ok_or(Ended::Stopped)?;
        Ok(self.rate * found.objective.loss.tangents[0])
    }

    /// What so many pairs of particles estimate of the derivative after `steps` steps: persistent
    /// ones over all windows, others in the last one.
    ///
    /// # Errors
    /// When training diverges, or `go_on` stops it.
    pub fn estimate(
        &self,
        how: Particles,
        steps: u32,
        pairs: u32,
        rng: &mut Pcg32,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Estimate, Ended> {
        let mut found = Vec::with_capacity(pairs as usize);
        for _ in 0..pairs {
            found.push(self.pair(how, steps, rng, go_on)?);
        }
        let count = f64::from(pairs);
        let mean = sum(found.iter().copied()) / count;
        let squares = sum(found.iter().map(|x| (x - mean) * (x - mean)));
        Ok(Estimate { mean, variance: squares / (count - 1.0) })
    }

    /// The estimate of one pair.
    fn pair(
        &self,
        how: Particles,
        steps: u32,
        rng: &mut Pcg32,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<f64, Ended> {
        let indices = self.problem.objective_indices();
        let mut runs = [(); 2].map(|()| self.problem.run(Tangents::None, self.weights));
        let last = (steps - 1) / how.window * how.window;
        let (mut summed, mut estimate, mut before) = (0.0, 0.0, [0.0; 2]);
        for first in (0..steps).step_by(how.window as usize) {
            let perturbed = how.persistent || first == last;
            let epsilon = if perturbed { how.sigma * rng.normal::<f64>() } else { 0.0 };
            summed += epsilon;
            let mut after = [0.0; 2];
            for ((run, sign), after) in runs.iter_mut().zip([1.0, -1.0]).zip(&mut after) {
                let rate = self.rate * <Libm as Elementary<f64>>::exp(sign * epsilon);
                let end = steps.min(first + how.window);
                self.through(&mut **run, rate, first..end, go_on)?;
                if perturbed {
                    *after = run.evaluate(Set::Training, &indices)?.loss.value;
                }
            }
            // The objective at the end is the sum of what each window adds to it.
            let added = |k: usize| after[k] - before[k];
            estimate += summed * (added(0) - added(1)) / (2.0 * how.sigma * how.sigma);
            before = after;
        }
        Ok(estimate)
    }

    fn through(
        &self,
        run: &mut dyn TrainingRun,
        rate: f64,
        steps: std::ops::Range<u32>,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<(), Ended> {
        for _ in steps {
            if !go_on() {
                return Err(Ended::Stopped);
            }
            run.step(rate, self.problem.momentum).map_err(|of: Diverged| Ended::from(of))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use myopia_backend::Isa;

    use super::*;
    use crate::precision::Precision;
    use crate::problem::{ObjectiveSet, Source};

    fn with<R>(momentum: f64, check: impl Fn(Course<'_>) -> R) -> R {
        let data = Source::Glyphs.load(Precision::F64, |_| ()).unwrap();
        let problem = Problem {
            data: &data,
            layers: vec![64, 6, 10],
            batch: 20,
            momentum,
            optimizer: None,
            objective: ObjectiveSet::Validation,
            objective_size: Some(50),
            seed: 2,
            isa: Isa::widest(),
        };
        let weights = problem.start(0, 0.1).unwrap();
        check(Course { problem: &problem, weights: &weights, rate: 0.1 })
    }

    /// The derivative against a difference of objectives.
    #[test]
    fn the_derivative_by_the_logarithm_is_that_of_differences() {
        with(0.5, |course| {
            let exact = course.derivative(12, &|_| 1.0, &mut || true).unwrap();
            let h = 1e-5;
            let at = |x: f64| {
                let rate = course.rate * <Libm as Elementary<f64>>::exp(x);
                let mut run = course.problem.run(Tangents::None, course.weights);
                course.through(&mut *run, rate, 0..12, &mut || true).unwrap();
                let indices = course.problem.objective_indices();
                run.evaluate(Set::Training, &indices).unwrap().loss.value
            };
            let difference = (at(h) - at(-h)) / (2.0 * h);
            assert!((exact / difference - 1.0).abs() < 1e-5, "{exact} {difference}");
        });
    }

    #[test]
    fn persistent_particles_estimate_the_whole_and_others_the_last_window() {
        with(0.0, |course| {
            let mut go_on = || true;
            for (persistent, dropped) in [(true, 100), (false, 8)] {
                let share = |k| if k == dropped { 0.0 } else { 1.0 };
                let exact = course.derivative(12, &share, &mut go_on).unwrap();
                let how = Particles { persistent, window: 4, sigma: 1e-4 };
                let mut rng = Pcg32::new(1, 0);
                let found = course.estimate(how, 12, 1500, &mut rng, &mut go_on).unwrap();
                let error = Libm::sqrt(found.variance / 1500.0);
                assert!((found.mean - exact).abs() < 4.0 * error, "{exact} {found:?}");
                assert!(error < 0.1 * exact.abs(), "{exact} {found:?}");
            }
            let how = Particles { persistent: true, window: 4, sigma: 1e-4 };
            let stopped = course.estimate(how, 12, 2, &mut Pcg32::new(1, 0), &mut || false);
            assert_eq!(stopped, Err(Ended::Stopped));
        });
    }
}
