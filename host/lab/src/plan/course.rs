//! How training goes on the quadratic of a measured spectrum when its noise shrinks with the loss,
//! and the derivatives of where it ends by the learning rates.

use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::{Direction, Response, Step};
use myopia_core::sum::sum;
use rayon::prelude::*;

use super::Model;

/// What a model foretells of a schedule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    /// The loss before each segment of the schedule and after the last, in nats.
    pub losses: Vec<f64>,
    /// For each direction: the constant noise that leaves the same variance at the end as the noise
    /// that shrinks, as a share of the noise measured.
    pub factors: Vec<f64>,
    /// The derivatives of ln(loss at the end) by the learning rate of each segment.
    pub derivatives: Vec<f64>,
}

/// A number with the derivative by the learning rate of its segment.
type Number = Dual<f64, 1>;

/// The map of (θ, v) of one direction over some steps, by its columns, and the covariance V\[θ\],
/// Cov\[θ, v\], V\[v\] that unit noise adds in them.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    displaced: [Number; 2],
    moving: [Number; 2],
    added: [Number; 3],
}

/// The entries of a symmetric matrix of two rows.
const PLACES: [(usize, usize); 3] = [(0, 0), (0, 1), (1, 1)];

impl Stretch {
    /// `steps` steps, one at least, of a direction of curvature `h`.
    fn new(h: f64, learning_rate: f64, momentum: f64, steps: usize) -> Self {
        let along = Dual { value: learning_rate * h, tangents: [h] };
        let momentum = Dual::constant(momentum);
        let unit = Number::constant(1.0);
        let still = Response::<Number>::default();
        let displaced = Response { position: unit, ..still }.step(along, momentum);
        let moving = Response { velocity: unit, ..still }.step(along, momentum);
        let one = Self {
            displaced: [displaced.position, displaced.velocity],
            moving: [moving.position, moving.velocity],
            added: [displaced.variance, displaced.covariance, displaced.velocity_variance],
        };
        // By squares, as powers are: from the highest bit of the number of steps down.
        let mut all = one;
        for bit in (0..steps.ilog2()).rev() {
            all = all.then(&all);
            if steps >> bit & 1 == 1 {
                all = all.then(&one);
            }
        }
        all
    }

    /// This and then `later`.
    fn then(&self, later: &Self) -> Self {
        Self {
            displaced: later.mean(self.displaced),
            moving: later.mean(self.moving),
            added: later.covariance(self.added, Number::constant(1.0)),
        }
    }

    /// The mean of (θ, v) after it.
    fn mean(&self, [theta, velocity]: [Number; 2]) -> [Number; 2] {
        std::array::from_fn(|i| self.displaced[i] * theta + self.moving[i] * velocity)
    }

    /// The covariance after it, the noise being so many times one.
    fn covariance(&self, [a, b, c]: [Number; 3], noise: Number) -> [Number; 3] {
        let (p, q) = (self.displaced, self.moving);
        std::array::from_fn(|n| {
            let (i, j) = PLACES[n];
            let turned = p[i] * p[j] * a + (p[i] * q[j] + q[i] * p[j]) * b + q[i] * q[j] * c;
            turned + noise * self.added[n]
        })
    }

    /// The derivatives by mean and covariance before it from those after it.
    fn back(&self, after: &Moments) -> Moments {
        let (p, q) = (self.displaced.map(|x| x.value), self.moving.map(|x| x.value));
        let mut before = Moments {
            mean: [p, q].map(|column| column[0] * after.mean[0] + column[1] * after.mean[1]),
            covariance: [0.0; 3],
        };
        for ((i, j), by) in PLACES.into_iter().zip(after.covariance) {
            let parts = [p[i] * p[j], p[i] * q[j] + q[i] * p[j], q[i] * q[j]];
            before.covariance.iter_mut().zip(parts).for_each(|(sum, part)| *sum += by * part);
        }
        before
    }
}

/// Mean and covariance of (θ, v) of one direction, or derivatives by them.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    mean: [f64; 2],
    covariance: [f64; 3],
}

impl Moments {
    /// What a direction of curvature `h` adds to the loss.
    fn excess(&self, h: f64) -> f64 {
        h * (self.mean[0] * self.mean[0] + self.covariance[0]) / 2.0
    }

    /// Adds the derivatives of that, times `by`.
    fn add_excess(&mut self, h: f64, at: &Self, by: f64) {
        self.mean[0] += by * h * at.mean[0];
        self.covariance[0] += by * h / 2.0;
    }

    /// After `stretch` with noise of this variance; the derivatives are by its learning rate.
    fn after(&self, stretch: &Stretch, noise: f64) -> [Self; 2] {
        let mean = stretch.mean(self.mean.map(Dual::constant));
        let covariance =
            stretch.covariance(self.covariance.map(Dual::constant), Dual::constant(noise));
        let of = |read: fn(&Number) -> f64| Self {
            mean: [read(&mean[0]), read(&mean[1])],
            covariance: [read(&covariance[0]), read(&covariance[1]), read(&covariance[2])],
        };
        [of(|x| x.value), of(|x| x.tangents[0])]
    }

    fn dot(&self, other: &Self) -> f64 {
        let means = self.mean.iter().zip(&other.mean);
        sum(means.chain(self.covariance.iter().zip(&other.covariance)).map(|(a, b)| a * b))
    }
}

/// Segments of a schedule, over each of which the learning rate and the noise stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates<'a> {
    /// Steps of each segment, one at least.
    pub lengths: &'a [usize],
    /// The learning rate of each.
    pub rates: &'a [f64],
    /// The momentum of all.
    pub momentum: f64,
}

impl<'a> Rates<'a> {
    /// The schedule, step by step.
    pub fn steps(&self) -> impl Iterator<Item = Step<f64>> + 'a {
        let momentum = self.momentum;
        self.lengths.iter().zip(self.rates).flat_map(move |(&steps, &learning_rate)| {
            std::iter::repeat_n(Step { learning_rate, momentum }, steps)
        })
    }
}

/// The maps of every direction over every segment of a schedule.
#[derive(Clone, Debug)]
pub struct Maps(Vec<Vec<Stretch>>);

impl Model {
    /// The maps of its directions over the segments of `schedule`.
    pub fn maps(&self, schedule: &Rates<'_>) -> Maps {
        let of = |direction: &Direction<f64>| {
            let both = schedule.lengths.iter().zip(schedule.rates);
            let stretch = |(&steps, &rate): (&usize, &f64)| {
                Stretch::new(direction.curvature, rate, schedule.momentum, steps)
            };
            both.map(stretch).collect()
        };
        Maps(self.directions.par_iter().map(of).collect())
    }

    /// The course of training when the variance of the gradient's noise is (loss/present
    /// loss)^`power` times what was measured, the loss being that at the start of each segment.
    pub fn course(&self, Maps(stretches): &Maps, power: f64) -> Course {
        let segments = stretches.first().map_or(0, Vec::len);
        let all = || self.directions.iter().zip(stretches);
        let mut states = vec![self.directions.iter().map(start).collect::<Vec<_>>()];
        let mut constant = vec![[0.0; 3]; self.directions.len()];
        let mut losses = vec![self.loss];
        // How many times the measured noise there is in each segment, and the derivative by the
        // loss.
        let mut levels = Vec::new();
        for segment in 0..segments {
            let loss = losses[segment];
            let level = Libm::pow(loss / self.loss, power);
            levels.push([level, if level > 0.0 { power * level / loss } else { 0.0 }]);
            let after = all().zip(&states[segment]).map(|((direction, stretches), state)| {
                let [after, _] = state.after(&stretches[segment], level * direction.noise_variance);
                after
            });
            let after: Vec<Moments> = after.collect();
            for (covariance, stretches) in constant.iter_mut().zip(stretches) {
                let state = Moments { covariance: *covariance, ..Moments::default() };
                let [after, _] = state.after(&stretches[segment], 1.0);
                *covariance = after.covariance;
            }
            let excess = after.iter().zip(&self.directions).map(|(s, d)| s.excess(d.curvature));
            losses.push(sum(excess));
            states.push(after);
        }
        let factor = |((direction, constant), state): ((&Direction<f64>, &[f64; 3]), &Moments)| {
            let most = direction.noise_variance * constant[0];
            let share = state.covariance[0] / most;
            if most > 0.0 && share >= 0.0 { share } else { 0.0 }
        };
        let both = self.directions.iter().zip(&constant);
        let factors = both.zip(&states[segments]).map(factor).collect();
        // Backwards, from the loss at the end.
        let mut by = vec![Moments::default(); self.directions.len()];
        let mut by_loss = 1.0 / losses[segments];
        let mut derivatives = vec![0.0; segments];
        for segment in (0..segments).rev() {
            for ((by, direction), after) in
                by.iter_mut().zip(&self.directions).zip(&states[segment + 1])
            {
                by.add_excess(direction.curvature, after, by_loss);
            }
            let [level, slope] = levels[segment];
            let parts = all().zip(&states[segment]).zip(&mut by).map(
                |(((direction, stretches), state), by)| {
                    let stretch = &stretches[segment];
                    let [_, tangent] = state.after(stretch, level * direction.noise_variance);
                    let along = by.dot(&tangent);
                    let added = stretch.added.iter().zip(&by.covariance);
                    let noise = sum(added.map(|(a, by)| a.value * by));
                    *by = stretch.back(by);
                    [along, noise * direction.noise_variance]
                },
            );
            let parts: Vec<[f64; 2]> = parts.collect();
            derivatives[segment] = sum(parts.iter().map(|part| part[0]));
            by_loss = slope * sum(parts.iter().map(|part| part[1]));
        }
        Course { losses, factors, derivatives }
    }
}

/// Where a direction starts.
fn start(direction: &Direction<f64>) -> Moments {
    Moments {
        mean: [direction.initial_mean, 0.0],
        covariance: [direction.initial_variance, 0.0, 0.0],
    }
}

#[cfg(test)]
mod tests {
    use myopia_core::nqm::Preconditioner;
    use myopia_nqm::spectrum::quadratic;

    use super::super::model::tests::measured;
    use super::*;

    const LENGTHS: [usize; 4] = [7, 1, 12, 5];
    const RATES: [f64; 4] = [0.05, 0.04, 0.03, 0.002];

    fn schedule(rates: &[f64]) -> Rates<'_> {
        Rates { lengths: &LENGTHS, rates, momentum: 0.6 }
    }

    #[test]
    fn noise_that_stays_is_the_noisy_quadratic() {
        let model = Model::new(&measured(0.7)).unwrap();
        let course = model.course(&model.maps(&schedule(&RATES)), 0.0);
        assert!(course.factors[3..].iter().all(|x| (x - 1.0).abs() < 1e-12), "{course:?}");
        let exact = quadratic(model.directions.clone(), Preconditioner::identity()).unwrap();
        let mut steps = Vec::new();
        for (segment, (&length, &learning_rate)) in LENGTHS.iter().zip(&RATES).enumerate() {
            steps.extend(vec![Step { learning_rate, momentum: 0.6 }; length]);
            let excess = exact.excess_after(&exact.start(), steps.iter().copied());
            let foretold = course.losses[segment + 1];
            assert!((foretold / excess - 1.0).abs() < 1e-12, "{segment}: {foretold} {excess}");
        }
    }

    #[test]
    fn constant_noise_of_the_factors_ends_where_noise_that_shrinks_does() {
        let model = Model::new(&measured(0.3)).unwrap();
        for power in [0.4, 1.0] {
            let course = model.course(&model.maps(&schedule(&RATES)), power);
            assert!(course.factors[3..].iter().all(|x| (0.01..0.99).contains(x)), "{course:?}");
            let directions = model.with_noise(&course.factors);
            let exact = quadratic(directions, Preconditioner::identity()).unwrap();
            let excess = exact.excess_after(&exact.start(), schedule(&RATES).steps());
            let foretold = course.losses[LENGTHS.len()];
            assert!((foretold / excess - 1.0).abs() < 1e-12, "{foretold} {excess}");
        }
    }

    #[test]
    fn derivatives_are_those_of_differences() {
        let model = Model::new(&measured(0.3)).unwrap();
        for power in [0.0, 0.5, 1.0] {
            let course = model.course(&model.maps(&schedule(&RATES)), power);
            for segment in 0..RATES.len() {
                let h = 1e-6 * RATES[segment];
                let at = |step: f64| {
                    let mut rates = RATES;
                    rates[segment] += step;
                    let maps = model.maps(&schedule(&rates));
                    Libm::ln(model.course(&maps, power).losses[RATES.len()])
                };
                let difference = (at(h) - at(-h)) / (2.0 * h);
                let exact = course.derivatives[segment];
                let scale = difference.abs() + 1e-3;
                assert!(
                    (exact - difference).abs() < 1e-5 * scale,
                    "{power}, {segment}: {exact} {difference}"
                );
            }
        }
    }
}
