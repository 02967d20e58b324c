//! The points of a surface: schedules, and hyperparameters of the optimiser.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use myopia_core::meta::Coordinate;
use myopia_core::rng::Pcg32;
use myopia_core::schedule::{InverseTime, Parameter, geometric};
use serde::{Serialize, Serializer};

use crate::outer::coordinate;

/// A plane in the space of hyperparameters: two vary, the others keep their values.
#[derive(Clone, Debug)]
pub struct Plane {
    /// The hyperparameters that vary and their ranges; they are spread evenly along the coordinate
    /// in which they are tuned ([`coordinate`]).
    pub axes: [(Parameter, Span); 2],
    /// The schedule; of what varies its values do not matter.
    pub fixed: InverseTime<f64>,
    /// Which points are taken.
    pub points: Points,
}

/// A point of a plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// α₀, K and β.
    pub schedule: InverseTime<f64>,
    /// The axes that are none of these, in the order of [`Parameter::ALL`], and the values there.
    pub others: Vec<(Parameter, f64)>,
}

/// From `low` to `high`, both positive and included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Which points of a plane are taken.
#[derive(Clone, Debug)]
pub enum Points {
    /// The crossings of a grid.
    Grid(Grid),
    /// This many, drawn from the generator.
    Random(u32, Pcg32),
}

/// Columns along the first axis and rows along the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Values of the first parameter.
    pub columns: u32,
    /// Values of the second.
    pub rows: u32,
}

impl Span {
    /// The value a share `place`, in 0..=1, of the way up, along the coordinate of `parameter`.
    fn at(self, parameter: Parameter, place: f64) -> f64 {
        let Self { low, high } = self;
        match coordinate(parameter) {
            Coordinate::Logarithm => geometric(low, high, place),
            // The ends as they are given, which their odds are not to the last bit.
            Coordinate::Logit if place == 0.0 => low,
            Coordinate::Logit if place == 1.0 => high,
            Coordinate::Logit => {
                let odds = geometric(low / (1.0 - low), high / (1.0 - high), place);
                odds / (1.0 + odds)
            }
        }
    }

    /// Whether `parameter` can have every value in it.
    pub fn suits(self, parameter: Parameter) -> bool {
        coordinate(parameter) == Coordinate::Logarithm || self.high < 1.0
    }
}

impl Plane {
    /// The points in order: a grid row by row from the lowest values, random ones as they are
    /// drawn.
    pub fn points(&self) -> Vec<Point> {
        let places: Vec<[f64; 2]> = match &self.points {
            Points::Grid(Grid { columns, rows }) => {
                let along = |i: u32, count: u32| f64::from(i) / f64::from((count - 1).max(1));
                let row = |j| (0..*columns).map(move |i| [along(i, *columns), along(j, *rows)]);
                (0..*rows).flat_map(row).collect()
            }
            Points::Random(count, rng) => {
                let mut rng = *rng;
                (0..*count).map(|_| [rng.uniform(), rng.uniform()]).collect()
            }
        };
        let point = |place: [f64; 2]| {
            let mut point = Point { schedule: self.fixed, others: Vec::new() };
            for (&(parameter, span), place) in self.axes.iter().zip(place) {
                let value = span.at(parameter, place);
                match parameter {
                    Parameter::Alpha0 => point.schedule.alpha0 = value,
                    Parameter::TimeConstant => point.schedule.time_constant = value,
                    Parameter::Beta => point.schedule.beta = value,
                    other => point.others.push((other, value)),
                }
            }
            point.others.sort_unstable_by_key(|&(parameter, _)| parameter);
            point
        };
        places.into_iter().map(point).collect()
    }
}

/// `25x25`: columns, rows.
impl FromStr for Grid {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('x').and_then(|(columns, rows)| {
            Some(Self { columns: columns.parse().ok()?, rows: rows.parse().ok()? })
        });
        let fits =
            |grid: &Self| (2..=1000).contains(&grid.columns) && (2..=1000).contains(&grid.rows);
        parsed.filter(fits).ok_or("give columns and rows, each from 2 to 1000, such as 25x25")
    }
}

impl Serialize for Grid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}x{}", self.columns, self.rows))
    }
}

/// `0.001,0.5`: low, high.
impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once(',').and_then(|(low, high)| {
            Some(Self { low: low.trim().parse().ok()?, high: high.trim().parse().ok()? })
        });
        // Values between are found by the ratio: both ends finite is not enough.
        let sound = |span: &Self| {
            span.low > 0.0 && span.low < span.high && (span.high / span.low).is_finite()
        };
        parsed.filter(sound).ok_or(
            "give two positive numbers, the lower first and less than 1e308 times below the other, such as 0.001,0.5",
        )
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.low, self.high)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedules(points: Points) -> Vec<InverseTime<f64>> {
        plane(points).points().into_iter().map(|point| point.schedule).collect()
    }

    fn plane(points: Points) -> Plane {
        Plane {
            axes: [
                (Parameter::Alpha0, Span { low: 1e-3, high: 0.5 }),
                (Parameter::Beta, Span { low: 1e-2, high: 200.0 }),
            ],
            fixed: InverseTime { alpha0: 1.0, time_constant: 5000.0, beta: 1.0 },
            points,
        }
    }

    #[test]
    fn a_grid_runs_row_by_row_and_meets_the_ends_of_its_ranges() {
        let schedules = schedules(Points::Grid("3x2".parse().unwrap()));
        assert_eq!(schedules.len(), 6);
        assert!(schedules.iter().all(|s| s.time_constant == 5000.0));
        assert_eq!([schedules[0].alpha0, schedules[0].beta], [1e-3, 1e-2]);
        assert_eq!([schedules[5].alpha0, schedules[5].beta], [0.5, 200.0]);
        assert_eq!(schedules[1].beta, 1e-2, "the first axis goes along a row");
        let middle = schedules[1].alpha0 * schedules[1].alpha0 / (1e-3 * 0.5);
        assert!((middle - 1.0).abs() < 1e-14, "half-way on a logarithmic scale: {middle}");
    }

    #[test]
    fn random_schedules_fill_the_plane_and_a_prefix_stays_the_same() {
        let draw = |count| schedules(Points::Random(count, Pcg32::new(1, 3)));
        let drawn = draw(1000);
        let inside = |s: &InverseTime<f64>| {
            (1e-3..0.5).contains(&s.alpha0) && (1e-2..200.0).contains(&s.beta)
        };
        assert!(drawn.iter().all(inside));
        // Half of them below the middle of the logarithmic scale; the standard error is 16.
        let low = drawn.iter().filter(|s| s.alpha0 * s.alpha0 < 1e-3 * 0.5).count();
        assert!((440..560).contains(&low), "{low}");
        assert_eq!(draw(10), drawn[..10]);
    }

    #[test]
    fn what_lies_between_zero_and_one_is_spread_along_its_logit() {
        let span = Span { low: 0.5, high: 0.999 };
        let plane = Plane {
            axes: [(Parameter::Alpha0, Span { low: 1e-3, high: 0.5 }), (Parameter::Beta2, span)],
            ..plane(Points::Grid("2x3".parse().unwrap()))
        };
        let points = plane.points();
        let beta2 = |point: &Point| {
            assert_eq!(point.others[0].0, Parameter::Beta2);
            point.others[0].1
        };
        assert_eq!([beta2(&points[0]), beta2(&points[5])], [0.5, 0.999]);
        let odds = beta2(&points[2]) / (1.0 - beta2(&points[2]));
        assert!((odds * odds / 999.0 - 1.0).abs() < 1e-12, "half-way between logits: {odds}");
        assert_eq!([points[0].schedule.beta, points[5].schedule.beta], [1.0; 2]);
        assert!(span.suits(Parameter::Beta2) && !Span { high: 1.0, ..span }.suits(Parameter::Rho));
        assert!(Span { high: 2.0, ..span }.suits(Parameter::Epsilon));
    }

    #[test]
    fn grids_and_ranges_read_back_from_what_is_written() {
        for text in ["25x25", "2x1000"] {
            let grid: Grid = text.parse().unwrap();
            assert_eq!(serde_json::to_value(grid).unwrap(), text);
        }
        for text in ["25", "1x25", "25x", "25x25x25", "-3x4", "1001x2"] {
            assert!(text.parse::<Grid>().is_err(), "{text}");
        }
        let span: Span = "1e-3,0.5".parse().unwrap();
        assert_eq!(serde_json::to_value(span).unwrap(), "0.001,0.5");
        for text in [
            "1",
            "0,1",
            "-1,1",
            "2,1",
            "1,1",
            "1,inf",
            "nan,1",
            "a,b",
            "1e-300,1e300",
            "1e-160,1e160",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
