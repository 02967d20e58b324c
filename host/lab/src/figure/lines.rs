//! Curves over one pair of axes.

use plotters_backend::BackendColor;

use super::axis::Axis;
use super::canvas::{Canvas, Page};
use super::frame::{Dimension, Frame, Outline};
use super::geometry::{Point, Rect, extent, larger, smaller};
use super::style::{INK, MUTED, Marker, REFERENCE_DASH, WHITE};
use super::text::{Align, Font};
use super::{Error, Looks};

/// A panel of curves.
///
/// Series of the same name look the same in every panel of a figure and share one entry in its
/// legend.
#[derive(Clone, Debug)]
pub struct Lines {
    /// Heading of the panel.
    pub title: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Ranges around curves, drawn below them.
    pub bands: Vec<Band>,
    /// The curves, drawn in this order.
    pub series: Vec<Series>,
    /// Labelled straight lines to compare with.
    pub references: Vec<Reference>,
}

/// A named curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Name in the legend; an empty name has no entry.
    pub name: String,
    /// The points in drawing order. A point that its axes cannot place (not finite, or not positive
    /// on a logarithmic axis) breaks the curve and is counted in a note.
    pub points: Vec<(f64, f64)>,
    /// Which points are marked.
    pub markers: Markers,
    /// Draw solid instead of in the series' own dash pattern.
    pub solid: bool,
}

/// The range around the curve of the same name, in its colour and pale.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// The curve's name.
    pub name: String,
    /// Along the horizontal axis in ascending order: where, and between what.
    pub points: Vec<(f64, [f64; 2])>,
}

/// Which points of a series are marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Markers {
    /// None, save points that stand alone and would not be seen otherwise.
    #[default]
    None,
    /// The first with an open circle, the last with the series' own marker.
    Ends,
    /// Every point.
    Points,
}

/// A labelled straight line across a panel. It does not widen the axes: outside their range it is
/// not drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Reference {
    /// At a value of the vertical axis.
    Horizontal(f64, String),
    /// At a value of the horizontal axis.
    Vertical(f64, String),
}

impl Lines {
    /// An empty panel.
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self {
            title: title.into(),
            x,
            y,
            bands: Vec::new(),
            series: Vec::new(),
            references: Vec::new(),
        }
    }

    /// The panel with one more series.
    pub fn series(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// The panel with one more range around a curve.
    pub fn band(mut self, band: Band) -> Self {
        self.bands.push(band);
        self
    }

    /// The panel with one more reference line.
    pub fn reference(mut self, reference: Reference) -> Self {
        self.references.push(reference);
        self
    }

    pub(super) fn outline(&self) -> Result<Outline, Error> {
        let curves = || self.series.iter().flat_map(|series| self.drawable(series));
        let edges = || self.bands.iter().flat_map(Band::edges).filter(|point| self.takes(point));
        let points = || curves().chain(edges());
        let dimension = |axis: &Axis, data| {
            let span = axis.span(extent(data))?;
            let label = axis.label.clone();
            Ok(Dimension { label, span })
        };
        Ok(Outline {
            title: self.title.clone(),
            x: dimension(&self.x, points().map(|p| p.0).collect::<Vec<_>>())?,
            y: dimension(&self.y, points().map(|p| p.1).collect::<Vec<_>>())?,
            colour: None,
            caption: String::new(),
        })
    }

    /// A sentence for each series with points that could not be drawn.
    pub(super) fn notes(&self) -> Vec<String> {
        self.series
            .iter()
            .filter_map(|series| {
                let lost: Vec<_> = series.points.iter().filter(|p| !self.takes(p)).collect();
                let endless =
                    lost.iter().filter(|(x, y)| !(x.is_finite() && y.is_finite())).count();
                let mut reasons = Vec::new();
                if endless > 0 {
                    reasons.push(format!("{endless} not finite"));
                }
                if lost.len() > endless {
                    let count = lost.len() - endless;
                    reasons.push(format!(
                        "{count} outside what its axes can show (≤ 0 on a log axis)"
                    ));
                }
                let place = [self.title.as_str(), &series.name].join(" ");
                (!lost.is_empty()).then(|| {
                    format!(
                        "{}: {} of {} points not drawn: {}.",
                        place.trim(),
                        lost.len(),
                        series.points.len(),
                        reasons.join(", ")
                    )
                })
            })
            .collect()
    }

    pub(super) fn draw<P: Page>(&self, canvas: &mut Canvas<P>, frame: &Frame, looks: &Looks) {
        frame.draw_grid(canvas);
        let runs: Vec<Vec<Vec<Point>>> =
            self.series.iter().map(|series| self.runs(series, frame)).collect();
        if runs.iter().all(Vec::is_empty) {
            let centre = frame.plot.centre();
            canvas.text("no data", centre, Font::BODY, Align::Centre, MUTED);
        }
        for reference in &self.references {
            self.draw_reference(canvas, reference, frame, &runs);
        }
        for band in &self.bands {
            let colour = BackendColor { alpha: 0.2, ..looks.of(&band.name).colour };
            for part in band.points.split(|point| !self.holds(point)) {
                canvas.polygon(&Self::corners(part, frame), colour);
            }
        }
        for (series, runs) in self.series.iter().zip(&runs) {
            let look = looks.of(&series.name);
            let dash = if series.solid { &[] } else { look.dash };
            for run in runs {
                for part in frame.plot.clip_polyline(&thinned(run)) {
                    canvas.dashed(&part, dash, 2.2, look.colour);
                }
            }
        }
        for (series, runs) in self.series.iter().zip(&runs) {
            let look = looks.of(&series.name);
            let mut mark = |at: Point, marker: Marker, fill| {
                if frame.plot.contains(at) {
                    marker.draw(canvas, at, 4.0, fill, look.colour);
                }
            };
            let all = || runs.iter().flatten().copied();
            let alone = runs.iter().filter(|run| run.len() == 1);
            let alone = alone.map(|run| run[0]);
            match series.markers {
                Markers::None => alone.for_each(|at| mark(at, Marker::Circle, look.colour)),
                Markers::Ends => {
                    alone.for_each(|at| mark(at, Marker::Circle, look.colour));
                    if let (Some(first), Some(last)) = (all().next(), all().next_back()) {
                        mark(first, Marker::Circle, WHITE);
                        mark(last, look.marker, look.colour);
                    }
                }
                Markers::Points => {
                    all().for_each(|at| mark(at, look.marker, look.colour));
                }
            }
        }
        frame.draw_axes(canvas);
    }

    /// Whether the axes can place both edges of a band at one of its points.
    fn holds(&self, (x, range): &(f64, [f64; 2])) -> bool {
        range.iter().all(|y| self.takes(&(*x, *y)))
    }

    /// The outline of a band on the page, inside the plot.
    fn corners(part: &[(f64, [f64; 2])], frame: &Frame) -> Vec<Point> {
        let edge = |side: usize| {
            part.iter().map(move |&(x, range)| {
                let (x, y) = frame.at(x, range[side]);
                let Rect { left, right, top, bottom } = frame.plot;
                let within = |x, low, high| smaller(larger(x, low), high);
                (within(x, left, right), within(y, top, bottom))
            })
        };
        edge(0).chain(edge(1).rev()).collect()
    }

    fn takes(&self, (x, y): &(f64, f64)) -> bool {
        self.x.takes(*x) && self.y.takes(*y)
    }

    fn drawable<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = (f64, f64)> + 'a {
        let points = series.points.iter().filter(|point| self.takes(point));
        points.copied()
    }

    /// The series on the page, broken where points are missing.
    fn runs(&self, series: &Series, frame: &Frame) -> Vec<Vec<Point>> {
        series
            .points
            .split(|point| !self.takes(point))
            .filter(|run| !run.is_empty())
            .map(|run| run.iter().map(|&(x, y)| frame.at(x, y)).collect())
            .collect()
    }

    fn draw_reference<P: Page>(
        &self,
        canvas: &mut Canvas<P>,
        reference: &Reference,
        frame: &Frame,
        runs: &[Vec<Vec<Point>>],
    ) {
        let (plot, font) = (frame.plot, Font::BODY);
        let (line, label) = match reference {
            Reference::Horizontal(value, label) if self.y.takes(*value) => {
                let (_, y) = frame.at(1.0, *value);
                ([(plot.left, y), (plot.right, y)], label)
            }
            Reference::Vertical(value, label) if self.x.takes(*value) => {
                let (x, _) = frame.at(*value, 1.0);
                ([(x, plot.top), (x, plot.bottom)], label)
            }
            _ => return,
        };
        if !line.iter().all(|&end| plot.contains(end)) {
            return;
        }
        canvas.dashed(&line, REFERENCE_DASH, 1.2, MUTED);
        let label = font.shorten(label, plot.width() - 12.0);
        let (width, height) = (font.width(&label), font.line());
        let ((x0, y0), (x1, y1)) = (line[0], line[1]);
        let places = match reference {
            Reference::Horizontal(..) => [
                (x1 - width - 5.0, y0 - height - 1.0),
                (x0 + 5.0, y0 - height - 1.0),
                (x1 - width - 5.0, y0 + 1.0),
                (x0 + 5.0, y0 + 1.0),
            ],
            Reference::Vertical(..) => [
                (x0 + 5.0, y0 + 3.0),
                (x0 - width - 5.0, y0 + 3.0),
                (x0 + 5.0, y1 - height - 3.0),
                (x0 - width - 5.0, y1 - height - 3.0),
            ],
        };
        // Of the places beside the line, the first that the fewest pieces of curve run through.
        let best = places
            .map(|(x, y)| Rect::new(x, y, width, height))
            .into_iter()
            .filter(|r| plot.contains((r.left, r.top)) && plot.contains((r.right, r.bottom)))
            .min_by_key(|rect| {
                let segments = runs.iter().flatten().flat_map(|run| run.windows(2));
                segments.filter(|s| rect.clip(s[0], s[1]).is_some()).count()
            });
        if let Some(rect) = best {
            let at = (rect.left, rect.centre().1);
            canvas.text(&label, at, font, Align::Left, INK);
        }
    }
}

impl Band {
    fn edges(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.points.iter().flat_map(|&(x, range)| range.map(|y| (x, y)))
    }
}

impl Series {
    /// A curve through the points, without markers.
    pub fn new(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self {
            name: name.into(),
            points: points.into_iter().collect(),
            markers: Markers::None,
            solid: false,
        }
    }

    /// A curve through the values at 0, 1, 2, ….
    pub fn steps(name: impl Into<String>, values: impl IntoIterator<Item = f64>) -> Self {
        let values = values.into_iter().enumerate();
        Self::new(name, values.map(|(step, value)| (step as f64, value)))
    }

    /// The series with these points marked.
    pub fn markers(self, markers: Markers) -> Self {
        Self { markers, ..self }
    }

    /// The series drawn solid.
    pub fn solid(self) -> Self {
        Self { solid: true, ..self }
    }
}

/// The polyline with no more than four points for each half point of width, keeping each column's
/// first, lowest, highest and last: what is left out could not be seen.
fn thinned(line: &[Point]) -> Vec<Point> {
    let column = |point: &Point| (point.0 * 2.0).floor();
    let mut kept = Vec::with_capacity(line.len());
    for run in line.chunk_by(|a, b| column(a) == column(b)) {
        let by_height = |a: &usize, b: &usize| run[*a].1.total_cmp(&run[*b].1);
        let indices = || 0..run.len();
        let mut wanted = [
            0,
            indices().min_by(by_height).unwrap_or(0),
            indices().max_by(by_height).unwrap_or(0),
            run.len() - 1,
        ];
        wanted.sort_unstable();
        for (i, &index) in wanted.iter().enumerate() {
            if i == 0 || wanted[i - 1] != index {
                kept.push(run[index]);
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_peaks_and_ends() {
        let mut line: Vec<Point> =
            (0..10_000).map(|i| (f64::from(i) / 100.0, f64::from(i % 7))).collect();
        line[5_050].1 = 1e3;
        let kept = thinned(&line);
        assert!(kept.len() <= 4 * 201, "{}", kept.len());
        assert!(kept.contains(&line[5_050]));
        assert_eq!((kept[0], kept.last()), (line[0], line.last()));
        assert_eq!(thinned(&line[..1]), line[..1]);
    }

    #[test]
    fn points_that_cannot_be_drawn_are_counted_in_a_note() {
        let points = [(0.0, 1.0), (1.0, -1.0), (2.0, 0.0), (3.0, f64::NAN), (4.0, 2.0)];
        let lines = Lines::new("loss", Axis::linear("step"), Axis::log("loss"))
            .series(Series::new("T = 10", points))
            .series(Series::new("clean", [(0.0, 1.0)]));
        assert_eq!(
            lines.notes(),
            ["loss T = 10: 3 of 5 points not drawn: 1 not finite, \
                 2 outside what its axes can show (≤ 0 on a log axis)."]
        );
    }
}
