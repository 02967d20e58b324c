//! Ranges of the hyperparameters along the axes of a surface that are none of its schedule's.

use std::collections::BTreeMap;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::optimizer::Tuned;
use myopia::failure::Failure;
use myopia::precision::Precision;
use myopia::surface::Span;

/// Between which values what varies does.
#[derive(Args, Clone, Debug)]
pub struct Ranges {
    /// Range of another axis, such as epsilon=1e-8,1 [defaults: momentum, beta1, factor and
    /// final-share 0.1,0.99; rho 0.5,0.999; beta2 0.5,0.9999; epsilon 1e-8,1; weight-decay
    /// 1e-6,0.1; damping 1e-5,10]
    #[arg(long, value_name = "NAME=LOW,HIGH", allow_hyphen_values = true)]
    range: Vec<Range>,
}

/// A hyperparameter and its range.
#[derive(Clone, Debug)]
struct Range {
    tuned: Tuned,
    span: Span,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, span) = text
            .split_once('=')
            .ok_or("give a name, = and two numbers, the lower first, such as epsilon=1e-8,1")?;
        let tuned = Tuned::from_str(name.trim(), false).map_err(|_| {
            let names: Vec<String> = Tuned::value_variants().iter().map(|t| t.name()).collect();
            format!("there is no {name}; give one of {}", names.join(", "))
        })?;
        let span = span.parse().map_err(str::to_owned)?;
        Ok(Self { tuned, span })
    }
}

/// Saved by name, and not at all where there is none.
impl Serialize for Ranges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.range.is_empty() {
            let named = self.range.iter().map(|range| (range.tuned.name(), range.span));
            map.serialize_entry("range", &named.collect::<BTreeMap<_, _>>())?;
        }
        map.end()
    }
}

impl Ranges {
    /// A range for each of `axes`, and for nothing else: those given, or their defaults.
    ///
    /// # Errors
    /// One sentence when one is given twice or of no axis, or has values that its hyperparameter
    /// cannot have in `precision`.
    pub fn complete(&mut self, axes: &[Tuned], precision: Precision) -> Result<(), Failure> {
        for (place, Range { tuned, .. }) in self.range.iter().enumerate() {
            let name = tuned.name();
            if !axes.contains(tuned) {
                let remedy = match tuned {
                    Tuned::Alpha0 | Tuned::TimeConstant | Tuned::Beta => {
                        format!("its range is --{name}-range")
                    }
                    _ => "name it with --axes, or leave the range out".to_owned(),
                };
                return Err(Failure::usage(format!("--range {name} is of no axis here; {remedy}")));
            }
            if self.range[..place].iter().any(|earlier| earlier.tuned == *tuned) {
                return Err(Failure::usage(format!("--range {name} is there twice; give one")));
            }
        }
        for &tuned in axes {
            if !self.range.iter().any(|range| range.tuned == tuned) {
                self.range.push(Range { tuned, span: usual(tuned) });
            }
        }
        for Range { tuned, span } in &self.range {
            let [low, high] = [span.low, span.high].map(|value| precision.round(value));
            let is_sound =
                low > 0.0 && high.is_finite() && Span { low, high }.suits(tuned.parameter());
            if !is_sound {
                let name = tuned.name();
                let one = Span { low: 1.0, high: 1.0 };
                let most = if one.suits(tuned.parameter()) { "finite" } else { "below 1" };
                return Err(Failure::usage(format!(
                    "--range {name}={},{} must be above 0 and {most}, also when rounded to {}",
                    span.low,
                    span.high,
                    precision.name()
                )));
            }
        }
        Ok(())
    }

    /// The range of `axis`, which is one of those that it was completed for.
    pub fn of(&self, axis: Tuned) -> Span {
        let found = self.range.iter().find(|range| range.tuned == axis);
        found.map_or_else(|| usual(axis), |range| range.span)
    }
}

/// The range that an axis has where none is given.
fn usual(tuned: Tuned) -> Span {
    let (low, high) = match tuned {
        Tuned::Alpha0 | Tuned::TimeConstant | Tuned::Beta => (1e-3, 0.5),
        Tuned::Momentum | Tuned::Beta1 | Tuned::Factor | Tuned::FinalShare => (0.1, 0.99),
        Tuned::Rho => (0.5, 0.999),
        Tuned::Beta2 => (0.5, 0.9999),
        Tuned::Epsilon => (1e-8, 1.0),
        Tuned::WeightDecay => (1e-6, 0.1),
        Tuned::Damping => (1e-5, 10.0),
    };
    Span { low, high }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(given: &[&str], axes: &[Tuned]) -> Result<Ranges, String> {
        let range = given.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        let mut ranges = Ranges { range };
        ranges.complete(axes, Precision::F32).map_err(|failure| failure.to_string())?;
        Ok(ranges)
    }

    #[test]
    fn what_is_not_given_has_its_usual_range_and_both_are_saved() {
        let ranges = completed(&["epsilon=1e-4,1"], &[Tuned::Epsilon, Tuned::Beta2]).unwrap();
        assert_eq!(ranges.of(Tuned::Epsilon), Span { low: 1e-4, high: 1.0 });
        let saved = serde_json::json!({"range": {"beta2": "0.5,0.9999", "epsilon": "0.0001,1"}});
        assert_eq!(serde_json::to_value(&ranges).unwrap(), saved);
        let none = completed(&[], &[]).unwrap();
        assert_eq!(serde_json::to_value(&none).unwrap(), serde_json::json!({}));
    }

    #[test]
    fn ranges_without_sense_are_refused() {
        let axes = [Tuned::Epsilon, Tuned::Beta2];
        for (given, words) in [
            (vec!["epsilon"], "give a name, ="),
            (vec!["gamma=1,2"], "there is no gamma; give one of alpha0"),
            (vec!["epsilon=2,1"], "the lower first"),
            (vec!["rho=0.1,0.2"], "--range rho is of no axis here; name it"),
            (vec!["beta=0.1,0.2"], "--range beta is of no axis here; its range is --beta-range"),
            (vec!["epsilon=1,2", "epsilon=1,2"], "--range epsilon is there twice"),
            (
                vec!["beta2=0.5,0.999999999"],
                "must be above 0 and below 1, also when rounded to f32",
            ),
            (vec!["epsilon=1e-60,1"], "--range epsilon=0.0000"),
        ] {
            let said = completed(&given, &axes).unwrap_err();
            assert!(said.contains(words), "{given:?}: {said}");
        }
    }
}
