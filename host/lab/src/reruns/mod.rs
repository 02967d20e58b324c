//! Figures that others have published, run again with the settings they name: whether the numbers
//! agree, and what is different.

pub mod hypergradient_descent;
pub mod influence;
pub mod look_ahead;
pub mod persistent;

use serde::Serialize;

use crate::shown::number;
use crate::spread::Spread;

/// A published number beside those of several seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Of which method.
    pub method: String,
    /// What it is.
    pub quantity: &'static str,
    /// As published, of one run.
    pub published: f64,
    /// Here, over the seeds.
    #[serde(serialize_with = "Spread::as_ends")]
    pub found: Spread,
}

impl Comparison {
    /// How far what was published lies outside the range of the seeds, as a share of itself; zero
    /// inside.
    pub fn outside(&self) -> f64 {
        let Self { published, found, .. } = self;
        let off = if *published < found.least {
            found.least - published
        } else if *published > found.greatest {
            published - found.greatest
        } else {
            return 0.0;
        };
        off / published.abs()
    }

    /// Both, and whether they agree: counts as they are, other numbers to so many places.
    pub fn sentence(&self, places: usize) -> String {
        let told = |x: f64| if x == libm::trunc(x) { format!("{x}") } else { number(x, places) };
        let [least, median, greatest] = self.found.ends().map(told);
        let outside = match 100.0 * self.outside() {
            0.0 => "inside".to_owned(),
            off if off < 0.05 => "less than 0.1 % outside".to_owned(),
            off => format!("{off:.1} % outside"),
        };
        format!(
            "{}, {}: published {}, here {median} ({least} to {greatest}): {outside}.",
            self.method,
            self.quantity,
            told(self.published)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_published_is_inside_the_range_or_so_far_outside() {
        let found = Spread { median: 2.0, least: 1.0, greatest: 4.0 };
        let of = |published| Comparison { method: "x".into(), quantity: "loss", published, found };
        assert_eq!([0.5, 1.0, 4.0, 5.0].map(|x| of(x).outside()), [1.0, 0.0, 0.0, 0.2]);
        assert_eq!(of(3.0).sentence(1), "x, loss: published 3, here 2 (1 to 4): inside.");
        let none = Spread { median: 0.0, least: 0.0, greatest: 0.0 };
        let never = Comparison { found: none, ..of(0.0) };
        assert_eq!(never.sentence(2), "x, loss: published 0, here 0 (0 to 0): inside.");
        let ends = |published| of(published).sentence(2).rsplit_once(": ").unwrap().1.to_owned();
        assert_eq!(ends(5.0), "20.0 % outside.");
        assert_eq!(ends(4.0001), "less than 0.1 % outside.");
        assert!(of(4.25).sentence(2).contains("published 4.25, here 2 ("));
    }
}
