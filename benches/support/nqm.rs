//! The noisy quadratic that is timed: that of the peer's script.

use myopia::nqm::judge::Judge;
use myopia::nqm::{Losses, Quadratic, Schedule, Scratch};
use myopia_core::digest::Digest;
use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::{Direction, Step};
use myopia_core::schedule::{InverseTime, PARAMETERS};

/// Training steps of a timed run.
pub const STEPS: u32 = 250;

/// Curvatures 1/i, noise of variance 1/h, every parameter 1 at first.
pub fn quadratic(dims: u32) -> Quadratic {
    let direction = |i| Direction {
        curvature: 1.0 / f64::from(i),
        noise_variance: f64::from(i),
        initial_mean: 1.0,
        initial_variance: 0.0,
    };
    Quadratic::new((1..=dims).map(direction).collect()).expect("curvatures 1/i are sound")
}

/// The work that is timed.
pub struct Work {
    quadratic: Quadratic,
    plain: Schedule,
    numbers: Vec<Step<Dual<f64, 0>>>,
    tangents: Vec<Step<Dual<f64, 3>>>,
    scratch: Scratch,
}

/// A loss and the digest of everything that was computed with it.
pub type Outcome = (f64, u64);

impl Work {
    /// On so many directions.
    pub fn new(dims: u32) -> Self {
        let step = |k: u32| Step {
            learning_rate: 0.5 / Libm::pow(1.0 + f64::from(k) / 50.0, 0.8),
            momentum: 0.9 - 0.4 / (1.0 + f64::from(k)),
        };
        let plain: Schedule = (0..STEPS).map(step).collect();
        let rates = InverseTime { alpha0: 0.5, time_constant: 50.0, beta: 0.8 };
        let rates = rates.with_tangents(PARAMETERS);
        let momentum = Dual::constant(0.9);
        let tangents = (0..STEPS)
            .map(|k| Step { learning_rate: rates.learning_rate::<Libm>(k), momentum })
            .collect();
        let numbers = plain.iter().map(|step| step.constant()).collect();
        let scratch = Scratch::default();
        Self { quadratic: quadratic(dims), plain, numbers, tangents, scratch }
    }

    /// The excess losses along a schedule of learning rates and momenta.
    pub fn forward(&self) -> Outcome {
        let losses = self.quadratic.losses(&self.numbers).expect("the schedule is stable");
        self.outcome(losses.last().map_or(0.0, |l| l.value), losses.iter().map(|l| l.value))
    }

    /// The same with derivatives by α₀, K and β.
    pub fn three_tangents(&self) -> Outcome {
        let losses = self.quadratic.losses(&self.tangents).expect("the schedule is stable");
        let entries = losses.iter().flat_map(|l| [l.value].into_iter().chain(l.tangents));
        self.outcome(losses.last().map_or(0.0, |l| l.value), entries)
    }

    /// The last excess loss with its derivatives by every learning rate and momentum.
    pub fn gradient(&mut self) -> Outcome {
        let start = self.quadratic.start();
        let (loss, steps) =
            self.quadratic.judged(Judge::Plain, &start, &self.plain, &mut self.scratch);
        self.outcome(loss, steps.iter().flat_map(|s| [s.learning_rate, s.momentum]))
    }

    fn outcome(&self, excess: f64, entries: impl Iterator<Item = f64>) -> Outcome {
        let mut digest = Digest::default();
        entries.for_each(|x| digest.add(x).expect("a stable run has no NaN"));
        (excess + self.quadratic.floor(), digest.value())
    }
}
