//! A quantity over two hyperparameters: a heat map with iso-lines from a grid, or coloured dots
//! from scattered samples.

use contour::ContourBuilder;
use plotters_backend::BackendColor;

use super::axis::{Axis, Scale};
use super::canvas::{Canvas, Page};
use super::frame::{Dimension, Frame, Outline};
use super::geometry::{Point, Rect, extent, larger, smaller};
use super::numbers::{brief, counted};
use super::style::{DIVERGED, INK, MUTED, Marker, WHITE, contrast, hatch, surface_colour};
use super::text::{Align, Font};
use super::{Error, Looks};

/// A panel that shows a quantity, usually a loss, over two axes.
///
/// Cells and samples without a finite value are drawn as diverged. The lowest value is marked and
/// named in the caption.
#[derive(Clone, Debug)]
pub struct Surface {
    /// Heading of the panel.
    pub title: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// The colour scale; a range given to it is exceeded by values drawn in its end colours.
    pub colour: Axis,
    /// The values.
    pub field: Field,
    /// Paths over the surface.
    pub trajectories: Vec<Trajectory>,
}

/// Where a surface's values were taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// On a grid; `values[row * x.len() + column]` belongs to `(x[column], y[row])`.
    Grid {
        /// Coordinates of the columns, strictly increasing.
        x: Vec<f64>,
        /// Coordinates of the rows, strictly increasing.
        y: Vec<f64>,
        /// The values row by row; `None` or a value that is not finite is a diverged run.
        values: Vec<Option<f64>>,
    },
    /// At scattered points `(x, y, value)`.
    Scattered(Vec<(f64, f64, Option<f64>)>),
}

/// A named path over a surface, in the coordinates of its axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Trajectory {
    /// Name in the legend; an empty name has no entry.
    pub name: String,
    /// The points from start to end.
    pub points: Vec<(f64, f64)>,
}

impl Surface {
    /// A surface without trajectories; `colour` labels and scales the values.
    pub fn new(title: impl Into<String>, x: Axis, y: Axis, colour: Axis, field: Field) -> Self {
        Self { title: title.into(), x, y, colour, field, trajectories: Vec::new() }
    }

    /// The surface with one more path drawn over it.
    pub fn trajectory(
        mut self,
        name: impl Into<String>,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Self {
        self.trajectories
            .push(Trajectory { name: name.into(), points: points.into_iter().collect() });
        self
    }

    /// The place of the lowest finite value, and that value.
    pub fn best(&self) -> Option<(f64, f64, f64)> {
        self.samples()
            .filter_map(|(x, y, value)| Some((x, y, value?)))
            .min_by(|a, b| a.2.total_cmp(&b.2))
    }

    /// Whether any cell or sample diverged.
    pub(super) fn diverged(&self) -> bool {
        self.samples().any(|(.., value)| value.is_none())
    }

    /// Every sample; what is not finite is `None`.
    fn samples(&self) -> impl Iterator<Item = (f64, f64, Option<f64>)> + '_ {
        let (grid, scattered): (Option<_>, &[_]) = match &self.field {
            Field::Grid { x, y, values } => (Some((x, y, values)), &[]),
            Field::Scattered(samples) => (None, samples),
        };
        let cells = grid.into_iter().flat_map(|(x, y, values)| {
            let place = move |i: usize| (x[i % x.len()], y[i / x.len()]);
            values.iter().enumerate().map(move |(i, &value)| {
                let (x, y) = place(i);
                (x, y, value)
            })
        });
        let all = cells.chain(scattered.iter().copied());
        all.map(|(x, y, value)| (x, y, value.filter(|v| v.is_finite())))
    }

    /// Refuses grids that are not grids and coordinates that the axes cannot place.
    fn check(&self) -> Result<(), Error> {
        if let Field::Grid { x, y, values } = &self.field {
            if x.is_empty() || y.is_empty() || x.len() * y.len() != values.len() {
                return Err(Error::Grid { columns: x.len(), rows: y.len(), values: values.len() });
            }
            for (axis, coordinates) in [(&self.x, x), (&self.y, y)] {
                let taken = coordinates.iter().all(|&value| axis.takes(value));
                if !taken || !coordinates.is_sorted_by(|a, b| a < b) {
                    return Err(Error::Coordinates { label: axis.label.clone() });
                }
            }
        }
        if let Field::Scattered(samples) = &self.field {
            for (axis, which) in [(&self.x, 0), (&self.y, 1)] {
                let taken = |&(x, y, _): &(f64, f64, _)| axis.takes([x, y][which]);
                if !samples.iter().all(taken) {
                    return Err(Error::Coordinates { label: axis.label.clone() });
                }
            }
        }
        Ok(())
    }

    pub(super) fn outline(&self) -> Result<Outline, Error> {
        self.check()?;
        let travelled = || {
            let points = self.trajectories.iter().flat_map(|t| &t.points);
            points.copied().filter(|point| self.takes(point))
        };
        let dimension = |axis: &Axis, which: usize| -> Result<Dimension, Error> {
            let label = axis.label.clone();
            let visited = extent(travelled().map(|(x, y)| [x, y][which]));
            let sampled = match &self.field {
                Field::Grid { x, y, .. } => {
                    let edges = edges(axis.scale, [x, y][which]);
                    extent(edges.into_iter().map(|edge| axis.scale.value(edge)))
                }
                Field::Scattered(samples) => extent(samples.iter().map(|s| [s.0, s.1][which])),
            };
            let grid = matches!(self.field, Field::Grid { .. });
            let outside = match (visited, sampled) {
                (Some(path), Some(grid)) => path.0 < grid.0 || path.1 > grid.1,
                _ => false,
            };
            let whole = extent([visited, sampled].into_iter().flatten().flat_map(|(a, b)| [a, b]));
            let span = if grid && !outside { axis.tight_span(whole)? } else { axis.span(whole)? };
            Ok(Dimension { label, span })
        };
        let shades = self.samples().filter_map(|(.., value)| value);
        let span = self.colour.tight_span(extent(shades.filter(|&v| self.colour.takes(v))))?;
        let colour = self.best().map(|_| Dimension { label: self.colour.label.clone(), span });
        Ok(Outline {
            title: self.title.clone(),
            x: dimension(&self.x, 0)?,
            y: dimension(&self.y, 1)?,
            colour,
            caption: self.caption(),
        })
    }

    /// Where the best value is, and how many runs diverged.
    fn caption(&self) -> String {
        let total = self.samples().count();
        let lost = self.samples().filter(|(.., value)| value.is_none()).count();
        let best = match self.best() {
            None if total == 0 => return String::new(),
            None => return "Every run diverged.".to_owned(),
            Some((x, y, value)) => format!(
                "Lowest {}: {} at {}\u{a0}=\u{a0}{}, {}\u{a0}=\u{a0}{}",
                self.colour.label,
                brief(value),
                self.x.label,
                brief(x),
                self.y.label,
                brief(y)
            ),
        };
        match lost {
            0 => format!("{best}."),
            _ => format!("{best}; {lost} of {total} diverged."),
        }
    }

    /// A sentence for each kind of thing that could not be drawn as it is.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let about = match &*self.title {
            "" => String::new(),
            title => format!("{title}: "),
        };
        let shaded = || self.samples().filter_map(|(.., value)| value);
        let unplaced = shaded().filter(|&value| !self.colour.takes(value)).count();
        if unplaced > 0 {
            notes.push(format!(
                "{about}{} without a place on the colour scale, drawn in an end colour.",
                counted(unplaced, "value")
            ));
        }
        if let Some((low, high)) = self.colour.range {
            let beyond = shaded().filter(|&v| self.colour.takes(v) && (v < low || v > high));
            match beyond.count() {
                0 => {}
                count => notes.push(format!(
                    "{about}{} outside {} to {}, drawn in the end colours.",
                    counted(count, "value"),
                    brief(low),
                    brief(high)
                )),
            }
        }
        for path in &self.trajectories {
            let lost = path.points.iter().filter(|p| !self.takes(p)).count();
            if lost > 0 {
                notes.push(format!(
                    "{} {}: {lost} of {} points not drawn: not finite, or ≤ 0 on a log axis.",
                    self.title,
                    path.name,
                    path.points.len()
                ));
            }
        }
        notes
    }

    pub(super) fn draw<P: Page>(&self, canvas: &mut Canvas<P>, frame: &Frame, looks: &Looks) {
        match &self.field {
            Field::Grid { x, y, values } => {
                self.draw_cells(canvas, frame, (x, y), values);
                self.draw_levels(canvas, frame, (x, y), values);
            }
            Field::Scattered(_) => self.draw_dots(canvas, frame),
        }
        if self.samples().next().is_none() {
            let centre = frame.plot.centre();
            canvas.text("no data", centre, Font::BODY, Align::Centre, MUTED);
        }
        for path in &self.trajectories {
            self.draw_path(canvas, frame, looks, path);
        }
        frame.draw_axes(canvas);
        if let Some((x, y, _)) = self.best() {
            let at = frame.at(x, y);
            if frame.plot.contains(at) {
                Marker::Star.draw(canvas, at, 7.0, WHITE, INK);
            }
        }
    }

    fn takes(&self, (x, y): &(f64, f64)) -> bool {
        self.x.takes(*x) && self.y.takes(*y)
    }

    /// The colour of a value that may lie beyond what the colour scale can place.
    fn shade(&self, frame: &Frame, value: f64) -> BackendColor {
        if self.colour.takes(value) {
            frame.colour(value)
        } else {
            surface_colour(if value > 0.0 { 1.0 } else { 0.0 })
        }
    }

    fn draw_cells<P: Page>(
        &self,
        canvas: &mut Canvas<P>,
        frame: &Frame,
        (x, y): (&[f64], &[f64]),
        values: &[Option<f64>],
    ) {
        let places = |axis: &Axis, coordinates: &[f64]| -> Vec<f64> {
            let edges = edges(axis.scale, coordinates);
            edges.into_iter().map(|e| axis.scale.value(e)).collect()
        };
        let (columns, rows) = (places(&self.x, x), places(&self.y, y));
        let clip = |rect: Rect| Rect {
            left: larger(rect.left, frame.plot.left),
            top: larger(rect.top, frame.plot.top),
            right: smaller(rect.right, frame.plot.right),
            bottom: smaller(rect.bottom, frame.plot.bottom),
        };
        for (i, value) in values.iter().enumerate() {
            let (column, row) = (i % x.len(), i / x.len());
            let (left, bottom) = frame.at(columns[column], rows[row]);
            let (right, top) = frame.at(columns[column + 1], rows[row + 1]);
            // A cell reaches a little under its later neighbours, or viewers show the page through
            // the seams.
            let under = |last: bool| if last { 0.0 } else { 0.5 };
            let cell = clip(Rect {
                left,
                top: top - under(row + 1 == y.len()),
                right: right + under(column + 1 == x.len()),
                bottom,
            });
            if cell.width() <= 0.0 || cell.height() <= 0.0 {
                continue;
            }
            match value.filter(|v| v.is_finite()) {
                Some(value) => canvas.fill(cell, self.shade(frame, value)),
                None => hatch(canvas, cell),
            }
        }
    }

    /// Iso-lines at the labelled values of the colour bar, between neighbours that all have a
    /// value.
    fn draw_levels<P: Page>(
        &self,
        canvas: &mut Canvas<P>,
        frame: &Frame,
        (x, y): (&[f64], &[f64]),
        values: &[Option<f64>],
    ) {
        if x.len() < 2 || y.len() < 2 {
            return;
        }
        let heights: Vec<Option<f64>> = values
            .iter()
            .map(|value| value.filter(|&v| self.colour.takes(v)))
            .map(|value| value.map(|v| self.colour.scale.place(v)))
            .collect();
        // The marching squares need a number everywhere; segments next to a made-up one are left
        // out below.
        let peak = extent(heights.iter().flatten().copied()).map_or(0.0, |(_, high)| high);
        let filled: Vec<f64> = heights.iter().map(|h| h.unwrap_or(peak)).collect();
        let whole = |u: f64, v: f64| {
            let (column, row) = (u.floor(), v.floor());
            if column < 0.0 || row < 0.0 {
                return false;
            }
            let (column, row) = (column as usize, row as usize);
            column + 1 < x.len()
                && row + 1 < y.len()
                && [0, 1, x.len(), x.len() + 1]
                    .iter()
                    .all(|corner| heights[row * x.len() + column + corner].is_some())
        };
        let along = |scale: Scale, coordinates: &[f64], u: f64| {
            let i = (u.floor() as usize).min(coordinates.len() - 2);
            let (a, b) = (scale.place(coordinates[i]), scale.place(coordinates[i + 1]));
            scale.value(a + (b - a) * (u - i as f64))
        };
        for level in frame.levels() {
            let threshold = self.colour.scale.place(level);
            let Ok(lines) =
                ContourBuilder::new(x.len(), y.len(), true).lines(&filled, &[threshold])
            else {
                continue;
            };
            let ink = contrast(frame.colour(level));
            for ring in lines.iter().flat_map(|line| line.geometry()) {
                // The crate puts a sample at the middle of its unit square.
                let ring: Vec<Point> = ring.0.iter().map(|p| (p.x - 0.5, p.y - 0.5)).collect();
                let mut piece: Vec<Point> = Vec::new();
                for pair in ring.windows(2) {
                    let (a, b) = (pair[0], pair[1]);
                    if whole((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0) {
                        let place = |(u, v): Point| {
                            frame.at(along(self.x.scale, x, u), along(self.y.scale, y, v))
                        };
                        if piece.is_empty() {
                            piece.push(place(a));
                        }
                        piece.push(place(b));
                    } else {
                        self.draw_level(canvas, frame, &std::mem::take(&mut piece), ink);
                    }
                }
                self.draw_level(canvas, frame, &piece, ink);
            }
        }
    }

    fn draw_level<P: Page>(
        &self,
        canvas: &mut Canvas<P>,
        frame: &Frame,
        piece: &[Point],
        ink: BackendColor,
    ) {
        for part in frame.plot.clip_polyline(piece) {
            canvas.stroke(&part, 1.0, ink);
        }
    }

    fn draw_dots<P: Page>(&self, canvas: &mut Canvas<P>, frame: &Frame) {
        frame.draw_grid(canvas);
        for (x, y, value) in self.samples() {
            let at = frame.at(x, y);
            if !frame.plot.contains(at) {
                continue;
            }
            match value {
                Some(value) => {
                    Marker::Circle.draw(canvas, at, 5.0, self.shade(frame, value), INK);
                }
                None => cross(canvas, at),
            }
        }
    }

    fn draw_path<P: Page>(
        &self,
        canvas: &mut Canvas<P>,
        frame: &Frame,
        looks: &Looks,
        path: &Trajectory,
    ) {
        let look = looks.of(&path.name);
        let runs: Vec<Vec<Point>> = path
            .points
            .split(|point| !self.takes(point))
            .map(|run| run.iter().map(|&(x, y)| frame.at(x, y)).collect())
            .collect();
        for part in runs.iter().flat_map(|run| frame.plot.clip_polyline(run)) {
            canvas.stroke(&part, 5.0, WHITE);
            canvas.dashed(&part, look.dash, 2.6, look.colour);
        }
        let mut ends = runs.iter().flatten().copied();
        let (first, last) = (ends.next(), ends.next_back());
        if let Some(at) = first.filter(|&at| frame.plot.contains(at)) {
            Marker::Circle.draw(canvas, at, 4.5, WHITE, INK);
        }
        if let Some(at) = last.filter(|&at| frame.plot.contains(at)) {
            look.marker.draw(canvas, at, 5.5, look.colour, WHITE);
        }
    }
}

/// The borders of the cells about the coordinates, one more than there are cells, where the scale
/// is even: half-way between neighbours, and as far out at the ends.
fn edges(scale: Scale, coordinates: &[f64]) -> Vec<f64> {
    let places: Vec<f64> = coordinates.iter().map(|&c| scale.place(c)).collect();
    let (first, last) = (places[0], places[places.len() - 1]);
    if places.len() == 1 {
        return vec![first - 0.5, first + 0.5];
    }
    let mut edges: Vec<f64> = places.windows(2).map(|pair| pair[0] / 2.0 + pair[1] / 2.0).collect();
    let (low, high) = (edges[0], edges[edges.len() - 1]);
    edges.insert(0, first - (low - first));
    edges.push(last + (last - high));
    edges
}

/// A sample that diverged.
fn cross<P: Page>(canvas: &mut Canvas<P>, (x, y): Point) {
    Marker::Circle.draw(canvas, (x, y), 5.0, DIVERGED, MUTED);
    for rise in [-3.0, 3.0] {
        canvas.stroke(&[(x - 3.0, y - rise), (x + 3.0, y + rise)], 1.2, INK);
    }
}
