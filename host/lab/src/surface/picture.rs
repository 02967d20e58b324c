//! Surfaces as pictures.

use std::collections::BTreeMap;

use myopia_core::meta::Coordinate;
use myopia_core::schedule::Parameter;

use super::cell::Row;
use super::report::About;
use crate::figure::{Axis, Field, Figure, Surface};
use crate::outer;
use crate::shown::symbol;

/// The loss of `rows` at `horizon` over two hyperparameters; `loss` is its label. Trajectories can
/// be drawn on it. Rows that do not fill a grid are scattered points.
pub fn panel(rows: &[Row], axes: [Parameter; 2], horizon: u32, loss: &str) -> Surface {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.horizon == horizon).collect();
    panel_of(&rows, axes, horizon, loss)
}

/// The same of rows that are all of one horizon.
fn panel_of(rows: &[&Row], axes: [Parameter; 2], horizon: u32, loss: &str) -> Surface {
    let samples: Vec<(f64, f64, Option<f64>)> = rows
        .iter()
        .map(|row| (coordinate(row, axes[0]), coordinate(row, axes[1]), row.loss))
        .collect();
    let [x, y] = axes.map(|parameter| Axis::log(label(parameter)));
    let colour = colours(loss, samples.iter().filter_map(|sample| sample.2));
    let title = format!("T = {horizon}");
    Surface::new(title, x, y, colour, grid(&samples).unwrap_or(Field::Scattered(samples)))
}

/// A loss in nats far above that of guessing, which is 2.3 among ten classes. Runs above it blew
/// up, though they stayed finite; how far would only take the colours away from those that did not.
const BLOWN_UP: f64 = 10.0;

/// The colour scale of `losses` in nats, logarithmic, which ends where runs blew up.
pub fn colours(label: &str, losses: impl Iterator<Item = f64>) -> Axis {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for loss in losses {
        least = if loss < least { loss } else { least };
        most = if loss > most { loss } else { most };
    }
    let colour = Axis::log(label);
    let is_needed = 0.0 < least && least < BLOWN_UP && most > BLOWN_UP;
    if is_needed { colour.range(least, BLOWN_UP) } else { colour }
}

/// The most panels of the picture of all horizons; of more horizons it shows so many, spread
/// evenly.
const TOGETHER: usize = 12;

/// The pictures of a surface and their names, one made after the other: each horizon, and all of
/// them; of so many `seeds` the medians.
pub(super) fn figures<'a>(
    about: &'a About,
    rows: &'a BTreeMap<u32, Vec<&'a Row>>,
    seeds: Option<u32>,
    partial: bool,
) -> impl Iterator<Item = (String, Figure)> + 'a {
    let unfinished = if partial { ", unfinished" } else { "" };
    let note = match seeds {
        Some(count) => format!(", median of {count} seeds{unfinished}"),
        None => unfinished.to_owned(),
    };
    let capital = capitalised(&about.loss);
    let panel = |horizon: u32| {
        let rows = rows.get(&horizon).map_or(&[][..], Vec::as_slice);
        panel_of(rows, about.parameters(), horizon, &about.loss)
    };
    let title = format!("{capital} after T steps{note}");
    let each = about.horizons.iter().map(move |&horizon| {
        (format!("surface-{horizon}"), Figure::new(&*title).panel(panel(horizon)))
    });
    let all = (about.horizons.len() > 1).then_some(()).into_iter().map(move |()| {
        let (shown, some) = shown(about);
        let title = format!("{capital} after T steps: what each horizon prefers{some}{note}");
        let figure = Figure::new(title).columns(2);
        let figure = shown.into_iter().fold(figure, |all, horizon| all.panel(panel(horizon)));
        ("surface".to_owned(), figure)
    });
    each.chain(all)
}

/// How far the seeds are apart: at each horizon the greatest loss over the least, which are the
/// losses of `rows`.
pub(super) fn range(
    about: &About,
    rows: &BTreeMap<u32, Vec<&Row>>,
    seeds: u32,
    partial: bool,
) -> Figure {
    let (shown, some) = shown(about);
    let note = if partial { ", unfinished" } else { "" };
    let loss = capitalised(&about.loss);
    let title =
        format!("{loss} after T steps, the greatest over the least of {seeds} seeds{some}{note}");
    let columns = if shown.len() > 1 { 2 } else { 1 };
    shown.into_iter().fold(Figure::new(title).columns(columns), |figure, horizon| {
        let rows = rows.get(&horizon).map_or(&[][..], Vec::as_slice);
        figure.panel(panel_of(rows, about.parameters(), horizon, "range over seeds"))
    })
}

/// The horizons of a picture of all, and how its title says that some are left out.
fn shown(about: &About) -> (Vec<u32>, String) {
    let (count, shown) = (about.horizons.len(), spread(&about.horizons, TOGETHER));
    let some = match count > shown.len() {
        true => format!(" ({} of {count} horizons)", shown.len()),
        false => String::new(),
    };
    (shown, some)
}

/// At most `most` of `all`, the first and the last among them and the others evenly between.
fn spread(all: &[u32], most: usize) -> Vec<u32> {
    if all.len() <= most {
        return all.to_vec();
    }
    (0..most).map(|i| all[i * (all.len() - 1) / (most - 1)]).collect()
}

/// The text with a capital first letter.
fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Where `row` lies along an axis: at the value, or at its odds where it is spread along its logit.
fn coordinate(row: &Row, parameter: Parameter) -> f64 {
    match parameter {
        Parameter::Alpha0 => row.alpha0,
        Parameter::TimeConstant => row.time_constant,
        Parameter::Beta => row.beta,
        other => {
            let value = row.others.iter().find(|(parameter, _)| *parameter == other);
            let value = value.map_or(f64::NAN, |(_, value)| *value);
            match outer::coordinate(other) {
                Coordinate::Logarithm => value,
                Coordinate::Logit => value / (1.0 - value),
            }
        }
    }
}

fn label(parameter: Parameter) -> String {
    let symbol = symbol(parameter);
    match outer::coordinate(parameter) {
        Coordinate::Logarithm => symbol.to_owned(),
        Coordinate::Logit => format!("{symbol}/(1 − {symbol})"),
    }
}

/// The samples as a grid, when they lie row by row on one.
fn grid(samples: &[(f64, f64, Option<f64>)]) -> Option<Field> {
    let &(_, first, _) = samples.first()?;
    let x: Vec<f64> = samples.iter().take_while(|s| s.1 == first).map(|s| s.0).collect();
    let y: Vec<f64> = samples.iter().step_by(x.len()).map(|s| s.1).collect();
    let crossing = |i: usize| (x[i % x.len()], y[i / x.len()]);
    let whole = samples.len() == x.len() * y.len()
        && samples.iter().enumerate().all(|(i, s)| (s.0, s.1) == crossing(i));
    let rising = |places: &[f64]| places.len() > 1 && places.is_sorted_by(|a, b| a < b);
    let values = samples.iter().map(|s| s.2).collect();
    (whole && rising(&x) && rising(&y)).then_some(Field::Grid { x, y, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(x: &[f64], y: &[f64]) -> Vec<(f64, f64, Option<f64>)> {
        y.iter().flat_map(|&y| x.iter().map(move |&x| (x, y, Some(x * y)))).collect()
    }

    #[test]
    fn rows_that_fill_a_grid_are_one_and_others_are_scattered() {
        let whole = samples(&[0.1, 0.2, 0.4], &[1.0, 2.0]);
        let Some(Field::Grid { x, y, values }) = grid(&whole) else { panic!("a grid") };
        assert_eq!((x.len(), y.len(), values.len()), (3, 2, 6));
        assert_eq!(grid(&whole[..5]), None, "one is missing");
        assert_eq!(grid(&whole[..3]), None, "a single row");
        assert_eq!(grid(&[]), None);
        let mut moved = whole.clone();
        moved[4].0 = 0.3;
        assert_eq!(grid(&moved), None);
    }

    #[test]
    fn many_horizons_share_a_picture_of_a_few_and_few_are_all_there() {
        let many: Vec<u32> = (1..=700).collect();
        let few = spread(&many, TOGETHER);
        assert_eq!(few.len(), TOGETHER);
        assert_eq!((few[0], few[TOGETHER - 1]), (1, 700));
        assert!(few.is_sorted_by(|a, b| a < b), "{few:?}");
        assert_eq!(spread(&many[..4], TOGETHER), [1, 2, 3, 4]);
    }

    #[test]
    fn a_run_that_blew_up_does_not_take_the_colours_from_the_others() {
        let range = |losses: &[f64]| colours("loss", losses.iter().copied()).range;
        assert_eq!(range(&[0.06, 1e16, 2.3]), Some((0.06, BLOWN_UP)));
        assert_eq!(range(&[0.06, 2.3]), None);
        assert_eq!(range(&[0.0, 1e16]), None);
        assert_eq!(range(&[20.0, 1e16]), None);
        assert_eq!(range(&[]), None);
    }

    #[test]
    fn any_label_has_a_capital() {
        for (text, capital) in
            [("loss", "Loss"), ("", ""), ("é", "É"), ("漢字", "漢字"), ("ßx", "SSx")]
        {
            assert_eq!(capitalised(text), capital);
        }
    }
}
