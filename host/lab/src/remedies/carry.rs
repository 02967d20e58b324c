//! How tangents are carried from step to step while what they are derivatives by moves.
//!
//! With λ the learning rate, w the parameters and the state after a step, A = ∂w_{t+1}/∂w_t and
//! B = ∂w_{t+1}/∂λ, every method of the family carries a tangent Z by one recurrence and reads the
//! derivative of the loss L of the batch to come, before it is trained on:
//!
//! ```text
//! Z_{t+1} = A (ν Z_t) + B        d_{t+1} = ∇L(w_{t+1}) · Z_{t+1}
//!
//! ν = 0               hypergradient descent (Baydin et al. 2018)
//! 0 < ν < 1           discounted, MARTHE (Donini et al. 2020)
//! ν = 1               RTHO (Franceschi et al. 2017)
//! Z = 0 every K       truncation; what is read at its end sees K steps
//! ```
//!
//! With momentum the state is the velocity u of w ← w − λu, u ← μu + g, as in those papers: ν = 0
//! reads ∇L · (−u), along the whole last update. Training itself keeps v = −λu.
//!
//! Where λ stays, d_T is Σ_t ν^{T−1−t} ∂L/∂λ_t over the rates of the steps t: 1 − ν or K says how
//! many of them are seen, and ν = 1 without truncation is the exact derivative.

use std::fmt;
use std::str::FromStr;

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::schedule::Parameter;

use crate::outer::OuterOptimizer;
use crate::problem::Tangents;

/// A member of the family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Carry {
    /// Tangents count ν in 0..=1 times from step to step.
    Discounted(f64),
    /// The same with the ν that MARTHE adapts: q = α/(∇L(w_{t+1}) · u_{t+1}) held inside 0..=1,
    /// u being the last update's direction, c ← c sign ν + ν, ν ← q^{1/(c + 1)}, both from zero on.
    Adaptive,
    /// They are dropped every so many steps, when λ has moved.
    Truncated(u32),
}

impl fmt::Display for Carry {
    /// In the form from which it is parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discounted(0.0) => f.write_str("hd"),
            Self::Discounted(1.0) => f.write_str("rtho"),
            Self::Discounted(share) => write!(f, "marthe:{share}"),
            Self::Adaptive => f.write_str("marthe"),
            Self::Truncated(steps) => write!(f, "truncated:{steps}"),
        }
    }
}

impl FromStr for Carry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = match text.split_once(':') {
            None => match text {
                "hd" => Some(Self::Discounted(0.0)),
                "rtho" => Some(Self::Discounted(1.0)),
                "marthe" => Some(Self::Adaptive),
                _ => None,
            },
            Some(("marthe", share)) => {
                let share = share.parse().ok().filter(|share| (0.0..=1.0).contains(share));
                // Of −0 it makes +0.
                share.map(|share: f64| Self::Discounted(share + 0.0))
            }
            Some(("truncated", steps)) => {
                let steps = crate::nqm::number::whole(steps).ok().filter(|&steps| steps > 0);
                steps.map(Self::Truncated)
            }
            Some(_) => None,
        };
        found.ok_or_else(|| {
            "give hd, rtho, marthe, marthe:NU with NU in 0 to 1, or truncated:STEPS".to_owned()
        })
    }
}

impl Carry {
    /// The tangents of a run that is tuned so: the first is Z, the second that of ν = 0 where the
    /// discount is adapted.
    pub fn tangents(self) -> Tangents {
        match self {
            Self::Adaptive => Tangents::By([Parameter::Alpha0; 3]),
            Self::Discounted(_) | Self::Truncated(_) => Tangents::Rate,
        }
    }

    /// The share of tangents that the step after `done` others carries on; none where that depends
    /// on what is read on the way.
    pub fn share(self, done: u32) -> Option<f64> {
        match self {
            Self::Discounted(share) => Some(share),
            Self::Truncated(steps) if done.is_multiple_of(steps) => Some(0.0),
            Self::Truncated(_) => Some(1.0),
            Self::Adaptive => None,
        }
    }

    /// Steps of training between two readings.
    pub fn every(self) -> u32 {
        if let Self::Truncated(steps) = self { steps } else { 1 }
    }
}

/// What moves the learning rate, and by which discount.
#[derive(Clone, Copy, Debug)]
pub struct Tuner {
    carry: Carry,
    outer: OuterOptimizer<1>,
    rate: f64,
    /// ν of the step to come, where it is adapted.
    discount: f64,
    /// c.
    count: f64,
}

impl Tuner {
    /// One that starts at `rate`, by an outer optimizer that is fresh.
    pub fn new(carry: Carry, rate: f64, outer: OuterOptimizer<1>) -> Self {
        Self { carry, outer, rate, discount: 0.0, count: 0.0 }
    }

    /// The learning rate of the step to come.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Whether it reads derivatives after `done` steps.
    pub fn reads(&self, done: u32) -> bool {
        done > 0 && done.is_multiple_of(self.carry.every())
    }

    /// Moves the rate by what was read: the derivatives by it along the run's tangents.
    pub fn update(&mut self, [along, last]: [f64; 2]) {
        [self.rate] = self.outer.update([self.rate], [along]);
        if self.carry == Carry::Adaptive {
            // The last step moved the weights by −αu: along it the derivative is −∇L·u.
            let ratio = self.rate / -last;
            let held = if ratio > 0.0 { if ratio < 1.0 { ratio } else { 1.0 } } else { 0.0 };
            let sign = if self.discount > 0.0 { 1.0 } else { 0.0 };
            self.count = self.count * sign + self.discount;
            self.discount = <Libm as Elementary<f64>>::pow(held, 1.0 / (self.count + 1.0));
        }
    }

    /// The share of each tangent that the step after `done` others carries on.
    pub fn shares(&self, done: u32) -> [f64; 3] {
        let first = self.carry.share(done).unwrap_or(self.discount);
        [first, 0.0, 0.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outer::OuterRule;
    use crate::precision::Precision;
    use myopia_core::online::RateAndDamping;

    fn tuner(carry: Carry) -> Tuner {
        let [limits, _] = RateAndDamping::<f64>::default_limits();
        let outer = OuterOptimizer::new(Precision::F64, OuterRule::Momentum, 0.1, [limits]);
        Tuner::new(carry, 0.5, outer)
    }

    #[test]
    fn a_carry_is_parsed_from_its_own_words() {
        for text in ["hd", "rtho", "marthe", "marthe:0.9", "truncated:10"] {
            assert_eq!(text.parse::<Carry>().unwrap().to_string(), text);
        }
        assert_eq!("marthe:1".parse(), Ok(Carry::Discounted(1.0)));
        assert_eq!("marthe:-0".parse::<Carry>().unwrap().to_string(), "hd");
        for text in ["", "HD", "marthe:1.1", "marthe:nan", "truncated:0", "truncated:", "x:1"] {
            assert!(text.parse::<Carry>().unwrap_err().starts_with("give hd"), "{text}");
        }
    }

    #[test]
    fn truncation_drops_where_it_has_read() {
        let tuner = tuner(Carry::Truncated(3));
        let reads: Vec<bool> = (0..7).map(|done| tuner.reads(done)).collect();
        assert_eq!(reads, [false, false, false, true, false, false, true]);
        let shares: Vec<f64> = (0..4).map(|done| tuner.shares(done)[0]).collect();
        assert_eq!(shares, [0.0, 1.0, 1.0, 0.0]);
    }

    /// ν from the definition: q = ½ twice, then 1, then below zero.
    #[test]
    fn the_adaptive_discount_follows_its_definition() {
        let mut tuner = tuner(Carry::Adaptive);
        assert_eq!(tuner.shares(0)[0], 0.0);
        let mut seen = Vec::new();
        for last in [-1.0, -1.0, -0.1, 1.0, -1.0] {
            tuner.update([0.0, last]);
            seen.push(tuner.shares(1)[0]);
        }
        let root = |count: f64| <Libm as Elementary<f64>>::pow(0.5, 1.0 / (count + 1.0));
        let second = root(0.5);
        assert_eq!(seen, [0.5, second, 1.0, 0.0, 0.5]);
        assert_eq!(tuner.rate(), 0.5);
    }
}
