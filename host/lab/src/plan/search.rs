//! The schedule whose course ends lowest, within a largest learning rate.

use myopia_core::real::Real;
use myopia_nqm::lbfgs::minimise;

use super::{Course, Failed, Maps, Model, Rates};

/// What is planned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Steps of the schedule.
    pub steps: usize,
    /// Steps after which a segment ends, so that the loss there is foretold.
    pub mark: usize,
    /// Momentum of every step.
    pub momentum: f64,
    /// The largest learning rate.
    pub cap: f64,
    /// How the noise shrinks.
    pub noise: Noise,
}

/// How the variance of the gradient's noise goes with the loss: (loss/present loss)^p times what
/// was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// With this p.
    Power(f64),
    /// With a p that is not known and as likely anywhere from 0, noise that stays, to 1, noise in
    /// proportion to the loss: the mean of the logarithm of the loss counts, by the trapezoidal
    /// rule over 0, ½ and 1.
    Unknown,
}

impl Noise {
    /// Values of p and their weights.
    pub fn powers(self) -> Vec<(f64, f64)> {
        match self {
            Self::Power(power) => vec![(power, 1.0)],
            Self::Unknown => vec![(0.0, 0.25), (0.5, 0.5), (1.0, 0.25)],
        }
    }

    /// p in the middle.
    pub fn median(self) -> f64 {
        match self {
            Self::Power(power) => power,
            Self::Unknown => 0.5,
        }
    }
}

/// Segments of a schedule in which the learning rate stays, at most, but for one more at the mark.
const SEGMENTS: usize = 100;
/// Evaluations of the descent from each start, at most.
const EVALUATIONS: u64 = 80;
/// Evaluations that find nothing lower, after which a descent has ended.
const STALLED: u64 = 12;
/// Pairs of steps and gradients of L-BFGS.
const PAIRS: usize = 20;
/// Shares of the steps that the starts spend at the cap before they go down to zero, linearly.
const HELD: [f64; 2] = [0.0, 0.6];
/// Distance from the bounds at which a descent begins, in the coordinate x of α = c sin² x.
const FROM_BOUND: f64 = 1e-3;

/// A schedule planned.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Steps of each segment.
    pub lengths: Vec<usize>,
    /// The learning rate of each.
    pub rates: Vec<f64>,
    /// The mean of ln(loss foretold at its end) over the powers of the noise.
    pub cost: f64,
    /// What is foretold of it with the median power of the noise.
    pub course: Course,
    /// Courses and their derivatives computed.
    pub evaluations: u64,
}

impl Plan {
    /// What `model` foretells of a schedule that is there.
    pub fn of(model: &Model, settings: &Settings, lengths: Vec<usize>, rates: Vec<f64>) -> Self {
        let schedule = Rates { lengths: &lengths, rates: &rates, momentum: settings.momentum };
        let maps = model.maps(&schedule);
        let (cost, _) = cost(model, &maps, settings.noise, rates.len());
        let course = model.course(&maps, settings.noise.median());
        Self { lengths, rates, cost, course, evaluations: 1 }
    }
}

/// The mean of ln(loss at the end) over the powers of the noise, and its derivatives by the rate of
/// each of so many segments.
fn cost(model: &Model, maps: &Maps, noise: Noise, segments: usize) -> (f64, Vec<f64>) {
    let (mut cost, mut by_rate) = (0.0, vec![0.0; segments]);
    for (power, weight) in noise.powers() {
        let Course { losses, derivatives, .. } = model.course(maps, power);
        cost += weight * libm::log(losses[segments]);
        by_rate.iter_mut().zip(derivatives).for_each(|(sum, d)| *sum += weight * d);
    }
    (cost, by_rate)
}

/// The schedule of the lowest loss at the end, of all with no rate above the cap.
///
/// # Errors
/// When the loss is not finite at any rate, or when `stop` says so.
pub fn plan(
    model: &Model,
    settings: Settings,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Plan, Failed> {
    let lengths = lengths(settings.steps, settings.mark);
    let mut search = Search { model, settings, lengths: &lengths, lowest: None, spent: 0 };
    for held in HELD {
        search.descend(search.held(held), stop);
        if stop() {
            return Err(Failed::Interrupted);
        }
    }
    let evaluations = search.spent;
    let (_, rates) = search.lowest.take().ok_or(Failed::Spectrum)?;
    Ok(Plan { evaluations, ..Plan::of(model, &settings, lengths, rates) })
}

/// Steps of each segment: of equal length but for the last before the mark and the last of all.
fn lengths(steps: usize, mark: usize) -> Vec<usize> {
    let length = steps.div_ceil(SEGMENTS);
    let parts = |steps: usize| (0..steps).step_by(length).map(move |at| length.min(steps - at));
    let mark = mark.min(steps);
    parts(mark).chain(parts(steps - mark)).collect()
}

/// A search for the lowest course.
struct Search<'a> {
    model: &'a Model,
    settings: Settings,
    lengths: &'a [usize],
    lowest: Option<(f64, Vec<f64>)>,
    spent: u64,
}

impl Search<'_> {
    /// Coordinates of the schedule at the cap for this share of the steps and then down to zero.
    fn held(&self, held: f64) -> Vec<f64> {
        let mut before = 0;
        let share = |&steps: &usize| {
            let middle = before as f64 + steps as f64 / 2.0;
            before += steps;
            let left = (1.0 - middle / self.settings.steps as f64) / (1.0 - held);
            let share = if left < 1.0 { left } else { 1.0 };
            let x = libm::asin(libm::sqrt(share)).larger(FROM_BOUND);
            let most = core::f64::consts::FRAC_PI_2 - FROM_BOUND;
            if x < most { x } else { most }
        };
        self.lengths.iter().map(share).collect()
    }

    /// Rates c sin² x.
    fn rates(&self, point: &[f64]) -> Vec<f64> {
        let rate = |x: &f64| {
            let root = libm::sin(*x);
            self.settings.cap * (root * root)
        };
        point.iter().map(rate).collect()
    }

    /// Descends from `point` by L-BFGS.
    fn descend(&mut self, point: Vec<f64>, stop: &(dyn Fn() -> bool + Sync)) {
        let (mut spent, mut stalled, mut own) = (0, 0, f64::INFINITY);
        let Settings { cap, momentum, noise, .. } = self.settings;
        let model = self.model;
        minimise(point, PAIRS, &mut |point| {
            if spent >= EVALUATIONS || stalled >= STALLED || stop() {
                return None;
            }
            spent += 1;
            stalled += 1;
            let rates = self.rates(point);
            let maps = model.maps(&Rates { lengths: self.lengths, rates: &rates, momentum });
            let (cost, by_rate) = cost(model, &maps, noise, point.len());
            if !(cost.is_finite() && by_rate.iter().all(|x| x.is_finite())) {
                return Some((DIVERGED, vec![0.0; point.len()]));
            }
            if cost < own - EQUAL {
                (own, stalled) = (cost, 0);
            }
            if self.lowest.as_ref().is_none_or(|(lowest, _)| cost < *lowest) {
                self.lowest = Some((cost, rates));
            }
            let slopes = point.iter().map(|x| cap * libm::sin(2.0 * x));
            let gradient = by_rate.iter().zip(slopes).map(|(d, slope)| d * slope);
            Some((cost, gradient.collect()))
        });
        self.spent += spent;
    }
}

/// The cost of a loss that is not finite: above ln(f64::MAX).
const DIVERGED: f64 = 1e3;
/// The difference of ln(loss) below which it is no lower.
const EQUAL: f64 = 1e-4;

#[cfg(test)]
mod tests {
    use super::super::model::tests::measured;
    use super::*;

    #[test]
    fn segments_end_at_the_mark_and_at_the_end() {
        assert_eq!(lengths(5, 2), [1; 5]);
        assert_eq!(lengths(3, 9), [1; 3]);
        let long = lengths(1000, 333);
        assert_eq!(long.iter().fold(0, |sum, n| sum + n), 1000);
        let ends = long.iter().scan(0, |end, n| {
            *end += n;
            Some(*end)
        });
        assert!(ends.collect::<Vec<usize>>().contains(&333) && long.len() <= SEGMENTS + 1);
    }

    #[test]
    fn no_rival_is_foretold_to_end_lower_and_no_rate_is_above_the_cap() {
        let model = Model::new(&measured(0.3)).unwrap();
        for noise in [Noise::Power(0.0), Noise::Power(0.5), Noise::Power(1.0), Noise::Unknown] {
            let settings = Settings { steps: 60, mark: 25, momentum: 0.5, cap: 0.15, noise };
            let found = plan(&model, settings, &|| false).unwrap();
            assert!(found.rates.iter().all(|rate| (0.0..=0.15).contains(rate)), "{found:?}");
            let end = |rates: &[f64]| {
                let schedule = Rates { lengths: &[1; 60], rates, momentum: 0.5 };
                let maps = model.maps(&schedule);
                noise.powers().into_iter().fold(0.0, |cost, (power, weight)| {
                    cost + weight * libm::log(model.course(&maps, power).losses[60])
                })
            };
            let lowest = end(&found.rates);
            let linear: Vec<f64> = (0..60).map(|k| 0.15 * (1.0 - f64::from(k) / 60.0)).collect();
            for rival in [vec![0.15; 60], linear, vec![0.05; 60]] {
                assert!(lowest < end(&rival), "{noise:?}: {lowest} {}", end(&rival));
            }
        }
    }

    #[test]
    fn plans_of_few_steps_are_sound() {
        let model = Model::new(&measured(0.3)).unwrap();
        for steps in 1..4 {
            let noise = Noise::Unknown;
            let settings = Settings { steps, mark: steps, momentum: 0.5, cap: 0.15, noise };
            let found = plan(&model, settings, &|| false).unwrap();
            assert_eq!(found.rates.len(), steps);
            let directions = model.with_noise(&found.course.factors);
            assert!(directions.iter().all(|direction| direction.check().is_ok()));
        }
    }
}
