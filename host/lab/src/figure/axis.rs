//! Axes: what the caller asks for, the range that results, and its ticks.

use super::Error;
use super::geometry::{larger, smaller};
use super::numbers::{plain, power_of_ten};

/// Beyond these magnitudes arithmetic on ranges would overflow; such values are treated as not
/// finite.
const LARGEST: f64 = 1e300;
const SMALLEST_ON_LOG: f64 = 1e-300;
/// A range is never narrower than this share of its values, lest its ticks run out of digits.
const NARROWEST: f64 = 1e-6;
const LEAST: f64 = 1e-290;
/// Least distance between two labels, in points.
const SPACING: f64 = 12.0;
/// Room between data and frame, as a share of the range.
const PADDING: f64 = 0.035;

/// How values are laid along an axis or a colour bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal distances for equal differences.
    Linear,
    /// Equal distances for equal ratios; values must be positive.
    Log,
}

/// A labelled axis; its range fits the data unless one is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What is measured and in which unit.
    pub label: String,
    /// Linear or logarithmic.
    pub scale: Scale,
    /// Lowest and highest value shown; data outside is cut off at the frame.
    pub range: Option<(f64, f64)>,
}

impl Axis {
    /// A linear axis.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Linear, range: None }
    }

    /// A logarithmic axis.
    pub fn log(label: impl Into<String>) -> Self {
        Self { scale: Scale::Log, ..Self::linear(label) }
    }

    /// The same axis showing `low` to `high`.
    pub fn range(self, low: f64, high: f64) -> Self {
        Self { range: Some((low, high)), ..self }
    }

    /// Whether the axis can place the value.
    pub(super) fn takes(&self, value: f64) -> bool {
        match self.scale {
            Scale::Linear => value.abs() <= LARGEST,
            Scale::Log => (SMALLEST_ON_LOG..=LARGEST).contains(&value),
        }
    }

    /// The span shown when the data run over `data` (values the axis takes), with a little room, or
    /// exactly the range asked for.
    ///
    /// # Errors
    /// The range asked for is empty, not finite, or not positive on a logarithmic axis.
    pub(super) fn span(&self, data: Option<(f64, f64)>) -> Result<Span, Error> {
        self.fitted(data, PADDING)
    }

    /// As [`Axis::span`], without the room.
    pub(super) fn tight_span(&self, data: Option<(f64, f64)>) -> Result<Span, Error> {
        self.fitted(data, 0.0)
    }

    fn fitted(&self, data: Option<(f64, f64)>, padding: f64) -> Result<Span, Error> {
        let scale = self.scale;
        if let Some((low, high)) = self.range {
            if !(self.takes(low) && self.takes(high) && low < high) {
                return Err(Error::Range { label: self.label.clone(), low, high });
            }
            return Ok(Span::between(scale, scale.place(low), scale.place(high)));
        }
        let (low, high) = data.unwrap_or(match scale {
            Scale::Linear => (0.0, 1.0),
            Scale::Log => (1.0, 10.0),
        });
        let (low, high) = (scale.place(low), scale.place(high));
        let room = padding * (high - low);
        Ok(Span::between(scale, low - room, high + room))
    }
}

impl Scale {
    /// The value in the coordinate in which the scale is even.
    pub(super) fn place(self, value: f64) -> f64 {
        match self {
            Scale::Linear => value,
            Scale::Log => libm::log10(value),
        }
    }

    /// The inverse of [`Scale::place`].
    pub(super) fn value(self, place: f64) -> f64 {
        match self {
            Scale::Linear => place,
            Scale::Log => libm::exp10(place),
        }
    }
}

/// The range an axis shows, in the coordinate in which its scale is even.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub scale: Scale,
    pub low: f64,
    pub high: f64,
}

/// A mark on an axis; minor ticks have no label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    /// From 0 (the axis's low end) to 1.
    pub place: f64,
    pub value: f64,
    pub label: Option<String>,
}

impl Span {
    /// The span from `low` to `high`, widened about its middle if it is too narrow to carry ticks.
    pub fn between(scale: Scale, low: f64, high: f64) -> Self {
        let magnitude = larger(low.abs(), high.abs());
        let (narrowest, lone) = match scale {
            Scale::Linear => (larger(NARROWEST * magnitude, LEAST), larger(0.1 * magnitude, LEAST)),
            Scale::Log => (NARROWEST, 0.5),
        };
        let half = if high == low {
            if low == 0.0 && scale == Scale::Linear { 1.0 } else { lone }
        } else {
            narrowest / 2.0
        };
        let middle = low / 2.0 + high / 2.0;
        Self { scale, low: smaller(low, middle - half), high: larger(high, middle + half) }
    }

    /// Where the value lies: 0 at the low end, 1 at the high end.
    pub fn place(&self, value: f64) -> f64 {
        (self.scale.place(value) - self.low) / (self.high - self.low)
    }

    /// The ticks for an axis that is `length` points long, where a label takes up `room(label)`
    /// points along it.
    pub fn ticks(&self, length: f64, room: impl Fn(&str) -> f64) -> Vec<Tick> {
        let fits = |ticks: &[Tick]| {
            let labelled: Vec<_> = ticks
                .iter()
                .filter_map(|t| Some((t.place * length, room(t.label.as_deref()?))))
                .collect();
            labelled
                .windows(2)
                .all(|pair| pair[1].0 - pair[0].0 >= (pair[0].1 + pair[1].1) / 2.0 + SPACING)
        };
        let labels = |ticks: &[Tick]| ticks.iter().filter(|t| t.label.is_some()).count();
        let decades = self.high - self.low;
        let logarithmic = match self.scale {
            Scale::Linear => Vec::new(),
            Scale::Log => {
                let mut choices = Vec::new();
                if decades < 1.7 {
                    choices.push(self.log_ticks(&[1, 2, 5], 1));
                    choices.push(self.log_ticks(&[1, 3], 1));
                }
                choices
                    .extend([1, 2, 3, 4, 5, 10, 20, 50, 100, 200].map(|n| self.log_ticks(&[1], n)));
                choices
            }
        };
        // Equal differences are of use on a logarithmic axis only where it is nearly even.
        let nearly_even = self.scale == Scale::Linear || decades < 2.0;
        let most = if nearly_even { 7 } else { 0 };
        let even = (1..=most).rev().map(|count| self.even_ticks(count));
        logarithmic
            .into_iter()
            .filter(|ticks| labels(ticks) >= 2)
            .chain(even)
            .find(|ticks| fits(ticks))
            .unwrap_or_default()
    }

    /// Ticks labelled at `mantissas` of every `stride`-th decade.
    fn log_ticks(&self, mantissas: &[i64], stride: i32) -> Vec<Tick> {
        let mut ticks = Vec::new();
        for decade in self.low.floor() as i32..=self.high.ceil() as i32 {
            for mantissa in 1..=9 {
                let labelled = mantissas.contains(&mantissa) && decade.rem_euclid(stride) == 0;
                if !labelled && stride > 1 && mantissa > 1 {
                    continue;
                }
                let place = f64::from(decade) + libm::log10(mantissa as f64);
                let label = labelled.then(|| match (decade, mantissa) {
                    (-2..=3, _) => plain(mantissa, decade),
                    (_, 1) => power_of_ten(decade),
                    _ => format!("{mantissa}×{}", power_of_ten(decade)),
                });
                self.push(&mut ticks, place, libm::exp10(place), label);
            }
        }
        ticks
    }

    /// About `count` ticks at equal differences of 1, 2 or 5 times a power of ten.
    fn even_ticks(&self, count: u32) -> Vec<Tick> {
        let (low, high) = match self.scale {
            Scale::Linear => (self.low, self.high),
            Scale::Log => (libm::exp10(self.low), libm::exp10(self.high)),
        };
        let coarse = (high - low) / f64::from(count);
        let mut exponent = libm::log10(coarse).floor() as i32;
        let leading = coarse / libm::exp10(f64::from(exponent));
        let mantissa = match leading {
            m if m <= 1.0 => 1,
            m if m <= 2.0 => 2,
            m if m <= 5.0 => 5,
            _ => {
                exponent += 1;
                1
            }
        };
        let step = mantissa as f64 * libm::exp10(f64::from(exponent));
        // The largest label decides for all of them whether powers of ten are split off, and which.
        let magnitude = libm::log10(larger(low.abs(), high.abs())).floor() as i32;
        let split = if (-4..6).contains(&magnitude) { 0 } else { magnitude };
        let mut ticks = Vec::new();
        for i in (low / step).floor() as i64..=(high / step).ceil() as i64 {
            let value = i as f64 * step;
            let label = match split {
                0 => plain(i * mantissa, exponent),
                _ if i == 0 => "0".to_owned(),
                _ => format!("{}×{}", plain(i * mantissa, exponent - split), power_of_ten(split)),
            };
            if self.scale == Scale::Linear || value > 0.0 {
                self.push(&mut ticks, self.scale.place(value), value, Some(label));
            }
        }
        ticks
    }

    /// Adds the tick if it lies on the axis, to rounding.
    fn push(&self, ticks: &mut Vec<Tick>, place: f64, value: f64, label: Option<String>) {
        let place = (place - self.low) / (self.high - self.low);
        if (-1e-9..=1.0 + 1e-9).contains(&place) {
            ticks.push(Tick { place, value, label });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(span: &Span) -> Vec<String> {
        let ticks = span.ticks(300.0, |label| 8.0 * label.chars().count() as f64);
        ticks.into_iter().filter_map(|tick| tick.label).collect()
    }

    fn span(scale: Scale, low: f64, high: f64) -> Span {
        Span::between(scale, scale.place(low), scale.place(high))
    }

    #[test]
    fn labels_are_clean() {
        for (scale, low, high, expected) in [
            (Scale::Log, 1e-4, 10.0, "10⁻⁴ 10⁻³ 0.01 0.1 1 10"),
            (Scale::Log, 1e-3, 0.5, "10⁻³ 0.01 0.1"),
            (Scale::Log, 0.03, 1.2, "0.05 0.1 0.2 0.5 1"),
            (Scale::Log, 0.41, 0.43, "0.410 0.415 0.420 0.425 0.430"),
            (Scale::Log, 1e-30, 1e30, "10⁻²⁰ 1 10²⁰"),
            (Scale::Linear, 0.0, 20_000.0, "0 5,000 10,000 15,000 20,000"),
            (Scale::Linear, -0.1, 0.31, "−0.1 0.0 0.1 0.2 0.3"),
            (Scale::Linear, 0.0, 3e-7, "0 1×10⁻⁷ 2×10⁻⁷ 3×10⁻⁷"),
        ] {
            assert_eq!(labels(&span(scale, low, high)).join(" "), expected);
        }
    }

    #[test]
    fn a_single_value_gets_a_range_about_it() {
        for (scale, value) in [
            (Scale::Linear, 0.0),
            (Scale::Linear, -3.0),
            (Scale::Linear, 5e-324),
            (Scale::Log, 0.1),
        ] {
            let span = span(scale, value, value);
            assert!(span.low < span.high, "{span:?}");
            assert!((span.place(value) - 0.5).abs() < 1e-6, "{span:?}");
        }
    }

    #[test]
    fn a_range_that_shows_nothing_is_refused() {
        for axis in [
            Axis::linear("x").range(1.0, 1.0),
            Axis::linear("x").range(0.0, f64::NAN),
            Axis::log("x").range(0.0, 1.0),
        ] {
            assert!(axis.span(None).is_err(), "{axis:?}");
        }
    }

    proptest! {
        #[test]
        fn any_range_has_a_few_distinct_labels_in_order(
            a in -1e300f64..1e300, b in prop::num::f64::NORMAL, log in any::<bool>(),
        ) {
            let axis = if log { Axis::log("") } else { Axis::linear("") };
            let (a, b) = if log { (a.abs(), b.abs()) } else { (a, b) };
            prop_assume!(axis.takes(a) && axis.takes(b));
            let span = axis.span(Some((smaller(a, b), larger(a, b)))).unwrap();
            let ticks = span.ticks(300.0, |label| 8.0 * label.chars().count() as f64);
            prop_assert!(ticks.windows(2).all(|pair| pair[0].place < pair[1].place));
            let mut names: Vec<_> = ticks.iter().filter_map(|tick| tick.label.clone()).collect();
            let count = names.len();
            names.dedup();
            prop_assert!((1..=12).contains(&count) && names.len() == count, "{names:?} in {span:?}");
        }
    }
}
