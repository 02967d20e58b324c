//! A network: the biases of an online hypergradient apart, and perturbations as estimators of the
//! same numbers.
//!
//! Derivatives are those of the objective by ln α, taken apart as on the
//! [quadratic](super::quadratic): hysteresis, truncation, horizon. All runs train on the same
//! batches, given which tangents have no variance. What a method reads on the way is the loss of
//! one batch: its variance is that of a reading after t steps.
//!
//! Particles perturb the rate of each window of steps, in pairs of opposite sign; the velocity
//! keeps the rates of its time. They estimate the derivative of the objective smoothed over
//! perturbations: where neighbouring runs part, it is another number than the derivative.

use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::rng::Pcg32;
use myopia_core::schedule::InverseTime;
use myopia_core::sum::sum;

use super::quadratic::{Biases, Estimate, Particles};
use super::train::LOSS;
use super::{Carry, Tuner};
use crate::outer::OuterOptimizer;
use crate::problem::{Ended, InitialParams, Problem, Set, Snapshot, Tangents, TrainingRun};

/// What is trained, and how its rate starts.
#[derive(Clone, Copy)]
pub struct Course<'a> {
    /// The problem; its seed is that of the batches.
    pub problem: &'a Problem<'a>,
    /// Where training starts.
    pub weights: &'a InitialParams,
    /// N.
    pub steps: u32,
    /// The rate at first.
    pub rate: f64,
    /// t, after which derivatives are compared.
    pub at: u32,
    /// Asked before each step whether to stop.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// Batches of which readings are compared.
const READINGS: usize = 50;

/// A pair of particles and the sum of its perturbations.
struct Pair<'a> {
    runs: [Box<dyn TrainingRun + 'a>; 2],
    losses: [f64; 2],
    summed: f64,
}

/// Mean and variance of each.
fn moments(found: &[f64]) -> Estimate {
    let count = found.len() as f64;
    let mean = sum(found.iter().copied()) / count;
    let squares = sum(found.iter().map(|x| (x - mean) * (x - mean)));
    Estimate { mean, variance: squares / (count - 1.0) }
}

fn constant(rate: f64) -> InverseTime<f64> {
    InverseTime { alpha0: rate, time_constant: 1.0, beta: 0.0 }
}

impl<'a> Course<'a> {
    /// The derivative of the objective by ln α after `steps` steps at this constant rate, the
    /// tangents being carried on as `share` says.
    ///
    /// # Errors
    /// When training diverges, or is stopped.
    pub fn constant(
        &self,
        rate: f64,
        steps: u32,
        share: &dyn Fn(u32) -> f64,
    ) -> Result<f64, Ended> {
        let found = self.problem.hypergradient_carried(
            Tangents::Rate,
            self.weights,
            &constant(rate),
            steps,
            share,
            &mut || !(self.stop)(),
        )?;
        Ok(rate * found.ok_or(Ended::Stopped)?.objective.loss.tangents[0])
    }

    /// Trains while the rate moves, and takes the biases apart; with them the variance of the
    /// derivative that is read from one batch after t steps.
    ///
    /// # Errors
    /// When training diverges, or is stopped.
    pub fn biases(&self, carry: Carry, outer: OuterOptimizer<1>) -> Result<(Biases, f64), Ended> {
        let mut tuner = Tuner::new(carry, self.rate, outer);
        let mut run = self.problem.run(carry.tangents(), self.weights);
        let (mut looks, mut there) = (0, None);
        // The discounts that an adaptive method has taken belong to its path.
        let mut taken = Vec::new();
        for k in 0..self.steps {
            if (self.stop)() {
                return Err(Ended::Stopped);
            }
            if k == self.at {
                let read = self.objective(&mut *run)?.tangents[0];
                there = Some((tuner.rate(), tuner.rate() * read, self.readings(&mut *run)?));
            }
            let last = constant(tuner.rate());
            if tuner.reads(k) {
                looks += 1;
                let [along, last, _] = run.look()?.tangents;
                tuner.update([along, last]);
            }
            let shares = tuner.shares(k);
            taken.push(shares[0]);
            run.carry_tangents(shares, &last, 0);
            run.step_as(&constant(tuner.rate()), 0, 1.0)?;
        }
        let excess = self.objective(&mut *run)?.value;
        let (rate, read, readings) = there.expect("t is below N");
        let restarted = self.constant(rate, self.at, &|k| taken[k as usize])?;
        let full = self.constant(rate, self.at, &|_| 1.0)?;
        let exact = self.constant(rate, self.steps, &|_| 1.0)?;
        let tangents = if carry == Carry::Adaptive { 2.0 } else { 1.0 };
        let biases = Biases {
            excess,
            rate,
            exact,
            hysteresis: read - restarted,
            truncation: restarted - full,
            horizon: full - exact,
            cost: (1.0 + tangents) * (f64::from(self.steps) + f64::from(looks) * LOSS),
        };
        Ok((biases, rate * rate * readings.variance))
    }

    /// Tunes a constant rate by the exact derivative of the objective after all steps, so many
    /// times: the lowest objective.
    ///
    /// # Errors
    /// When the first run diverges, or it is stopped.
    pub fn tuned(&self, mut outer: OuterOptimizer<1>, meta_steps: u32) -> Result<f64, Ended> {
        let (mut rate, mut lowest) = (self.rate, None);
        for _ in 0..=meta_steps {
            let found = self.problem.hypergradient_carried(
                Tangents::Rate,
                self.weights,
                &constant(rate),
                self.steps,
                &|_| 1.0,
                &mut || !(self.stop)(),
            );
            let loss = match (found, lowest) {
                (Ok(found), _) => found.ok_or(Ended::Stopped)?.objective.loss,
                (Err(_), Some(_)) => break,
                (Err(diverged), None) => return Err(diverged.into()),
            };
            if lowest.is_none_or(|lowest| loss.value < lowest) {
                lowest = Some(loss.value);
            }
            [rate] = outer.update([rate], [loss.tangents[0]]);
        }
        Ok(lowest.expect("there is one run at least"))
    }

    /// What so many pairs of particles estimate of G at the first rate, kept constant: persistent
    /// ones over all windows, others in the last one.
    ///
    /// # Errors
    /// When training diverges, or is stopped.
    pub fn estimate(&self, how: Particles, pairs: u32, rng: &mut Pcg32) -> Result<Estimate, Ended> {
        let first = if how.persistent { 0 } else { self.last(how.window) };
        let mut main = self.problem.run(Tangents::None, self.weights);
        self.through(&mut *main, self.rate, first)?;
        let main = main.snapshot();
        let mut found = Vec::with_capacity(pairs as usize);
        for _ in 0..pairs {
            let mut pair = self.pair(&main);
            let mut estimate = 0.0;
            for steps in self.windows(first, how.window) {
                estimate += self.window(how, &mut pair, (self.rate, steps), rng)?;
            }
            found.push(estimate);
        }
        Ok(moments(&found))
    }

    /// Trains while the rate moves by what so many pairs estimate at the end of each window: the
    /// objective after all steps.
    ///
    /// # Errors
    /// When training diverges, or is stopped.
    pub fn moved(
        &self,
        how: Particles,
        pairs: u32,
        mut outer: OuterOptimizer<1>,
        rng: &mut Pcg32,
    ) -> Result<f64, Ended> {
        let mut main = self.problem.run(Tangents::None, self.weights);
        let mut rate = self.rate;
        let mut all = Vec::new();
        for steps in self.windows(0, how.window) {
            if all.is_empty() || !how.persistent {
                let start = main.snapshot();
                all = (0..pairs).map(|_| self.pair(&start)).collect();
            }
            let mut estimates = Vec::with_capacity(all.len());
            for pair in &mut all {
                estimates.push(self.window(how, pair, (rate, steps), rng)?);
            }
            self.through(&mut *main, rate, steps)?;
            let estimate = sum(estimates) / f64::from(pairs);
            [rate] = outer.update([rate], [estimate / rate]);
        }
        Ok(self.objective(&mut *main)?.value)
    }

    /// The first step of the last window.
    pub fn last(&self, window: u32) -> u32 {
        (self.steps - 1) / window * window
    }

    /// Steps of each window from step `first` on.
    fn windows(&self, first: u32, window: u32) -> impl Iterator<Item = u32> + use<> {
        let steps = self.steps;
        (first..steps).step_by(window as usize).map(move |first| window.min(steps - first))
    }

    fn pair(&self, start: &Snapshot) -> Pair<'a> {
        let particle = |()| {
            let run = self.problem.restore(Tangents::None, start);
            run.expect("it is of this very problem")
        };
        // Of what both have lost before, the difference is zero.
        Pair { runs: [(); 2].map(particle), losses: [0.0; 2], summed: 0.0 }
    }

    /// What one window of a pair adds to the estimate of the derivative by ln α.
    fn window(
        &self,
        how: Particles,
        pair: &mut Pair<'_>,
        (rate, steps): (f64, u32),
        rng: &mut Pcg32,
    ) -> Result<f64, Ended> {
        let epsilon = how.sigma * rng.normal::<f64>();
        pair.summed += epsilon;
        let before = pair.losses;
        for ((run, sign), loss) in pair.runs.iter_mut().zip([1.0, -1.0]).zip(&mut pair.losses) {
            let rate = rate * <Libm as Elementary<f64>>::exp(sign * epsilon);
            self.through(&mut **run, rate, steps)?;
            *loss = self.objective(&mut **run)?.value;
        }
        // The loss at the end is the sum of what each window adds to it.
        let [up, down] = [0, 1].map(|k| pair.losses[k] - before[k]);
        Ok(pair.summed * (up - down) / (2.0 * how.sigma * how.sigma))
    }

    /// The objective, with its tangents.
    fn objective(&self, run: &mut dyn TrainingRun) -> Result<Dual<f64, 3>, Ended> {
        Ok(run.evaluate(Set::Training, &self.problem.objective_indices())?.loss)
    }

    /// The derivative by α of the loss of single batches, along the run's tangents.
    fn readings(&self, run: &mut dyn TrainingRun) -> Result<Estimate, Ended> {
        let mut sampler = self.problem.noise_sampler();
        let mut found = Vec::with_capacity(READINGS);
        for _ in 0..READINGS {
            let batch = sampler.next_batch(self.problem.batch).to_vec();
            found.push(run.evaluate(Set::Training, &batch)?.loss.tangents[0]);
        }
        Ok(moments(&found))
    }

    fn through(&self, run: &mut dyn TrainingRun, rate: f64, steps: u32) -> Result<(), Ended> {
        let rate = self.problem.precision().round(rate);
        for _ in 0..steps {
            if (self.stop)() {
                return Err(Ended::Stopped);
            }
            run.step(rate, self.problem.momentum)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use myopia_core::online::RateAndDamping;

    use super::*;
    use crate::outer::OuterRule;
    use crate::precision::Precision;
    use crate::problem::Source;

    fn with<R>(momentum: f64, check: impl Fn(Course<'_>) -> R) -> R {
        let data = Source::Glyphs.load(Precision::F64, |_| ()).unwrap();
        let problem = Problem {
            batch: 20,
            momentum,
            objective_size: Some(50),
            seed: 2,
            ..Problem::new(&data, vec![64, 6, 10])
        };
        let weights = problem.start(0, 0.1).unwrap();
        let (problem, weights) = (&problem, &weights);
        check(Course { problem, weights, steps: 12, rate: 0.1, at: 6, stop: &|| false })
    }

    fn outer(rate: f64) -> OuterOptimizer<1> {
        let [limits, _] = RateAndDamping::<f64>::default_limits();
        OuterOptimizer::new(Precision::F64, OuterRule::Adam, rate, [limits])
    }

    /// The derivative against a difference of objectives.
    #[test]
    fn the_derivative_by_the_logarithm_is_that_of_differences() {
        with(0.5, |course| {
            let exact = course.constant(0.1, 12, &|_| 1.0).unwrap();
            let h = 1e-5;
            let at = |x: f64| {
                let rate = course.rate * <Libm as Elementary<f64>>::exp(x);
                let mut run = course.problem.run(Tangents::None, course.weights);
                course.through(&mut *run, rate, 12).unwrap();
                course.objective(&mut *run).unwrap().value
            };
            let difference = (at(h) - at(-h)) / (2.0 * h);
            assert!((exact / difference - 1.0).abs() < 1e-5, "{exact} {difference}");
        });
    }

    #[test]
    fn a_method_has_no_bias_that_it_lacks_the_cause_of() {
        with(0.5, |course| {
            for carry in ["hd", "marthe:0.9", "marthe", "rtho", "truncated:3"] {
                let carry: Carry = carry.parse().unwrap();
                let (found, variance) = course.biases(carry, outer(0.05)).unwrap();
                // Until its tangents are dropped a rate of one window stays.
                assert!(found.hysteresis.abs() > 1e-9, "{carry} {found:?}");
                assert!(found.horizon.abs() > 1e-6 && variance > 0.0, "{carry} {found:?}");
                let is_whole = carry == Carry::Discounted(1.0);
                assert_eq!(found.truncation == 0.0, is_whole, "{carry} {found:?}");
                let (still, _) = course.biases(carry, outer(1e-9)).unwrap();
                assert!(still.hysteresis.abs() < 1e-5 * still.exact.abs(), "{carry} {still:?}");
                // The three sum up to what lies between what was read and G.
                let share = |k| carry.share(k).unwrap_or(1.0);
                if carry != Carry::Adaptive {
                    let read = course.constant(still.rate, 6, &share).unwrap();
                    let all = still.hysteresis + still.truncation + still.horizon;
                    assert!((still.exact + all - read).abs() < 1e-6, "{carry} {still:?} {read}");
                }
            }
        });
    }

    #[test]
    fn persistent_particles_estimate_the_whole_and_others_the_last_window() {
        with(0.0, |course| {
            for (persistent, dropped) in [(true, 100), (false, 8)] {
                let share = |k| if k == dropped { 0.0 } else { 1.0 };
                let exact = course.constant(0.1, 12, &share).unwrap();
                let how = Particles { persistent, window: 4, sigma: 1e-4 };
                let found = course.estimate(how, 1500, &mut Pcg32::new(1, 0)).unwrap();
                let error = Libm::sqrt(found.variance / 1500.0);
                assert!((found.mean - exact).abs() < 4.0 * error, "{exact} {found:?}");
                assert!(error < 0.1 * exact.abs(), "{exact} {found:?}");
            }
            let how = Particles { persistent: true, window: 4, sigma: 1e-4 };
            let stopped = Course { stop: &|| true, ..course };
            let rng = &mut Pcg32::new(1, 0);
            assert_eq!(stopped.estimate(how, 2, rng), Err(Ended::Stopped));
            assert_eq!(stopped.tuned(outer(0.1), 2), Err(Ended::Stopped));
            assert_eq!(stopped.moved(how, 2, outer(0.1), rng), Err(Ended::Stopped));
        });
    }

    #[test]
    fn what_follows_the_derivative_lowers_the_loss() {
        with(0.5, |course| {
            // From a rate that is too small after any number of steps.
            let course = Course { rate: 0.01, ..course };
            let rtho = Carry::Discounted(1.0);
            let (still, _) = course.biases(rtho, outer(1e-9)).unwrap();
            assert!(course.biases(rtho, outer(0.1)).unwrap().0.excess < still.excess);
            assert!(course.tuned(outer(0.1), 10).unwrap() < still.excess);
            for persistent in [true, false] {
                let how = Particles { persistent, window: 3, sigma: 1e-3 };
                let moved = course.moved(how, 10, outer(0.1), &mut Pcg32::new(1, 0)).unwrap();
                assert!(moved < still.excess, "{persistent} {moved} {still:?}");
            }
        });
    }
}
