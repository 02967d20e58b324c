//! The coordinates in which schedules are searched for.
//!
//! A learning rate α is x = asinh(α/s) with s a hundredth of the inverse of the largest gain (the curvature, unless there is a preconditioner): a logarithm for rates
//! above s, linear below it. Under the logarithm itself a rate that comes near zero has a gradient near zero whatever
//! the loss says, and stays there.
//!
//! A momentum μ is the y of μ = m + y², with m the lowest momentum allowed: zero, or that of the greedy
//! schedule where it goes lower; or, where any momentum is allowed, the y of μ = sinh y. Then s is smaller by another
//! factor of 10⁸: two gradients taken at one place, α_k → 0 and μ_{k+1} → ∞ with their product fixed, are a limit to which
//! the way is straight in logarithms, and what is left to gain along it falls as fast as α_k does.
//!
//! Below zero and far above one lie lower losses, those of steps far beyond stability that the next step takes back, and of many
//! gradients gathered at one place for one large step; and ever more local optima. Ten steps of the default quadratic end
//! at 2.392 with momenta from zero up, and at 2.338, 2.340, 2.342, 2.346, … with any.

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::Step;
use myopia_core::real::Real;

use super::quadratic::Schedule;

/// What may be chosen in each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Freedom {
    /// The learning rate; momentum stays at this value.
    LearningRate(f64),
    /// Learning rate and momentum, the momentum from zero up.
    Both,
    /// Learning rate and momentum, the momentum any number.
    Unbounded,
}

/// Coordinates of schedules: first the learning rates', then, if they are free, the momenta's.
#[derive(Clone, Copy, Debug)]
pub struct Chart {
    freedom: Freedom,
    /// s.
    scale: f64,
    /// m.
    lowest: f64,
}

/// How a schedule's entry depends on its coordinate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// The entry's first derivative.
    pub first: f64,
    /// The entry's second derivative.
    pub second: f64,
    /// The least slope by which a loss that falls with the entry is judged: one for a momentum, since at the lowest the
    /// coordinate's own slope is zero whatever the loss says.
    pub least: f64,
}

impl Slope {
    /// What a derivative by the entry adds to the size of a gradient.
    pub fn judged(&self, derivative: f64) -> f64 {
        let slope = self.first.abs();
        derivative * if derivative < 0.0 { slope.larger(self.least) } else { slope }
    }
}

/// Searches begin at least this y away from the lowest momentum, where the loss seems flat.
const AWAY: f64 = 0.1;
/// By how much s is smaller where any momentum is allowed.
const FINER: f64 = 1e-8;

impl Chart {
    /// The coordinates for a largest gain, and for momenta of at least the smaller of zero and `lowest`.
    pub fn new(freedom: Freedom, largest_gain: f64, lowest: f64) -> Self {
        let coarse = if largest_gain > 0.0 { 0.01 / largest_gain } else { 1.0 };
        let scale = if freedom == Freedom::Unbounded { FINER * coarse } else { coarse };
        Self { freedom, scale, lowest: if lowest < 0.0 { lowest } else { 0.0 } }
    }

    /// What may be chosen.
    pub fn freedom(&self) -> Freedom {
        self.freedom
    }

    /// Where `schedule` lies.
    pub fn point(&self, schedule: &[Step<f64>]) -> Vec<f64> {
        let rates = schedule.iter().map(|step| libm::asinh(step.learning_rate / self.scale));
        match self.freedom {
            Freedom::LearningRate(_) => rates.collect(),
            Freedom::Unbounded => {
                rates.chain(schedule.iter().map(|step| libm::asinh(step.momentum))).collect()
            }
            Freedom::Both => {
                let place = |step: &Step<f64>| {
                    let above = step.momentum - self.lowest;
                    if above > 0.0 { Libm::sqrt(above) } else { 0.0 }
                };
                rates.chain(schedule.iter().map(place)).collect()
            }
        }
    }

    /// A point near `point` from which a search can begin.
    pub fn outset(&self, mut point: Vec<f64>) -> Vec<f64> {
        if self.freedom == Freedom::Both {
            let rates = point.len() / 2;
            for y in &mut point[rates..] {
                *y = y.abs().larger(AWAY);
            }
        }
        point
    }

    /// The schedule at `point`.
    pub fn schedule(&self, point: &[f64]) -> Schedule {
        let step =
            |x: &f64, momentum| Step { learning_rate: self.scale * libm::sinh(*x), momentum };
        let (rates, momenta) = self.parted(point);
        match self.freedom {
            Freedom::LearningRate(momentum) => rates.iter().map(|x| step(x, momentum)).collect(),
            Freedom::Both => {
                let both = rates.iter().zip(momenta);
                both.map(|(x, y)| step(x, self.lowest + y * y)).collect()
            }
            Freedom::Unbounded => {
                rates.iter().zip(momenta).map(|(x, y)| step(x, libm::sinh(*y))).collect()
            }
        }
    }

    /// The coordinates of the learning rates and those of the momenta.
    fn parted<'a>(&self, point: &'a [f64]) -> (&'a [f64], &'a [f64]) {
        match self.freedom {
            Freedom::LearningRate(_) => (point, &[]),
            Freedom::Both | Freedom::Unbounded => point.split_at(point.len() / 2),
        }
    }

    /// The slopes at `point`.
    pub fn slopes(&self, point: &[f64]) -> Vec<Slope> {
        let rate = |x: &f64| Slope {
            first: self.scale * libm::cosh(*x),
            second: self.scale * libm::sinh(*x),
            least: 0.0,
        };
        let (rates, momenta) = self.parted(point);
        let momentum = |y: &f64| match self.freedom {
            Freedom::Unbounded => {
                Slope { first: libm::cosh(*y), second: libm::sinh(*y), least: 0.0 }
            }
            _ => Slope { first: 2.0 * y, second: 2.0, least: 1.0 },
        };
        rates.iter().map(rate).chain(momenta.iter().map(momentum)).collect()
    }
}
