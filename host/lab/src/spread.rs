//! Several seeds of one thing: the median and the range.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::curve::Point;
use crate::figure::{Band, Lines, Series};

/// The median of several numbers, in their unit, and the least and the greatest of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
}

impl Spread {
    /// That of `numbers`; nothing where there are none.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (&least, &greatest) = (sorted.first()?, sorted.last()?);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        let median = if low == high { low } else { 0.5 * (low + high) };
        Some(Self { median, least, greatest })
    }

    /// The least, the median and the greatest.
    pub fn ends(self) -> [f64; 3] {
        [self.least, self.median, self.greatest]
    }

    /// The cells of [`header`]: the median, the least and the greatest, or nothing.
    pub fn cells(spread: Option<Self>) -> [Option<f64>; 3] {
        let numbers = spread.map(|Self { median, least, greatest }| [median, least, greatest]);
        numbers.map_or([None; 3], |numbers| numbers.map(Some))
    }

    /// Writes those three as a list.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn as_ends<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.ends().serialize(serializer)
    }

    /// The same of what may be unknown.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn as_ends_if_any<S: Serializer>(
        spread: &Option<Self>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        spread.map(Self::ends).serialize(serializer)
    }
}

/// The columns of spreads in a table: of each the median under its own name, and the range.
pub fn header<'a>(names: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = String> {
    let columns =
        |name: &str| [name.to_owned(), format!("{name}_least"), format!("{name}_greatest")];
    names.into_iter().flat_map(columns).collect::<Vec<_>>().into_iter()
}

/// The cells of spreads in these columns.
pub fn cells<'a>(
    spreads: &BTreeMap<&'static str, Spread>,
    names: impl IntoIterator<Item = &'a str>,
) -> Vec<Option<f64>> {
    names.into_iter().flat_map(|name| Spread::cells(spreads.get(name).copied())).collect()
}

/// `panel` with a number of the curves that several seeds gave under this name: the median, and the
/// range as a band. Where one has ended, those that have not; of one seed, the curve.
pub fn draw(
    panel: Lines,
    name: &str,
    seeds: &[&[Point]],
    read: &dyn Fn(&Point) -> Option<f64>,
) -> Lines {
    let longest = seeds.iter().max_by_key(|curve| curve.len());
    let spreads: Vec<(f64, Spread)> = longest
        .into_iter()
        .flat_map(|curve| curve.iter())
        .enumerate()
        .filter_map(|(number, point)| {
            let there = seeds.iter().filter_map(|curve| curve.get(number));
            Some((f64::from(point.step), Spread::of(there.filter_map(read))?))
        })
        .collect();
    let median = spreads.iter().map(|&(step, spread)| (step, spread.median));
    let panel = panel.series(Series::new(name, median));
    if seeds.len() < 2 {
        return panel;
    }
    let range = |&(step, spread): &(f64, Spread)| (step, [spread.least, spread.greatest]);
    panel.band(Band { name: name.to_owned(), points: spreads.iter().map(range).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_middle_and_the_ends() {
        let spread = |median, least, greatest| Some(Spread { median, least, greatest });
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), spread(2.0, 1.0, 3.0));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 8.0]), spread(3.0, 1.0, 8.0));
        assert_eq!(
            Spread::of([f64::INFINITY; 2]),
            spread(f64::INFINITY, f64::INFINITY, f64::INFINITY)
        );
        assert_eq!(Spread::of([]), None);
    }
}
