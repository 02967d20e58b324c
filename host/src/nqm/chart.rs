//! The coordinates in which schedules are searched for.
//!
//! A learning rate α is x = asinh(α/s) with s a hundredth of the inverse of the largest gain (the curvature, unless there is a preconditioner): a logarithm for rates
//! above s, linear below it. Under the logarithm itself a rate that comes near zero has a gradient near zero whatever
//! the loss says, and stays there.
//!
//! A momentum μ is the y of μ = m + y², with m the lowest momentum allowed: zero, or that of the greedy
//! schedule where it goes lower.
//!
//! Below zero and far above one lie lower losses: gradients taken far out, where the curvature drowns the noise, by steps far
//! beyond stability that the next step takes back, and many gradients gathered at one place for one large step. Both
//! are better the farther they go, without end, and what is left to gain falls as fast as what rounding takes grows. So
//! momenta of any sign have a reach R: μ = sinh z with z between ±asinh R, and α = s sinh z with z from zero up and α at
//! most 10³ inverses of the largest gain, where z = c + r sin((x − c)/r) lies between c ± r. There s is smaller by another
//! factor of 10⁸: of two gradients taken at one place the first has a rate near zero.
//!
//! The farther they may go the more local optima there are. Ten steps of the default quadratic end
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
    /// Learning rate and momentum, the momentum of any sign and at most so large.
    Within(f64),
}

/// Coordinates of schedules: first the learning rates', then, if they are free, the momenta's.
#[derive(Clone, Copy, Debug)]
pub struct Chart {
    freedom: Freedom,
    /// s.
    scale: f64,
    /// m.
    lowest: f64,
    /// The z of learning rates, where momenta have a reach.
    rates: Range,
    /// The z of momenta.
    momenta: Range,
}

/// The numbers between c ± r.
#[derive(Clone, Copy, Debug)]
struct Range {
    /// c.
    centre: f64,
    /// r.
    radius: f64,
}

/// How a schedule's entry depends on its coordinate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// The entry's first derivative.
    pub first: f64,
    /// The entry's second derivative.
    pub second: f64,
    /// The least slopes by which a loss is judged that falls with the entry, and one that rises with it: where the entry is
    /// as low or as high as it may be, the coordinate's own slope is zero whatever the loss says.
    pub least: [f64; 2],
}

impl Slope {
    /// What a derivative by the entry adds to the size of a gradient.
    pub fn judged(&self, derivative: f64) -> f64 {
        derivative * self.first.abs().larger(self.least[usize::from(derivative > 0.0)])
    }
}

/// Searches begin at least this y away from the lowest momentum, where the loss seems flat.
const AWAY: f64 = 0.1;
/// Searches begin at no more than this share of the way, in logarithms, to the ends of learning rate and momentum.
const INSIDE: f64 = 0.99;
/// The largest learning rate where momenta have a reach, in inverses of the largest gain.
const LARGEST_RATE: f64 = 1e3;
/// By how much s is smaller there.
const FINER: f64 = 1e-8;

impl Chart {
    /// The coordinates for a largest gain, and for momenta of at least the smaller of zero and `lowest`.
    pub fn new(freedom: Freedom, largest_gain: f64, lowest: f64) -> Self {
        let coarse = if largest_gain > 0.0 { 0.01 / largest_gain } else { 1.0 };
        let (scale, reach) = match freedom {
            Freedom::Within(reach) => (FINER * coarse, reach),
            _ => (coarse, 1.0),
        };
        Self {
            freedom,
            scale,
            lowest: if lowest < 0.0 { lowest } else { 0.0 },
            rates: match freedom {
                Freedom::Within(_) => {
                    let half = 0.5 * libm::asinh(100.0 * LARGEST_RATE / FINER);
                    Range { centre: half, radius: half }
                }
                _ => Range { centre: 0.0, radius: f64::INFINITY },
            },
            momenta: Range { centre: 0.0, radius: libm::asinh(reach) },
        }
    }

    /// What may be chosen.
    pub fn freedom(&self) -> Freedom {
        self.freedom
    }

    /// Where `schedule` lies.
    pub fn point(&self, schedule: &[Step<f64>]) -> Vec<f64> {
        let rates = schedule.iter().map(|step| step.learning_rate / self.scale);
        let rates = rates.map(|rate| self.rates.unfold(libm::asinh(rate)));
        match self.freedom {
            Freedom::LearningRate(_) => rates.collect(),
            Freedom::Within(_) => {
                let momenta = schedule.iter().map(|step| libm::asinh(step.momentum));
                rates.chain(momenta.map(|z| self.momenta.unfold(z))).collect()
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
        let step = |x: &f64, momentum| Step {
            learning_rate: self.scale * libm::sinh(self.rates.fold(*x)),
            momentum,
        };
        let (rates, momenta) = self.parted(point);
        match self.freedom {
            Freedom::LearningRate(momentum) => rates.iter().map(|x| step(x, momentum)).collect(),
            Freedom::Both => {
                let both = rates.iter().zip(momenta);
                both.map(|(x, y)| step(x, self.lowest + y * y)).collect()
            }
            Freedom::Within(_) => {
                let both = rates.iter().zip(momenta);
                both.map(|(x, y)| step(x, libm::sinh(self.momenta.fold(*y)))).collect()
            }
        }
    }

    /// The coordinates of the learning rates and those of the momenta.
    fn parted<'a>(&self, point: &'a [f64]) -> (&'a [f64], &'a [f64]) {
        match self.freedom {
            Freedom::LearningRate(_) => (point, &[]),
            Freedom::Both | Freedom::Within(_) => point.split_at(point.len() / 2),
        }
    }

    /// The slopes at `point`.
    pub fn slopes(&self, point: &[f64]) -> Vec<Slope> {
        let logarithm = |scale: f64, x: &f64| Slope {
            first: scale * libm::cosh(*x),
            second: scale * libm::sinh(*x),
            least: [0.0; 2],
        };
        let within = |scale: f64, range: Range, x: &f64| {
            let straight = logarithm(scale, &range.fold(*x));
            if range.radius == f64::INFINITY {
                return straight;
            }
            let (sin, cos) = libm::sincos((*x - range.centre) / range.radius);
            let mut least = [0.0; 2];
            least[usize::from(sin > 0.0)] = straight.first;
            Slope {
                first: straight.first * cos,
                second: straight.second * cos * cos - straight.first * sin / range.radius,
                least,
            }
        };
        let (rates, momenta) = self.parted(point);
        let rates = rates.iter().map(|x| within(self.scale, self.rates, x));
        let momentum = |y: &f64| match self.freedom {
            Freedom::Within(_) => within(1.0, self.momenta, y),
            _ => Slope { first: 2.0 * y, second: 2.0, least: [1.0, 0.0] },
        };
        rates.chain(momenta.iter().map(momentum)).collect()
    }
}

impl Range {
    /// z = c + r sin((x − c)/r), which is x where r is infinite.
    fn fold(self, x: f64) -> f64 {
        if self.radius == f64::INFINITY {
            return x;
        }
        self.centre + self.radius * libm::sin((x - self.centre) / self.radius)
    }

    /// The x of that z, or one near it whence a search can leave the end.
    fn unfold(self, z: f64) -> f64 {
        if self.radius == f64::INFINITY {
            return z;
        }
        let share = (z - self.centre) / self.radius;
        let inside = if share.abs() > INSIDE { INSIDE.copysign(share) } else { share };
        self.centre + self.radius * libm::asin(inside)
    }
}
