//! The noisy quadratic: the biases of an online hypergradient apart, and perturbations as
//! estimators of the same numbers.
//!
//! Derivatives are those by ln α. After t of N steps a method reads d along the path that its rate
//! has taken; G is the derivative of the loss after all N steps by a rate that is constant at the
//! present one. What is between them is the sum of three differences:
//!
//! ```text
//! hysteresis   d − d of the same method where the rate was the present one from the start
//! truncation   that − d of tangents carried on in full, the rate being constant
//! horizon      that − G
//! ```
//!
//! Everything but the particles is exact: their variance is zero.

use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::Step;
use myopia_core::rng::Pcg32;
use myopia_core::sum::sum;

use super::{Carry, Tuner};
use crate::nqm::Quadratic;
use crate::nqm::carried::Carried;
use crate::outer::OuterOptimizer;

/// What is trained, and how its rate starts.
#[derive(Clone, Copy, Debug)]
pub struct Course<'a> {
    /// The quadratic.
    pub quadratic: &'a Quadratic,
    /// N.
    pub steps: u32,
    /// μ.
    pub momentum: f64,
    /// The rate at first.
    pub rate: f64,
    /// t, after which derivatives are compared.
    pub at: u32,
    /// Whether to leave off; what is found then means nothing.
    pub stop: fn() -> bool,
}

/// The biases of a method that moves its rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Biases {
    /// The excess loss after all steps.
    pub excess: f64,
    /// The rate after t steps.
    pub rate: f64,
    /// G there.
    pub exact: f64,
    /// d − d at a constant rate.
    pub hysteresis: f64,
    /// That − d in full.
    pub truncation: f64,
    /// That − G.
    pub horizon: f64,
    /// Steps in all, one with a tangent counting as two, and a look at the loss as a third of it.
    pub cost: f64,
}

/// How particles estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Particles {
    /// Whether perturbations persist and are summed (persistent evolution strategies), or each
    /// window starts from the unperturbed state.
    pub persistent: bool,
    /// Steps of a window, at the end of each of which there is an estimate.
    pub window: u32,
    /// The standard deviation of perturbations of ln α.
    pub sigma: f64,
}

/// The mean and the variance of one pair of particles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// In the mean over pairs.
    pub mean: f64,
    /// Of one pair.
    pub variance: f64,
}

/// A state and the excess loss there.
#[derive(Clone)]
struct Particle {
    state: Carried<0>,
    loss: f64,
}

impl Course<'_> {
    fn step<const P: usize>(&self, rate: f64) -> Step<Dual<f64, P>> {
        let learning_rate = Dual { value: rate, tangents: [1.0; P] };
        Step { learning_rate, momentum: Dual::constant(self.momentum) }
    }

    /// The derivative by ln α after `steps` steps at this constant rate, the tangents being carried
    /// on as `shares` says.
    pub fn constant(&self, rate: f64, steps: u32, shares: impl Fn(u32) -> f64) -> f64 {
        let mut state = Carried::<1>::start(self.quadratic);
        let mut loss = Dual::default();
        for k in 0..steps {
            if (self.stop)() {
                break;
            }
            state.carry_tangents([shares(k)], rate);
            loss = state.advance(self.quadratic, &[self.step(rate)]);
        }
        rate * loss.tangents[0]
    }

    /// Trains while the rate moves, and takes the biases apart.
    pub fn biases(&self, carry: Carry, outer: OuterOptimizer<1>) -> Biases {
        let mut tuner = Tuner::new(carry, self.rate, outer);
        let mut state = Carried::<3>::start(self.quadratic);
        let mut loss = Dual::<f64, 3>::default();
        let (mut looks, mut there) = (0, None);
        // The discounts that an adaptive method has taken belong to its path.
        let mut taken = Vec::new();
        for k in 0..self.steps {
            if (self.stop)() {
                break;
            }
            if k == self.at {
                there = Some((tuner.rate(), tuner.rate() * loss.tangents[0]));
            }
            let last = tuner.rate();
            if tuner.reads(k) && loss.finite() {
                looks += 1;
                tuner.update([loss.tangents[0], loss.tangents[1]]);
            }
            let shares = tuner.shares(k);
            taken.push(shares[0]);
            state.carry_tangents(shares, last);
            loss = state.advance(self.quadratic, &[self.step(tuner.rate())]);
        }
        let (rate, read) = there.unwrap_or((tuner.rate(), tuner.rate() * loss.tangents[0]));
        let share = |k: u32| taken.get(k as usize).copied().unwrap_or(1.0);
        let restarted = self.constant(rate, self.at, share);
        let full = self.constant(rate, self.at, |_| 1.0);
        let exact = self.constant(rate, self.steps, |_| 1.0);
        let tangents = if carry == Carry::Adaptive { 2.0 } else { 1.0 };
        Biases {
            excess: loss.value,
            rate,
            exact,
            hysteresis: read - restarted,
            truncation: restarted - full,
            horizon: full - exact,
            cost: (1.0 + tangents) * (f64::from(self.steps) + f64::from(looks) / 3.0),
        }
    }

    /// Tunes a constant rate by the exact derivative of the loss after all steps, so many times:
    /// the lowest excess loss.
    pub fn tuned(&self, mut outer: OuterOptimizer<1>, meta_steps: u32) -> f64 {
        let (mut rate, mut lowest) = (self.rate, f64::INFINITY);
        for _ in 0..=meta_steps {
            let mut state = Carried::<1>::start(self.quadratic);
            let steps = vec![self.step(rate); self.steps as usize];
            let loss = state.advance(self.quadratic, &steps);
            if !loss.finite() || (self.stop)() {
                break;
            }
            lowest = if loss.value < lowest { loss.value } else { lowest };
            [rate] = outer.update([rate], [loss.tangents[0]]);
        }
        lowest
    }

    fn particle(&self) -> Particle {
        let state = Carried::start(self.quadratic);
        // Before the first step nothing has been lost or won.
        let loss = self.quadratic.excess_after(&self.quadratic.start(), std::iter::empty());
        Particle { state, loss }
    }

    /// Takes a particle through `steps` steps; returns its loss before and after.
    fn through(&self, particle: &mut Particle, rate: f64, steps: u32) -> [f64; 2] {
        let before = particle.loss;
        let steps = vec![self.step::<0>(rate); steps as usize];
        particle.loss = particle.state.advance(self.quadratic, &steps).value;
        [before, particle.loss]
    }

    /// What one window of a pair of particles adds to the estimate of the derivative by ln α.
    fn window(
        &self,
        how: Particles,
        pair: &mut [Particle; 2],
        summed: &mut f64,
        (rate, steps): (f64, u32),
        rng: &mut Pcg32,
    ) -> f64 {
        let epsilon = how.sigma * rng.normal::<f64>();
        *summed = if how.persistent { *summed + epsilon } else { epsilon };
        let [up, down] = [epsilon, -epsilon].map(<Libm as Elementary<f64>>::exp);
        let [above, below] = pair;
        let above = self.through(above, rate * up, steps);
        let below = self.through(below, rate * down, steps);
        // The loss at the end is the sum of what each window adds to it.
        let added = |[before, after]: [f64; 2]| if how.persistent { after - before } else { after };
        *summed * (added(above) - added(below)) / (2.0 * how.sigma * how.sigma)
    }

    /// The steps of each window.
    fn windows(&self, window: u32) -> impl Iterator<Item = u32> {
        let steps = self.steps;
        (0..steps).step_by(window as usize).map(move |first| window.min(steps - first))
    }

    /// What so many pairs estimate of G at the first rate, kept constant: persistent ones over all
    /// windows, others in the last one.
    pub fn estimate(&self, how: Particles, pairs: u32, rng: &mut Pcg32) -> Estimate {
        let mut main = self.particle();
        let lengths: Vec<u32> = self.windows(how.window).collect();
        if !how.persistent {
            let before = lengths[..lengths.len() - 1].iter().fold(0, |sum, steps| sum + steps);
            if before > 0 {
                self.through(&mut main, self.rate, before);
            }
        }
        let first = if how.persistent { 0 } else { lengths.len() - 1 };
        let one = |_| {
            let (mut pair, mut summed) = ([main.clone(), main.clone()], 0.0);
            let parts = lengths[first..]
                .iter()
                .map(|&steps| self.window(how, &mut pair, &mut summed, (self.rate, steps), rng));
            sum(parts)
        };
        let found: Vec<f64> = (0..pairs).take_while(|_| !(self.stop)()).map(one).collect();
        let count = f64::from(pairs);
        let mean = sum(found.iter().copied()) / count;
        let squares = sum(found.iter().map(|x| (x - mean) * (x - mean)));
        Estimate { mean, variance: squares / (count - 1.0) }
    }

    /// Trains while the rate moves by what so many pairs estimate at the end of each window: the
    /// excess loss after all steps.
    pub fn moved(
        &self,
        how: Particles,
        pairs: u32,
        mut outer: OuterOptimizer<1>,
        rng: &mut Pcg32,
    ) -> f64 {
        let (mut main, mut rate) = (self.particle(), self.rate);
        let mut all = vec![([main.clone(), main.clone()], 0.0); pairs as usize];
        for steps in self.windows(how.window) {
            let estimates = all.iter_mut().map(|(pair, summed)| {
                if !how.persistent {
                    *pair = [main.clone(), main.clone()];
                }
                self.window(how, pair, summed, (rate, steps), rng)
            });
            let estimate = sum(estimates) / f64::from(pairs);
            self.through(&mut main, rate, steps);
            if !estimate.is_finite() || (self.stop)() {
                return f64::INFINITY;
            }
            [rate] = outer.update([rate], [estimate / rate]);
        }
        main.loss
    }
}

#[cfg(test)]
mod tests {
    use myopia_core::nqm::Preconditioner;
    use myopia_core::online::RateAndDamping;

    use super::*;
    use crate::nqm::spectrum::{Noise, Setting, Spectrum, quadratic};
    use crate::outer::OuterRule;
    use crate::precision::Precision;

    fn with<T>(check: impl Fn(Course<'_>) -> T) -> T {
        let setting = Setting {
            spectrum: Spectrum::Inverse,
            directions: 20,
            noise: Noise::Inverse,
            mean: 0.0,
            variance: 1.0,
        };
        let quadratic = quadratic(setting.directions(), Preconditioner::identity()).unwrap();
        check(Course {
            quadratic: &quadratic,
            steps: 60,
            momentum: 0.3,
            rate: 0.2,
            at: 30,
            stop: || false,
        })
    }

    fn outer(rate: f64) -> OuterOptimizer<1> {
        let [limits, _] = RateAndDamping::<f64>::default_limits();
        OuterOptimizer::new(Precision::F64, OuterRule::Adam, rate, [limits])
    }

    #[test]
    fn a_method_has_no_bias_that_it_lacks_the_cause_of() {
        with(|course| {
            for carry in ["hd", "marthe:0.9", "marthe", "rtho", "truncated:10"] {
                let carry: Carry = carry.parse().unwrap();
                let found = course.biases(carry, outer(0.01));
                assert!(found.hysteresis.abs() > 1e-9, "{carry} {found:?}");
                assert!(found.horizon.abs() > 1e-9, "{carry} {found:?}");
                assert_eq!(found.truncation == 0.0, carry == Carry::Discounted(1.0), "{found:?}");
                // A rate that hardly moves leaves no hysteresis.
                let still = course.biases(carry, outer(1e-9));
                assert!(still.hysteresis.abs() < 1e-5 * still.exact.abs(), "{carry} {still:?}");
                assert!((still.rate / 0.2 - 1.0).abs() < 1e-6);
            }
        });
    }

    /// G against a difference of losses.
    #[test]
    fn the_exact_derivative_is_that_of_differences() {
        with(|course| {
            let exact = course.constant(0.2, 60, |_| 1.0);
            let at = |rate: f64| {
                let steps = (0..60).map(|_| Step { learning_rate: rate, momentum: 0.3 });
                course.quadratic.excess_after(&course.quadratic.start(), steps)
            };
            let h = 1e-5;
            let difference = (at(0.2 * Libm::exp(h)) - at(0.2 * Libm::exp(-h))) / (2.0 * h);
            assert!((exact / difference - 1.0).abs() < 1e-7, "{exact} {difference}");
        });
    }

    #[test]
    fn persistent_particles_estimate_the_whole_and_others_the_last_window() {
        with(|course| {
            let mut rng = Pcg32::new(1, 0);
            for (persistent, exact) in [
                (true, course.constant(0.2, 60, |_| 1.0)),
                (false, course.constant(0.2, 60, |k| if k == 45 { 0.0 } else { 1.0 })),
            ] {
                let how = Particles { persistent, window: 15, sigma: 0.01 };
                let found = course.estimate(how, 4000, &mut rng);
                let error = Libm::sqrt(found.variance / 4000.0);
                let off = (found.mean - exact).abs();
                assert!(off < 4.0 * error + 1e-3 * exact.abs(), "{exact} {found:?}");
                assert!(error < 0.1 * exact.abs(), "{exact} {found:?}");
            }
        });
    }

    #[test]
    fn a_course_that_is_stopped_leaves_off() {
        with(|course| {
            let never = Course { steps: u32::MAX, at: u32::MAX - 1, stop: || true, ..course };
            assert_eq!(never.constant(0.2, u32::MAX, |_| 1.0), 0.0);
            never.biases("rtho".parse().unwrap(), outer(0.1));
        });
    }

    #[test]
    fn what_follows_the_derivative_lowers_the_loss() {
        with(|course| {
            let still = course.biases(Carry::Discounted(1.0), outer(1e-9)).excess;
            assert!(course.biases(Carry::Discounted(1.0), outer(0.02)).excess < still);
            assert!(course.tuned(outer(0.1), 30) < still);
            let how = Particles { persistent: true, window: 15, sigma: 0.1 };
            assert!(course.moved(how, 50, outer(0.1), &mut Pcg32::new(1, 0)) < still);
        });
    }
}
