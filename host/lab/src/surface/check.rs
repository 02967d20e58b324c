//! What a shard says of itself, checked: against what the program can have written, and against its
//! own table.

use std::ops::RangeInclusive;

use myopia_core::rng::Pcg32;
use myopia_core::schedule::{InverseTime, PARAMETERS, Parameter};
use serde_json::{Map, Value};

use super::plane::{Grid, Plane, Point, Points, Span};
use super::report::About;
use super::seeds::Run;
use crate::problem::Stream;
use crate::shard::Shard;
use crate::shown;

/// The most schedules of a surface.
const MOST_CELLS: usize = 1_000_000;

/// The points of the surface that `about` tells of, when all that it says is possible and fits
/// together; else what does not.
pub(super) fn about(about: &About) -> Result<Vec<Point>, String> {
    let About { seed, cells, loss, axes, horizons, settings, .. } = about;
    if horizons.first().is_none_or(|&first| first == 0) || !horizons.is_sorted_by(|a, b| a < b) {
        return Err("its horizons are not ascending numbers of steps".to_owned());
    }
    let mut asked: Vec<u64> = match settings.get("horizon") {
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_u64).collect(),
        _ => return Err(missing("horizon")),
    };
    asked.sort_unstable();
    asked.dedup();
    if !asked.iter().copied().eq(horizons.iter().map(|&horizon| u64::from(horizon))) {
        return Err("its horizons are not those of its settings".to_owned());
    }
    let judged = match settings.get("objective").and_then(Value::as_str) {
        Some("validation") => "validation loss",
        Some("train") => "training loss",
        _ => return Err(missing("objective")),
    };
    if loss != judged {
        return Err(format!("its loss is called {} and not {judged}", shown::name(loss)));
    }
    let named = settings.get("axes").and_then(Value::as_array).ok_or_else(|| missing("axes"))?;
    if !named.iter().map(Value::as_str).eq(axes.iter().map(|axis| Some(axis.as_str()))) {
        return Err("its axes are not those of its settings".to_owned());
    }
    seeds(about)?;
    let points = plane(axes, *seed, settings)?.points();
    if points.len() != *cells as usize {
        return Err(format!(
            "it speaks of {cells} schedules where its settings make {}",
            points.len()
        ));
    }
    Ok(points)
}

/// The most seeds of a surface.
const MOST_SEEDS: u64 = 1000;

/// The seeds with which each schedule is trained: from the first to the last.
pub(super) fn seeds(about: &About) -> Result<RangeInclusive<u64>, String> {
    let first = about.seed;
    let Some(given) = about.settings.get("seeds") else { return Ok(first..=first) };
    let ends = given.as_str().and_then(|text| text.split_once(".."));
    let ends = ends.and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse::<u64>().ok()?)));
    match ends {
        Some((a, last)) if a == first && a < last && last - a < MOST_SEEDS => Ok(first..=last),
        _ => Err(missing("seeds")),
    }
}

/// The plane that the settings of `myopia surface` describe.
fn plane(axes: &[String; 2], seed: u64, settings: &Map<String, Value>) -> Result<Plane, String> {
    let number =
        |name: &str| settings.get(name).and_then(Value::as_f64).ok_or_else(|| missing(name));
    let text = |name: &str| settings.get(name).and_then(Value::as_str);
    let ranges = settings.get("range").and_then(Value::as_object);
    let axis = |name: &str| -> Result<(Parameter, Span), String> {
        let parameter =
            axis_parameter(name).ok_or_else(|| format!("{} is no parameter", shown::name(name)))?;
        let range = format!("{}_range", parameter.name());
        let span: Option<Span> = match PARAMETERS.contains(&parameter) {
            true => text(&range).and_then(|text| text.parse().ok()),
            false => ranges.and_then(|of| of.get(name)?.as_str()?.parse().ok()),
        };
        let span = span.filter(|span| span.suits(parameter)).ok_or_else(|| missing(&range))?;
        Ok((parameter, span))
    };
    if axes[0] == axes[1] {
        return Err("one of its axes is there twice".to_owned());
    }
    let random = settings.get("random").and_then(Value::as_u64);
    let points = match (random, text("grid").map(str::parse::<Grid>)) {
        (Some(count), None) if (1..=MOST_CELLS as u64).contains(&count) => {
            Points::Random(count as u32, Pcg32::new(seed, Stream::Schedules as u64))
        }
        (None, Some(Ok(grid))) => Points::Grid(grid),
        _ => return Err(missing("grid")),
    };
    Ok(Plane {
        axes: [axis(&axes[0])?, axis(&axes[1])?],
        fixed: InverseTime {
            alpha0: number("alpha0")?,
            time_constant: number("time_constant")?,
            beta: number("beta")?,
        },
        points,
    })
}

/// The parameter of that name on the command line.
pub(super) fn axis_parameter(name: &str) -> Option<Parameter> {
    Parameter::ALL.into_iter().find(|parameter| parameter.name().replace('_', "-") == name)
}

fn missing(name: &str) -> String {
    format!("its setting {name} is missing or makes no sense")
}

/// Whether `runs` are those of `shard` in order, each at its schedule and its horizon and with a
/// possible result; else what is not.
pub(super) fn runs(
    about: &About,
    shard: Shard,
    points: &[Point],
    runs: &[Run],
) -> Result<(), String> {
    let mut places =
        about.units()?.filter(|(unit, ..)| shard.holds(*unit)).flat_map(|(_, seed, cell)| {
            about.horizons.iter().map(move |&horizon| (seed, cell, horizon))
        });
    for (line, Run { seed, row }) in runs.iter().enumerate() {
        let wrong = |what: &str| Err(format!("line {} {what}", line + 2));
        if places.next() != Some((*seed, row.cell, row.horizon)) {
            return wrong("is not of the schedule and horizon that come next");
        }
        let Point { schedule: expected, others } = &points[row.cell as usize];
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        if !(same(row.alpha0, expected.alpha0)
            && same(row.time_constant, expected.time_constant)
            && same(row.beta, expected.beta)
            && row.others == *others)
        {
            return wrong("gives its schedule other parameters");
        }
        let sound = match (row.loss, row.accuracy, &row.digest, row.diverged_at) {
            (Some(loss), Some(accuracy), Some(digest), None) => {
                let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                loss.is_finite()
                    && loss >= 0.0
                    && (0.0..=1.0).contains(&accuracy)
                    && digest.len() == 16
                    && digest.bytes().all(hexadecimal)
            }
            (None, None, None, Some(step)) => step <= row.horizon,
            _ => false,
        };
        if !sound {
            return wrong("holds a result that no training gives");
        }
    }
    match places.next() {
        None => Ok(()),
        Some((_, cell, horizon)) => {
            Err(format!("it ends before schedule {cell} at horizon {horizon}"))
        }
    }
}
